#pragma once
// Kernels for a decode step of few sequences, where latency binds and not the memory: attention of one query over cached keys, and norms.
// What does not depend on the kernel before is fetched before that one has ended.
// Flash-Decoding (Dao et al. 2023) with its join in a cluster's shared memory; GQA (Ainslie et al. 2023).

#include <bit>
#include "../cuda/ptx_cluster.cuh"
#include "../math/rope.cuh"
#include "device_kernels.cuh"

namespace smalti {

/// One new token of each sequence: it turns, is stored, and attends. x: the rows (B, ·) of q, k and v, 16-byte aligned.
struct few_attention {
  int const *kv_used, *pages;  ///< (B) with the new token · (B, max_pages)
  int page_log2, max_pages;    ///< rows of a page, a power of two from 16 on
  int split_log2;              ///< of the blocks that share a sequence's keys
  bf16 const *q, *k, *v;
  index row_x;                 ///< elements from one sequence's row to the next
  bf16* o;                     ///< (B, H·D)
  index row_o;
  view<bf16, 4> keys, values;  ///< (pages, Hkv, page_size, D), both with the same strides
  rope_angles rope;            ///< all D columns turn
  float scale;                 ///< of the scores, times log2 e
  int window;                  ///< keys that a query sees, its own included; 0: all
};

inline constexpr int few_threads = 256, few_keys = 16;  ///< of a block · that a warp reads at a time
inline constexpr int few_most_split = 8;                   ///< blocks of a cluster
inline constexpr int few_short_keys = 1024;                ///< up to here four of them do: their warps then have two runs of keys at most

}  // namespace smalti

#if defined(__CUDACC__)
namespace smalti::detail {

/// Eight bf16 as floats, and back.
SMALTI_D void widen_eight(float (&to)[8], uint4 v) {
  uint32_t const w[4] = {v.x, v.y, v.z, v.w};
  SMALTI_UNROLL for (int i = 0; i < 4; ++i) to[2 * i] = __uint_as_float(w[i] << 16), to[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
}
SMALTI_D uint4 narrow_eight(float const (&v)[8]) {
  return {ptx::pack<bf16>(v[0], v[1]), ptx::pack<bf16>(v[2], v[3]), ptx::pack<bf16>(v[4], v[5]), ptx::pack<bf16>(v[6], v[7])};
}
SMALTI_D uint32_t word(uint4 const& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }
SMALTI_D float decay2(float from, float to) { return from == -INFINITY ? 0.f : ptx::exp2_approx(from - to); }

/// What is mailed: every warp of a cluster sends what its keys gave, in units of sixteen columns of a head, to the block that joins them.
template <int D, int G>
struct few_storage {
  static constexpr int warps = few_threads / 32, units = G * D / 16;
  alignas(16) float4 o[(units + few_most_split - 1) * warps][4];  // (own unit, warp of the cluster)
  float2 state[few_most_split * warps][G];                        // the largest score, Σ 2^(s − largest)
  uint64_t arrived;
};

/// Grid (split, Hkv, B), clusters of (split, 1, 1): a warp has every (split · warps)-th run of 16 keys. Products by mma m16n8k16 with the G query heads as its
/// rows. A sum has no order, so fragments hold columns and keys as they lie in memory, 16 bytes a lane, and nothing passes shared memory. What binds is the
/// latency of code that runs once, fetched at some five clocks an instruction: so the code is short, and divides by powers of two alone.
template <int D, int G>
__global__ void __launch_bounds__(few_threads) decoder_attend_few_kernel(__grid_constant__ few_attention const p) {
  using storage = few_storage<D, G>;
  constexpr int warps = storage::warps, chunks = D / 32, halves = D / 64;
  __shared__ storage smem;
  int const rank = blockIdx.x, head = blockIdx.y, b = blockIdx.z, warp = ptx::warp(), g = ptx::lane() / 4, q = ptx::lane() % 4, source = rank * warps + warp;
  ptx::launch_dependents();
  // The page of the first keys is asked for beside the length, not after it; a window moves where they begin.
  int const* const pages = p.pages + b * p.max_pages;
  auto const page_of = [&](int group) { return pages[min(group * few_keys >> p.page_log2, p.max_pages - 1)]; };
  int const position = p.kv_used[b] - 1, early = page_of(source);
  int const split_log2 = position < few_short_keys ? min(p.split_log2, 2) : p.split_log2, split = 1 << split_log2, sources = warps * split;
  int const own_units = (storage::units + split - 1 - rank) >> split_log2;
  if (rank >= split) return;
  bool const alone = split == 1;
  if (!alone) {
    if (threadIdx.x == 0) ptx::expect_mail(&smem.arrived, sources * (own_units * 64 + G * 8));
    ptx::cluster_open();
  }
  int const begin = p.window ? max(0, position + 1 - p.window) : 0, first = begin / few_keys, last = position / few_keys;

  uint4 k[2][chunks], v[4][halves];                                           // keys g, g + 8 · keys 2q, 2q + 1, 2q + 8, 2q + 9
  auto const key_of = [&](int i) { return 2 * q + i % 2 + i / 2 * 8; };       // in a run: of v[i], and of scores
  auto const place = [&](int group, int page) { return page * p.keys.stride[0] + head * p.keys.stride[1] + (group * few_keys & ((1 << p.page_log2) - 1)) * D; };
  auto const fetch_k = [&](index at) {
    bf16 const* const from = p.keys.at + at + g * D + 8 * q;
    SMALTI_UNROLL for (int t = 0; t < 2; ++t)
      SMALTI_UNROLL for (int j = 0; j < chunks; ++j) k[t][j] = ptx::load_once_16(from + 8 * t * D + 32 * j);
  };
  auto const fetch_v = [&](index at) {
    bf16 const* const from = p.values.at + at + 2 * q * D + 8 * g;
    SMALTI_UNROLL for (int i = 0; i < 4; ++i)
      SMALTI_UNROLL for (int h = 0; h < halves; ++h) v[i][h] = ptx::load_once_16(from + (i % 2 + i / 2 * 8) * D + 64 * h);
  };
  int group = first + source;
  if (group <= last) {
    index const at = place(group, p.window ? page_of(group) : early);
    fetch_k(at), fetch_v(at);
  }
  float cosine[chunks / 2][8], sine[chunks / 2][8];                           // of this lane's columns 32j + 8q …
  index const angle = index(min(position, p.rope.positions - 1)) * (D / 2) + 8 * q;
  SMALTI_UNROLL for (int j = 0; j < chunks / 2; ++j)
    SMALTI_UNROLL for (int i = 0; i < 8; i += 4) {
      float4 const c = *reinterpret_cast<float4 const*>(p.rope.cos + angle + 32 * j + i), s = *reinterpret_cast<float4 const*>(p.rope.sin + angle + 32 * j + i);
      cosine[j][i] = c.x, cosine[j][i + 1] = c.y, cosine[j][i + 2] = c.z, cosine[j][i + 3] = c.w;
      sine[j][i] = s.x, sine[j][i + 1] = s.y, sine[j][i + 2] = s.z, sine[j][i + 3] = s.w;
    }
  ptx::wait_for_previous();

  // Queries and the new key turn: columns c and c + D/2 are a pair, and one lane has both. The key is the row behind the queries.
  bf16 const *const queries = p.q + b * p.row_x + head * G * D, *const key = p.k + b * p.row_x + head * D;
  uint4 row[chunks], new_k[chunks], new_v[halves];
  auto const turn = [&](bf16 const* from) {
    SMALTI_UNROLL for (int j = 0; j < chunks; ++j) row[j] = *reinterpret_cast<uint4 const*>(from + 32 * j + 8 * q);
    SMALTI_UNROLL for (int j = 0; j < chunks / 2; ++j) {
      float x[8], y[8];
      widen_eight(x, row[j]), widen_eight(y, row[j + chunks / 2]);
      SMALTI_UNROLL for (int i = 0; i < 8; ++i) {
        float const low = x[i] * cosine[j][i] - y[i] * sine[j][i];
        y[i] = y[i] * cosine[j][i] + x[i] * sine[j][i], x[i] = low;
      }
      row[j] = narrow_eight(x), row[j + chunks / 2] = narrow_eight(y);
    }
  };
  SMALTI_UNROLL for (int h = 0; h < halves; ++h) new_v[h] = *reinterpret_cast<uint4 const*>(p.v + b * p.row_x + head * D + 64 * h + 8 * g);
  bool const mine = ((last - first - source) & (sources - 1)) == 0;
  if constexpr (G == 8) {
    if (mine) turn(key);
    SMALTI_UNROLL for (int j = 0; j < chunks; ++j) new_k[j] = row[j];
  }
  turn(g < G ? queries + g * D : key);
  if (mine) {
    bool const keeps_k = position % 8 == g, keeps_v = q == 0;
    if constexpr (G < 8)
      SMALTI_UNROLL for (int j = 0; j < chunks; ++j) new_k[j] = ptx::shfl(row[j], 28 + q);
    index const to = place(last, page_of(last)) + position % few_keys * D;
    SMALTI_UNROLL for (int j = 0; j < chunks; ++j)
      if (keeps_k) *reinterpret_cast<uint4*>(p.keys.at + to + 32 * j + 8 * q) = new_k[j];
    SMALTI_UNROLL for (int h = 0; h < halves; ++h)
      if (keeps_v) *reinterpret_cast<uint4*>(p.values.at + to + 64 * h + 8 * g) = new_v[h];
  }

  float m = -INFINITY, l = 0, o[halves][8][4] = {};                           // of query g: columns 64h + 16q + t and + 8
  SMALTI_ROLLED for (; group <= last; group += sources) {
    int const key0 = group * few_keys, next = group + sources;
    if (group == last)
      SMALTI_UNROLL for (int t = 0; t < 2; ++t)
        SMALTI_UNROLL for (int j = 0; j < chunks; ++j)
          if (key0 + 8 * t + g == position) k[t][j] = new_k[j];
    if (group == last || group == first)
      SMALTI_UNROLL for (int i = 0; i < 4; ++i)
        SMALTI_UNROLL for (int h = 0; h < halves; ++h) {
          int const at = key0 + key_of(i);
          if (at == position) v[i][h] = new_v[h];
          if (at > position || at < begin) v[i][h] = {};                      // 0 · NaN is not 0
        }
    float s[2][4] = {};                                                       // q · Kᵀ                   (G, 16)
    SMALTI_UNROLL for (int j = 0; j < chunks; ++j)
      SMALTI_UNROLL for (int half = 0; half < 4; half += 2)
        SMALTI_UNROLL for (int t = 0; t < 2; ++t)
          ptx::mma_m16n8k16<bf16>(s[t], {word(row[j], half), 0, word(row[j], half + 1), 0}, word(k[t][j], half), word(k[t][j], half + 1));
    index at = 0;
    if (next <= last) at = place(next, page_of(next)), fetch_k(at);
    float weight[4], top = m;
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
      int const at = key0 + key_of(i);
      weight[i] = at >= begin && at <= position ? s[i / 2][i % 2] * p.scale : -INFINITY, top = fmaxf(top, weight[i]);
    }
    top = fmaxf(top, ptx::shfl_xor(top, 1)), top = fmaxf(top, ptx::shfl_xor(top, 2));
    float const old = decay2(m, top);
    m = top, l *= old;
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) weight[i] = decay2(weight[i], top), l += weight[i];
    uint32_t const low = ptx::pack<bf16>(weight[0], weight[1]), high = ptx::pack<bf16>(weight[2], weight[3]);
    SMALTI_UNROLL for (int h = 0; h < halves; ++h)
      SMALTI_UNROLL for (int t = 0; t < 8; ++t) {                             // += softmax · V           (G, D)
        uint32_t const choice = t % 2 ? 0x7632 : 0x5410;                      // one column of two keys
        o[h][t][0] *= old, o[h][t][1] *= old;
        ptx::mma_m16n8k16<bf16>(o[h][t], {low, 0, high, 0}, ptx::select_bytes(word(v[0][h], t / 2), word(v[1][h], t / 2), choice),
                                ptx::select_bytes(word(v[2][h], t / 2), word(v[3][h], t / 2), choice));
      }
    if (next <= last) fetch_v(at);
  }
  l += ptx::shfl_xor(l, 1), l += ptx::shfl_xor(l, 2);

  auto const send = [&](auto* box, auto value, int to) {
    if (alone) *box = value;
    else ptx::send(box, value, &smem.arrived, to);
  };
  if (!alone) ptx::cluster_opened();
  if (g < G) {
    SMALTI_UNROLL for (int to = q; to < few_most_split; to += 4)
      if (to < split) send(&smem.state[source][g], float2{m, l}, to);
    SMALTI_UNROLL for (int h = 0; h < halves; ++h) {
      int const unit = (g * halves + h) * 4 + q;                              // units by turns
      float4* const box = smem.o[(unit >> split_log2) * sources + source];
      SMALTI_UNROLL for (int i = 0; i < 4; ++i)
        send(box + i, float4{o[h][i % 2 * 4][i / 2], o[h][i % 2 * 4 + 1][i / 2], o[h][i % 2 * 4 + 2][i / 2], o[h][i % 2 * 4 + 3][i / 2]}, unit & (split - 1));
    }
  }
  if (alone) __syncthreads();
  else ptx::await_mail(&smem.arrived);                                        // nobody leaves while others send to it
  // ⊕ of all warps' results for a unit, by a warp: the weight of source i in lane i % 32; then four columns a lane, each from every eighth source.
  SMALTI_ROLLED for (int at = warp; at < own_units; at += warps) {
    int const unit = at * split + rank, of = unit / (4 * halves), part = ptx::lane() / 4, j = ptx::lane() % 4;
    float2 state[2];
    SMALTI_UNROLL for (int i = 0; i < 2; ++i) state[i] = ptx::lane() + 32 * i < sources ? smem.state[ptx::lane() + 32 * i][of] : float2{-INFINITY, 0};
    float top = fmaxf(state[0].x, state[1].x);
    SMALTI_UNROLL for (int d = 16; d; d /= 2) top = fmaxf(top, ptx::shfl_xor(top, d));
    float const weight[2] = {decay2(state[0].x, top), decay2(state[1].x, top)};
    float sum = weight[0] * state[0].y + weight[1] * state[1].y, y[4] = {};
    SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += ptx::shfl_xor(sum, d);
    _Pragma("unroll 2") for (int i = 0; i < split; ++i) {
      float const f = __shfl_sync(~0u, i < 4 ? weight[0] : weight[1], (part + 8 * i) % 32);
      float4 const from = smem.o[at * sources + part + 8 * i][j];
      y[0] = fmaf(f, from.x, y[0]), y[1] = fmaf(f, from.y, y[1]), y[2] = fmaf(f, from.z, y[2]), y[3] = fmaf(f, from.w, y[3]);
    }
    SMALTI_UNROLL for (int d = 4; d < 32; d *= 2)
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) y[i] += ptx::shfl_xor(y[i], d);
    float const by = 1.f / sum;
    bf16* const to = p.o + b * p.row_o + (head * G + of) * D + unit % (4 * halves) / 4 * 64 + unit % 4 * 16 + 4 * j;
    if (part == 0) *reinterpret_cast<uint2*>(to) = {ptx::pack<bf16>(y[0] * by, y[1] * by), ptx::pack<bf16>(y[2] * by, y[3] * by)};
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

/// How many blocks share a sequence's keys, of which there are at most so many; 0: more sequences than this kernel is for. Processors that attention leaves alone begin the
/// next product, so it takes at most half of them, unless that would leave a sequence's keys to one block (H200, 8 KV heads, 512 keys).
inline int few_split(int heads_kv, int batch, int most_keys) {
  int const processors = multiprocessors(), items = heads_kv * batch;
  for (int split : {most_keys > few_short_keys ? 8 : 4, 4, 2})
    if (split * items <= (split > 2 ? processors / 2 : processors)) return split;
  return items <= processors ? 1 : 0;
}

template <int D, int G>
status launch_few(on_cuda const& where, few_attention p, int heads_kv, int batch, int split) {
  p.split_log2 = std::countr_zero(unsigned(split));
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
