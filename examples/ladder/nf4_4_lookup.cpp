// nf4_4_lookup [--quick]: the table of levels moves into registers. vpermps looks up sixteen lanes in one instruction (AVX-512) or in
// two halves and a blend (AVX2), and reads only the low bits of an index: shifting the word is enough, nothing is masked.
// (The idea of table look-ups in registers: Wei et al., "T-MAC", 2024; Guo et al., "FLUTE", 2024.)
#include "ladder.hpp"
#include <smalti/gemm/packed.hpp>
#include <smalti/simd/lanes.hpp>

#include <smalti/simd/begin_generic.inc>
#include "nf4_words.inc"
#include <smalti/simd/end_generic.inc>
#if defined(__x86_64__)
  #include <smalti/simd/begin_avx2.inc>
  #include "nf4_words.inc"
  #include <smalti/simd/end_avx2.inc>
  #include <smalti/simd/begin_avx512.inc>
  #include "nf4_words.inc"
  #include <smalti/simd/end_avx512.inc>
#endif

int main(int count, char** arguments) {
  using namespace smalti;
  auto const p = ladder::make(count, arguments);
  auto const w = pack(p.w);
  auto* const product = pick(host_arch(), &simd_generic::product, &simd_avx2::product, &simd_avx512::product);
  return ladder::report("4 look-up in registers", p, [&](float* y) { product(w, p.x.data(), y); });
}
