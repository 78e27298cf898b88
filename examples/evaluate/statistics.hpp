#pragma once
// How sure a mean is, and whether two runs differ: bootstrap intervals, a paired permutation test, McNemar's test. Everything random is seeded,
// and the same on every machine.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

namespace evaluation {

/// SplitMix64 (Steele, Lea & Flood 2014): small, seeded by any number, and not left to the standard library's choice.
class random_source {
 public:
  explicit random_source(uint64_t seed) : state_(seed) {}
  uint64_t operator()() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u, z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  /// 0 … n − 1, n < 2³²; its bias is below n / 2³².
  std::size_t below(std::size_t n) { return std::size_t(((*this)() >> 32) * uint64_t(n) >> 32); }

 private:
  uint64_t state_;
};

struct resampling {
  int rounds = 2000;    ///< of the bootstrap; ten times as many of the permutation test
  double level = 0.95;  ///< of the interval
  uint64_t seed = 1;
};

/// A mean with its percentile interval; n = 0 leaves value and bounds NaN.
struct estimate {
  double value = std::numeric_limits<double>::quiet_NaN(), low = value, high = value;
  int n = 0;
};

inline double mean(std::span<double const> x) {
  double sum = 0;
  for (double v : x) sum += v;
  return sum / double(x.size());
}

/// The value below which a share q of a sorted sample lies, interpolated between neighbours (Hyndman & Fan 1996, type 7).
inline double quantile(std::span<double const> sorted, double q) {
  double const at = q * double(sorted.size() - 1);
  auto const i = std::size_t(at);
  return i + 1 < sorted.size() ? sorted[i] + (at - double(i)) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

/// The percentile bootstrap of a mean (Efron & Tibshirani 1993, chapter 13): questions are drawn with replacement.
inline estimate bootstrap_mean(std::span<double const> x, resampling how = {}) {
  if (x.empty()) return {};
  random_source draw(how.seed);
  std::vector<double> means(std::size_t(std::max(how.rounds, 1)));
  for (double& m : means) {
    m = 0;
    for (std::size_t i = 0; i < x.size(); ++i) m += x[draw.below(x.size())];
    m /= double(x.size());
  }
  std::sort(means.begin(), means.end());
  double const tail = (1 - how.level) / 2;
  return {mean(x), quantile(means, tail), quantile(means, 1 - tail), int(x.size())};
}

struct comparison {
  estimate difference;  ///< mean of b − a, with the bootstrap interval of the pairs
  double p = 1;         ///< two-sided, of the sign-flip permutation test
  bool exact = false;   ///< all sign patterns were counted
};

/// Whether b's scores differ from a's, question by question: if they did not, the sign of each difference would be chance (Fisher 1935). All 2ⁿ
/// patterns for n ≤ 16 differences that are not zero; else a sample, p = (1 + as extreme) / (1 + drawn) (Phipson & Smyth 2010).
inline comparison compare_paired(std::span<double const> a, std::span<double const> b, resampling how = {}) {
  if (a.size() != b.size()) throw std::invalid_argument("compare_paired: expected two lists of one length");
  std::vector<double> differences, moved;
  for (std::size_t i = 0; i < a.size(); ++i) {
    differences.push_back(b[i] - a[i]);
    if (differences.back() != 0) moved.push_back(differences.back());
  }
  comparison c{bootstrap_mean(differences, how), 1, moved.size() <= 16};
  if (moved.empty()) return c;
  double observed = 0;
  for (double d : moved) observed += d;
  double const bar = std::fabs(observed) * (1 - 1e-12);  // a pattern that ties but for rounding is as extreme
  long long extreme = 0, drawn = c.exact ? 1ll << moved.size() : 10ll * how.rounds;
  random_source draw(how.seed + 1);
  for (long long round = 0; round < drawn; ++round) {
    double sum = 0;
    uint64_t bits = uint64_t(round);
    for (std::size_t i = 0; i < moved.size(); ++i) {
      if (!c.exact && i % 64 == 0) bits = draw();
      sum += bits >> (i % 64) & 1 ? moved[i] : -moved[i];
    }
    extreme += std::fabs(sum) >= bar;
  }
  c.p = c.exact ? double(extreme) / double(drawn) : double(1 + extreme) / double(1 + drawn);
  return c;
}

/// McNemar's exact test (1947): of the questions that only one of two runs got right, were it a coin, how likely is a split at least as uneven?
/// Two-sided: 2 · P(X ≤ min(only_a, only_b)), X binomial(only_a + only_b, ½), at most 1.
inline double mcnemar(int only_a, int only_b) {
  int const n = only_a + only_b, k = std::min(only_a, only_b);
  double p = 0;
  for (int i = 0; i <= k; ++i) p += std::exp(std::lgamma(n + 1.) - std::lgamma(i + 1.) - std::lgamma(n - i + 1.) - n * std::log(2.));
  return std::min(1., 2 * p);
}

}  // namespace evaluation
