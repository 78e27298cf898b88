// Every board finds a way to cut an NF4 product on a device, whatever its shape.

#include <catch2/catch.hpp>
#include <smalti/gemm/nf4_tile.hpp>

namespace smalti::test {

/// The tile that a launch of `work` would take, as gemm/cuda.cuh chooses it; panels 0: none.
static nf4_tile chosen(nf4_work work, arch a, int processors) {
  if (work.m <= detail::nf4_whole_tokens)
    if (nf4_tile const t = nf4_tuned(nf4_whole_config::engine, work, a, processors); t.panels) {
      CHECK(fits(nf4_whole_config::engine, t, work, a));
      return t;
    }
  return with_nf4_config(work.m, [&]<class Config>() {
    nf4_tile const t = nf4_tuned(Config::engine, work, a, processors);
    if (t.panels) CHECK(fits(Config::engine, t, work, a));
    return t;
  });
}

TEST_CASE("NF4 products: each board has a tile for each shape") {
  struct { char const* name; arch a; int processors; } const boards[] = {{"sm_80", sm_80, 108}, {"sm_86", sm_86, 84}, {"sm_89", sm_89, 128}, {"sm_90a", sm_90a, 132}};
  for (auto const& b : boards)
    for (int m : {1, 2, 3, 8})
      for (int k : {64, 1024, 4096, 5120, 8192, 11008, 14336, 28672})
        for (int n : {1, 4096, 14336, 128256})
          for (int halves : {1, 2}) {
            INFO(b.name << " M " << m << " K " << k << " N " << n << " halves " << halves);
            CHECK(chosen({m, nf4_panel::panels(n) * halves, k, halves}, b.a, b.processors).panels > 0);
          }
}

TEST_CASE("NF4 products: more tokens than one launch's, where shared memory is large") {
  for (auto a : {sm_80, sm_90a})
    for (int m : {16, 32, 64})
      for (int k : {64, 4096, 14336, 28672})
        for (int halves : {1, 2}) CHECK(chosen({m, nf4_panel::panels(4096) * halves, k, halves}, a, 108).panels > 0);
}

TEST_CASE("NF4 products: x whole in shared memory only where it fits") {
  nf4_work const work{1, 128, 14336, 1};
  CHECK(nf4_tuned(nf4_whole_config::engine, work, sm_86, 84).panels == 0);
  nf4_tile const t = nf4_tuned(nf4_whole_config::engine, work, sm_90a, 132);
  CHECK(t.chunks(work.k) == 1);
  CHECK_FALSE(fits(nf4_whole_config::engine, {t.panels, t.parts, t.split, t.parts}, work, sm_90a));   // a part of x at a time
  CHECK_FALSE(fits(nf4_whole_config::engine, t, {3, 128, 14336, 1}, sm_90a));                         // three tokens
}

}  // namespace smalti::test
