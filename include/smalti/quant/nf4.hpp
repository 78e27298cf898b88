#pragma once
// NormalFloat-4: the code of one value and of one block (Dettmers et al. 2023, "QLoRA", eq. 4 and Appendix E), with the
// levels, thresholds and nibble order of bitsandbytes, so that codes and files are interchangeable.

#include <utility>
#include "../core/config.hpp"
#include "../core/status.hpp"

namespace smalti {

/// The 16 levels that split N(0, 1) into equal mass, rescaled to [−1, 1] with an exact 0. Sorted: code order is value order.
inline constexpr float nf4_level[16] = {
    -1.f,                 -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
    -0.09105003625154495f, 0.f,                  0.07958029955625534f, 0.16093020141124725f,  0.24611230194568634f,  0.33791524171829224f,
    0.44070982933044434f,  0.5626170039176941f,  0.7229568362236023f,  1.f};

/// Where the code changes: x > threshold[i] has a code above i. Four of them are an ulp away from the midpoints of the
/// levels, so they are literals.
inline constexpr float nf4_threshold[15] = {
    -0.8480964004993439f,  -0.6106329262256622f, -0.4599952697753906f, -0.33967943489551544f, -0.23460740596055984f,
    -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f, 0.1202552504837513f,  0.2035212516784668f,
    0.2920137718319893f,   0.3893125355243683f,  0.5016634166240692f,  0.6427869200706482f,   0.8614784181118011f};

namespace detail {
template <int I> inline constexpr float nf4_threshold_at = nf4_threshold[I];  // a constant each: device code may not read a host's array
template <int... I>
SMALTI_HD constexpr int nf4_count_above(float x, std::integer_sequence<int, I...>) { return ((x > nf4_threshold_at<I>) + ...); }
}  // namespace detail

/// The nearest level's code for x ∈ [−1, 1]; a tie goes to the lower code. Counting needs no branch, so loops over it vectorise.
SMALTI_HD constexpr uint8_t nf4_encode(float x) { return uint8_t(detail::nf4_count_above(x, std::make_integer_sequence<int, 15>{})); }

/// The code of element i of a run, two to a byte, the FIRST in the high nibble.
SMALTI_HD constexpr int nf4_code_at(uint8_t const* code, index i) { return i % 2 ? code[i / 2] & 15 : code[i / 2] >> 4; }

/// One block: x (Block) → code (Block / 2) and its absmax. Every x̂ = absmax · level[code] has |x − x̂| ≤ 0.152 · absmax (half
/// the widest gap). A block of zeros decodes to zeros.
/// Errors: quant.1, a value is NaN or infinite; then nothing is written.
template <int Block>
SMALTI_HD status nf4_quantise_block(uint8_t* code, float& absmax, float const* x) {
  static_assert(Block >= 32 && Block <= 4096 && (Block & (Block - 1)) == 0, "quant.2: an NF4 block is a power of two from 32 to 4096");
  float largest = 0, poison = 0;
  for (int i = 0; i < Block; ++i) {
    float const magnitude = x[i] < 0 ? -x[i] : x[i];
    largest = magnitude > largest ? magnitude : largest;
    poison += x[i] * 0.f;  // 0, but NaN from the first NaN or infinity on
  }
  if (poison != 0) return {"quant.1", "a value to quantise is NaN or infinite"};
  float const reciprocal = largest > 0 ? 1.f / largest : 0.f;
  // 1 / absmax overflows below 2^-128: then divide, which bitsandbytes' files of sensible weights never need.
  bool const tiny = reciprocal > 3.4e38f;
  for (int i = 0; i < Block; i += 2) {
    float const a = tiny ? x[i] / largest : x[i] * reciprocal, b = tiny ? x[i + 1] / largest : x[i + 1] * reciprocal;
    code[i / 2] = uint8_t(nf4_encode(a) << 4 | nf4_encode(b));
  }
  absmax = largest;
  return {};
}

/// One block back: x̂ (Block) = level[code] · absmax, rounded once to T.
template <int Block, class T>
SMALTI_HD constexpr void nf4_dequantise_block(T* x, uint8_t const* code, float absmax) {
  for (int i = 0; i < Block; i += 2) {
    x[i] = T(nf4_level[code[i / 2] >> 4] * absmax);
    x[i + 1] = T(nf4_level[code[i / 2] & 15] * absmax);
  }
}

}  // namespace smalti
