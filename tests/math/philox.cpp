// Known answers of Philox4x32-10 (Random123's kat_vectors), and what is built on it.

#include <catch2/catch.hpp>
#include <smalti/math/philox.hpp>

namespace smalti::test {

static_assert(philox({{0, 0, 0, 0}}, 0, 0) == philox_block{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
static_assert(philox({{~0u, ~0u, ~0u, ~0u}}, ~0u, ~0u) == philox_block{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
static_assert(philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0) ==
              philox_block{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});

TEST_CASE("unit floats lie in [0, 1) and spread evenly") {
  CHECK(unit_float(0) == 0.f);
  CHECK(unit_float(~0u) < 1.f);
  int bins[16] = {}, n = 160000;
  for (int i = 0; i < n; ++i) ++bins[int(16 * random_unit(42, uint64_t(i)))];
  double chi2 = 0;
  for (int b : bins) chi2 += (b - n / 16.) * (b - n / 16.) / (n / 16.);
  CHECK(chi2 < 45);  // 15 degrees of freedom: p = 1e-4
  CHECK(random_unit(1, 5) != random_unit(2, 5));
  CHECK(random_unit(1, 5) != random_unit(1, 5, 1));
}

}  // namespace smalti::test
