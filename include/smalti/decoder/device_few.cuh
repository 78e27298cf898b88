#pragma once
// Two kernels for a decode step of few sequences, where latency binds and not the memory: attention of one query over cached keys, and
// the inputs of adapters. What does not depend on the kernel before is fetched before that one has ended.
// Flash-Decoding (Dao et al. 2023) with its join in a cluster's shared memory; GQA (Ainslie et al. 2023); LoRA (Hu et al. 2021, eq. 3).

#include "../cuda/ptx_cluster.cuh"
#include "../math/rope.cuh"
#include "device_kernels.cuh"

namespace smalti {

/// One new token of each sequence: it turns, is stored, and attends. x: the rows (B, ·) of q, k and v, 16-byte aligned.
struct few_attention {
  bf16 const *q, *k, *v;
  index row_x;                 ///< elements from one sequence's row to the next
  bf16* o;                     ///< (B, H·D)
  index row_o;
  view<bf16, 4> keys, values;  ///< (pages, Hkv, page_size, D), pages of 8 rows times a whole number
  int const *kv_used, *pages;  ///< (B) with the new token · (B, max_pages)
  int page_size, max_pages;
  rope_angles rope;            ///< all D columns turn
  float scale;                 ///< of the scores, times log2 e
  int window;                  ///< keys that a query sees, its own included; 0: all
};

inline constexpr int few_threads = 256, few_keys = 8;  ///< of a block · that a warp reads at a time
inline constexpr int few_most_split = 8;                  ///< blocks of a cluster

}  // namespace smalti

#if defined(__CUDACC__)
namespace smalti::detail {

/// Eight bf16 as floats.
SMALTI_D void widen_eight(float (&to)[8], uint4 v) {
  uint32_t const w[4] = {v.x, v.y, v.z, v.w};
  SMALTI_UNROLL for (int i = 0; i < 4; ++i) to[2 * i] = __uint_as_float(w[i] << 16), to[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
}
SMALTI_D float decay2(float from, float to) { return from == -INFINITY ? 0.f : exp2f(from - to); }

/// What a warp knows of G query heads: the largest score, Σ 2^(s − m), and eight columns of Σ 2^(s − m) v.
template <int G>
struct few_sums {
  float m[G], l[G], o[G][8];
  SMALTI_D few_sums() {
    SMALTI_UNROLL for (int g = 0; g < G; ++g) {
      m[g] = -INFINITY, l[g] = 0;
      SMALTI_UNROLL for (int i = 0; i < 8; ++i) o[g][i] = 0;
    }
  }
  /// ⊕ with the lane `other` lanes away.
  SMALTI_D void join(int other) {
    SMALTI_UNROLL for (int g = 0; g < G; ++g) {
      float const theirs = __shfl_xor_sync(~0u, m[g], other), top = fmaxf(m[g], theirs), a = decay2(m[g], top), b = decay2(theirs, top);
      l[g] = l[g] * a + __shfl_xor_sync(~0u, l[g], other) * b, m[g] = top;
      SMALTI_UNROLL for (int i = 0; i < 8; ++i) o[g][i] = o[g][i] * a + __shfl_xor_sync(~0u, o[g][i], other) * b;
    }
  }
};

template <int D, int G>
struct few_storage {
  static constexpr int warps = few_threads / 32;
  alignas(16) float o[warps][G][D];
  float2 state[warps][G];
  // From the blocks of the cluster, for the quads of columns that this one joins: an eighth of them from each of eight blocks.
  alignas(16) float4 mail_o[few_most_split * ceil_div(G * D / 4, few_most_split)];
  float2 mail_state[few_most_split * ceil_div(G * D / 4, few_most_split)];  // m, l
  uint64_t arrived;
};

/// Grid (split, Hkv, B), clusters of (split, 1, 1): a block has every split-th run of 64 keys, a warp eight of them.
template <int D, int G>
__global__ void __launch_bounds__(few_threads) decoder_attend_few_kernel(__grid_constant__ few_attention const p) {
  constexpr int lanes = D / 8, at_once = 32 / lanes, loads = few_keys / at_once, warps = few_threads / 32;  // lanes of a key · keys of a load
  __shared__ few_storage<D, G> smem;
  int const rank = blockIdx.x, split = gridDim.x, head = blockIdx.y, b = blockIdx.z, lane = ptx::lane(), warp = ptx::warp(), sub = lane / lanes, c = lane % lanes * 8;
  constexpr int quads = G * D / 4;                                            // four columns of a head each
  int const share = ceil_div(quads, split), own_quads = max(0, min(share, quads - rank * share));
  ptx::launch_dependents();
  if (split > 1) {
    if (threadIdx.x == 0) ptx::expect_mail(&smem.arrived, split * own_quads * int(sizeof(float4) + sizeof(float2)));
    ptx::cluster_open();
  }
  int const length = p.kv_used[b], begin = p.window ? max(0, length - p.window) : 0, position = length - 1;
  int const first = begin / few_keys, end = ceil_div(length, few_keys), stride = split * warps;
  struct rows { uint4 k[loads], v[loads]; };
  auto const base = [&](int group) {
    int const key = group * few_keys, page = p.pages[index(b) * p.max_pages + key / p.page_size];
    return page * p.keys.stride[0] + head * p.keys.stride[1] + index(key % p.page_size) * D;
  };
  auto const fetch = [&](rows& to, int group) {
    if (group >= end) return;
    index const at = base(group) + sub * D + c;
    SMALTI_UNROLL for (int j = 0; j < loads; ++j) to.k[j] = ptx::load_once_16(p.keys.at + at + j * at_once * D);
    SMALTI_UNROLL for (int j = 0; j < loads; ++j) to.v[j] = ptx::load_once_16(p.values.at + at + j * at_once * D);
  };
  int group = first + rank * warps + warp;
  rows now;
  fetch(now, group);
  float cosine[8], sine[8];                                                   // of this lane's columns; the second half of a head adds, the first subtracts
  index const angle = index(min(position, p.rope.positions - 1)) * (D / 2) + c % (D / 2);
  SMALTI_UNROLL for (int i = 0; i < 8; ++i) cosine[i] = p.rope.cos[angle + i], sine[i] = p.rope.sin[angle + i] * (c < D / 2 ? -1.f : 1.f);
  ptx::wait_for_previous();

  auto const turned = [&](float (&to)[8], uint4 raw, float by) {
    uint4 const far = {__shfl_xor_sync(~0u, raw.x, lanes / 2), __shfl_xor_sync(~0u, raw.y, lanes / 2), __shfl_xor_sync(~0u, raw.z, lanes / 2), __shfl_xor_sync(~0u, raw.w, lanes / 2)};
    float x[8], y[8];
    widen_eight(x, raw), widen_eight(y, far);
    SMALTI_UNROLL for (int i = 0; i < 8; ++i) to[i] = (x[i] * cosine[i] + y[i] * sine[i]) * by;
  };
  uint4 raw[G];
  SMALTI_UNROLL for (int g = 0; g < G; ++g) raw[g] = *reinterpret_cast<uint4 const*>(p.q + b * p.row_x + (head * G + g) * D + c);
  int const own = position / few_keys;                                        // the group that the new key is in
  bool const mine = (own - first) % stride == rank * warps + warp;
  uint4 new_k = {}, new_v = {};
  if (mine) {
    new_k = *reinterpret_cast<uint4 const*>(p.k + b * p.row_x + head * D + c), new_v = *reinterpret_cast<uint4 const*>(p.v + b * p.row_x + head * D + c);
    float k[8];
    turned(k, new_k, 1.f);
    new_k = {ptx::pack<bf16>(k[0], k[1]), ptx::pack<bf16>(k[2], k[3]), ptx::pack<bf16>(k[4], k[5]), ptx::pack<bf16>(k[6], k[7])};
    index const to = base(own) + index(position % few_keys) * D + c;
    if (sub == 0) *reinterpret_cast<uint4*>(p.keys.at + to) = new_k, *reinterpret_cast<uint4*>(p.values.at + to) = new_v;
  }
  float q[G][8];
  SMALTI_UNROLL for (int g = 0; g < G; ++g) turned(q[g], raw[g], p.scale);

  few_sums<G> sums;
  for (; group < end; group += stride) {
    rows next;
    fetch(next, group + stride);
    float s[loads][G];
    SMALTI_UNROLL for (int j = 0; j < loads; ++j) {
      int const key = group * few_keys + j * at_once + sub;
      if (key == position) now.k[j] = new_k, now.v[j] = new_v;
      bool const seen = key >= begin && key <= position;
      if (!seen) now.v[j] = {};                                               // 0 · NaN is not 0
      float k[8];
      widen_eight(k, now.k[j]);
      SMALTI_UNROLL for (int g = 0; g < G; ++g) {
        float dot = 0;
        SMALTI_UNROLL for (int i = 0; i < 8; ++i) dot = fmaf(q[g][i], k[i], dot);
        SMALTI_UNROLL for (int d = lanes / 2; d; d /= 2) dot += __shfl_xor_sync(~0u, dot, d);
        s[j][g] = seen ? dot : -INFINITY;
      }
    }
    SMALTI_UNROLL for (int g = 0; g < G; ++g) {
      float top = sums.m[g];
      SMALTI_UNROLL for (int j = 0; j < loads; ++j) top = fmaxf(top, s[j][g]);
      float const old = decay2(sums.m[g], top);
      sums.m[g] = top, sums.l[g] *= old;
      SMALTI_UNROLL for (int i = 0; i < 8; ++i) sums.o[g][i] *= old;
      SMALTI_UNROLL for (int j = 0; j < loads; ++j) s[j][g] = decay2(s[j][g], top), sums.l[g] += s[j][g];
    }
    SMALTI_UNROLL for (int j = 0; j < loads; ++j) {
      float v[8];
      widen_eight(v, now.v[j]);
      SMALTI_UNROLL for (int g = 0; g < G; ++g)
        SMALTI_UNROLL for (int i = 0; i < 8; ++i) sums.o[g][i] = fmaf(s[j][g], v[i], sums.o[g][i]);
    }
    now = next;
  }
  SMALTI_UNROLL for (int d = lanes; d < 32; d *= 2) sums.join(d);

  if (sub == 0)
    SMALTI_UNROLL for (int g = 0; g < G; ++g) {
      float4* const to = reinterpret_cast<float4*>(&smem.o[warp][g][c]);
      to[0] = {sums.o[g][0], sums.o[g][1], sums.o[g][2], sums.o[g][3]}, to[1] = {sums.o[g][4], sums.o[g][5], sums.o[g][6], sums.o[g][7]};
      if (c == 0) smem.state[warp][g] = {sums.m[g], sums.l[g]};
    }
  __syncthreads();
  // Σ over `count` partial results, four columns of one head: state(i) and o(i) give the i-th.
  auto const join = [](int count, auto state, auto o, float& m, float& l) {
    m = -INFINITY, l = 0;
    float4 sum = {};
    float2 of[few_most_split];
    SMALTI_UNROLL for (int i = 0; i < few_most_split; ++i) of[i] = i < count ? state(i) : float2{-INFINITY, 0}, m = fmaxf(m, of[i].x);
    SMALTI_UNROLL for (int i = 0; i < few_most_split; ++i)
      if (i < count) {
        float const f = decay2(of[i].x, m);
        float4 const v = o(i);
        l = fmaf(f, of[i].y, l), sum = {fmaf(f, v.x, sum.x), fmaf(f, v.y, sum.y), fmaf(f, v.z, sum.z), fmaf(f, v.w, sum.w)};
      }
    return sum;
  };
  auto const put = [&](int g, int d, float4 v, float l) {
    float const by = 1.f / l;
    *reinterpret_cast<uint2*>(p.o + b * p.row_o + (head * G + g) * D + d) = {ptx::pack<bf16>(v.x * by, v.y * by), ptx::pack<bf16>(v.z * by, v.w * by)};
  };
  if (split > 1) ptx::cluster_opened();
  for (int i = threadIdx.x; i < quads; i += few_threads) {
    int const g = 4 * i / D, d = 4 * i % D;
    float m, l;
    float4 const v = join(warps, [&](int w) { return smem.state[w][g]; }, [&](int w) { return *reinterpret_cast<float4 const*>(&smem.o[w][g][d]); }, m, l);
    if (split == 1) {
      put(g, d, v, l);
    } else {
      int const to = i / share, box = rank * share + i % share;
      ptx::send(&smem.mail_o[box], v, &smem.arrived, to), ptx::send(&smem.mail_state[box], float2{m, l}, &smem.arrived, to);
    }
  }
  if (split == 1 || int(threadIdx.x) >= own_quads) return;
  ptx::await_mail(&smem.arrived);
  for (int box = threadIdx.x; box < own_quads; box += few_threads) {
    int const i = rank * share + box;
    float m, l;
    float4 const v = join(split, [&](int r) { return smem.mail_state[r * share + box]; }, [&](int r) { return smem.mail_o[r * share + box]; }, m, l);
    put(4 * i / D, 4 * i % D, v, l);
  }
}

/// y (M, n) = RMSNorm of x, a block a row, n ≤ 8192 in eights: what rms_norm does, with all of a row in flight at once.
static __global__ void __launch_bounds__(1024) decoder_norm_kernel(view<bf16, 2> const y, view<float const, 2> const x, float const* weight, float eps) {
  __shared__ float meet[32];
  int const n = int(x.extent[1]), row = blockIdx.x, c = 8 * int(threadIdx.x);
  ptx::launch_dependents();
  float4 w[2] = {}, v[2] = {};
  bool const mine = c < n;
  if (mine) w[0] = *reinterpret_cast<float4 const*>(weight + c), w[1] = *reinterpret_cast<float4 const*>(weight + c + 4);
  ptx::wait_for_previous();
  if (mine) v[0] = *reinterpret_cast<float4 const*>(&x(row, c)), v[1] = *reinterpret_cast<float4 const*>(&x(row, c + 4));
  float sum = 0;
  SMALTI_UNROLL for (int i = 0; i < 2; ++i) sum += v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w;
  SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
  if (ptx::lane() == 0) meet[ptx::warp()] = sum;
  __syncthreads();
  sum = ptx::lane() < int(blockDim.x / 32) ? meet[ptx::lane()] : 0.f;
  SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
  float const by = 1.f / sqrtf(sum / float(n) + eps);
  if (mine)
    *reinterpret_cast<uint4*>(&y(row, c)) = {ptx::pack<bf16>(v[0].x * by * w[0].x, v[0].y * by * w[0].y), ptx::pack<bf16>(v[0].z * by * w[0].z, v[0].w * by * w[0].w),
                                             ptx::pack<bf16>(v[1].x * by * w[1].x, v[1].y * by * w[1].y), ptx::pack<bf16>(v[1].z * by * w[1].z, v[1].w * by * w[1].w)};
}
inline constexpr int norm_rows = 8, norm_columns = 8192;  ///< at most: with 16 rows rms_norm is faster (H200)

inline constexpr int input_rows = 16;  ///< of x, at most
inline constexpr int input_loads = 8;  ///< of 16 bytes by a thread: K ≤ 16384

/// t (M, rank) = x (M, K) · Aᵀ, a block a row of A; of_row, if there: a column whose adapter is not its row's becomes 0.
static __global__ void __launch_bounds__(few_threads)
decoder_input_kernel(bf16* t, int rank, view<bf16 const, 2> const x, bf16 const* a, int k, int const* of_column, int const* of_row) {
  __shared__ float meet[input_rows][few_threads / 32];
  int const r = blockIdx.x, m = int(x.extent[0]);
  uint4 w[input_loads];
  SMALTI_UNROLL for (int j = 0; j < input_loads; ++j) {
    int const c = 8 * (int(threadIdx.x) + few_threads * j);
    if (c < k) w[j] = ptx::load_once_16(a + index(r) * k + c);
  }
  ptx::launch_dependents();
  ptx::wait_for_previous();
  for (int row = 0; row < m; ++row) {
    float sum = 0;
    SMALTI_UNROLL for (int j = 0; j < input_loads; ++j) {
      int const c = 8 * (int(threadIdx.x) + few_threads * j);
      if (c >= k) continue;
      float u[8], v[8];
      widen_eight(u, w[j]), widen_eight(v, *reinterpret_cast<uint4 const*>(&x(row, c)));
      SMALTI_UNROLL for (int i = 0; i < 8; ++i) sum = fmaf(u[i], v[i], sum);
    }
    SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    if (ptx::lane() == 0) meet[row][ptx::warp()] = sum;
  }
  __syncthreads();
  int const row = int(threadIdx.x);
  if (row >= m) return;
  float sum = 0;
  SMALTI_UNROLL for (int w = 0; w < few_threads / 32; ++w) sum += meet[row][w];
  t[index(row) * rank + r] = bf16(of_row && of_row[row] != of_column[r] ? 0.f : sum);
}

/// How many blocks share a sequence's keys; 0: more sequences than this kernel is for. Processors that attention leaves alone begin the
/// next product, so it takes at most half of them, unless that would leave a sequence's keys to one block (H200, 8 KV heads, 512 keys).
inline int few_split(int heads_kv, int batch) {
  int const processors = multiprocessors(), items = heads_kv * batch;
  for (int split : {8, 4, 2})
    if (split * items <= (split > 2 ? processors / 2 : processors)) return split;
  return items <= processors ? 1 : 0;
}

template <int D, int G>
status launch_few(on_cuda const& where, few_attention const& p, int heads_kv, int batch, int split) {
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization, attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension, attributes[1].val.clusterDim = {unsigned(split), 1, 1};
  cudaLaunchConfig_t how = {};
  how.gridDim = dim3(unsigned(split), unsigned(heads_kv), unsigned(batch)), how.blockDim = dim3(few_threads), how.stream = where.stream;
  how.attrs = attributes, how.numAttrs = split > 1 ? 2 : 1;
  cudaError_t const e = cudaLaunchKernelEx(&how, decoder_attend_few_kernel<D, G>, p);
  if (e != cudaSuccess) (void)cudaGetLastError();
  return explain(e);
}

}  // namespace smalti::detail
#endif
