#pragma once
// What the rungs of the NF4 ladder share: one problem, y = Ŵ·x with W (4096, 4096) in NF4, its oracle in double precision,
// and one line of result. Every rung changes one thing of the rung before it.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>
#include <smalti/nf4.hpp>

namespace ladder {

struct problem {
  int n, k;
  smalti::nf4_data w;            ///< (n, k), absmax in fp32 per 64
  std::vector<float> x;          ///< (k)
  std::vector<double> expected;  ///< (n)
  double tolerance;              ///< ε·√k·|x||w|, of the longest row
};

/// --quick: (256, 1024), for tests.
inline problem make(int count, char** arguments) {
  bool const quick = count > 1 && std::strcmp(arguments[1], "--quick") == 0;
  int const n = quick ? 256 : 4096, k = quick ? 1024 : 4096;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> dense(std::size_t(n) * k), x(static_cast<std::size_t>(k));
  for (float& v : dense) v = 0.02f * normal(random);
  for (float& v : x) v = normal(random);
  problem p{n, k, smalti::quantise_nf4(smalti::on_cpu{}, smalti::row_major(dense.data(), n, k), {.double_quant = false}), std::move(x), {}, 0};
  double xx = 0;
  for (float v : p.x) xx += double(v) * v;
  for (smalti::index row = 0; row < n; ++row) {
    double sum = 0, ww = 0;
    for (smalti::index j = 0; j < k; ++j) {
      smalti::index const at = row * k + j;
      double const v = double(p.w.absmax[std::size_t(at / 64)]) * smalti::nf4_level[smalti::nf4_code_at(p.w.code.data(), at)];
      sum += v * p.x[std::size_t(j)], ww += v * v;
    }
    p.expected.push_back(sum);
    p.tolerance = std::max(p.tolerance, 6e-8 * std::sqrt(k * xx * ww));
  }
  return p;
}

/// Runs `product(y)` often enough, prints "name  ms  Gweights/s  max error", returns the exit code: 1 when an output is wrong.
template <class F>
int report(char const* name, problem const& p, F&& product) {
  std::vector<float> y(static_cast<std::size_t>(p.n), NAN);
  using clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (auto const start = clock::now(); seconds.size() < 3 || clock::now() - start < std::chrono::milliseconds(300);) {
    auto const before = clock::now();
    product(y.data());
    seconds.push_back(std::chrono::duration<double>(clock::now() - before).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  double const median = seconds[seconds.size() / 2];
  double worst = 0;
  for (int i = 0; i < p.n; ++i) worst = std::max(worst, y[i] == y[i] ? std::fabs(y[i] - p.expected[std::size_t(i)]) : INFINITY);
  std::printf("%-28s %9.3f ms %7.2f Gweights/s   max error %.1e (allowed %.1e)\n", name, median * 1e3, double(p.n) * p.k / median * 1e-9, worst, p.tolerance);
  return worst <= p.tolerance ? 0 : 1;
}

}  // namespace ladder
