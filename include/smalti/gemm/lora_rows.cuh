#pragma once
// Adapters per row in one batch on a device: y[i] += s · (x[i]·Aᵀ)·Bᵀ with the A, B and s of row i's adapter (Hu et al. 2021, "LoRA", eq. 3;
// grouped as in Chen et al. 2023, "Punica", §4). Rows are put into tiles of eight of one adapter; two launches beside the grouping,
// which serves every layer of a step. Floor: A and B of each adapter in the batch once for every eight of its rows.

#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_scan.cuh>
#include <span>
#include <vector>
#include "../cuda/device_buffer.cuh"
#include "dense_kernel.cuh"
#include "lora.hpp"

namespace smalti {

/// One adapter of a weight as kernels read it. Ranks are filled up with zeros to multiples of 8.
template <class T>
struct lora_entry {
  T const *a = nullptr, *b = nullptr;  ///< (rank, K), (N, rank)
  int rank = 0;                        ///< 0: this adapter leaves the weight alone
  float scale = 1;
};

/// All adapters of one weight (n, k) on the device. T: bf16 or f16.
template <class T>
struct device_loras {
  int n = 0, k = 0, most_rank = 0;
  device_buffer<T> values = {};
  device_buffer<lora_entry<T>> entries = {};  ///< by adapter

  int count() const { return int(entries.size()); }
};

/// Adapters of a weight (n, k), rounded to T; a null one leaves the weight alone. Waits for the stream. Throws gemm.7 (an adapter does not
/// fit), gemm.11 (k is not a multiple of 8), quant.5, cuda.
template <class T>
device_loras<T> upload_loras(on_cuda const& where, std::span<lora const* const> adapters, int n, int k) {
  if (k % 8 != 0) throw error("gemm.11", "adapters on a device need columns by eights, found " + std::to_string(k));
  std::size_t size = 0;
  device_loras<T> to{n, k, 0, {}, {}};
  for (lora const* l : adapters) {
    if (!l) continue;
    if (!detail::fits(*l, n, k)) throw error("gemm.7", "adapter of rank " + std::to_string(l->rank) + " does not fit a weight (" + std::to_string(n) + ", " + std::to_string(k) + ")");
    int const rank = round_up(l->rank, 8);
    size += std::size_t(rank) * std::size_t(k + n), to.most_rank = max(to.most_rank, rank);
  }
  std::vector<T> values(size, T(0.f));
  std::vector<lora_entry<T>> entries(adapters.size());
  to.values = device_buffer<T>(size);
  std::size_t at = 0;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    lora const* const l = adapters[i];
    if (!l) continue;
    int const rank = round_up(l->rank, 8);
    entries[i] = {to.values.data() + at, to.values.data() + at + std::size_t(rank) * k, rank, l->scale};
    for (std::size_t j = 0; j < l->a.size(); ++j) values[at + j] = T(l->a[j]);
    at += std::size_t(rank) * k;
    for (std::size_t j = 0; j < l->b.size(); ++j) values[at + j / l->rank * rank + j % l->rank] = T(l->b[j]);
    at += std::size_t(rank) * n;
  }
  if (size) detail::require_cuda(cudaMemcpyAsync(to.values.data(), values.data(), to.values.bytes(), cudaMemcpyHostToDevice, where.stream), "adapters to the device");
  to.entries = upload(where, entries.data(), entries.size());
  detail::require_cuda(cudaStreamSynchronize(where.stream), "adapters to the device");
  return to;
}

/// At most eight rows of one adapter: places first … first + count − 1 of the order.
struct row_tile { int adapter, first, count; };

/// Rows by adapter, as sort_rows leaves them. Made once for the largest batch.
class row_groups {
 public:
  static constexpr int most_adapters = 2047;
  row_groups() = default;
  /// Throws gemm.8 (more than 2047 adapters), quant.5.
  row_groups(int rows, int adapters) : rows_(rows), adapters_(adapters), order_(std::size_t(rows)), tiles_(std::size_t(min(rows, ceil_div(rows, 8) + adapters))) {
    if (adapters > most_adapters) throw error("gemm.8", std::to_string(adapters) + " adapters in one batch; at most " + std::to_string(most_adapters));
  }
  int rows() const { return rows_; }
  int adapters() const { return adapters_; }
  /// Tiles that so many rows may need.
  int tiles(index m) const { return int(min(m, ceil_div(m, index(8)) + adapters_)); }
  int* order() { return order_.data(); }
  int const* order() const { return order_.data(); }
  row_tile* tile() { return tiles_.data(); }
  row_tile const* tile() const { return tiles_.data(); }

 private:
  int rows_ = 0, adapters_ = 0;
  device_buffer<int> order_;        // (rows): rows with an adapter, sorted by it, as they came within one
  device_buffer<row_tile> tiles_;
};

namespace detail {

#if defined(__CUDACC__)
/// One block. Counts, sums, then a stable sort of 1024 rows at a time.
template <int Threads>
__global__ void __launch_bounds__(Threads) sort_rows_kernel(int const* adapter_of_row, int m, int count, int* order, row_tile* tiles, int most_tiles) {
#if defined(__CUDA_ARCH__)
  constexpr int each = 2, most = each * Threads;
  using sort = cub::BlockRadixSort<int, Threads, 1, int>;
  using sums = cub::BlockScan<int, Threads>;
  struct after_sort {
    typename sums::TempStorage sums;
    int keys[Threads];                       // of a chunk, sorted
  };
  __shared__ union {                         // together they would not fit the 48 KiB that any board gives without being asked
    typename sort::TempStorage sort;
    after_sort after;
  } memory;
  __shared__ int next[most];                 // where an adapter's next row goes
  auto& keys = memory.after.keys;
  ptx::launch_dependents();
  ptx::wait_for_previous();
  int const thread = ptx::thread();
  auto const key_of = [&](int row) {         // count: no adapter
    int const a = row < m ? adapter_of_row[row] : -1;
    return a >= 0 && a < count ? a : count;
  };
  for (int i = thread; i < most; i += Threads) next[i] = 0;
  __syncthreads();
  for (int row = thread; row < m; row += Threads) atomicAdd(&next[key_of(row)], 1);
  __syncthreads();
  int rows[each], first[each], tile[each], total_rows, total_tiles;
  for (int j = 0; j < each; ++j) rows[j] = each * thread + j < count ? next[each * thread + j] : 0, tile[j] = ceil_div(rows[j], 8);
  sums(memory.after.sums).ExclusiveSum(rows, first, total_rows);
  __syncthreads();
  int tile_first[each];
  sums(memory.after.sums).ExclusiveSum(tile, tile_first, total_tiles);
  __syncthreads();
  for (int j = 0; j < each; ++j) {
    next[each * thread + j] = first[j];
    for (int t = 0; t < tile[j]; ++t) tiles[tile_first[j] + t] = {each * thread + j, first[j] + 8 * t, min(8, rows[j] - 8 * t)};
  }
  for (int t = total_tiles + thread; t < most_tiles; t += Threads) tiles[t] = {0, 0, 0};
  for (int begin = 0; begin < m; begin += Threads) {
    int key[1] = {key_of(begin + thread)}, row[1] = {begin + thread};
    __syncthreads();
    sort(memory.sort).Sort(key, row, 0, 12);
    __syncthreads();
    keys[thread] = key[0];
    __syncthreads();
    bool const head = thread == 0 || keys[thread - 1] != key[0], tail = thread == Threads - 1 || keys[thread + 1] != key[0];
    int run;                                 // where this key's run begins
    sums(memory.after.sums).InclusiveScan(head ? thread : 0, run, [](int a, int b) { return a > b ? a : b; });
    int const place = key[0] < count ? next[key[0]] + thread - run : 0;
    if (key[0] < count) order[place] = row[0];
    __syncthreads();
    if (key[0] < count && tail) next[key[0]] = place + 1;
  }
#endif
}

/// t = x · Aᵀ. Grid: (tiles of rows, 16 rows of A). t (places, most_rank).
template <class T>
__global__ void __launch_bounds__(32 * row_warps) lora_shrink_kernel(view<T const, 2> x, lora_entry<T> const* entries, int const* order, row_tile const* tiles, T* t, index row_t) {
#if defined(__CUDA_ARCH__)
  using batch = row_batch<T, T, 4>;
  __shared__ float part[row_warps][8][17];
  ptx::launch_dependents();
  ptx::wait_for_previous();
  row_tile const tile = tiles[blockIdx.x];
  if (tile.count == 0) return;
  lora_entry<T> const l = entries[tile.adapter];
  int const first = blockIdx.y * 16, k = int(x.extent[1]), g = ptx::lane() / 4;
  if (first >= l.rank) return;
  T const *const row0 = l.a + index(min(first + g, l.rank - 1)) * k, *const row1 = l.a + index(min(first + g + 8, l.rank - 1)) * k;
  T const* const from = x.at + order[tile.first + min(g, tile.count - 1)] * x.stride[0];
  float acc[1][4] = {};
  for (int b = ptx::warp(); b < ceil_div(k, batch::columns); b += row_warps) {
    batch a;
    row_tokens<T, T, 4> tokens[1];
    a.fetch(row0, row1, b * batch::columns, k), tokens[0].fetch(from, b * batch::columns, k);
    row_multiplier<T, T>{}(acc, a, tokens);
  }
  SMALTI_UNROLL for (int i = 0; i < 4; ++i) part[ptx::warp()][ptx::lane() % 4 * 2 + i % 2][g + i / 2 * 8] = acc[0][i];
  __syncthreads();
  int const token = ptx::thread() / 16, r = ptx::thread() % 16;
  if (token >= tile.count || first + r >= l.rank) return;
  float v = 0;
  SMALTI_UNROLL for (int w = 0; w < row_warps; ++w) v += part[w][token][r];
  t[(tile.first + token) * row_t + first + r] = T(v);
#endif
}

/// y += s · t · Bᵀ. Grid: (tiles of rows, 128 columns of y), 16 of them to a warp.
template <class T, class Y>
__global__ void __launch_bounds__(256) lora_expand_kernel(view<Y, 2> y, T const* t, index row_t, lora_entry<T> const* entries, int const* order, row_tile const* tiles) {
#if defined(__CUDA_ARCH__)
  ptx::launch_dependents();
  ptx::wait_for_previous();
  row_tile const tile = tiles[blockIdx.x];
  int const n0 = (blockIdx.y * 8 + ptx::warp()) * 16, n = int(y.extent[1]), g = ptx::lane() / 4, q = ptx::lane() % 4;
  if (tile.count == 0 || n0 >= n) return;
  lora_entry<T> const l = entries[tile.adapter];
  T const *const b0 = l.b + index(min(n0 + g, n - 1)) * l.rank, *const b1 = l.b + index(min(n0 + g + 8, n - 1)) * l.rank;
  T const* const from = t + (tile.first + min(g, tile.count - 1)) * row_t;
  float acc[4] = {};
  for (int k = 0; k < l.rank; k += 16) {
    auto const pair = [&](T const* row, int column) { return column < l.rank ? *reinterpret_cast<uint32_t const*>(row + column) : 0u; };
    ptx::mma_m16n8k16<T>(acc, {pair(b0, k + 2 * q), pair(b1, k + 2 * q), pair(b0, k + 2 * q + 8), pair(b1, k + 2 * q + 8)}, pair(from, k + 2 * q), pair(from, k + 2 * q + 8));
  }
  if (l.rank == 0) return;
  SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
    int const token = 2 * q + i % 2, column = n0 + g + i / 2 * 8;
    if (token >= tile.count || column >= n) continue;
    Y& to = y.at[order[tile.first + token] * y.stride[0] + column];
    to = Y(fmaf(l.scale, acc[i], ptx::widen_one(to)));
  }
#endif
}
#endif

}  // namespace detail

/// Sorts rows 0 … m − 1 into tiles by adapter_of_row (M), numbers from 0 in device memory; others (−1) pass no adapter. Rows of one adapter
/// keep their order. Asynchronous, allocates nothing. Errors: gemm.8 (the groups were made for fewer rows), gemm.3 (null), cuda.
inline status sort_rows(on_cuda const& where, row_groups& groups, int const* adapter_of_row, index m, launch_order order = {}) {
  if (m > groups.rows()) return {"gemm.8", "the groups were made for fewer rows"};
  if (m == 0) return {};
  if (!adapter_of_row) return {"gemm.3", "an operand is null"};
  return detail::launch(where, order, detail::sort_rows_kernel<1024>, dim3(1), 1024, 0, adapter_of_row, int(m), groups.adapters(), groups.order(), groups.tile(), groups.tiles(m));
}

/// y (M, N)[i] += s_a · (x (M, K)[i] · A_aᵀ) · B_aᵀ for every row i with an adapter a; other rows stay as they are. x in T, y in T or float, rows of x
/// contiguous and at multiples of 16 bytes; t: scratch, (M, most_rank) in T, x · Aᵀ rounded once on its way. Sums in fp32, in an order
/// that does not change; y rounded once more. Asynchronous, allocates nothing, may be captured in a graph.
/// Errors: gemm.1, gemm.2 (shapes), gemm.3 (null), gemm.8 (groups for other rows or adapters), gemm.11 (alignment, t), cuda; y is then untouched.
template <class Y, class T>
status add_loras(on_cuda const& where, view<Y, 2> y, std::type_identity_t<view<T const, 2>> x, device_loras<T> const& loras, row_groups const& groups,
                 std::type_identity_t<view<T, 2>> t, launch_order order = {}) {
  static_assert(std::is_same_v<Y, float> || std::is_same_v<Y, T>, "gemm.6: y is float or of x's type");
  index const m = y.extent[0];
  if (x.extent[1] != loras.k) return {"gemm.1", "x must have as many columns as the adapters"};
  if (x.extent[0] != m || y.extent[1] != loras.n) return {"gemm.2", "y must have the rows of x and, as columns, the rows of B"};
  if (m > groups.rows() || loras.count() != groups.adapters()) return {"gemm.8", "the groups were made for fewer rows or another count of adapters"};
  if (m == 0 || loras.most_rank == 0) return {};
  if (!y.at || !x.at || !t.at) return {"gemm.3", "an operand is null"};
  if (reinterpret_cast<std::uintptr_t>(x.at) % 16 || x.stride[1] != 1 || (m > 1 && x.stride[0] % 8) || (y.stride[1] != 1 && y.extent[1] > 1) || t.extent[0] < m || t.extent[1] < loras.most_rank ||
      t.stride[1] != 1 || t.stride[0] % 2 || reinterpret_cast<std::uintptr_t>(t.at) % 4)
    return {"gemm.11", "rows of x begin at multiples of 16 bytes, those of t at multiples of 4; t is (M, most_rank)"};
  unsigned const tiles = unsigned(groups.tiles(m));
  index const columns = ceil_div(y.extent[1], index(128));
  if (columns > 65535) return {"gemm.2", "more than 2^23 columns"};
  if (auto s = detail::launch(where, order, detail::lora_shrink_kernel<T>, dim3(tiles, unsigned(ceil_div(loras.most_rank, 16))), 32 * detail::row_warps, 0, x, loras.entries.data(),
                              groups.order(), groups.tile(), t.at, t.stride[0]); !s) return s;
  return detail::launch(where, order, detail::lora_expand_kernel<T, Y>, dim3(tiles, unsigned(columns)), 256, 0, y, static_cast<T const*>(t.at), t.stride[0], loras.entries.data(),
                        groups.order(), groups.tile());
}

}  // namespace smalti
