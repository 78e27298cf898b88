// Intervals and tests against exact values, symmetry, and their own promise: coverage, and a level that is kept.
#include <catch2/catch.hpp>
#include <vector>
#include "../../examples/evaluate/statistics.hpp"

namespace evaluation {
namespace {

TEST_CASE("the random source is SplitMix64, and its draws are even") {
  random_source r(1234567);  // first outputs of the published algorithm for this seed
  CHECK(r() == 6457827717110365317u);
  CHECK(r() == 3203168211198807973u);
  int counts[7] = {};
  for (int i = 0; i < 70000; ++i) ++counts[r.below(7)];
  for (int c : counts) CHECK(std::abs(c - 10000) < 400);  // some 4 σ
  CHECK(r.below(1) == 0);
}

TEST_CASE("quantiles are interpolated") {
  std::vector<double> const x{1, 2, 3, 4};
  CHECK(quantile(x, 0) == 1);
  CHECK(quantile(x, 1) == 4);
  CHECK(quantile(x, 0.5) == 2.5);
  CHECK(quantile(std::vector<double>{7}, 0.3) == 7);
}

TEST_CASE("a bootstrap interval: seeded, degenerate, and near the normal one") {
  CHECK(bootstrap_mean({}).n == 0);
  CHECK(std::isnan(bootstrap_mean({}).value));
  auto const same = bootstrap_mean(std::vector<double>(20, 0.25));
  CHECK((same.low == 0.25 && same.value == 0.25 && same.high == 0.25 && same.n == 20));
  std::vector<double> x;
  for (int i = 0; i < 200; ++i) x.push_back(i < 60);  // 0.3 ± 1.96·√(0.21/200)
  auto const e = bootstrap_mean(x, {.rounds = 5000, .seed = 3});
  CHECK(e.value == Approx(0.3));
  CHECK(e.low == Approx(0.3 - 0.0635).margin(0.008));
  CHECK(e.high == Approx(0.3 + 0.0635).margin(0.008));
  auto const again = bootstrap_mean(x, {.rounds = 5000, .seed = 3}), other = bootstrap_mean(x, {.rounds = 5000, .seed = 4});
  CHECK((again.low == e.low && again.high == e.high));
  CHECK(std::abs(other.low - e.low) < 0.01);
}

TEST_CASE("the interval holds the truth about as often as it says") {
  random_source draw(5);
  int inside = 0;
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<double> x;
    for (int i = 0; i < 80; ++i) x.push_back(draw.below(10) < 4);
    auto const e = bootstrap_mean(x, {.rounds = 300, .seed = uint64_t(trial)});
    inside += e.low <= 0.4 && 0.4 <= e.high;
  }
  CHECK(inside > 300 * 0.90);
  CHECK(inside < 300 * 0.99);
}

TEST_CASE("the permutation test is exact for few differences") {
  std::vector<double> const a(6, 0.), b{1, 1, 1, 1, 1, 0};
  auto const c = compare_paired(a, b);  // five differences of one sign: 2 of 32 patterns are as extreme
  CHECK(c.exact);
  CHECK(c.p == Approx(2. / 32));
  CHECK(c.difference.value == Approx(5. / 6));
  auto const back = compare_paired(b, a);
  CHECK(back.p == c.p);
  CHECK(back.difference.value == Approx(-5. / 6));
  CHECK(compare_paired(a, a).p == 1);
  CHECK(compare_paired({}, {}).p == 1);
  std::vector<double> const shorter(5);
  CHECK_THROWS_AS(compare_paired(a, shorter), std::invalid_argument);
}

TEST_CASE("the sampled permutation test agrees with the exact one, and is repeatable") {
  std::vector<double> a, b;
  for (int i = 0; i < 40; ++i) a.push_back(0), b.push_back(i < 27 ? 1 : -1);  // 27 of 40 signs: 2·P(X ≥ 27) = 0.0385
  auto const c = compare_paired(a, b, {.seed = 9});
  CHECK_FALSE(c.exact);
  CHECK(c.p == Approx(0.0385).margin(0.006));
  CHECK(compare_paired(a, b, {.seed = 9}).p == c.p);
  CHECK(mcnemar(13, 27) == Approx(0.0385).margin(0.0005));
  for (double& v : b) v = 1;
  CHECK(compare_paired(a, b).p == Approx(1. / 20001));  // never 0: the observed one is a pattern, too
}

TEST_CASE("under no difference the test rejects as rarely as it says") {
  random_source draw(11);
  int rejected = 0;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<double> a, b;
    for (int i = 0; i < 30; ++i) a.push_back(double(draw.below(1000))), b.push_back(double(draw.below(1000)));
    rejected += compare_paired(a, b, {.rounds = 50, .seed = uint64_t(trial)}).p <= 0.05;
  }
  CHECK(rejected <= 22);  // 10 expected; 22 is 4 σ
}

TEST_CASE("McNemar's test: the binomial by hand") {
  CHECK(mcnemar(0, 0) == 1);
  CHECK(mcnemar(5, 5) == 1);
  CHECK(mcnemar(0, 5) == Approx(2. / 32));
  CHECK(mcnemar(5, 0) == Approx(2. / 32));
  CHECK(mcnemar(2, 8) == Approx(2 * 56. / 1024));  // 1 + 10 + 45
  CHECK(mcnemar(0, 2000) < 1e-300);
}

}  // namespace
}  // namespace evaluation
