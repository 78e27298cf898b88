#pragma once
// t = x · Aᵀ for the adapters of a batch of up to 64 rows (Hu et al. 2021, eq. 3), where each row may pass an adapter of its own (Chen et al.
// 2023, "Punica", §4). One or two rows meet a row of A in each block, or, of small ranks, a share of A
// in very few; up to sixteen meet all of A in few blocks, each with a run of K; more meet sixteen rows of A, and only those that pass one of theirs.
// Floor: A once; what binds is latency, and beside a product (launch_options) how many processors are left to it.

#include "../cuda/ptx_cluster.cuh"
#include "device_few.cuh"

#if defined(__CUDACC__)
namespace smalti::detail {

inline constexpr int input_rows = 16;  ///< of x, at most
inline constexpr int input_loads = 8;  ///< of 16 bytes by a thread: K ≤ 16384
inline constexpr int normal_input_loads = 4;

SMALTI_D bool inputs_first() { return blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0; }
/// ready: a flag for the product behind, which then need not wait for this kernel before it reads x (launch_options); null: none. No product that may still wait for
/// the same flag can be running: each has its own.
SMALTI_D void inputs_open(unsigned* ready) {  ///< before any load is on its way, for which taking the flag down would wait
  if (!ready || !inputs_first()) ptx::launch_dependents();
  else if (threadIdx.x == 0) ptx::take_down_and_launch_dependents(ready);
}
SMALTI_D void inputs_await(unsigned* ready) {
  ptx::wait_for_previous();
  if (ready && inputs_first() && threadIdx.x == 0) ptx::raise_flag(ready);
}

inline constexpr int thin_rows = 2, thin_rank = 48, thin_blocks = 4, thin_threads = 512, thin_warps = thin_threads / 32;
inline constexpr int thin_normal = 4;  ///< times four columns of a row that a thread normalises: K ≤ 8192

/// Up to sixteen rows, of which one or two may be normalised on the way as the product beside it does for itself (normalised_rows).
struct thin_inputs {
  view<bf16, 2> t;                       ///< (M, rank)
  view<bf16 const, 2> x;                 ///< (M, K), rows at multiples of 16 bytes; null where `raw` is
  view<float const, 2> raw;              ///< (M, K), likewise
  float const* weight;                   ///< of the norm, (K), at a multiple of 16 bytes
  float eps;
  bf16 const* a;                         ///< (rank, K)
  int k;                                 ///< a multiple of 8
  int const *of_column, *of_row;         ///< as in inputs_problem
  unsigned* ready = nullptr;             ///< see inputs_open
  int ahead = 0;                         ///< pieces of A, of 16 bytes, that a lane has on their way together: what shared memory has room for
};

/// 1 / √(mean(x²) + eps) of a row, by thin_threads threads; meet: room for a warp's sum each, used once.
SMALTI_D float inputs_norm(thin_inputs const& p, int row, float* meet) {
  float sum = 0;
  SMALTI_UNROLL for (int i = 0; i < thin_normal; ++i)
    if (int const c = 4 * (int(threadIdx.x) + i * thin_threads); c < p.k) {
      float4 const v = *reinterpret_cast<float4 const*>(&p.raw(row, c));
      sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
  SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += ptx::shfl_xor(sum, d);
  if (ptx::lane() == 0) meet[ptx::warp()] = sum;
  __syncthreads();
  sum = 0;
  SMALTI_UNROLL for (int i = 0; i < thin_warps; ++i) sum += meet[i];
  return 1.f / sqrtf(sum / float(p.k) + p.eps);
}
/// Eight columns of it, as the product has them.
SMALTI_D uint4 inputs_normal(thin_inputs const& p, int row, int c, float by) {
  auto const raw = [&](int c) { return *reinterpret_cast<float4 const*>(&p.raw(row, c)); };
  float4 const u = raw(c), o = raw(c + 4), g = __ldg(reinterpret_cast<float4 const*>(p.weight + c)), h = __ldg(reinterpret_cast<float4 const*>(p.weight + c + 4));
  return {ptx::pack<bf16>(u.x * by * g.x, u.y * by * g.y), ptx::pack<bf16>(u.z * by * g.z, u.w * by * g.w), ptx::pack<bf16>(o.x * by * h.x, o.y * by * h.y),
          ptx::pack<bf16>(o.z * by * h.z, o.w * by * h.w)};
}

/// Very few blocks on purpose: the product behind fills all processors but these with blocks that need one whole, begins beside them, and wants t last. A block has a
/// share of A's rows, a warp a row or a part of its columns. Floor: a block's share at what one processor reads, so for small ranks alone.
template <bool Normal>
__global__ void __launch_bounds__(thin_threads) decoder_thin_input_kernel(__grid_constant__ thin_inputs const p) {
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ float meet[thin_rows][thin_warps], sums[thin_rows][thin_rank > thin_warps ? thin_rank : thin_warps];
  bf16* const xs = reinterpret_cast<bf16*>(shared);                           // (M, K), as the product has it
  int const m = int(p.t.extent[0]), rank = int(p.t.extent[1]), k = p.k, warp = ptx::warp(), lane = ptx::lane();
  int const rows = ceil_div(rank, int(gridDim.x)), first = int(blockIdx.x) * rows, own = max(0, min(rows, rank - first)), parts = max(1, thin_warps / max(1, own));
  uint4* const pieces = reinterpret_cast<uint4*>(shared + m * k * 2) + warp * p.ahead * 32 + lane;  // the lane's own
  auto const column = [&](int part, int j) { return ((j * parts + part) * 32 + lane) * 8; };
  auto const fetch = [&](int item, int from) {
    bf16 const* const row = p.a + index(first + item / parts) * k;
    SMALTI_ROLLED for (int j = 0; j < p.ahead; ++j)
      if (int const c = column(item % parts, from + j); c < k) ptx::cp_async_16(pieces + 32 * j, row + c, true);
    ptx::cp_async_commit();
  };
  inputs_open(p.ready);
  if (warp < own * parts) fetch(warp, 0);
  for (index c = 64 * index(threadIdx.x); c < index(own) * k; c += 64 * thin_threads) ptx::prefetch(p.a + index(first) * k + c);
  if constexpr (Normal)
    for (int c = 32 * int(threadIdx.x); c < k; c += 32 * thin_threads) ptx::prefetch(p.weight + c);
  inputs_await(p.ready);
  for (int row = 0; row < m; ++row) {
    float by = 0;
    if constexpr (Normal) by = inputs_norm(p, row, meet[row]);
    SMALTI_ROLLED for (int c = 8 * int(threadIdx.x); c < k; c += 8 * thin_threads) {
      if constexpr (Normal) {
        *reinterpret_cast<uint4*>(xs + row * k + c) = inputs_normal(p, row, c, by);
      } else {
        ptx::cp_async_16(xs + row * k + c, &p.x(row, c), true);
      }
    }
  }
  ptx::cp_async_commit(), ptx::cp_async_wait<0>();
  __syncthreads();
  for (int item = warp; item < own * parts; item += thin_warps) {
    float sum[thin_rows] = {};
    for (int from = 0; column(item % parts, from) - 8 * lane < k; from += p.ahead) {
      if (item != warp || from) fetch(item, from), ptx::cp_async_wait<0>();
      _Pragma("unroll 4") for (int j = 0; j < p.ahead; ++j) {
        int const c = column(item % parts, from + j);
        if (c >= k) continue;
        float u[8], v[8];
        widen_eight(u, pieces[32 * j]);
        SMALTI_UNROLL for (int row = 0; row < thin_rows; ++row) {
          if (row >= m) break;
          widen_eight(v, *reinterpret_cast<uint4 const*>(xs + row * k + c));
          SMALTI_UNROLL for (int i = 0; i < 8; ++i) sum[row] = fmaf(u[i], v[i], sum[row]);
        }
      }
    }
    SMALTI_UNROLL for (int row = 0; row < thin_rows; ++row) {
      if (row >= m) break;
      SMALTI_UNROLL for (int d = 16; d; d /= 2) sum[row] += ptx::shfl_xor(sum[row], d);
      if (lane == 0) sums[row][item] = sum[row];
    }
  }
  __syncthreads();
  for (int i = int(threadIdx.x); i < m * own; i += thin_threads) {
    int const row = i / own, r = i % own;
    float sum = 0;
    for (int part = 0; part < parts; ++part) sum += sums[row][r * parts + part];
    p.t(row, first + r) = bf16(p.of_row && p.of_row[row] != p.of_column[first + r] ? 0.f : sum);
  }
}

/// Most blocks begin when the kernel ahead leaves the processors, and A is then far away: the few that find room before ask L2 for all of it.
SMALTI_D void inputs_prefetch(bf16 const* a, int rank, int k) {
  constexpr int blocks = 16;
  if (blockIdx.x < blocks)
    for (index c = 64 * index(blockIdx.x + blocks * threadIdx.x); c < index(rank) * k; c += 64 * blocks * few_threads) ptx::prefetch(a + c);
}

/// Three to 16 rows, or larger ranks, in as few blocks as above; all that a block reads of A is on its way before x is there, all of x then at once.
struct few_inputs_cut {
  int columns = 0;          ///< of t that a cluster has, a multiple of 8; 0: there is no room
  int groups = 0;           ///< the same, by sixteens
  int parts = 0;            ///< warps that share a group, each with a part of the block's columns of x
  int share = 0;            ///< pieces of 32 columns of x that a block has, at most
  int ahead = 0;            ///< pieces of A, of 16 rows, that a warp has on their way together
  int boxes = 0, bytes = 0; ///< where in shared memory other blocks send sums to · all of it

  static constexpr int split = 4, threads = thin_threads, warps = threads / 32, row_sum = 20;  ///< blocks of a cluster · … · from token to token of sums: no two of eight in one bank
};
inline few_inputs_cut cut_few_inputs(int m, int rank, int k, int limit) {
  constexpr int warps = few_inputs_cut::warps;
  few_inputs_cut cut{.columns = min(16 * warps, ceil_div(rank, 8) * 8)};
  cut.groups = ceil_div(cut.columns, 16), cut.parts = warps / cut.groups, cut.share = ceil_div(ceil_div(k, 32), cut.split);
  int const tiles = ceil_div(m, 8), x = cut.share * tiles * 512, boxes = cut.groups * tiles * 512, piece = warps * 1024;
  cut.ahead = min(ceil_div(cut.share, cut.parts), (limit - 1024 - boxes - x) / piece);
  cut.boxes = max(x + cut.ahead * piece, warps * tiles * 8 * cut.row_sum * 4), cut.bytes = cut.boxes + boxes;
  return cut.ahead > 0 ? cut : few_inputs_cut{};
}

/// Grid (split, rank / columns), clusters of (split, 1, 1), whose blocks have a run of K each; Tiles of eight rows. Fragments hold any columns, alike in A and x. Code that runs once: loops are rolled, and nothing is divided.
template <int Tiles, bool Normal>
__global__ void __launch_bounds__(few_inputs_cut::threads) decoder_few_inputs_kernel(__grid_constant__ thin_inputs const p, __grid_constant__ few_inputs_cut const cut) {
  constexpr int warps = cut.warps, split = cut.split, row_sum = cut.row_sum;
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ uint64_t arrived;
  int const rank = blockIdx.x, first = int(blockIdx.y) * cut.columns, end = min(int(p.t.extent[1]), first + cut.columns), m = int(p.t.extent[0]);
  int const lane = ptx::lane(), warp = ptx::warp(), g = lane / 4, q = lane % 4, group = warp / cut.parts, part = warp - group * cut.parts;
  int const begin = rank * cut.share, pieces = min(cut.share, ceil_div(p.k, 32) - begin), own = group < cut.groups ? ceil_div(max(0, pieces - part), cut.parts) : 0;
  uint4* const xs = reinterpret_cast<uint4*>(shared) + lane;                    // (piece, tile, lane)
  uint4* const as = xs + 32 * (cut.share * Tiles + warp * cut.ahead * 2);       // (piece, rows g and 8 + g, lane), the warp's
  float4* const boxes = reinterpret_cast<float4*>(shared + cut.boxes);          // (block, a quarter of the sums by fours)
  auto const fetch = [&](int from) {
    int const row = first + 16 * group + g, count = min(cut.ahead, own - from);
    bf16 const* const a = p.a + index(row) * p.k;
    uint4* to = as;
    int c = 32 * (begin + part + from * cut.parts) + 8 * q;
    SMALTI_ROLLED for (int j = 0; j < count; ++j, to += 64, c += 32 * cut.parts) {
      int const from_c = min(c, p.k - 8);
      if (row < end) ptx::cp_async_16(to, a + from_c, c < p.k);
      if (row + 8 < end) ptx::cp_async_16(to + 32, a + 8 * index(p.k) + from_c, c < p.k);
    }
    ptx::cp_async_commit();
  };
  inputs_open(p.ready);
  fetch(0);
  if (pieces > cut.ahead * cut.parts)
    for (int row = first + warp; row < end; row += warps)
      for (int c = 32 * begin + 64 * lane; c < min(p.k, 32 * (begin + pieces)); c += 64 * 32) ptx::prefetch(p.a + index(row) * p.k + c);
  int const values = cut.groups * Tiles * 32, mine = int(threadIdx.x) * split + rank;  // four columns of a token each, of which a thread finishes one at most
  if (threadIdx.x == 0) ptx::expect_mail(&arrived, values * 16);
  ptx::cluster_open();
  int const token = mine / 32 % Tiles * 8 + mine / 4 % 8, column = first + mine / 32 / Tiles * 16 + mine % 4 * 4;
  int owner[4] = {}, wanted = 0;
  if (mine < values && p.of_row)                                                // no kernel writes them
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) owner[i] = p.of_column[min(column + i, end - 1)];
  if constexpr (Normal)
    for (int c = 32 * begin + 32 * int(threadIdx.x); c < min(p.k, 32 * (begin + pieces)); c += 32 * cut.threads) ptx::prefetch(p.weight + c);
  inputs_await(p.ready);
  if constexpr (Normal) {
    __shared__ float squares[thin_rows][warps];
    for (int row = 0; row < m; ++row) {
      float const by = inputs_norm(p, row, squares[row]);
      for (int i = int(threadIdx.x); i < 4 * pieces; i += cut.threads)
        xs[32 * (i / 4) + 4 * row + i % 4 - lane] = 32 * begin + 8 * i < p.k ? inputs_normal(p, row, 32 * begin + 8 * i, by) : uint4{};
    }
  }
  SMALTI_UNROLL for (int t = 0; t < Tiles && !Normal; ++t) {
    if (8 * t + g >= m) continue;
    bf16 const* const x = &p.x(8 * t + g, 0);
    uint4* to = xs + 32 * (warp * Tiles + t);
    int c = 32 * (begin + warp) + 8 * q;
    SMALTI_ROLLED for (int i = warp; i < pieces; i += warps, to += 32 * warps * Tiles, c += 32 * warps) ptx::cp_async_16(to, x + min(c, p.k - 8), c < p.k);
  }
  ptx::cp_async_commit();
  if (mine < values && p.of_row && token < m) wanted = p.of_row[token];
  ptx::cp_async_wait<0>();
  __syncthreads();
  float sum[Tiles][2][4] = {};                                                  // (tile, half of a piece)
  for (int from = 0; from < own; from += cut.ahead) {
    if (from) fetch(from), ptx::cp_async_wait<0>();
    int const count = min(cut.ahead, own - from);
    uint4 const *a = as, *x = xs + 32 * Tiles * (part + from * cut.parts);
    _Pragma("unroll 2") for (int j = 0; j < count; ++j, a += 64, x += 32 * Tiles * cut.parts) {
      uint4 const low = a[0], high = a[32];
      SMALTI_UNROLL for (int t = 0; t < Tiles; ++t) {
        uint4 const v = x[32 * t];
        ptx::mma_m16n8k16<bf16>(sum[t][0], {low.x, high.x, low.y, high.y}, v.x, v.y);
        ptx::mma_m16n8k16<bf16>(sum[t][1], {low.z, high.z, low.w, high.w}, v.z, v.w);
      }
    }
  }
  float* const meet = reinterpret_cast<float*>(shared);                         // (warp, tile, token, row of A + 4): all else is done with
  __syncthreads();
  SMALTI_UNROLL for (int t = 0; t < Tiles; ++t)
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) meet[((warp * Tiles + t) * 8 + 2 * q + i % 2) * row_sum + g + i / 2 * 8] = sum[t][0][i] + sum[t][1][i];
  __syncthreads();
  ptx::cluster_opened();
  SMALTI_ROLLED for (int i = int(threadIdx.x); i < values; i += cut.threads) {
    float4 v = {};
    float const* from = meet + ((i / 32 / Tiles * cut.parts * Tiles + i / 32 % Tiles) * 8 + i / 4 % 8) * row_sum + i % 4 * 4;
    _Pragma("unroll 4") for (int j = 0; j < cut.parts; ++j, from += Tiles * 8 * row_sum) {
      float4 const u = *reinterpret_cast<float4 const*>(from);
      v.x += u.x, v.y += u.y, v.z += u.z, v.w += u.w;
    }
    ptx::send(boxes + rank * (values / split) + i / split, v, &arrived, i % split);
  }
  if (mine >= values) return;
  ptx::await_mail(&arrived);
  float v[4] = {};
  SMALTI_UNROLL for (int j = 0; j < split; ++j) {
    float4 const u = boxes[j * (values / split) + int(threadIdx.x)];
    v[0] += u.x, v[1] += u.y, v[2] += u.z, v[3] += u.w;
  }
  SMALTI_UNROLL for (int i = 0; i < 4; ++i)
    if (token < m && column + i < end) p.t(token, column + i) = bf16(p.of_row && owner[i] != wanted ? 0.f : v[i]);
}

template <bool Normal>
status launch_few_inputs(on_cuda const& where, thin_inputs const& p, few_inputs_cut const& cut) {
  auto* const kernel = Normal || p.t.extent[0] <= 8 ? decoder_few_inputs_kernel<1, Normal> : decoder_few_inputs_kernel<2, false>;
  return launch_clusters(where, overlapped, cut.split, kernel, dim3(unsigned(cut.split), unsigned(ceil_div(int(p.t.extent[1]), cut.columns))), cut.threads, std::size_t(cut.bytes), p, cut);
}

/// t (M, rank) = x (M, K) · Aᵀ, a block a row of A; of_row, if there: a column whose adapter is not its row's becomes 0.
static __global__ void __launch_bounds__(few_threads)
decoder_input_kernel(bf16* t, int rank, view<bf16 const, 2> const x, bf16 const* a, int k, int const* of_column, int const* of_row) {
  __shared__ float meet[thin_rows][few_threads / 32];
  int const r = blockIdx.x, m = int(x.extent[0]);
  uint4 w[input_loads];
  SMALTI_UNROLL for (int j = 0; j < input_loads; ++j) {
    int const c = 8 * (int(threadIdx.x) + few_threads * j);
    if (c < k) w[j] = ptx::load_once_16(a + index(r) * k + c);
  }
  inputs_prefetch(a, rank, k);
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

/// The same of rows that are normalised on the way, as the product beside it does for itself (normalised_rows): one launch instead of two.
static __global__ void __launch_bounds__(few_threads)
decoder_normal_input_kernel(bf16* t, int rank, view<float const, 2> const x, float const* weight, float eps, bf16 const* a, int k, int const* of_column,
                            int const* of_row) {
  constexpr int warps = few_threads / 32;
  __shared__ float meet[2][warps];
  int const r = blockIdx.x;
  auto const column = [](int j) { return 8 * (int(threadIdx.x) + few_threads * j); };
  auto const total = [&](float sum, int which) {
    SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += ptx::shfl_xor(sum, d);
    if (ptx::lane() == 0) meet[which][ptx::warp()] = sum;
    __syncthreads();
    sum = 0;
    SMALTI_UNROLL for (int w = 0; w < warps; ++w) sum += meet[which][w];
    return sum;
  };
  uint4 w[normal_input_loads];
  float4 gain[normal_input_loads][2];
  SMALTI_UNROLL for (int j = 0; j < normal_input_loads; ++j)
    if (int const c = column(j); c < k) {
      w[j] = ptx::load_once_16(a + index(r) * k + c);
      SMALTI_UNROLL for (int i = 0; i < 2; ++i) gain[j][i] = __ldg(reinterpret_cast<float4 const*>(weight + c + 4 * i));
    }
  inputs_prefetch(a, rank, k);
  ptx::launch_dependents();
  ptx::wait_for_previous();
  for (int row = 0; row < int(x.extent[0]); ++row) {
    float4 v[normal_input_loads][2];
    float sum = 0;
    SMALTI_UNROLL for (int j = 0; j < normal_input_loads; ++j)
      SMALTI_UNROLL for (int i = 0; i < 2; ++i) v[j][i] = column(j) < k ? *reinterpret_cast<float4 const*>(&x(row, column(j) + 4 * i)) : float4{};
    SMALTI_UNROLL for (int j = 0; j < normal_input_loads; ++j)
      SMALTI_UNROLL for (int i = 0; i < 2; ++i) sum += v[j][i].x * v[j][i].x + v[j][i].y * v[j][i].y + v[j][i].z * v[j][i].z + v[j][i].w * v[j][i].w;
    float const by = 1.f / sqrtf(total(sum, 0) / float(k) + eps);
    sum = 0;
    SMALTI_UNROLL for (int j = 0; j < normal_input_loads; ++j) {
      if (column(j) >= k) continue;
      float4 const p = v[j][0], q = v[j][1], g = gain[j][0], h = gain[j][1];
      float u[8], n[8];
      widen_eight(u, w[j]);
      widen_eight(n, {ptx::pack<bf16>(p.x * by * g.x, p.y * by * g.y), ptx::pack<bf16>(p.z * by * g.z, p.w * by * g.w),
                      ptx::pack<bf16>(q.x * by * h.x, q.y * by * h.y), ptx::pack<bf16>(q.z * by * h.z, q.w * by * h.w)});
      SMALTI_UNROLL for (int i = 0; i < 8; ++i) sum = fmaf(u[i], n[i], sum);
    }
    sum = total(sum, 1);
    if (threadIdx.x == 0) t[index(row) * rank + r] = bf16(of_row && of_row[row] != of_column[r] ? 0.f : sum);
  }
}

/// Whether few blocks read all of A while the product beside them runs (H200): by its values, fewer where one or two rows make the product short.
inline bool few_inputs_fit(on_cuda const& where, index m, index rank, index k) {
  return where.device >= sm_90a && m <= input_rows && rank * k <= (m <= thin_rows ? index(320) << 10 : index(800) << 10) && cut_few_inputs(int(m), int(rank), int(k), where.device.smem).columns > 0;
}
/// Whether t of so many rows and columns is computed beside the product: then a flag is raised for it (launch_options). Not by a block for each column, which would only keep the product's blocks away.
inline bool inputs_raise(on_cuda const& where, index m, index rank, index k) {
  return m > thin_rows || k > 8 * few_threads * input_loads || rank <= thin_rank || few_inputs_fit(where, m, rank, k);
}
inline bool normal_inputs_fit(index k) { return k <= 8 * few_threads * normal_input_loads; }
/// One or two rows.
inline status launch_thin_inputs(on_cuda const& where, thin_inputs p) {
  int const m = int(p.t.extent[0]), rank = int(p.t.extent[1]);
  if (rank <= thin_rank) {
    auto* const kernel = p.raw.at ? decoder_thin_input_kernel<true> : decoder_thin_input_kernel<false>;
    int const own = ceil_div(rank, thin_blocks), parts = max(1, thin_warps / own), x = m * p.k * 2, piece = thin_threads * 16;
    p.ahead = max(1, min(ceil_div(p.k, 256 * parts), (where.device.smem - 1024 - x) / piece));
    return launch_clusters(where, overlapped, where.device >= sm_90a ? 2 : 1, kernel, dim3(thin_blocks), thin_threads, std::size_t(x + p.ahead * piece), p);  // pairs, for products come in pairs, too
  }
  if (auto const cut = cut_few_inputs(m, rank, p.k, where.device.smem); few_inputs_fit(where, m, rank, p.k) && cut.columns >= rank)
    return p.raw.at ? launch_few_inputs<true>(where, p, cut) : launch_few_inputs<false>(where, p, cut);
  if (p.raw.at)
    return launch(where, overlapped, decoder_normal_input_kernel, dim3(unsigned(rank)), few_threads, 0, p.t.at, rank, p.raw, p.weight, p.eps, p.a, p.k, p.of_column, p.of_row);
  return launch(where, overlapped, decoder_input_kernel, dim3(unsigned(rank)), few_threads, 0, p.t.at, rank, p.x, p.a, p.k, p.of_column, p.of_row);
}

inline constexpr int inputs_rows = 64;   ///< of x, at most
inline constexpr int inputs_ahead = 4;   ///< pieces of 32 columns that a warp has on their way together: K 4096 in one turn of a cluster

struct inputs_problem {
  view<bf16, 2> t;                       ///< (M, rank)
  view<bf16 const, 2> x;                 ///< (M, K), rows at multiples of 16 bytes
  bf16 const* a;                         ///< (rank, K)
  int k;                                 ///< a multiple of 8
  int const *of_column, *of_row;         ///< (rank), (M) adapters; of_row null: every row passes every column
  unsigned* ready = nullptr;             ///< see inputs_open
};

/// Grid (split, rank / 16, shares of the rows by eights), clusters of (split, 1, 1): a block has every split-th share of K. Fragments hold any columns, alike in A and x.
static __global__ void __launch_bounds__(few_threads) decoder_inputs_kernel(__grid_constant__ inputs_problem const p) {
  constexpr int warps = few_threads / 32, tiles = inputs_rows / 8;
  __shared__ float meet[warps][tiles][128];  // (warp, tile, row of A · 8 + token)
  __shared__ float part[tiles * 128];
  __shared__ int row_of[inputs_rows], count;
  __shared__ bool passes[inputs_rows];
  int const rank = blockIdx.x, split = gridDim.x, first = int(blockIdx.y) * 16, columns = int(p.t.extent[1]), m = int(p.t.extent[0]);
  int const lane = ptx::lane(), warp = ptx::warp(), g = lane / 4, q = lane % 4;
  uint4 w[inputs_ahead][2];
  auto const column_of = [&](int piece) { return ((piece * split + rank) * warps + warp) * 32 + 8 * q; };
  auto const fetch = [&](int piece) {
    SMALTI_UNROLL for (int j = 0; j < inputs_ahead; ++j)
      SMALTI_UNROLL for (int half = 0; half < 2; ++half) {
        int const row = first + g + 8 * half, c = column_of(piece + j);
        w[j][half] = row < columns && c < p.k ? ptx::load_once_16(p.a + index(row) * p.k + c) : uint4{};
      }
  };
  auto const own = [&](int row) { return row < m && row / 8 % int(gridDim.z) == int(blockIdx.z); };
  inputs_open(p.ready);
  fetch(0);
  int const owner = p.of_row ? p.of_column[min(first + lane % 16, columns - 1)] : 0;  // no kernel writes it
  inputs_await(p.ready);
  if (warp == 0) {  // the rows of x that these columns are for, in their order
    int total = 0;
    for (int row = lane; row < inputs_rows; row += 32) {
      bool mine = own(row) && !p.of_row;
      if (p.of_row) {
        int const wanted = own(row) ? p.of_row[row] : 0;
        SMALTI_UNROLL for (int i = 0; i < 16; ++i) mine |= __shfl_sync(~0u, owner, i) == wanted;
        mine = mine && own(row);
      }
      unsigned const all = __ballot_sync(~0u, mine);
      if (mine) row_of[total + __popc(all & ((1u << lane) - 1))] = row;
      passes[row] = mine, total += __popc(all);
    }
    if (lane == 0) count = total;
  }
  __syncthreads();
  float sum[tiles][4] = {};
  for (int piece = 0; piece * split * warps * 32 < p.k; piece += inputs_ahead) {
    if (piece) fetch(piece);
    SMALTI_UNROLL for (int t = 0; t < tiles; ++t) {
      if (8 * t >= count) break;
      uint4 x[inputs_ahead];
      bf16 const* const row = 8 * t + g < count ? &p.x(row_of[8 * t + g], 0) : nullptr;
      SMALTI_UNROLL for (int j = 0; j < inputs_ahead; ++j) {
        int const c = column_of(piece + j);
        x[j] = row && c < p.k ? *reinterpret_cast<uint4 const*>(row + c) : uint4{};
      }
      SMALTI_UNROLL for (int j = 0; j < inputs_ahead; ++j) {
        ptx::mma_m16n8k16<bf16>(sum[t], {w[j][0].x, w[j][1].x, w[j][0].y, w[j][1].y}, x[j].x, x[j].y);
        ptx::mma_m16n8k16<bf16>(sum[t], {w[j][0].z, w[j][1].z, w[j][0].w, w[j][1].w}, x[j].z, x[j].w);
      }
    }
  }
  SMALTI_UNROLL for (int t = 0; t < tiles; ++t)
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) meet[warp][t][(g + i / 2 * 8) * 8 + 2 * q + i % 2] = sum[t][i];
  __syncthreads();
  int const used = ceil_div(count, 8) * 128;
  for (int i = int(threadIdx.x); i < used; i += few_threads) {
    float v = 0;
    SMALTI_UNROLL for (int j = 0; j < warps; ++j) v += meet[j][i / 128][i % 128];
    part[i] = v;
  }
  ptx::cluster_meet();
  for (int i = rank * few_threads + int(threadIdx.x); i < used; i += split * few_threads) {
    int const token = i / 128 * 8 + i % 8, column = first + i % 128 / 8;
    if (token >= count || column >= columns) continue;
    float v = 0;
    for (int j = 0; j < split; ++j) v += ptx::load_of_block(&part[i], j);
    int const row = row_of[token];
    p.t(row, column) = bf16(p.of_row && p.of_column[column] != p.of_row[row] ? 0.f : v);
  }
  for (int i = rank * few_threads + int(threadIdx.x); i < m * 16; i += split * few_threads)
    if (int const row = i / 16, column = first + i % 16; own(row) && !passes[row] && column < columns) p.t(row, column) = bf16(0.f);
  ptx::cluster_meet();  // nobody leaves while others read what it has
}

inline constexpr int inputs_blocks = 8;  ///< clusters, of more than 16 rows that all pass every column
/// Whether these operands are for the kernels above: more than 16 rows that all pass more than 32 columns are better multiplied as by a dense weight.
inline bool inputs_fit(view<bf16 const, 2> x, index rank, bool by_row) {
  return x.extent[0] <= (by_row || rank <= 32 ? inputs_rows : input_rows) && x.extent[1] % 8 == 0 && reinterpret_cast<std::uintptr_t>(x.at) % 16 == 0 &&
         (x.extent[0] <= 1 || x.stride[0] % 8 == 0);
}
inline status launch_inputs(on_cuda const& where, inputs_problem p) {
  int const m = int(p.t.extent[0]), rank = int(p.t.extent[1]);
  if (m <= thin_rows && p.k <= 8 * few_threads * input_loads) return launch_thin_inputs(where, {p.t, p.x, {}, nullptr, 0, p.a, p.k, p.of_column, p.of_row, p.ready});
  int const split = where.device >= sm_90a ? 4 : 1;
  if (few_inputs_fit(where, m, rank, p.k))
    return launch_few_inputs<false>(where, {p.t, p.x, {}, nullptr, 0, p.a, p.k, p.of_column, p.of_row, p.ready}, cut_few_inputs(m, rank, p.k, where.device.smem));
  int const groups = ceil_div(rank, 16), shares = p.of_row || m <= input_rows ? 1 : min(ceil_div(m, 8), max(1, inputs_blocks / groups));
  return launch_clusters(where, overlapped, split, decoder_inputs_kernel, dim3(unsigned(split), unsigned(groups), unsigned(shares)), few_threads, 0, p);
}

}  // namespace smalti::detail
#endif
