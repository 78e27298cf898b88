// nf4_3_interleaved [--quick]: sixteen rows side by side, repacked once (the layout of Marlin and of ggml's repacked types, Frantar et
// al. 2024, in its simplest form). A vector then holds one column of sixteen rows: no sum runs across lanes, one vector of
// scales serves sixteen rows, and the compiler can vectorise everything but the look-up, which is still one lane at a time.
#include "ladder.hpp"
#include <smalti/gemm/packed.hpp>

namespace {

void product(smalti::packed_nf4 const& w, float const* x, float* y) {
  uint32_t const* code = w.code.data();
  float const* absmax = w.absmax.data();
  for (int group = 0; group < w.n / 16; ++group) {
    float sum[16] = {};
    for (int block = 0; block < w.k / 64; ++block, absmax += 16) {
      float part[16] = {};
      for (int word = 0; word < 8; ++word, code += 16)
        for (int column = 0; column < 8; ++column) {
          float const xi = x[64 * block + 8 * word + column];
          int const shift = smalti::nf4_shift(column);
          for (int row = 0; row < 16; ++row) part[row] += smalti::nf4_level[code[row] >> shift & 15] * xi;
        }
      for (int row = 0; row < 16; ++row) sum[row] += part[row] * absmax[row];
    }
    for (int row = 0; row < 16; ++row) y[16 * group + row] = sum[row];
  }
}

}  // namespace

int main(int count, char** arguments) {
  auto const p = ladder::make(count, arguments);
  auto const w = smalti::pack(p.w);
  return ladder::report("3 sixteen rows interleaved", p, [&](float* y) { product(w, p.x.data(), y); });
}
