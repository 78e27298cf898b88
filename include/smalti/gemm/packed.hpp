#pragma once
// Weights in the order in which the host kernels read them: 16 rows of W side by side, so that a vector holds one column of
// 16 rows, no sum runs across lanes, and one vector multiplies 16 rows by their scales. A permutation made once, lossless.

#include "../quant/int8.hpp"
#include "../quant/nf4_data.hpp"

namespace smalti {

inline constexpr int group_rows = 16;  ///< rows of W that are stored side by side; the last group is filled up with zeros

/// W (n, k) as it is, T float, bf16 or f16.
template <class T>
struct packed_dense {
  int n = 0, k = 0;
  buffer<T> at = {};  ///< (⌈n/16⌉, k, 16)
};

/// Where a word of packed codes holds column j of its eight: byte j % 4 has columns j and j + 4, the earlier in its low nibble.
/// So a mask leaves columns 0…3 or 4…7 in order, for table look-ups by bytes; look-ups by words do not care.
constexpr int nf4_shift(index j) { return int(j % 4 * 8 + j / 4 * 4); }

/// W (n, k) in NF4. A word holds eight codes of one row along k, placed as nf4_shift says.
struct packed_nf4 {
  int n = 0, k = 0, block = 64;
  buffer<uint32_t> code = {};        ///< (⌈n/16⌉, k/8, 16)
  buffer<float> absmax = {};         ///< (⌈n/16⌉, k/block, 16); empty when nested
  buffer<uint8_t> absmax_code = {};  ///< (⌈n/16⌉, k/block, 16), scales as nf4_data keeps them
  buffer<float> nested_absmax = {};  ///< (⌈n·k / block / nested_block⌉), in the file's order
  buffer<float> nested_map = {};     ///< (256)
  float nested_offset = 0;
  int nested_block = 256;

  bool nested() const { return !absmax_code.empty(); }
};

/// W (n, k) in 8 bits with a scale per row.
struct packed_int8 {
  int n = 0, k = 0;
  buffer<int8_t> code = {};  ///< (⌈n/16⌉, k, 16)
  buffer<float> scale = {};  ///< (⌈n/16⌉, 16), the absmax of the row
};

namespace detail {
/// to (⌈n/16⌉, k, 16) ← from(row, column), zeros beyond row n.
template <class T, class F>
void interleave_rows(T* to, index n, index k, F&& from) {
  for (index g = 0; g < ceil_div(n, index(group_rows)); ++g)
    for (index j = 0; j < k; ++j)
      for (index r = g * group_rows; r < (g + 1) * group_rows; ++r) *to++ = r < n ? from(r, j) : T{};
}
/// The place of (row, column) in the interleaved order.
constexpr std::size_t interleaved(index row, index column, index k) {
  return std::size_t((row / group_rows * k + column) * group_rows + row % group_rows);
}
inline std::size_t padded(index n, index k) { return std::size_t(round_up(n, index(group_rows)) * k); }
inline void check_weight_shape(index n, index k) {
  if (n < 1 || k < 1 || n > INT32_MAX - group_rows || k > INT32_MAX)
    throw error("gemm.4", "weight is (" + std::to_string(n) + ", " + std::to_string(k) + "), expected at least one row and one column");
}
}  // namespace detail

/// W (n, k), any strides → packed. Throws gemm.4 when it is empty.
template <class T>
packed_dense<std::remove_const_t<T>> pack(view<T, 2> w) {
  detail::check_weight_shape(w.extent[0], w.extent[1]);
  packed_dense<std::remove_const_t<T>> p{int(w.extent[0]), int(w.extent[1]), buffer<std::remove_const_t<T>>(detail::padded(w.extent[0], w.extent[1]))};
  detail::interleave_rows(p.at.data(), p.n, p.k, [&](index r, index j) { return w(r, j); });
  return p;
}

/// Throws gemm.5 when a block would cross rows: k must be a multiple of the block.
packed_nf4 pack(nf4_data const& w);

/// Throws gemm.4 when it is empty.
packed_int8 pack(int8_data const& w);

/// W (n, k), row-major: pack's inverse, bit for bit.
template <class T>
buffer<T> unpack(packed_dense<T> const& p) {
  buffer<T> w(std::size_t(index(p.n) * p.k));
  for (index r = 0, i = 0; r < p.n; ++r)
    for (index j = 0; j < p.k; ++j) w[std::size_t(i++)] = p.at[detail::interleaved(r, j, p.k)];
  return w;
}
nf4_data unpack(packed_nf4 const& p);
int8_data unpack(packed_int8 const& p);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_GEMM)
namespace smalti {

SMALTI_INLINE packed_nf4 pack(nf4_data const& w) {
  detail::check_weight_shape(w.n, w.k);
  if (w.k % w.block != 0)
    throw error("gemm.5", "NF4 weight has " + std::to_string(w.k) + " columns, expected a multiple of its block, " + std::to_string(w.block));
  index const words = w.k / 8, blocks = w.k / w.block;
  packed_nf4 p{.n = w.n, .k = w.k, .block = w.block, .code = buffer<uint32_t>(detail::padded(w.n, words)),
               .nested_absmax = w.nested_absmax.copy(), .nested_map = w.nested_map.copy(),
               .nested_offset = w.nested_offset, .nested_block = w.nested_block};
  detail::interleave_rows(p.code.data(), w.n, words, [&](index r, index j) {
    uint8_t const* const four = w.code.data() + (r * words + j) * 4;  // four bytes, the high nibble first
    uint32_t word = 0;
    for (int i = 0; i < 8; ++i) word |= uint32_t(nf4_code_at(four, i)) << nf4_shift(i);
    return word;
  });
  auto const scales = [&](auto& to, auto const& from) {
    to = std::remove_reference_t<decltype(to)>(detail::padded(w.n, blocks));
    detail::interleave_rows(to.data(), w.n, blocks, [&](index r, index b) { return from[std::size_t(r * blocks + b)]; });
  };
  if (w.nested()) scales(p.absmax_code, w.absmax_code);
  else scales(p.absmax, w.absmax);
  return p;
}

SMALTI_INLINE packed_int8 pack(int8_data const& w) {
  detail::check_weight_shape(w.n, w.k);
  packed_int8 p{w.n, w.k, buffer<int8_t>(detail::padded(w.n, w.k)), buffer<float>(detail::padded(w.n, 1))};
  detail::interleave_rows(p.code.data(), w.n, w.k, [&](index r, index j) { return w.code[std::size_t(r * w.k + j)]; });
  detail::interleave_rows(p.scale.data(), w.n, 1, [&](index r, index) { return w.scale[std::size_t(r)]; });
  return p;
}

SMALTI_INLINE nf4_data unpack(packed_nf4 const& p) {
  index const words = p.k / 8, blocks = p.k / p.block;
  nf4_data w{.n = p.n, .k = p.k, .block = p.block, .code = buffer<uint8_t>(std::size_t(p.n * words * 4)),
             .nested_absmax = p.nested_absmax.copy(), .nested_map = p.nested_map.copy(),
             .nested_offset = p.nested_offset, .nested_block = p.nested_block};
  for (index r = 0; r < p.n; ++r)
    for (index j = 0; j < words; ++j) {
      uint32_t const word = p.code[detail::interleaved(r, j, words)];
      for (int i = 0; i < 4; ++i) w.code[std::size_t((r * words + j) * 4 + i)] = uint8_t((word >> nf4_shift(2 * i) & 15) << 4 | (word >> nf4_shift(2 * i + 1) & 15));
    }
  auto const scales = [&](auto& to, auto const& from) {
    to = std::remove_reference_t<decltype(to)>(std::size_t(p.n * blocks));
    for (index r = 0; r < p.n; ++r)
      for (index b = 0; b < blocks; ++b) to[std::size_t(r * blocks + b)] = from[detail::interleaved(r, b, blocks)];
  };
  if (p.nested()) scales(w.absmax_code, p.absmax_code);
  else scales(w.absmax, p.absmax);
  return w;
}

SMALTI_INLINE int8_data unpack(packed_int8 const& p) {
  int8_data w{p.n, p.k, buffer<int8_t>(std::size_t(index(p.n) * p.k)), buffer<float>(std::size_t(p.n))};
  for (index r = 0, i = 0; r < p.n; ++r) {
    for (index j = 0; j < p.k; ++j) w.code[std::size_t(i++)] = p.code[detail::interleaved(r, j, p.k)];
    w.scale[std::size_t(r)] = p.scale[std::size_t(r)];
  }
  return w;
}

}  // namespace smalti
#endif
