// Adapters saved by PEFT itself: every module with the scale that PEFT applies, and the same bytes after a round trip (tests/golden/peft).
#include <catch2/catch.hpp>
#include "smalti/io/peft.hpp"
#include <smalti/io/json.hpp>

namespace smalti {
TEST_CASE("adapters of PEFT are read with its scales and written back equal") {
  auto const name = GENERATE("all_linear", "query_value", "rslora", "rank_pattern", "odd_rank");
  INFO(name);
  std::string const folder = std::string("tests/golden/peft/") + name;
  auto const adapter = read_adapter(folder);
  auto const scale = read_json(folder + "/expected.json")["scale"];
  REQUIRE(adapter.entries.size() == scale.size());
  std::vector<buffer<float>> owned;
  std::vector<adapter_matrices> modules;
  for (auto const& e : adapter.entries) {
    INFO(e.module);
    REQUIRE(scale.contains(e.module));
    CHECK(e.scale == Approx(scale[e.module].get<double>()).epsilon(1e-6));
    auto const matrix = [&](tensor const& t) {  // (r, in) or (out, r)
      owned.push_back(to_float(t, t.shape));
      return view<float const, 2>(row_major(static_cast<float const*>(owned.back().data()), t.shape[0], t.shape[1]));
    };
    auto const a = matrix(e.a), b = matrix(e.b);
    modules.push_back({e.module, a, b});
  }
  auto const copy = std::filesystem::temp_directory_path() / ("smalti-golden-peft-" + std::to_string(::getpid()));
  write_adapter(copy.string(), adapter.config, modules);
  auto const again = read_adapter(copy.string());
  REQUIRE(again.entries.size() == adapter.entries.size());
  for (std::size_t i = 0; i < again.entries.size(); ++i) {
    CHECK(again.entries[i].module == adapter.entries[i].module);
    CHECK(again.entries[i].scale == adapter.entries[i].scale);
    CHECK(std::ranges::equal(again.entries[i].a.bytes, adapter.entries[i].a.bytes));
    CHECK(std::ranges::equal(again.entries[i].b.bytes, adapter.entries[i].b.bytes));
  }
  std::filesystem::remove_all(copy);
}
}  // namespace smalti
