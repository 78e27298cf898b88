#pragma once
// t = x · Aᵀ for the adapters of a batch of up to 64 rows (Hu et al. 2021, eq. 3), where each row may pass an adapter of its own (Chen et al.
// 2023, "Punica", §4). One or two rows meet a row of A in each block, or, of small ranks, a share of A in very few; more meet sixteen rows of A, and only those that pass one of theirs.
// Floor: A once; what binds is latency, and beside a product (launch_options) how many processors are left to it.

#include "../cuda/ptx_cluster.cuh"
#include "device_few.cuh"

#if defined(__CUDACC__)
namespace smalti::detail {

inline constexpr int input_rows = 16;  ///< of x, at most
inline constexpr int input_loads = 8;  ///< of 16 bytes by a thread: K ≤ 16384
inline constexpr int normal_input_loads = 4;

/// A flag for the product behind, which then need not wait for this kernel before it reads x (launch_options); null: none. No product that may still wait for the
/// same flag can be running: each has its own.
SMALTI_D void inputs_begin(unsigned* ready) {
  bool const first = blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0;
  if (!ready || !first) ptx::launch_dependents();
  else if (threadIdx.x == 0) ptx::take_down_and_launch_dependents(ready);
  ptx::wait_for_previous();
  if (ready && first && threadIdx.x == 0) ptx::raise_flag(ready);
}

inline constexpr int thin_rows = 2, thin_rank = 48, thin_blocks = 4, thin_threads = 512, thin_warps = thin_threads / 32;
inline constexpr int thin_ahead = 4;   ///< loads of 16 bytes that a lane has on their way together

/// One or two rows, which may be normalised on the way as the product beside it does for itself (normalised_rows).
struct thin_inputs {
  view<bf16, 2> t;                       ///< (M, rank)
  view<bf16 const, 2> x;                 ///< (M, K), rows at multiples of 16 bytes; null where `raw` is
  view<float const, 2> raw;              ///< (M, K), likewise
  float const* weight;                   ///< of the norm, (K), at a multiple of 16 bytes
  float eps;
  bf16 const* a;                         ///< (rank, K)
  int k;                                 ///< a multiple of 8
  int const *of_column, *of_row;         ///< as in inputs_problem
  unsigned* ready = nullptr;             ///< see inputs_begin
};

/// Very few blocks on purpose: the product behind fills all processors but these with blocks that need one whole, begins beside them, and wants t last. A block has a
/// share of A's rows, a warp a row or a part of its columns. Floor: a block's share at what one processor reads, so for small ranks alone.
template <bool Normal>
__global__ void __launch_bounds__(thin_threads) decoder_thin_input_kernel(__grid_constant__ thin_inputs const p) {
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ float meet[thin_rows][thin_warps], sums[thin_rows][thin_rank > thin_warps ? thin_rank : thin_warps];
  bf16* const xs = reinterpret_cast<bf16*>(shared);                           // (M, K), as the product has it
  int const m = int(p.t.extent[0]), rank = int(p.t.extent[1]), k = p.k, warp = ptx::warp(), lane = ptx::lane();
  int const rows = ceil_div(rank, int(gridDim.x)), first = int(blockIdx.x) * rows, own = max(0, min(rows, rank - first)), parts = max(1, thin_warps / max(1, own));
  uint4 w[thin_ahead];
  auto const column = [&](int part, int j) { return ((j * parts + part) * 32 + lane) * 8; };
  auto const fetch = [&](int item, int from) {
    bf16 const* const row = p.a + index(first + item / parts) * k;
    SMALTI_UNROLL for (int j = 0; j < thin_ahead; ++j)
      if (int const c = column(item % parts, from + j); c < k) w[j] = ptx::load_once_16(row + c);
  };
  if (warp < own * parts) fetch(warp, 0);
  for (index c = 64 * index(threadIdx.x); c < index(own) * k; c += 64 * thin_threads) ptx::prefetch(p.a + index(first) * k + c);
  if constexpr (Normal)
    for (int c = 32 * int(threadIdx.x); c < k; c += 32 * thin_threads) ptx::prefetch(p.weight + c);
  inputs_begin(p.ready);
  for (int row = 0; row < m; ++row) {
    float by = 0;
    auto const raw = [&](int c) { return *reinterpret_cast<float4 const*>(&p.raw(row, c)); };
    if constexpr (Normal) {
      float sum = 0;
      for (int c = 4 * int(threadIdx.x); c < k; c += 4 * thin_threads) {
        float4 const v = raw(c);
        sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
      }
      SMALTI_UNROLL for (int d = 16; d; d /= 2) sum += ptx::shfl_xor(sum, d);
      if (lane == 0) meet[row][warp] = sum;
      __syncthreads();
      sum = 0;
      SMALTI_UNROLL for (int i = 0; i < thin_warps; ++i) sum += meet[row][i];
      by = 1.f / sqrtf(sum / float(k) + p.eps);
    }
    for (int c = 8 * int(threadIdx.x); c < k; c += 8 * thin_threads) {
      uint4 v;
      if constexpr (Normal) {
        float4 const u = raw(c), o = raw(c + 4), g = __ldg(reinterpret_cast<float4 const*>(p.weight + c)), h = __ldg(reinterpret_cast<float4 const*>(p.weight + c + 4));
        v = {ptx::pack<bf16>(u.x * by * g.x, u.y * by * g.y), ptx::pack<bf16>(u.z * by * g.z, u.w * by * g.w), ptx::pack<bf16>(o.x * by * h.x, o.y * by * h.y),
             ptx::pack<bf16>(o.z * by * h.z, o.w * by * h.w)};
      } else {
        v = *reinterpret_cast<uint4 const*>(&p.x(row, c));
      }
      *reinterpret_cast<uint4*>(xs + row * k + c) = v;
    }
  }
  __syncthreads();
  for (int item = warp; item < own * parts; item += thin_warps) {
    float sum[thin_rows] = {};
    for (int from = 0; column(item % parts, from) - 8 * lane < k; from += thin_ahead) {
      if (item != warp || from) fetch(item, from);
      SMALTI_UNROLL for (int j = 0; j < thin_ahead; ++j) {
        int const c = column(item % parts, from + j);
        if (c >= k) continue;
        float u[8], v[8];
        widen_eight(u, w[j]);
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

/// Whether t of so many rows and columns is computed beside the product: then a flag is raised for it (launch_options). Not where one or two rows pass more columns than few blocks read in time.
inline bool inputs_raise(index m, index rank) { return m > thin_rows || rank <= thin_rank; }
inline bool normal_inputs_fit(index k) { return k <= 8 * few_threads * normal_input_loads; }
/// One or two rows.
inline status launch_thin_inputs(on_cuda const& where, thin_inputs p) {
  int const m = int(p.t.extent[0]), rank = int(p.t.extent[1]);
  if (rank <= thin_rank) {
    auto* const kernel = p.raw.at ? decoder_thin_input_kernel<true> : decoder_thin_input_kernel<false>;
    return launch_clusters(where, overlapped, where.device >= sm_90a ? 2 : 1, kernel, dim3(thin_blocks), thin_threads, std::size_t(m) * p.k * 2, p);  // pairs, for products come in pairs, too
  }
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
  unsigned* ready = nullptr;             ///< see inputs_begin
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
  fetch(0);
  int const owner = p.of_row ? p.of_column[min(first + lane % 16, columns - 1)] : 0;  // no kernel writes it
  inputs_begin(p.ready);
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
  int const split = where.device >= sm_90a ? 4 : 1, groups = ceil_div(rank, 16), shares = p.of_row || m <= input_rows ? 1 : min(ceil_div(m, 8), max(1, inputs_blocks / groups));
  return launch_clusters(where, overlapped, split, decoder_inputs_kernel, dim3(unsigned(split), unsigned(groups), unsigned(shares)), few_threads, 0, p);
}

}  // namespace smalti::detail
#endif
