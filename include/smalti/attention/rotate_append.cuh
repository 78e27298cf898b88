#pragma once
// Queries and keys of a batch of rows turned, keys and values put into a paged cache, in one launch: what comes between the projections
// and attention. RoFormer (Su et al. 2021), §3.4; PagedAttention (Kwon et al. 2023, §4). (decode_append does the same within attention,
// for the few queries of a decode step; this is for prompts.) Floor: q and k read and written, v read and written: 2 · bytes of all.

#include "../math/rope.cuh"
#include "problem.hpp"

namespace smalti {

/// Where the rows of a batch go: row i is token positions[i] of the sequence that row sequence[i] of the page table describes.
template <class T>
struct paged_rows {
  view<T, 4> k, v;                ///< the pools of a layer, (pages, Hkv, page_size, D) and (…, Dv)
  page_table pages;               ///< (B, max_pages), in device memory
  int count = 0;                  ///< B
  int const* sequence = nullptr;  ///< (M), in device memory; null: row i is sequence i
};

/// RMSNorm over heads before they turn (Qwen3): both set, or none.
struct head_norms {
  float const *q = nullptr, *k = nullptr;  ///< (D), in device memory
  float eps = 1e-6f;
};

namespace detail {

/// A block a row, or some heads of one: H of q, then Hkv of k, then Hkv of v, a warp each. Width: columns at a time.
template <int Width, class T>
__global__ void __launch_bounds__(256)
rotate_append_kernel(view<T, 3> q, view<T, 3> k, view<T const, 3> v, int const* positions, rope_angles rope, __grid_constant__ paged_rows<T> const to, head_norms norms) {
#if defined(__CUDA_ARCH__)
  ptx::launch_dependents();
  ptx::wait_for_previous();
  int const row = blockIdx.x, heads = int(q.extent[1]), heads_kv = int(k.extent[1]), position = positions[row], d = int(q.extent[2]);
  rope_row const angles = row_of(rope, position);
  int const b = to.sequence ? to.sequence[row] : row;
  int page = -1, slot = 0;
  if (position >= 0 && position / to.pages.page_size < to.pages.max_pages && unsigned(b) < unsigned(to.count))
    page = to.pages.pages[index(b) * to.pages.max_pages + position / to.pages.page_size], slot = position % to.pages.page_size;
  bool const kept = unsigned(page) < unsigned(to.k.extent[0]);
  auto const turn = [&](T* head, T* also, float const* weight) {
    float factor = 1;
    if (weight) {
      float sum = 0;
      for (int i = ptx::lane(); i < d; i += 32) sum = fmaf(ptx::widen_one(head[i]), ptx::widen_one(head[i]), sum);
      SMALTI_UNROLL for (int s = 16; s; s /= 2) sum += ptx::shfl_xor(sum, s);
      factor = 1.f / sqrtf(sum / float(d) + norms.eps);
    }
    rotate_head<Width>(head, also, head, d, angles, weight, factor);
  };
  for (int h = blockIdx.y * 8 + ptx::warp(); h < heads + 2 * heads_kv; h += 8 * gridDim.y) {
    if (h < heads) {
      turn(&q(row, h, 0), nullptr, norms.q);
    } else if (int const g = h - heads; g < heads_kv) {
      turn(&k(row, g, 0), kept ? &to.k(page, g, slot, 0) : nullptr, norms.k);
    } else if (kept) {
      T const* const from = &v(row, g - heads_kv, 0);
      T* const into = &to.v(page, g - heads_kv, slot, 0);
      if constexpr (Width == 2) {
        for (int i = 2 * ptx::lane(); i < int(v.extent[2]); i += 64) *reinterpret_cast<uint32_t*>(into + i) = *reinterpret_cast<uint32_t const*>(from + i);
      } else {
        for (int i = ptx::lane(); i < int(v.extent[2]); i += 32) into[i] = from[i];
      }
    }
  }
#endif
}

/// Whether every head begins at a multiple of 4 bytes and has an even count of columns.
template <class T, int Rank>
bool by_pairs(view<T, Rank> const& x) {
  bool ok = sizeof(T) == 2 && reinterpret_cast<std::uintptr_t>(x.at) % 4 == 0 && x.extent[Rank - 1] % 2 == 0;
  for (int i = 0; i + 1 < Rank; ++i) ok = ok && (x.extent[i] <= 1 || x.stride[i] % 2 == 0);
  return ok;
}

}  // namespace detail

/// q (M, H, D) and k (M, Hkv, D) turned in place by their rows' positions, after RMSNorm over heads where `norms` has weights; k and v
/// (M, Hkv, Dv) into the cache. T: bf16 or f16; columns contiguous. positions (M), `to.sequence` and the page table are device memory,
/// read when the kernel runs. A row with a negative position, or whose page does not exist, is written nowhere. Asynchronous,
/// allocates nothing. Errors: math.1 (shapes), math.4 (null), attn.15 (pages), cuda; nothing is written then.
template <class T>
status rotate_append(on_cuda const& where, view<T, 3> q, view<T, 3> k, std::type_identity_t<view<T const, 3>> v, int const* positions, device_rope_table const& table,
                     paged_rows<T> const& to, head_norms norms = {}, launch_order order = {}) {
  index const m = q.extent[0];
  if (k.extent[0] != m || v.extent[0] != m || k.extent[1] != v.extent[1] || q.extent[2] != k.extent[2] || q.stride[2] != 1 || k.stride[2] != 1 || v.stride[2] != 1)
    return {"math.1", "rope: q, k and v have the same rows, k and v the same heads, q and k the same contiguous columns"};
  if (auto s = detail::check_rope(table, q.extent[2]); !s) return s;
  if (to.pages.page_size < 1 || to.pages.max_pages < 0 || to.k.extent[2] != to.pages.page_size || to.v.extent[2] != to.pages.page_size || to.k.extent[0] != to.v.extent[0] ||
      to.k.extent[1] != k.extent[1] || to.v.extent[1] != k.extent[1] || to.k.extent[3] != k.extent[2] || to.v.extent[3] != v.extent[2] || to.k.stride[3] != 1 || to.v.stride[3] != 1)
    return {"attn.15", "the pools are (pages, Hkv, page_size, D), with the heads and columns of k and v"};
  if (m == 0) return {};
  if (!q.at || !k.at || !v.at || !positions || !to.k.at || !to.v.at || !to.pages.pages || !norms.q != !norms.k) return {"math.4", "an operand is null"};
  if (m > INT32_MAX || q.extent[1] + 2 * k.extent[1] > INT32_MAX / 2) return {"math.1", "rope: too many rows"};
  bool const pairs = table.dim % 4 == 0 && detail::by_pairs(q) && detail::by_pairs(k) && detail::by_pairs(v) && detail::by_pairs(to.k) && detail::by_pairs(to.v);
  auto* const kernel = pairs ? detail::rotate_append_kernel<2, T> : detail::rotate_append_kernel<1, T>;
  return detail::launch(where, order, kernel, detail::heads_grid(m, q.extent[1] + 2 * k.extent[1]), 256, 0, q, k, v, positions, table.angles(), to, norms);
}

}  // namespace smalti
