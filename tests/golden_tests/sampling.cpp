// Which tokens may be drawn, and how often, against transformers' logits processors (tests/golden/ops/README.md).
#include <catch2/catch.hpp>
#include <cmath>
#include <smalti/io/json.hpp>
#include <smalti/math/sampling.hpp>

namespace smalti {
namespace {

sampling_options options_of(json const& j) {
  return {.temperature = j.value("temperature", 1.f), .top_k = j.value("top_k", 0), .top_p = j.value("top_p", 1.f), .min_p = j.value("min_p", 0.f),
          .repetition_penalty = j.value("repetition_penalty", 1.f), .seed = 7};
}

TEST_CASE("draws stay within the tokens that transformers keeps, and follow its probabilities") {
  constexpr int draws = 40000;
  auto const file = read_json("tests/golden/ops/sampling.json");
  REQUIRE(file["cases"].size() >= 13);
  for (auto const& c : file["cases"]) {
    INFO(c["name"].get<std::string>());
    auto const logits = c["logits"].get<std::vector<float>>();
    auto const seen = c["seen"].get<std::vector<int>>();
    auto const probability = c["probability"].get<std::vector<double>>();
    sampler draw(options_of(c["options"]));
    std::vector<int> count(logits.size());
    for (int i = 0; i < draws; ++i) {
      auto x = logits;  // a penalty changes them
      int const token = draw(x, seen);
      REQUIRE((token >= 0 && token < int(count.size())));
      ++count[std::size_t(token)];
    }
    for (std::size_t t = 0; t < count.size(); ++t) {
      INFO("token " << t);
      double const p = probability[t], deviation = std::sqrt(p * (1 - p) / draws);
      if (p == 0) CHECK(count[t] == 0);
      else CHECK(std::abs(count[t] / double(draws) - p) <= 5 * deviation + 1.5 / draws);
      if (p * draws > 40) CHECK(count[t] > 0);  // kept tokens do come
    }
  }
}

TEST_CASE("a temperature of zero takes the best token after the penalty") {
  auto const file = read_json("tests/golden/ops/sampling.json");
  for (auto const& c : file["cases"]) {
    auto x = c["logits"].get<std::vector<float>>();
    auto const seen = c["seen"].get<std::vector<int>>();
    auto o = options_of(c["options"]);
    o.temperature = 0;
    int best = -1;
    double top = -INFINITY;
    for (std::size_t t = 0; t < x.size(); ++t)
      if (double const v = c["result"][t].is_null() ? -INFINITY : c["result"][t].get<double>(); v > top) top = v, best = int(t);
    INFO(c["name"].get<std::string>());
    CHECK(sampler(o)(x, seen) == best);
  }
}

}  // namespace
}  // namespace smalti
