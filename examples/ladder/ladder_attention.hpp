#pragma once
// What the rungs of the attention ladder share: one problem, the oracle in double precision, the clock, the printed line.
// Causal attention of one sequence: H heads of N queries and keys, D columns, f32, row-major (H, N, D).

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

namespace ladder {

struct problem {
  int H, N, D;
  std::vector<float> q, k, v, o;  // (H, N, D)
  float scale;

  problem(int heads, int n, int d) : H(heads), N(n), D(d), q(fill(1)), k(fill(2)), v(fill(3)), o(q.size()), scale(1 / std::sqrt(float(d))) {}
  double flops() const { return 2.0 * H * N * (N + 1.0) * D; }  // two products over the lower triangle

 private:
  std::vector<float> fill(unsigned seed) const {
    std::mt19937 random(seed);
    std::normal_distribution<float> draw;
    std::vector<float> x(std::size_t(H) * std::size_t(N) * std::size_t(D));
    for (auto& e : x) e = draw(random);
    return x;
  }
};

/// The largest difference from softmax(Q Kᵀ · scale) V in double precision.
inline double error(problem const& p) {
  double worst = 0;
  std::vector<double> s(std::size_t(p.N));
  for (int h = 0; h < p.H; ++h)
    for (int i = 0; i < p.N; ++i) {
      auto at = [&](std::vector<float> const& x, int row, int c) { return double(x[(std::size_t(h) * std::size_t(p.N) + std::size_t(row)) * std::size_t(p.D) + std::size_t(c)]); };
      double m = -INFINITY, l = 0;
      for (int j = 0; j <= i; ++j) {
        double dot = 0;
        for (int c = 0; c < p.D; ++c) dot += at(p.q, i, c) * at(p.k, j, c);
        m = std::fmax(m, s[std::size_t(j)] = dot * p.scale);
      }
      for (int j = 0; j <= i; ++j) l += s[std::size_t(j)] = std::exp(s[std::size_t(j)] - m);
      for (int c = 0; c < p.D; ++c) {
        double o = 0;
        for (int j = 0; j <= i; ++j) o += s[std::size_t(j)] * at(p.v, j, c);
        double const e = std::fabs(o / l - at(p.o, i, c));
        worst = e <= worst ? worst : std::isnan(e) ? INFINITY : e;
      }
    }
  return worst;
}

/// Checks a small problem of odd sizes, then times a large one (with --quick a small one) and prints one line.
template <class F>
int climb(int argc, char** argv, char const* rung, F attention) {
  problem small(3, 131, 64);
  std::fill(small.o.begin(), small.o.end(), NAN);
  attention(small);
  double const e = error(small);
  bool const quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0, ok = e < 5e-6;  // ~ 6e-8 · √131 · a few
  problem large(quick ? 2 : 8, quick ? 128 : 1024, 64);
  std::vector<double> seconds;
  for (int i = 0; i < (quick ? 1 : 3); ++i) {
    auto const start = std::chrono::steady_clock::now();
    attention(large);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + std::ptrdiff_t(seconds.size() / 2), seconds.end());
  std::printf("%-44s %7.2f GFLOP/s   max error %.1e %s\n", rung, large.flops() / seconds[seconds.size() / 2] * 1e-9, e, ok ? "ok" : "WRONG");
  return ok ? 0 : 1;
}

}  // namespace ladder
