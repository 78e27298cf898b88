// Rotary frequencies and tables of every scaling against transformers (tests/golden/ops/README.md).
#include <catch2/catch.hpp>
#include <cmath>
#include <smalti/io/json.hpp>
#include <smalti/math/rope.hpp>

namespace smalti {
namespace {

struct golden {
  std::string name;
  json facts;
  int dim, length;
  double theta;
  rope_scaling scaling;
};

std::vector<golden> cases() {
  using enum rope_scaling::kind;
  std::map<std::string, rope_scaling::kind> const kinds{{"default", none}, {"linear", linear}, {"dynamic", dynamic}, {"llama3", llama3}, {"yarn", yarn}};
  std::vector<golden> all;
  auto const file = read_json("tests/golden/ops/rope.json");
  for (auto const& [name, c] : file["cases"].items()) {
    auto const& p = c["parameters"];
    rope_scaling s;
    s.type = kinds.at(p["rope_type"]), s.factor = p.value("factor", 1.f);
    s.original_positions = s.type == dynamic ? c["max_position_embeddings"].get<int>() : p.value("original_max_position_embeddings", 0);
    s.low_freq_factor = p.value("low_freq_factor", 1.f), s.high_freq_factor = p.value("high_freq_factor", 4.f);
    s.beta_fast = p.value("beta_fast", 32.f), s.beta_slow = p.value("beta_slow", 1.f);
    s.attention_factor = p.value("attention_factor", 0.f), s.truncate = p.value("truncate", true);
    s.mscale = p.value("mscale", 0.f), s.mscale_all_dim = p.value("mscale_all_dim", 0.f);
    all.push_back({name, c, c["dim"], c["length"], p["rope_theta"], s});
  }
  REQUIRE(all.size() >= 14);
  return all;
}

TEST_CASE("rotary frequencies are those of transformers") {
  for (auto const& g : cases()) {
    INFO(g.name);
    auto const f = rope_frequencies(g.dim, g.theta, g.scaling, g.length);
    auto const wanted = g.facts["inv_freq"].get<std::vector<double>>();
    REQUIRE(f.size() == wanted.size());
    // theirs are a float32 power and a few float32 operations: the exponent's rounding alone costs ln θ ulps
    for (std::size_t i = 0; i < f.size(); ++i) CHECK(f[i] == Approx(wanted[i]).epsilon(6e-8 * (4 + std::log(g.theta))).margin(0));
    CHECK(rope_magnitude(g.scaling) == Approx(g.facts["attention_factor"].get<double>()).epsilon(1e-6));
  }
}

TEST_CASE("cos and sin are those of transformers, up to the rounding of the angle") {
  for (auto const& g : cases()) {
    INFO(g.name);
    auto const positions = g.facts["positions"].get<std::vector<int>>();
    int const last = g.length ? g.length : positions.back() + 1;
    if (last > 20000) continue;  // the table would be large; the frequencies above say it all
    auto const table = make_rope_table(g.dim, last, g.theta, g.scaling);
    double const magnitude = g.facts["attention_factor"], ulps = 6e-8 * (5 + std::log(g.theta));
    for (std::size_t n = 0; n < positions.size(); ++n) {
      if (positions[n] >= last) continue;
      for (int i = 0; i < g.dim / 2; ++i) {
        double const angle = positions[n] * g.facts["inv_freq"][std::size_t(i)].get<double>(), room = magnitude * (2e-7 + angle * ulps);
        std::size_t const at = std::size_t(positions[n]) * std::size_t(g.dim / 2) + std::size_t(i);
        CHECK(std::abs(table.cos[at] - g.facts["cos"][n][std::size_t(i)].get<double>()) <= room);
        CHECK(std::abs(table.sin[at] - g.facts["sin"][n][std::size_t(i)].get<double>()) <= room);
      }
    }
  }
}

}  // namespace
}  // namespace smalti
