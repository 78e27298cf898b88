// Scales and merged weights of adapters that peft wrote (tests/golden/peft/README.md); their logits are tested with the decoder.
#include <catch2/catch.hpp>
#include <algorithm>
#include <smalti/decoder/adapter.hpp>
#include <smalti/io/checkpoint.hpp>
#include <smalti/io/json.hpp>
#include <smalti/io/peft.hpp>

namespace smalti {
namespace {

std::string const folder = "tests/golden/peft/";
char const* const adapters[] = {"all_linear", "query_value", "rslora", "rank_pattern", "odd_rank"};

/// Largest |a − b| over largest |b|; NaN counts as infinitely wrong.
double relative_error(buffer<float> const& a, buffer<float> const& b) {
  double worst = 0, top = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    double const off = std::abs(double(a[i]) - b[i]);
    worst = off <= worst ? worst : std::isnan(off) ? INFINITY : off, top = std::max(top, std::abs(double(b[i])));
  }
  return worst / top;
}

TEST_CASE("every adapted module of peft is found, with peft's scale") {
  for (std::string const name : adapters) {
    INFO(name);
    auto const file = read_adapter(folder + name);
    auto const wanted = read_json(folder + name + "/expected.json")["scale"];
    CHECK(file.entries.size() == wanted.size());
    for (auto const& e : file.entries) {
      INFO(e.module);
      REQUIRE(wanted.contains(e.module));
      CHECK(e.scale == Approx(wanted[e.module].get<double>()).epsilon(1e-6));
    }
  }
}

TEST_CASE("a merged weight is peft's, and unmerging gives the base back") {
  checkpoint const base("tests/golden/models/llama");
  int compared = 0;
  for (std::string const name : adapters) {
    auto const a = load_adapter(folder + name);
    safetensors const expected(folder + name + "/expected.safetensors");
    for (auto const& key : expected.names()) {
      if (!key.starts_with("merged.")) continue;
      INFO(name << " " << key);
      auto const weight = key.substr(7), module = weight.substr(0, weight.size() - 7);  // less "merged." and ".weight"
      auto const shape = base.at(weight).shape;
      auto const before = to_float(base.at(weight), shape), wanted = to_float(expected.at(key), shape);
      auto w = to_float(base.at(weight), shape);
      auto const out = row_major(w.data(), shape[0], shape[1]);  // (n, k)
      CHECK(relative_error(w, wanted) > 1e-2);  // the adapter matters
      require(merge(on_cpu{}, out, a.modules.at(module)));
      CHECK(relative_error(w, wanted) < 1e-6);
      require(unmerge(on_cpu{}, out, a.modules.at(module)));
      CHECK(relative_error(w, before) < 1e-6);
      ++compared;
    }
  }
  CHECK(compared >= 9);
}

}  // namespace
}  // namespace smalti
