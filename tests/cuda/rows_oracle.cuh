#pragma once
// Operands of a product on host and device, its sums in double precision, and the comparison of both.

#include "arrays.cuh"

#include <cmath>

namespace smalti::test {

inline on_cuda const gpu = [] {
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  return on_cuda{nullptr, major == 9 ? sm_90a : sm_80};
}();
inline launch_order const early{.programmatic = true};

struct rows_case {
  int n, k, m, rank = 0, gap = 0;  ///< gap: elements between rows of x and of y
  unsigned seed = 5;
};

/// Sums and what their terms add up to without signs, (m, n).
struct rows_sums { std::vector<double> value, size; };

/// T: of the weights (float where they are INT8), X: of x and of the terms' operands.
template <class T, class X>
struct rows_operands {
  rows_case c;
  std::vector<T> w;
  std::vector<X> x, t, b;
  device_array<X> x_there, t_there, b_there;
  explicit rows_operands(rows_case const& c)
      : c(c), w(random_values<T>(std::size_t(c.n) * c.k, c.seed)), x(random_values<X>(std::size_t(c.m) * (c.k + c.gap), 1)), t(random_values<X>(std::size_t(c.m) * c.rank, 2)),
        b(random_values<X>(std::size_t(c.n) * c.rank, 3)), x_there(x), t_there(t), b_there(b) {}
  view<X, 2> view_x() const { return {x_there.at, {c.m, c.k}, {c.k + c.gap, 1}}; }
  view<X, 2> view_t() const { return row_major(t_there.at, c.m, c.rank); }
  view<X, 2> view_b() const { return row_major(b_there.at, c.n, c.rank); }

  /// by · x · Wᵀ + of_terms · t · Bᵀ.
  template <class W>
  rows_sums oracle(W weight, double by = 2, double of_terms = 0.5) const {
    rows_sums s{std::vector<double>(std::size_t(c.m) * c.n), std::vector<double>(std::size_t(c.m) * c.n)};
    for (int i = 0; i < c.m; ++i)
      for (int j = 0; j < c.n; ++j) {
        double v = 0, size = 0;
        for (int k = 0; k < c.k; ++k) {
          double const one = by * double(float(x[std::size_t(i) * (c.k + c.gap) + k])) * weight(j, k);
          v += one, size += std::fabs(one);
        }
        for (int k = 0; k < c.rank; ++k) {
          double const one = of_terms * double(float(t[std::size_t(i) * c.rank + k])) * double(float(b[std::size_t(j) * c.rank + k]));
          v += one, size += std::fabs(one);
        }
        s.value[std::size_t(i) * c.n + j] = v, s.size[std::size_t(i) * c.n + j] = size;
      }
    return s;
  }
};

/// In units of one rounding to Y and of fp32 sums over terms of that size.
template <class Y>
double off_by(Y got, double want, double size) {
  double const rounding = sizeof(Y) == 4 ? 1e-7 : std::is_same_v<Y, bf16> ? 1. / 256 : 1. / 1024;
  double const d = std::fabs(double(float(got)) - want) / (std::fabs(want) * rounding + size * 2e-6 + 1e-30);
  return std::isnan(d) ? 1e9 : d;
}

/// run(y) twice into poisoned memory: right, the same bit for bit, and nothing beside the rectangle.
template <class Y, class Operands, class F>
void check_sums(rows_case const& c, Operands const&, F run, rows_sums const& want) {
  index const row = c.n + c.gap;
  device_array<Y> y(std::size_t(c.m * row));
  std::vector<Y> once;
  for (int again = 0; again < 2; ++again) {
    y.poison();
    require_ok(run(view<Y, 2>{y.at, {c.m, c.n}, {row, 1}}));
    require_cuda(cudaDeviceSynchronize());
    auto got = y.host();
    if (again) CHECK(std::memcmp(got.data(), once.data(), got.size() * sizeof(Y)) == 0);
    once = std::move(got);
  }
  double worst = 0;
  for (index i = 0; i < c.m; ++i)
    for (index j = 0; j < row; ++j) {
      if (j < c.n) worst = std::max(worst, off_by(once[std::size_t(i * row + j)], want.value[std::size_t(i * c.n + j)], want.size[std::size_t(i * c.n + j)]));
      else {
        unsigned char bytes[sizeof(Y)];
        std::memcpy(bytes, &once[std::size_t(i * row + j)], sizeof(Y));
        REQUIRE(bytes[0] == 0xff);
      }
    }
  CHECK(worst < 1);
}

}  // namespace smalti::test
