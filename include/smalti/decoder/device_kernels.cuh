#pragma once
// What a decoder needs on a device beside products, attention and row operations: attention for head dimensions that the tiled
// engines do not know (FlashAttention-2, Dao 2023, Algorithm 1, a key at a time), adapters by row, and the step from token to token.

#include "../cuda/launch.cuh"
#include "../cuda/ptx.cuh"
#include "device_batch.cuh"

namespace smalti {

namespace detail {
inline constexpr launch_order overlapped{.programmatic = true};
inline constexpr int few_tokens = 16;   ///< up to here dense weights have a kernel at the speed of memory
inline constexpr int few_queries = 16;  ///< of one sequence: up to here decode attention, beyond it tiles of queries

/// For a profile: an operation begins, which has to move so many bytes and to compute so much.
inline void mark(device_batch& batch, char const* name, double bytes, double flops = 0) {
  if (batch.before) batch.before(name, bytes, flops);
}
}  // namespace detail

/// What happens to a sum on its way out, chosen at run time, so that one kernel serves bias, residual and scale:
/// ((v + bias) · scale) + residual.
struct device_epilogue {
  float const* bias = nullptr;    ///< (N), or null
  float scale = 1;
  view<float, 2> residual = {};   ///< (M, N), or empty
  SMALTI_HD float operator()(float v, index row, index column) const {
    if (bias) v += bias[column];
    v *= scale;
    return residual.at ? v + residual(row, column) : v;
  }
};

}  // namespace smalti

#if defined(__CUDACC__)
namespace smalti::detail {

/// t (M, rank): columns of adapters that a row does not pass become 0. of_row null: `on` says which adapters count.
static __global__ void decoder_mask_kernel(bf16* t, int rank, int const* of_column, int const* of_row) {
  ptx::launch_dependents();
  ptx::wait_for_previous();
  for (int i = threadIdx.x; i < rank; i += blockDim.x)
    if (of_column[i] != of_row[blockIdx.x]) t[index(blockIdx.x) * rank + i] = bf16(0.f);
}

/// Where rows and their keys are: pools (pages, Hkv, page_size, D).
struct rows_in_pages {
  int const *owner, *position, *pages;
  int page_size, max_pages;
};

/// One warp a (row, head): for head dimensions that no tiled engine has (at most 256). o and q: (M, H·D).
static __global__ void decoder_attend_kernel(view<bf16, 2> const o, view<bf16 const, 2> const q, view<bf16, 4> const keys, view<bf16, 4> const values, rows_in_pages const where,
                                             float scale, int window, int d) {
  ptx::launch_dependents();
  ptx::wait_for_previous();
  int const row = blockIdx.x, head = blockIdx.y, lane = ptx::lane(), group = int(q.extent[1]) / d / int(keys.extent[1]), position = where.position[row];
  float mine[8], sum[8] = {}, top = -INFINITY, total = 0;
  SMALTI_UNROLL for (int j = 0; j < 8; ++j) mine[j] = lane + 32 * j < d ? float(q(row, index(head) * d + lane + 32 * j)) * scale : 0.f;
  for (int key = window ? max(0, position - window + 1) : 0; key <= position; ++key) {
    int const page = where.pages[index(where.owner[row]) * where.max_pages + key / where.page_size];
    index const at = page * keys.stride[0] + index(head / group) * keys.stride[1] + index(key % where.page_size) * keys.stride[2];
    float s = 0;
    SMALTI_UNROLL for (int j = 0; j < 8; ++j) if (lane + 32 * j < d) s += mine[j] * float(keys.at[at + lane + 32 * j]);
    SMALTI_UNROLL for (int x = 16; x; x /= 2) s += __shfl_xor_sync(~0u, s, x);
    float const higher = fmaxf(top, s), old = expf(top - higher), p = expf(s - higher);
    top = higher, total = total * old + p;
    SMALTI_UNROLL for (int j = 0; j < 8; ++j) if (lane + 32 * j < d) sum[j] = sum[j] * old + p * float(values.at[at + lane + 32 * j]);
  }
  SMALTI_UNROLL for (int j = 0; j < 8; ++j) if (lane + 32 * j < d) o(row, index(head) * d + lane + 32 * j) = bf16(sum[j] / total);
}

/// W (n, k) += by · B · A of one adapter, rounded once.
static __global__ void decoder_merge_kernel(bf16* w, float const* a, float const* b, index count, int k, int rank, float by) {
  for (index i = blockIdx.x * index(blockDim.x) + threadIdx.x; i < count; i += index(gridDim.x) * blockDim.x) {
    float sum = 0;
    for (int r = 0; r < rank; ++r) sum += b[i / k * rank + r] * a[index(r) * k + i % k];
    w[i] = bf16(float(w[i]) + by * sum);
  }
}
/// What is known of a row of logits after some of them: Σ e^(v − top) and where the largest is, the first of equals.
struct best_logit {
  float top, sum;
  int at;
  SMALTI_D best_logit joined(best_logit b) const {
    bool const mine = top > b.top || (top == b.top && at < b.at);
    float const m = mine ? top : b.top;
    return {m, sum * (m == top ? 1.f : expf(top - m)) + b.sum * (m == b.top ? 1.f : expf(b.top - m)), mine ? at : b.at};
  }
};
inline constexpr int choose_parts = 128, choose_ahead = 4;  ///< blocks of a row · logits that a thread asks for at a time: all of Llama 3's

SMALTI_D best_logit best_of_warp(best_logit b) {
  SMALTI_UNROLL for (int d = 16; d; d /= 2)
    b = b.joined({__shfl_xor_sync(~0u, b.top, d), __shfl_xor_sync(~0u, b.sum, d), __shfl_xor_sync(~0u, b.at, d)});
  return b;
}
/// Grid (choose_parts, rows): a part of a row each.
static __global__ void __launch_bounds__(256) decoder_best_kernel(view<float const, 2> const logits, best_logit* to) {
  __shared__ best_logit meet[8];
  ptx::launch_dependents();
  ptx::wait_for_previous();
  float const* const row = &logits(blockIdx.y, 0);
  int const n = int(logits.extent[1]);
  best_logit mine{-INFINITY, 0, 0x7fffffff};
  for (int i = int(blockIdx.x * blockDim.x + threadIdx.x); i < n; i += choose_ahead * choose_parts * 256) {
    float v[choose_ahead];
    SMALTI_UNROLL for (int j = 0; j < choose_ahead; ++j) v[j] = row[min(i + j * choose_parts * 256, n - 1)];
    SMALTI_UNROLL for (int j = 0; j < choose_ahead; ++j)
      if (int const at = i + j * choose_parts * 256; at < n) mine = mine.joined({v[j], 1, at});
  }
  mine = best_of_warp(mine);
  if (ptx::lane() == 0) meet[ptx::warp()] = mine;
  __syncthreads();
  if (ptx::warp()) return;
  mine = best_of_warp(ptx::lane() < 8 ? meet[ptx::lane()] : best_logit{-INFINITY, 0, 0x7fffffff});
  if (ptx::lane() == 0) to[blockIdx.y * choose_parts + blockIdx.x] = mine;
}
/// One warp a row: its token and that token's log-probability; then the sequence goes on with it: position and counts move by one.
static __global__ void decoder_choose_kernel(best_logit const* parts, chosen_token* chosen, batch_integers const batch) {
  ptx::launch_dependents();
  ptx::wait_for_previous();
  int const b = blockIdx.x;
  best_logit const* const of = parts + b * choose_parts;
  best_logit mine = of[ptx::lane()];
  SMALTI_UNROLL for (int i = 32; i < choose_parts; i += 32) mine = mine.joined(of[ptx::lane() + i]);
  best_logit const all = best_of_warp(mine);
  if (ptx::lane()) return;
  chosen[b] = {all.at, -logf(all.sum)};
  batch.token[b] = all.at, ++batch.position[b], ++batch.first[b], ++batch.kv_used[b];
}

/// to (count) of bf16 ← any stored element.
template <class T>
__global__ void decoder_round_kernel(bf16* to, T const* from, index count) {
  for (index i = blockIdx.x * index(blockDim.x) + threadIdx.x; i < count; i += index(gridDim.x) * blockDim.x) to[i] = bf16(float(from[i]));
}
/// Values as a trained weight's: near enough to normal, of standard deviation `size`.
static __global__ void decoder_random_kernel(bf16* to, index count, uint64_t seed, float size) {
  for (index i = blockIdx.x * index(blockDim.x) + threadIdx.x; i < count; i += index(gridDim.x) * blockDim.x) {
    uint64_t z = (uint64_t(i) + 1 + (seed << 40)) * 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull, z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    float sum = 0;
    SMALTI_UNROLL for (int j = 0; j < 4; ++j) sum += float((z >> 16 * j) & 0xffff) / 65536.f - 0.5f;
    to[i] = bf16(sum * 1.7320508f * size);
  }
}
/// absmax of each block, from its code and nested scales: nf4_data::scale, rounded as there.
static __global__ void decoder_unnest_kernel(float* to, uint8_t const* code, float const* nested, float const* map, float offset, int nested_block, index count) {
  for (index i = blockIdx.x * index(blockDim.x) + threadIdx.x; i < count; i += index(gridDim.x) * blockDim.x)
    to[i] = __fadd_rn(__fmul_rn(map[code[i]], nested[i / nested_block]), offset);
}

}  // namespace smalti::detail
#endif
