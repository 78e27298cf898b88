// Sampling against its definition: each filter alone, their order, determinism, and the frequencies of draws.

#include <catch2/catch.hpp>
#include <smalti/math/sampling.hpp>

#include <map>

namespace smalti::test {

/// How often each token is drawn in n draws.
std::map<int, int> draws(sampling_options o, std::vector<float> const& logits, int n = 4000, std::vector<int> const& seen = {}) {
  sampler s(o);
  std::map<int, int> count;
  for (int i = 0; i < n; ++i) {
    auto x = logits;
    ++count[s(x, seen)];
  }
  return count;
}
std::vector<float> const logits{std::log(0.5f), std::log(0.05f), std::log(0.25f), std::log(0.2f)};

TEST_CASE("greedy: the largest, the first of equals") {
  CHECK(greedy(std::vector<float>{1, 3, 3, 2}) == 1);
  CHECK(greedy({}) == -1);
  CHECK(draws({}, logits, 3) == std::map<int, int>{{0, 3}});
}

TEST_CASE("draws follow the distribution and the temperature") {
  auto const plain = draws({.temperature = 1, .seed = 3}, logits, 20000);
  double const p[] = {0.5, 0.05, 0.25, 0.2};
  for (int t = 0; t < 4; ++t) CHECK(std::abs(plain.at(t) - 20000 * p[t]) < 4.5 * std::sqrt(20000 * p[t] * (1 - p[t])));
  auto const cold = draws({.temperature = 0.5f, .seed = 3}, logits, 20000);  // weights p²: 0.25, 0.0025, 0.0625, 0.04
  CHECK(std::abs(cold.at(0) - 20000 * 0.25 / 0.355) < 300);
}

TEST_CASE("filters keep what they say") {
  auto tokens = [](std::map<int, int> const& m) {
    std::vector<int> t;
    for (auto [k, n] : m) t.push_back(k);
    return t;
  };
  CHECK(tokens(draws({.temperature = 1, .top_k = 2}, logits)) == std::vector{0, 2});
  CHECK(tokens(draws({.temperature = 1, .top_k = 99}, logits)) == std::vector{0, 1, 2, 3});
  CHECK(tokens(draws({.temperature = 1, .top_p = 0.7f}, logits)) == std::vector{0, 2});   // 0.5 < 0.7 ≤ 0.75
  CHECK(tokens(draws({.temperature = 1, .top_p = 0.1f}, logits)) == std::vector{0});
  CHECK(tokens(draws({.temperature = 1, .top_p = 0.f}, logits)) == std::vector{0});       // never nothing
  CHECK(tokens(draws({.temperature = 1, .min_p = 0.3f}, logits)) == std::vector{0, 2, 3});
  CHECK(tokens(draws({.temperature = 1, .min_p = 1.5f}, logits)) == std::vector{0});
  // top-p counts the renormalised weights that top-k left: 0.5/0.75 ≥ 0.6
  CHECK(tokens(draws({.temperature = 1, .top_k = 2, .top_p = 0.6f}, logits)) == std::vector{0});
  // ties with the k-th stay
  CHECK(tokens(draws({.temperature = 1, .top_k = 2}, {3, 2, 2, 0})) == std::vector{0, 1, 2});
}

TEST_CASE("the repetition penalty divides what is positive and multiplies what is negative, once a token") {
  sampler s({.repetition_penalty = 2});
  std::vector<float> x{4, -1, 3};
  std::vector<int> const seen{0, 0, 1, -5, 77};
  CHECK(s(x, seen) == 2);
  CHECK(x == std::vector<float>{2, -2, 3});
}

TEST_CASE("one seed, one text; another seed, another") {
  auto text = [](uint64_t seed) {
    sampler s({.temperature = 1, .seed = seed});
    std::vector<int> t;
    for (int i = 0; i < 50; ++i) {
      auto x = logits;
      t.push_back(s(x));
    }
    return t;
  };
  CHECK(text(5) == text(5));
  CHECK(text(5) != text(6));
}

TEST_CASE("logits that are not numbers still give a token") {
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> x{bad, 1, bad};
    int const t = sampler({.temperature = 1, .top_k = 2, .top_p = 0.9f})(x);
    CHECK((t >= 0 && t < 3));
  }
  std::vector<float> all{-INFINITY, -INFINITY};
  CHECK(sampler({.temperature = 1})(all) >= 0);
}

}  // namespace smalti::test
