// nf4_1_naive [--quick]: the definition, Ŵ[i] = absmax[i / 64] · level[code[i]] (Dettmers et al. 2023, "QLoRA", eq. 4), and a dot
// product a row. One sum that every addition waits for, a nibble and a table look-up for each weight.
#include "ladder.hpp"

namespace {

void product(ladder::problem const& p, float* y) {
  for (smalti::index row = 0; row < p.n; ++row) {
    float sum = 0;
    for (smalti::index j = 0; j < p.k; ++j) {
      smalti::index const i = row * p.k + j;
      sum += p.w.absmax[std::size_t(i / 64)] * smalti::nf4_level[smalti::nf4_code_at(p.w.code.data(), i)] * p.x[std::size_t(j)];
    }
    y[row] = sum;
  }
}

}  // namespace

int main(int count, char** arguments) {
  auto const p = ladder::make(count, arguments);
  return ladder::report("1 naive", p, [&](float* y) { product(p, y); });
}
