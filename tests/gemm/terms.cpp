// Sums of terms, element types, strides and epilogues.
#include <catch2/catch.hpp>
#include "gemm/weights.hpp"

namespace smalti::test {
namespace {

template <class X, class Y>
void check_types(arch a, int m, double y_epsilon) {
  int const n = 37, k = 70;
  auto const x = narrowed<X>(normal(m * k * 2, 1)), w = narrowed<X>(normal(n * k, 2));
  buffer<Y> y(std::size_t(m * n * 3), Y(nan));
  view<X const, 2> const every_second{x.data(), {m, k}, {2 * k, 2}};  // strides that nothing can be copied along
  view<Y, 2> const spread{y.data(), {m, n}, {3 * n, 3}};
  REQUIRE(gemm(on_cpu{a}, spread, product(every_second, row_major(static_cast<X const*>(w.data()), n, k))));
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      std::vector<float> u(k), v(k);
      for (int l = 0; l < k; ++l) u[l] = float(every_second(i, l)), v[l] = float(w[std::size_t(j * k + l)]);
      auto const [value, tolerance] = dot(u.data(), v.data(), k);
      INFO(i << ", " << j << " level " << a.level);
      REQUIRE(std::fabs(float(spread(i, j)) - value) <= tolerance + y_epsilon * std::fabs(value));
      REQUIRE(std::isnan(float((&spread(i, j))[1])));
    }
}

TEST_CASE("x, w and y may be of any type and strides") {
  for (arch a : {generic_cpu, host_arch()})
    for (int m : {1, 5, 13}) check_types<float, float>(a, m, 0), check_types<bf16, bf16>(a, m, 1. / 256), check_types<f16, f16>(a, m, 1. / 2048), check_types<bf16, float>(a, m, 0);
}

TEST_CASE("a transposed weight is a matter of strides") {
  int const n = 37, k = 22;
  auto const w = normal(n * k, 2);                                 // (k, n)
  view<float const, 2> const transposed{w.data(), {n, k}, {1, n}};
  for (int m : {1, 9}) {
    auto const x = normal(m * k, 1);
    std::vector<float> a(std::size_t(m * n), nan), b(std::size_t(m * n), nan);
    REQUIRE(gemm(on_cpu{}, row_major(a.data(), m, n), product(row_major(x.data(), m, k), transposed)));
    REQUIRE(gemm(on_cpu{}, row_major(b.data(), m, n), product(row_major(x.data(), m, k), pack(transposed))));
    for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(a[i] == Approx(b[i]).margin(1e-5));
  }
}

TEST_CASE("a sum of terms is one product with a longer K axis") {
  int const n = 40, k = 64, r = 6;
  auto const w = normal(n * k, 1), b = normal(n * r, 2);
  for (arch a : {generic_cpu, host_arch()})
    for (int m : {1, 4, 6, 31}) {
      auto const x = normal(m * k, 3), t = normal(m * r, 4);
      auto const packed = make(4, w, n, k);
      auto const all = decoded(packed);
      std::vector<float> y(std::size_t(m * n), nan);
      REQUIRE(gemm(on_cpu{a}, row_major(y.data(), m, n),
                   -0.5f * product(row_major(x.data(), m, k), packed) + 3.f * product(row_major(t.data(), m, r), row_major(b.data(), n, r))));
      for (int i = 0; i < m; ++i)
        for (int j = 0; j < n; ++j) {
          auto const one = dot(&x[std::size_t(i * k)], &all[std::size_t(j * k)], k), two = dot(&t[std::size_t(i * r)], &b[std::size_t(j * r)], r);
          REQUIRE(std::fabs(y[std::size_t(i * n + j)] - (-0.5 * one.value + 3 * two.value)) <= 0.5 * one.tolerance + 3 * two.tolerance + 1e-6);
        }
    }
}

TEST_CASE("epilogues compose, and the residual may be y") {
  int const n = 20, k = 32;
  auto const w = normal(n * k, 1, 0.2f), c = normal(n, 2);
  for (int m : {1, 7}) {
    auto const x = normal(m * k, 3), old = normal(m * n, 4);
    auto y = old;
    auto const out = row_major(y.data(), m, n);
    REQUIRE(gemm(on_cpu{}, out, product(row_major(x.data(), m, k), row_major(w.data(), n, k)), bias{c.data()} | gelu{} | scaled{0.5f} | residual{out}));
    for (int i = 0; i < m * n; ++i) {
      double v = dot(&x[std::size_t(i / n * k)], &w[std::size_t(i % n * k)], k).value + c[std::size_t(i % n)];
      v = 0.5 * v * (1 + std::erf(v / std::sqrt(2.))) * 0.5 + old[std::size_t(i)];
      REQUIRE(y[std::size_t(i)] == Approx(v).margin(3e-6));
    }
  }
}

TEST_CASE("SwiGLU is silu(x·Gᵀ) ⊙ (x·Uᵀ)") {
  int const n = 50, k = 64;
  auto const g = make(4, normal(n * k, 1, 0.3f), n, k), u = make(3, normal(n * k, 2, 0.3f), n, k);
  auto const gate = decoded(g), up = decoded(u);
  for (arch a : {generic_cpu, host_arch()})
    for (int m : {1, 3, 19}) {
      auto const x = normal(m * k, 3);
      std::vector<float> y(std::size_t(m * n), nan);
      REQUIRE(gemm_swiglu(on_cpu{a}, row_major(y.data(), m, n), row_major(x.data(), m, k), g, u));
      for (int i = 0; i < m * n; ++i) {
        auto const p = dot(&x[std::size_t(i / n * k)], &gate[std::size_t(i % n * k)], k), q = dot(&x[std::size_t(i / n * k)], &up[std::size_t(i % n * k)], k);
        double const v = p.value / (1 + std::exp(-p.value)) * q.value;  // |silu'| ≤ 1.1
        REQUIRE(std::fabs(y[std::size_t(i)] - v) <= 1.1 * p.tolerance * std::fabs(q.value) + q.tolerance * std::fabs(p.value) + 1e-6);
      }
    }
  float x[64] = {}, y[2];
  CHECK(std::string(gemm_swiglu(on_cpu{}, row_major(y, 1, 2), row_major(x, 1, 64), g, u).id) == "gemm.2");
}

}  // namespace
}  // namespace smalti::test
