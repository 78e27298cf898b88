// The outer product for 32 registers (four groups of rows at once), in plain lanes: runs on machines without AVX-512 too.
#include <catch2/catch.hpp>
#include "gemm/weights.hpp"

namespace smalti::simd_wide {
#define accumulators accumulators_of_plain_lanes
#include <smalti/simd/generic.inc>
#undef accumulators
#include <smalti/simd/common.inc>
inline constexpr int accumulators = 24;
#include <smalti/gemm/nf4_scales.inc>
#include <smalti/gemm/nf4_words.inc>
#include <smalti/gemm/panel.inc>
}  // namespace smalti::simd_wide

namespace smalti::test {
namespace {

TEST_CASE("four groups at once are four times one group") {
  int const n = 100, k = 320;  // 7 groups: four at once, and three one by one
  for (int kind = 0; kind < 6; ++kind) {
    auto const w = make(kind, normal(n * k, 1), n, k);
    auto const all = decoded(w);
    for (int m : {1, 3, 6, 11}) {
      auto const x = normal(m * k, 2);
      int const tiles = (m + 5) / 6;
      std::vector<float> packed(std::size_t(tiles * 6 * k), 0.f), acc(std::size_t(tiles * 6 * 112), 0.f), panel(4 * panel_depth * 16, nan);
      for (int i = 0; i < m; ++i)
        for (int j = 0; j < k; ++j) {
          int const first = j / panel_depth * panel_depth, depth = min(panel_depth, k - first);
          packed[std::size_t((first * tiles + i / 6 * depth + j - first) * 6 + i % 6)] = x[std::size_t(i * k + j)];
        }
      simd_wide::panel_product({borrow(w), 0, 7, packed.data(), m, acc.data(), 112, panel.data()});
      for (int i = 0; i < m; ++i)
        for (int j = 0; j < n; ++j) {
          auto const [value, tolerance] = dot(&x[std::size_t(i * k)], &all[std::size_t(j * k)], k);
          INFO(kinds[kind] << " m " << m << " at " << i << ", " << j);
          REQUIRE(std::fabs(acc[std::size_t(i * 112 + j)] - value) <= tolerance);
        }
    }
  }
}

}  // namespace
}  // namespace smalti::test
