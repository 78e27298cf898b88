// nf4_5_library [--quick]: the library call. On AVX2 it looks up bytes, not words: the four bytes of a level are four tables of
// vpshufb, which decodes 32 codes at once (gemm/nf4_planes.inc); elsewhere it is the rung before. And rows are shared out to
// threads that the caller owns.
#include "ladder.hpp"
#include <smalti/gemm.hpp>

int main(int count, char** arguments) {
  using namespace smalti;
  auto const p = ladder::make(count, arguments);
  packed_weight const w = pack(p.w);
  auto const x = row_major(p.x.data(), 1, p.k);
  thread_pool two(2);
  auto const run = [&](char const* name, on_cpu const& where) {
    return ladder::report(name, p, [&](float* y) { require(gemm(where, row_major(y, 1, p.n), product(x, w))); });
  };
  int const alone = run("5 library, one thread", on_cpu{}), together = run("5 library, two threads", two);
  return alone | together;
}
