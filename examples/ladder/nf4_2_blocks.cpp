// nf4_2_blocks [--quick]: the scale leaves the inner loop. Σ absmax·level·x over a block is absmax · Σ level·x: one multiplication
// for 64 weights instead of 64. And a byte is looked up whole, in a table of the 256 pairs of levels; two sums, one for each
// nibble, wait for each other no longer.
#include "ladder.hpp"

namespace {

struct pair { float first, second; };

void product(ladder::problem const& p, pair const* pairs, float* y) {
  uint8_t const* code = p.w.code.data();
  float const* absmax = p.w.absmax.data();
  for (int row = 0; row < p.n; ++row) {
    float sum = 0;
    for (float const* x = p.x.data(); x < p.x.data() + p.k; x += 64) {
      float even = 0, odd = 0;
      for (int i = 0; i < 32; ++i) {
        pair const levels = pairs[*code++];
        even += levels.first * x[2 * i], odd += levels.second * x[2 * i + 1];
      }
      sum += *absmax++ * (even + odd);
    }
    y[row] = sum;
  }
}

}  // namespace

int main(int count, char** arguments) {
  auto const p = ladder::make(count, arguments);
  pair pairs[256];
  for (int c = 0; c < 256; ++c) pairs[c] = {smalti::nf4_level[c >> 4], smalti::nf4_level[c & 15]};
  return ladder::report("2 blocks, byte pairs", p, [&](float* y) { product(p, pairs, y); });
}
