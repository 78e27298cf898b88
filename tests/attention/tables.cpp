// Every row of every table of tiles names a tile that is legal where the row applies: proved by the compiler, for all head
// dimensions that the entry points take and all architectures that the library knows.

#include <catch2/catch.hpp>
#include <smalti/attention/decode_tile.hpp>
#include <smalti/attention/sm90_tile.hpp>
#include <smalti/attention/tile.hpp>

namespace smalti {

constexpr arch devices[] = {sm_80, sm_86, sm_89, sm_90a};
constexpr arch hosts[] = {generic_cpu, avx2, avx512};
constexpr attention_shape shapes[] = {{32, 2}, {64, 2}, {96, 2}, {128, 2}, {256, 2}, {192, 2, 128}};
constexpr attention_shape shapes_masked[] = {{32, 2, 0, true}, {64, 2, 0, true}, {96, 2, 0, true}, {128, 2, 0, true}, {256, 2, 0, true}, {192, 2, 128, true}};
constexpr attention_shape shapes_wgmma[] = {{64, 2}, {96, 2}, {128, 2}, {192, 2}, {256, 2}, {192, 2, 128}};

/// How many pairs of a shape and an architecture get a tile that does not fit.
template <class Table, std::size_t S, std::size_t A, class Rule>
constexpr int misfits(Table table, attention_shape const (&of)[S], arch const (&on)[A], Rule rule) {
  int count = 0;
  for (auto s : of)
    for (auto a : on) count += rule(table(s, a), s, a) != misfit::none;
  return count;
}
constexpr attention_shape shapes_decode[] = {{64, 2}, {96, 2}, {128, 2}, {256, 2}, {192, 2, 128}};

constexpr auto common_rule = [](attention_tile t, attention_shape s, arch a) { return fits(t, s, a); };
constexpr auto decode_rule = [](decode_tile t, attention_shape s, arch a) { return fits(t, s, a); };
constexpr auto wgmma_rule = [](attention_tile t, attention_shape s, arch a) { return fits_wgmma(t, s, a); };

static_assert(misfits(tuned{}, shapes, devices, common_rule) == 0 && misfits(tuned{}, shapes_masked, devices, common_rule) == 0);
static_assert(misfits(tuned{}, shapes, hosts, common_rule) == 0);
static_assert(misfits(tuned_sm90{}, shapes_wgmma, {sm_90a}, wgmma_rule) == 0);
static_assert(misfits(tuned_sm90_masked{}, shapes_wgmma, {sm_90a}, wgmma_rule) == 0);
static_assert(misfits(in_pairs<tuned_sm90>{}, shapes_wgmma, {sm_90a}, wgmma_rule) == 0);
static_assert(misfits(in_pairs<tuned_sm90_masked>{}, shapes_wgmma, {sm_90a}, wgmma_rule) == 0);
static_assert(misfits(decode_tuned{}, shapes_decode, devices, decode_rule) == 0);

// A sweep must find the table's own tile, or it could never confirm it.
template <attention_shape S, arch A>
constexpr bool swept = [] {
  for (auto t : attention_candidates<S, A>)
    if (t == tuned{}(S, A)) return true;
  return false;
}();
static_assert(swept<attention_shape{64, 2}, sm_80> && swept<attention_shape{128, 2}, sm_80> && swept<attention_shape{256, 2}, sm_80>);
static_assert(swept<attention_shape{64, 2}, sm_90a> && swept<attention_shape{64, 2, 0, true}, sm_90a> && swept<attention_shape{128, 2}, sm_90a> && swept<attention_shape{128, 2, 0, true}, sm_90a>);
static_assert(swept<attention_shape{128, 4}, avx2>);

TEST_CASE("tables: what the compiler proved can fail") {
  constexpr auto too_wide = [](attention_shape, arch) { return attention_tile{.q = 64, .kv = 1024, .warps = 4}; };
  CHECK(misfits(too_wide, shapes, devices, common_rule) == int(std::size(shapes) * std::size(devices)));
  CHECK(attention_candidates<attention_shape{128, 2}, sm_80>.size() > attention_candidates<attention_shape{256, 2}, sm_86>.size());
}

}  // namespace smalti
