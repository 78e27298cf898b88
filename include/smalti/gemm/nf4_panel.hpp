#pragma once
// NF4 weights in the order in which tensor cores take them: a lossless permutation of the stored bytes. The fragment is that of
// mma.m16n8k16's left operand (PTX ISA 9.0, §9.7.14.5.8), which is also wgmma's when it comes from registers.

#include "../core/config.hpp"

namespace smalti {

/// A panel is 32 rows of W, a step 128 of its columns: 2048 bytes, [2 halves of the step][2 tiles of the panel][32 lanes][16
/// bytes]. The 16 bytes of lane 4g + q are its registers of four m16n8k16 operands, two codes a byte: a tile (16 rows) of a half
/// (64 columns), rows g and g + 8. So one load is a block, and a lane meets one scale in each of two rows.
struct nf4_panel {
  static constexpr int rows = 32, step = 128, half = 64;
  static constexpr int code_bytes = rows * step / 2;  ///< a step of a panel
  static constexpr int scales = rows * step / half;   ///< likewise: one for each row and half, also where blocks are larger
  static constexpr int zero_codes = 0x77;             ///< two codes whose level is 0, for rows beyond N and columns beyond K

  static SMALTI_HD constexpr int panels(int n) { return ceil_div(n, rows); }
  static SMALTI_HD constexpr int steps(int k) { return ceil_div(k, step); }
  static SMALTI_HD constexpr index code_count(int n, int k) { return index(panels(n)) * steps(k) * code_bytes; }
  static SMALTI_HD constexpr index scale_count(int n, int k) { return index(panels(n)) * steps(k) * scales; }

  /// What byte `at` of the packed codes holds: W[row, column] in its high nibble, W[row, column + 1] in its low one.
  struct place { index row, column; };
  static SMALTI_HD constexpr place of_code(index at, int k) {
    int const i = int(at % 16), lane = int(at / 16 % 32), tile = int(at / 512 % 2), part = int(at / 1024 % 2);
    index const step_of_panel = at / code_bytes;  // byte i: mma i/4, register i%4 = (row half, k half)
    return {step_of_panel / steps(k) * rows + 16 * tile + lane / 4 + 8 * (i % 2),
            step_of_panel % steps(k) * step + half * part + 16 * (i / 4) + 8 * (i / 2 % 2) + 2 * (lane % 4)};
  }
  /// Which row, and which columns from `column` on, packed scale `at` belongs to: [row % 8][half][tile][row half].
  static SMALTI_HD constexpr place of_scale(index at, int k) {
    int const i = int(at % scales);
    index const step_of_panel = at / scales;
    return {step_of_panel / steps(k) * rows + 8 * (i % 4) + i / 8, step_of_panel % steps(k) * step + half * (i / 4 % 2)};
  }
  /// of_scale's inverse.
  static SMALTI_HD constexpr index scale_at(index row, index column, int k) {
    return (row / rows * steps(k) + column / step) * scales + row % 8 * 8 + column / half % 2 * 4 + row % rows / 8;
  }
  /// of_code's inverse; column even.
  static SMALTI_HD constexpr index code_at(index row, index column, int k) {
    index const r = row % 16, c = column % half;
    return (row / rows * steps(k) + column / step) * code_bytes + column / half % 2 * 1024 + row / 16 % 2 * 512 + (r % 8 * 4 + c / 2 % 4) * 16 +
           c / 16 * 4 + c / 8 % 2 * 2 + r / 8;
  }
};

/// absmax as fp32.
struct plain_scales {
  float const* absmax;  ///< packed: (panels, steps, 64)
};

/// absmax in 8 bits: absmax[i] = map[code[i]] · nested[i / nested_block] + offset, i counted in blocks along the rows of W.
struct nested_scales {
  uint8_t const* code;   ///< packed: (panels, steps, 64)
  float const* map;      ///< (256), as the file gives it; 16-byte aligned
  float const* nested;   ///< (⌈N·K / block / nested_block⌉), in the file's order
  float offset;
  int span;              ///< log2 of the elements of W that share an entry of `nested`, block · nested_block
};

/// W (N, K) in panels, borrowed. N is any, K a multiple of 64.
template <class Scales>
struct nf4_panels {
  uint8_t const* code;  ///< packed: (panels, steps, 2048), 16-byte aligned
  Scales scales;
  int n, k;
};

}  // namespace smalti
