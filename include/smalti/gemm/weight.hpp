#pragma once
// A weight of any kind: owned, as one variant, and borrowed, as the plain record that kernels read.

#include <variant>
#include "packed.hpp"

namespace smalti {

/// Weights a layer may have. Which one is a choice made when they are loaded; products ask once per call, not per element.
using packed_weight = std::variant<packed_dense<float>, packed_dense<bf16>, packed_dense<f16>, packed_nf4, packed_int8>;

/// How a borrowed weight is stored.
enum class weight_form : uint8_t { packed_f32, packed_bf16, packed_f16, packed_nf4, packed_int8, rows_f32, rows_bf16, rows_f16 };

/// A weight (n, k) that somebody else owns, without its type. Made by `borrow`; valid as long as the owner is.
struct weight_view {
  weight_form form;
  int n, k;
  void const* at;                        ///< codes or values
  float const* scale = nullptr;          ///< nf4: absmax (⌈n/16⌉, k/block, 16), null when nested · int8: (⌈n/16⌉, 16)
  int block = 0;                         ///< nf4
  uint8_t const* scale_code = nullptr;   ///< nf4, nested: (⌈n/16⌉, k/block, 16)
  float const* nested_absmax = nullptr;  ///< nf4, nested
  float const* nested_map = nullptr;     ///< nf4, nested: (256)
  float nested_offset = 0;
  int nested_block = 256;
  index row_stride = 0, column_stride = 0;  ///< rows_…: in elements
};

inline weight_view borrow(packed_dense<float> const& w) { return {weight_form::packed_f32, w.n, w.k, w.at.data()}; }
inline weight_view borrow(packed_dense<bf16> const& w) { return {weight_form::packed_bf16, w.n, w.k, w.at.data()}; }
inline weight_view borrow(packed_dense<f16> const& w) { return {weight_form::packed_f16, w.n, w.k, w.at.data()}; }
inline weight_view borrow(packed_int8 const& w) { return {weight_form::packed_int8, w.n, w.k, w.code.data(), w.scale.data()}; }
inline weight_view borrow(packed_nf4 const& w) {
  return {weight_form::packed_nf4, w.n, w.k, w.code.data(), w.nested() ? nullptr : w.absmax.data(), w.block, w.absmax_code.data(),
          w.nested_absmax.data(), w.nested_map.data(), w.nested_offset, w.nested_block};
}
/// A plain matrix (n, k), not packed: for small ones, and for those that are used once.
template <class T>
weight_view borrow(view<T, 2> w) {
  using element = std::remove_const_t<T>;
  constexpr weight_form form = std::is_same_v<element, float> ? weight_form::rows_f32 : std::is_same_v<element, bf16> ? weight_form::rows_bf16 : weight_form::rows_f16;
  static_assert(std::is_same_v<element, float> || std::is_same_v<element, bf16> || std::is_same_v<element, f16>, "gemm.6: a weight is float, bf16 or f16");
  return {.form = form, .n = int(w.extent[0]), .k = int(w.extent[1]), .at = w.at, .row_stride = w.stride[0], .column_stride = w.stride[1]};
}
inline weight_view borrow(packed_weight const& w) {
  return std::visit([](auto const& held) { return borrow(held); }, w);
}
inline weight_view borrow(weight_view w) { return w; }

inline int rows_of(packed_weight const& w) { return std::visit([](auto const& held) { return held.n; }, w); }
inline int columns_of(packed_weight const& w) { return std::visit([](auto const& held) { return held.k; }, w); }

/// Bytes of memory that a product with this weight reads.
template <class T>
std::size_t bytes_of(packed_dense<T> const& w) { return w.at.size() * sizeof(T); }
inline std::size_t bytes_of(packed_int8 const& w) { return w.code.size() + w.scale.size() * 4; }
inline std::size_t bytes_of(packed_nf4 const& w) {
  return w.code.size() * 4 + w.absmax.size() * 4 + w.absmax_code.size() + w.nested_absmax.size() * 4 + w.nested_map.size() * 4;
}
inline std::size_t bytes_of(packed_weight const& w) { return std::visit([](auto const& held) { return bytes_of(held); }, w); }

/// absmax of block b of a row, as nf4_data::scale has it.
float nf4_scale(weight_view const& w, index row, index b);

/// Row `row` of any weight, decoded: to (k). The embedding look-up. The caller keeps 0 ≤ row < n.
void decode_row(weight_view const& w, int row, float* to);
inline void decode_row(packed_weight const& w, int row, float* to) { decode_row(borrow(w), row, to); }

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_GEMM)
namespace smalti {

SMALTI_INLINE float nf4_scale(weight_view const& w, index row, index b) {
  index const blocks = w.k / w.block;
  std::size_t const at = detail::interleaved(row, b, blocks);
  if (w.scale) return w.scale[at];
  float volatile const product = w.nested_map[w.scale_code[at]] * w.nested_absmax[(row * blocks + b) / w.nested_block];
  return product + w.nested_offset;
}

SMALTI_INLINE void decode_row(weight_view const& w, int row, float* to) {
  auto const packed = [&](auto const* at) { for (index j = 0; j < w.k; ++j) to[j] = float(at[detail::interleaved(row, j, w.k)]); };
  auto const plain = [&](auto const* at) { for (index j = 0; j < w.k; ++j) to[j] = float(at[row * w.row_stride + j * w.column_stride]); };
  switch (w.form) {
    case weight_form::packed_f32: return packed(static_cast<float const*>(w.at));
    case weight_form::packed_bf16: return packed(static_cast<bf16 const*>(w.at));
    case weight_form::packed_f16: return packed(static_cast<f16 const*>(w.at));
    case weight_form::rows_f32: return plain(static_cast<float const*>(w.at));
    case weight_form::rows_bf16: return plain(static_cast<bf16 const*>(w.at));
    case weight_form::rows_f16: return plain(static_cast<f16 const*>(w.at));
    case weight_form::packed_int8: {
      packed(static_cast<int8_t const*>(w.at));
      for (index j = 0; j < w.k; ++j) to[j] *= w.scale[row] * int8_step;
      return;
    }
    case weight_form::packed_nf4:
      for (index b = 0; b < w.k / w.block; ++b) {
        float const scale = nf4_scale(w, row, b);
        for (index j = b * w.block; j < (b + 1) * w.block; ++j) {
          uint32_t const word = static_cast<uint32_t const*>(w.at)[detail::interleaved(row, j / 8, w.k / 8)];
          to[j] = nf4_level[word >> nf4_shift(j % 8) & 15] * scale;
        }
      }
  }
}

}  // namespace smalti
#endif
