#pragma once
// A weight matrix in NF4, in the order in which files hold it, with or without double quantisation of its scales
// (Dettmers et al. 2023, "QLoRA", §3).

#include <string>
#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "../core/error.hpp"
#include "../core/sweep.hpp"
#include "../core/view.hpp"
#include "../core/where.hpp"
#include "dynamic_map.hpp"
#include "nf4.hpp"

namespace smalti {

/// W (n, k), flattened row by row and cut into blocks: Ŵ[i] = scale(i / block) · level[code[i]].
struct nf4_data {
  int n = 0, k = 0;
  int block = 64;                     ///< elements that share a scale: a power of two from 32 to 4096
  buffer<uint8_t> code = {};          ///< (n·k / 2), the first element of a byte in the high nibble
  buffer<float> absmax = {};          ///< (n·k / block); empty when nested
  buffer<uint8_t> absmax_code = {};   ///< (n·k / block), when the scales are quantised themselves
  buffer<float> nested_absmax = {};   ///< (⌈n·k / block / nested_block⌉)
  buffer<float> nested_map = {};      ///< (256), as the file gives it
  float nested_offset = 0;            ///< the mean of the scales
  int nested_block = 256;

  bool nested() const { return !absmax_code.empty(); }
  index blocks() const { return index(n) * k / block; }

  /// absmax of a block; nested: map[code] · nested_absmax + offset, rounded after the product as well as after the sum.
  float scale(index number) const {
    if (!nested()) return absmax[std::size_t(number)];
    float volatile const product = nested_map[absmax_code[std::size_t(number)]] * nested_absmax[std::size_t(number / nested_block)];
    return product + nested_offset;  // volatile: a fused multiply-add would round once and differ from the reference
  }
};

struct nf4_options {
  int block = 64;            ///< a power of two from 32 to 4096
  bool double_quant = true;  ///< scales in 8 bits: 4.127 bits per weight instead of 4.5
};

namespace detail {
inline void check_nf4_shape(index n, index k, int block) {
  bool const fits = block >= 32 && block <= 4096 && (block & (block - 1)) == 0;
  if (!fits) throw error("quant.2", "NF4 block is " + std::to_string(block) + ", expected a power of two from 32 to 4096");
  if (n < 1 || k < 1 || n > INT32_MAX || k > INT32_MAX || n * k % block != 0)
    throw error("quant.3", "NF4 weight is (" + std::to_string(n) + ", " + std::to_string(k) + "), expected a whole number of blocks of " + std::to_string(block));
}
template <class F>
void with_block(int block, F&& f) { dispatch<32, 64, 128, 256, 512, 1024, 2048, 4096>(block, f); }
}  // namespace detail

/// Replaces the fp32 scales by 8-bit ones: offset = mean(absmax), then the signed dynamic map over blocks of 256.
void nest_scales(nf4_data& w);

/// W (n, k), T float, bf16 or f16, any strides → NF4. Blocks run along the flattened rows, so they may cross rows.
/// Throws quant.1 (NaN or infinity), quant.2 (block size), quant.3 (n·k is not a whole number of blocks).
template <class T>
nf4_data quantise_nf4(on_cpu const& where, view<T, 2> w, nf4_options const& options = {}) {
  detail::check_nf4_shape(w.extent[0], w.extent[1], options.block);
  nf4_data q{.n = int(w.extent[0]), .k = int(w.extent[1]), .block = options.block};
  index const blocks = q.blocks(), share = max(index(1), index(16384 / q.block));  // blocks of one task
  q.code = buffer<uint8_t>(std::size_t(blocks * q.block / 2)), q.absmax = buffer<float>(std::size_t(blocks));
  detail::with_block(q.block, [&]<int Block> {
    parallel_for(where, ceil_div(blocks, share), [&](index task) {
      float x[Block];
      for (index b = task * share; b < min(blocks, (task + 1) * share); ++b) {
        index row = b * Block / q.k, column = b * Block % q.k;
        for (int i = 0; i < Block; ++i) {
          x[i] = float(w(row, column));
          if (++column == q.k) column = 0, ++row;
        }
        require(nf4_quantise_block<Block>(q.code.data() + b * Block / 2, q.absmax[std::size_t(b)], x));
      }
    });
  });
  if (options.double_quant) nest_scales(q);
  return q;
}

/// Ŵ (n, k) → out, T float, bf16 or f16, rounded once. Throws quant.4 when `out` has another shape.
template <class T>
void dequantise(on_cpu const& where, nf4_data const& w, view<T, 2> out) {
  if (out.extent[0] != w.n || out.extent[1] != w.k)
    throw error("quant.4", "output is (" + std::to_string(out.extent[0]) + ", " + std::to_string(out.extent[1]) + "), expected (" +
                               std::to_string(w.n) + ", " + std::to_string(w.k) + ")");
  parallel_for(where, w.n, [&](index row) {
    for (index column = 0; column < w.k;) {  // one block, or the part of it that lies in this row, at a time
      index const at = row * w.k + column, number = at / w.block, end = min(index(w.k), column + (number + 1) * w.block - at);
      float const scale = w.scale(number);
      for (; column < end; ++column) out(row, column) = T(nf4_level[nf4_code_at(w.code.data(), row * w.k + column)] * scale);
    }
  });
}

#if !SMALTI_HEADER_ONLY
extern template nf4_data quantise_nf4(on_cpu const&, view<float const, 2>, nf4_options const&);
extern template nf4_data quantise_nf4(on_cpu const&, view<bf16 const, 2>, nf4_options const&);
extern template nf4_data quantise_nf4(on_cpu const&, view<f16 const, 2>, nf4_options const&);
extern template nf4_data quantise_nf4(on_cpu const&, view<float, 2>, nf4_options const&);
#endif

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_QUANT)
namespace smalti {

SMALTI_INLINE void nest_scales(nf4_data& w) {
  index const count = w.blocks();
  double total = 0;
  for (float a : w.absmax) total += a;
  w.nested_offset = float(total / double(count));
  for (float& a : w.absmax) a -= w.nested_offset;
  w.nested_map = buffer<float>(256);
  std::copy(signed_dynamic_map().begin(), signed_dynamic_map().end(), w.nested_map.data());
  w.absmax_code = buffer<uint8_t>(std::size_t(count));
  w.nested_absmax = buffer<float>(std::size_t(ceil_div(count, index(w.nested_block))));
  quantise_dynamic(w.absmax_code.data(), w.nested_absmax.data(), w.absmax.data(), count, w.nested_block, w.nested_map.data());
  w.absmax = {};
}

}  // namespace smalti
#endif
