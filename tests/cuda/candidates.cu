// nvcc's own evaluator can enumerate the legal tiles too: sweeps are compiled by it.

#include <catch2/catch.hpp>
#include <smalti/attention/tile.hpp>

namespace smalti {

constexpr auto legal = attention_candidates<attention_shape{128, 2}, sm_90a>;
static_assert(legal.size() > 0 && legal.size() < attention_space.size());
static_assert(legal.shard(0, 2).size() + legal.shard(1, 2).size() == legal.size());

TEST_CASE("the tiles of a sweep, enumerated by nvcc") {
  for (auto t : legal) CHECK(fits(t, {128, 2}, sm_90a) == misfit::none);
}

}  // namespace smalti
