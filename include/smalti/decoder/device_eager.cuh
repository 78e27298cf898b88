#pragma once
// eager.hpp's attention on a device: scores, softmax and weighted values, three launches over a matrix of scores in bf16. Tensor cores by
// CUDA's own fragments (CUDA C++ Programming Guide 13, "Warp Matrix Functions"), in the plainest tiling. What fused attention is compared with and
// measured against; nothing chooses it by itself.

#include "../attention/rotate_append.cuh"
#include "device_kernels.cuh"
#include "device_ops.cuh"

#if defined(__CUDACC__)
  #include <cuda_bf16.h>
  #include <mma.h>

namespace smalti::detail {

/// One layer's attention, everything on the device.
struct eager_problem {
  view<bf16 const, 2> q;       ///< (M, H·D), turned
  view<bf16, 2> o;             ///< (M, H·D)
  view<bf16, 4> keys, values;  ///< (pages, Hkv, page_size, D)
  view<bf16, 3> scores;        ///< (H, M, keys): later the weights
  batch_integers batch;
  int page_size, max_pages, d, heads, group;  ///< group: heads that share keys
  attend_options how;

  SMALTI_D bf16 const* cached(view<bf16, 4> const& pool, int sequence, int head, int key) const {                         // (D)
    return &pool(batch.pages[index(sequence) * max_pages + key / page_size], head / group, key % page_size, 0);
  }
};

inline constexpr int eager_tile = 64, eager_row = 72;  ///< a row in shared memory is longer: the rows of a fragment lie in different banks
struct eager_tiles {
  alignas(32) bf16 a[eager_tile][eager_row], b[eager_tile][eager_row];
  alignas(32) float sum[eager_tile][eager_row];
};

/// 64 columns of 64 rows: row(r) is where row r has them, or null; `left`: how many of them there are. What is not there is 0. All loads
/// are on their way before the first is stored.
template <class F>
SMALTI_D void eager_stage(bf16 (&to)[eager_tile][eager_row], int left, F const& row) {
  constexpr int rows = eager_tile / 4;  // of a warp
  bf16 v[rows][2];
  SMALTI_UNROLL for (int i = 0; i < rows; ++i) {
    bf16 const* const from = row(ptx::warp() + 4 * i);
    for (int j = 0; j < 2; ++j) v[i][j] = from && ptx::lane() + 32 * j < left ? from[ptx::lane() + 32 * j] : bf16(0.f);
  }
  SMALTI_UNROLL for (int i = 0; i < rows; ++i)
    for (int j = 0; j < 2; ++j) to[ptx::warp() + 4 * i][ptx::lane() + 32 * j] = v[i][j];
}

/// sum (64, 64) += a · b: b as it lies, or (ByColumn) its transpose.
template <bool ByColumn, class Sum>
SMALTI_D void eager_multiply(Sum (&sum)[4], eager_tiles const& t) {
  namespace wmma = nvcuda::wmma;
  using layout = std::conditional_t<ByColumn, wmma::col_major, wmma::row_major>;
  auto const raw = [](bf16 const* p) { return reinterpret_cast<__nv_bfloat16 const*>(p); };
  for (int k = 0; k < eager_tile; k += 16) {
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> x;
    wmma::load_matrix_sync(x, raw(&t.a[16 * ptx::warp()][k]), eager_row);
    SMALTI_UNROLL for (int j = 0; j < 4; ++j) {
      wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, layout> y;
      wmma::load_matrix_sync(y, raw(ByColumn ? &t.b[16 * j][k] : &t.b[k][16 * j]), eager_row);
      wmma::mma_sync(sum[j], x, y, sum[j]);
    }
  }
}

/// t.sum (64, 64) = Σ a · b over `depth` in pieces of 64; stage(k0) brings a piece of both.
template <bool ByColumn, class F>
SMALTI_D void eager_product(eager_tiles& t, int depth, F const& stage) {
  namespace wmma = nvcuda::wmma;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum[4];
  SMALTI_UNROLL for (int j = 0; j < 4; ++j) wmma::fill_fragment(sum[j], 0.f);
  for (int k0 = 0; k0 < depth; k0 += eager_tile) {
    __syncthreads();
    stage(k0);
    __syncthreads();
    eager_multiply<ByColumn>(sum, t);
  }
  SMALTI_UNROLL for (int j = 0; j < 4; ++j) wmma::store_matrix_sync(&t.sum[16 * ptx::warp()][16 * j], sum[j], eager_row, wmma::mem_row_major);
  __syncthreads();
}

/// The rows of a block: 64 of one sequence, in one head.
struct eager_rows {
  int sequence, head, first, count, keys;  ///< first row of the batch, rows, and keys of the sequence
  SMALTI_D explicit eager_rows(eager_problem const& p) {
    sequence = int(blockIdx.z) / p.heads, head = int(blockIdx.z) % p.heads;
    first = p.batch.q_starts[sequence] + int(blockIdx.y) * eager_tile, count = min(eager_tile, p.batch.q_starts[sequence + 1] - first), keys = p.batch.kv_used[sequence];
  }
};

/// Grid (keys / 64, queries / 64, sequences · heads), four warps.
static __global__ void __launch_bounds__(128) decoder_scores_kernel(eager_problem const p) {
  __shared__ eager_tiles t;
  ptx::launch_dependents();
  ptx::wait_for_previous();
  eager_rows const at(p);
  int const key0 = int(blockIdx.x) * eager_tile;
  if (at.count <= 0 || key0 >= at.keys) return;
  eager_product<true>(t, p.d, [&](int k0) {
    eager_stage(t.a, p.d - k0, [&](int r) { return r < at.count ? &p.q(at.first + r, index(at.head) * p.d + k0) : nullptr; });
    eager_stage(t.b, p.d - k0, [&](int r) { return key0 + r < at.keys ? p.cached(p.keys, at.sequence, at.head, key0 + r) + k0 : nullptr; });
  });
  for (int i = threadIdx.x; i < eager_tile * eager_tile; i += blockDim.x)
    if (int const r = i / eager_tile, c = i % eager_tile; r < at.count && key0 + c < at.keys) p.scores(at.head, at.first + r, key0 + c) = bf16(p.how.scale * t.sum[r][c]);
}

/// Grid (M, H), one warp: a row's scores become weights; what it may not see weighs 0.
static __global__ void __launch_bounds__(32) decoder_softmax_kernel(eager_problem const p) {
  ptx::launch_dependents();
  ptx::wait_for_previous();
  int const row = blockIdx.x, lane = ptx::lane(), keys = p.batch.kv_used[p.batch.owner[row]];
  int const end = min(keys, p.batch.position[row] + 1), begin = p.how.window ? max(0, end - p.how.window) : 0;
  bf16* const s = &p.scores(blockIdx.y, row, 0);  // (keys)
  float top = -INFINITY, sum = 0;
  for (int k = begin + lane; k < end; k += 32) top = fmaxf(top, float(s[k]));
  SMALTI_UNROLL for (int x = 16; x; x /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, x));
  for (int k = begin + lane; k < end; k += 32) sum += expf(float(s[k]) - top);
  SMALTI_UNROLL for (int x = 16; x; x /= 2) sum += __shfl_xor_sync(~0u, sum, x);
  for (int k = lane; k < keys; k += 32) s[k] = bf16(k < begin || k >= end ? 0.f : expf(float(s[k]) - top) / sum);
}

/// Grid (D / 64, queries / 64, sequences · heads), four warps.
static __global__ void __launch_bounds__(128) decoder_values_kernel(eager_problem const p) {
  __shared__ eager_tiles t;
  ptx::launch_dependents();
  ptx::wait_for_previous();
  eager_rows const at(p);
  int const column = int(blockIdx.x) * eager_tile;
  if (at.count <= 0) return;
  eager_product<false>(t, at.keys, [&](int k0) {
    eager_stage(t.a, at.keys - k0, [&](int r) { return r < at.count ? &p.scores(at.head, at.first + r, k0) : nullptr; });
    eager_stage(t.b, p.d - column, [&](int r) { return k0 + r < at.keys ? p.cached(p.values, at.sequence, at.head, k0 + r) + column : nullptr; });
  });
  for (int i = threadIdx.x; i < eager_tile * eager_tile; i += blockDim.x)
    if (int const r = i / eager_tile, c = i % eager_tile; r < at.count && column + c < p.d) p.o(at.first + r, index(at.head) * p.d + column + c) = bf16(t.sum[r][c]);
}

inline status attend_eager(on_cuda const& where, view<bf16, 2> o, query_key_value<bf16> const& x, kv_cache<bf16, device_buffer>& cache, int layer, device_batch& batch,
                           device_rope_table const& rope, attend_options const& how) {
  auto const& b = batch.at();
  int const d = cache.dim(), m = batch.rows(), heads = int(x.q.extent[1]) / d;
  // A step that is repeated from a graph has ever more keys: its matrix has room for all that the cache takes.
  int width = cache.capacity();
  if (batch.queries() > 1) width = round_up(*std::max_element(batch.kv_used.begin(), batch.kv_used.end()), eager_tile);
  auto* const memory = batch.lend<bf16>(device_batch::scores, std::size_t(heads) * std::size_t(m) * std::size_t(width));
  eager_problem const p{x.q, o, cache.keys(layer), cache.values(layer), row_major(memory, heads, m, width), b, cache.page_size(), cache.max_pages(), d, heads, heads / cache.heads(), how};

  double matrix = 0, keys = 0;  // elements of the scores in use, and keys of all sequences
  for (int n : batch.kv_used) matrix += double(heads) * n * m / batch.count(), keys += n;
  double const bytes = 2 * keys * cache.heads() * d;  // of keys, or of values
  mark(batch, "rotate, store", double(x.q.size() + 2 * x.k.size()) * 4);
  auto const by_head = [d](view<bf16, 2> v) { return view<bf16, 3>{v.at, {v.extent[0], v.extent[1] / d, d}, {v.stride[0], d, 1}}; };
  paged_rows<bf16> const to{p.keys, p.values, {b.pages, p.page_size, p.max_pages}, batch.count(), b.owner};
  if (status s = rotate_append(where, by_head(x.q), by_head(x.k), by_head(x.v), b.position, rope, to, {}, overlapped); !s) return s;
  mark(batch, "scores", bytes + 2 * (matrix + double(x.q.size())), 2 * matrix * d);
  unsigned const tiles = unsigned(ceil_div(batch.queries(), eager_tile)), each = unsigned(batch.count() * heads);
  if (status s = launch(where, overlapped, decoder_scores_kernel, dim3(unsigned(ceil_div(width, eager_tile)), tiles, each), 128, 0, p); !s) return s;
  mark(batch, "softmax", 4 * matrix);
  if (status s = launch(where, overlapped, decoder_softmax_kernel, dim3(unsigned(m), unsigned(heads)), 32, 0, p); !s) return s;
  mark(batch, "weighted values", bytes + 2 * (matrix + double(o.size())), 2 * matrix * d);
  return launch(where, overlapped, decoder_values_kernel, dim3(unsigned(ceil_div(d, eager_tile)), tiles, each), 128, 0, p);
}

}  // namespace smalti::detail
#endif
