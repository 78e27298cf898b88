// Every board finds a way to cut an NF4 product on a device, whatever its shape.

#include <catch2/catch.hpp>
#include <smalti/gemm/nf4_resident_tile.hpp>
#include <smalti/gemm/nf4_stationary_tile.hpp>
#include <smalti/gemm/nf4_wide_tile.hpp>

namespace smalti::test {

constexpr int span = 14;  // blocks of 64, nested by 256

/// The tile that a launch of `work` would take where x is in shared memory, as gemm/cuda.cuh chooses it; panels 0: none.
static nf4_tile chosen(nf4_work work, arch a, int processors) {
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

TEST_CASE("NF4 products: x in registers, a tile for each shape where shared memory holds the tables and the sums") {
  for (auto [a, processors] : {std::pair{sm_80, 108}, {sm_86, 84}, {sm_89, 128}, {sm_90a, 132}})
    for (int m = 1; m <= most_stationary_tokens; ++m)
      for (int k : {64, 192, 1024, 4096, 5120, 8192, 11008, 14336, 28672})
        for (int n : {1, 1024, 4096, 14336, 128256})
          for (int halves : {1, 2}) {
            INFO(a.level << " M " << m << " K " << k << " N " << n << " halves " << halves);
            nf4_work const work{m, nf4_panel::panels(n) * halves, k, halves};
            auto const choice = nf4_stationary_tuned(work, span, a, processors);
            if (a == sm_90a ? m <= 2 || k <= 14336 : m == 1 && k <= 8192) REQUIRE(choice.tile.panels > 0);
            auto raw = work;  // x normalised within it takes more room
            raw.raw = true;
            if (a == sm_90a ? m <= 2 && k <= 8192 : a == sm_80 && m == 1 && k <= 4096) CHECK(nf4_stationary_tuned(raw, span, a, processors).tile.panels > 0);
            if (choice.tile.panels) CHECK(with_nf4_stationary_config(choice.unit, [&, a = a]<class Config>() { return fits<Config>(choice.tile, work, span, a); }));
          }
}

TEST_CASE("NF4 products: x resident, a tile for each shape whose rows of x fit in a cluster") {
  for (int m = 1; m <= most_resident_tokens; ++m)
    for (int k : {64, 192, 1024, 4096, 5120, 8192, 11008, 14336, 28672})
      for (int n : {1, 1024, 4096, 14336, 28672, 128256})
        for (int halves : {1, 2})
          for (int of : {span, 0})
            for (bool terms : {false, true}) {
              INFO("M " << m << " K " << k << " N " << n << " halves " << halves << " span " << of << " terms " << terms);
              nf4_work const work{m, nf4_panel::panels(n) * halves, k, halves};
              auto const t = nf4_resident_tuned(work, of, terms, sm_90a, nf4_clusters_h200);
              if (k <= 14336) REQUIRE(t.slots > 0);
              if (t.slots) CHECK(with_nf4_resident_config(m, [&]<class Config>() { return fits<Config>(t, work, of, terms, sm_90a); }));
              CHECK(nf4_resident_tuned(work, of, terms, sm_80, nf4_clusters_h200).slots == 0);
            }
}

TEST_CASE("NF4 products: x resident, what cannot run") {
  nf4_work const work{16, 896, 4096, 1};
  using most = nf4_resident_config<16>;
  CHECK(fits<most>({7, 2}, work, span, false, sm_90a));
  CHECK_FALSE(fits<most>({7, 2}, work, span, false, sm_80));
  CHECK_FALSE(fits<most>({4, 1}, work, span, false, sm_90a));             // x and sums beyond shared memory
  CHECK_FALSE(fits<most>({7, 9}, work, span, false, sm_90a));             // no such cluster
  CHECK_FALSE(fits<most>({0, 2}, work, span, false, sm_90a));
  CHECK_FALSE(fits<most>({7, 2}, {16, 896, 4096, 2}, span, false, sm_90a));  // half a pair
  CHECK_FALSE(fits<most>({7, 2}, {17, 896, 4096, 1}, span, false, sm_90a));
  CHECK_FALSE(fits<nf4_resident_config<8>>({7, 2}, {9, 896, 4096, 1}, span, false, sm_90a));
}

TEST_CASE("NF4 products: x in registers, what cannot run") {
  nf4_work const work{1, 128, 14336, 1};
  using four = nf4_stationary_config<4>;
  using two = nf4_stationary_config<2>;
  CHECK(fits<four>({2, 14, 2}, work, span, sm_90a));
  CHECK_FALSE(fits<four>({2, 14, 2}, work, span, sm_80));                 // a cluster
  CHECK_FALSE(fits<four>({2, 14, 3}, work, span, sm_90a));
  CHECK_FALSE(fits<four>({2, 17, 1}, work, span, sm_90a));                // too many threads
  CHECK_FALSE(fits<four>({2, 16, 1}, {1, 128, 14336, 2}, span, sm_90a));
  CHECK_FALSE(fits<four>({2, 14, 2}, {3, 128, 14336, 1}, span, sm_90a));  // three tokens need units of two blocks
  CHECK(fits<two>({2, 14, 2}, {3, 128, 14336, 1}, span, sm_90a));
  CHECK_FALSE(fits<four>({2, 14, 2}, {1, 128, 14272, 1}, span, sm_90a));  // K no multiple of 256
  CHECK_FALSE(fits<two>({2, 14, 2}, {5, 128, 14336, 1}, span, sm_90a));
  CHECK_FALSE(fits<four>({128, 16, 1}, work, span, sm_90a));              // sums beyond shared memory
  CHECK_FALSE(fits<four>({8, 16, 1}, work, 6, sm_90a));                   // an entry of nested scales for every block
  CHECK_FALSE(fits<four>({0, 16, 1}, work, span, sm_90a));
}

TEST_CASE("NF4 products: x in registers, the tiles that were measured to be fastest") {
  auto const choice = [](int n, int k, int halves) { return nf4_stationary_tuned({1, n / 32 * halves, k, halves}, span, sm_90a, 132); };
  auto const tile = [&](int n, int k, int halves) { return choice(n, k, halves).tile; };
  CHECK(tile(28672, 4096, 1) == nf4_stationary_tile{7, 16, 1});
  CHECK(tile(4096, 14336, 1) == nf4_stationary_tile{2, 16, 2});
  CHECK(tile(6144, 4096, 1) == nf4_stationary_tile{3, 16, 2});
  CHECK(tile(4096, 4096, 1) == nf4_stationary_tile{2, 16, 2});
  CHECK(tile(14336, 4096, 2) == nf4_stationary_tile{7, 8, 2});
  CHECK((choice(28672, 4096, 1).unit == 4 && choice(4096, 14336, 1).unit == 4 && choice(6144, 4096, 1).unit == 2 && choice(4096, 4096, 1).unit == 2));
}

TEST_CASE("NF4 products for many tokens: the ways to cut that were measured to be fastest, and what memory that is lent changes") {
  auto const choice = [](int n, int k, int m, int lent, int processors = 132) { return nf4_wide_tuned({m, nf4_panel::panels(n), k, 1}, processors, lent); };
  auto const is = [](nf4_wide_choice c, int tokens, nf4_wide_tile tile) { return c.tokens == tokens && c.tile == tile; };
  for (int lent : {0, 36}) {
    CHECK(is(choice(4096, 14336, 64, lent), 64, {4, 6}));
    CHECK(is(choice(4096, 4096, 64, lent), 64, {2, 3}));
    CHECK(is(choice(4096, 14336, 128, lent), 128, {2, 3}));
    CHECK(is(choice(4096, 4096, 128, lent), 64, {2, 2}));
    CHECK(is(choice(4096, 4096, 256, lent), 128, {2, 2}));
    CHECK(is(choice(6144, 4096, 256, lent), 128, {3, 2}));  // 48 tiles of 128 rows are too many for the board
  }
  for (int k : {4096, 14336}) CHECK(is(choice(4096, k, 192, 36), 256, nf4_wide_pairs));
  CHECK(is(choice(4096, 14336, 256, 36), 256, nf4_wide_pairs));
  CHECK(is(choice(4096, 14336, 256, 31), 128, {2, 2}));        // 32 tiles
  CHECK(is(choice(4096, 14336, 256, 36, 114), 256, nf4_wide_pairs) == false);
  for (int m : {1, 17, 100, 129, 300, 5000})
    for (int lent : {0, 36}) CHECK(choice(640, 576, m, lent).tile.groups > 0);
  CHECK(nf4_wide_lent::tiles(nf4_lent_bytes) == nf4_wide_lent::most);
  CHECK(nf4_wide_lent::tiles(nf4_lent_bytes - 1) == nf4_wide_lent::most - 1);
  CHECK((nf4_wide_lent::tiles(0) == 0 && nf4_wide_lent::tiles(100000) == 0));
}

}  // namespace smalti::test
