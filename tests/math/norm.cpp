// Row operations against double precision: widths around a vector, 16-bit types, in place, extremes, refusals.

#include <catch2/catch.hpp>
#include <smalti/math/activations.hpp>
#include <smalti/math/norm.hpp>

#include <cmath>
#include <random>
#include <vector>

namespace smalti::test {

std::vector<float> normal(int n, unsigned seed, float mean = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw(mean, 1);
  std::vector<float> x(static_cast<std::size_t>(n));
  for (auto& e : x) e = draw(random);
  return x;
}

constexpr int widths[] = {1, 2, 15, 16, 17, 31, 33, 64, 100, 384};

/// Runs `operation(where, y, x)` on every instruction set here and compares with want(row, column).
template <class F, class G>
void agrees(int rows, int n, std::vector<float>& x, double tolerance, F operation, G want) {
  for (arch a : {generic_cpu, host_arch()}) {
    std::vector<float> y(x.size() + 1, NAN);
    REQUIRE(operation(on_cpu{a}, row_major(y.data(), rows, n), row_major<float const>(x.data(), rows, n)));
    CHECK(std::isnan(y.back()));  // not a column further
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < n; ++c) {
        CAPTURE(a.level, n, r, c);
        double const w = want(&x[std::size_t(r * n)], c);
        REQUIRE(std::fabs(y[std::size_t(r * n + c)] - w) <= tolerance * (1 + std::fabs(w)));
      }
    auto z = x;
    REQUIRE(operation(on_cpu{a}, row_major(z.data(), rows, n), row_major<float const>(z.data(), rows, n)));
    y.pop_back();
    REQUIRE(z == y);  // in place is the same
  }
}

TEST_CASE("rms_norm") {
  for (int n : widths) {
    auto x = normal(3 * n, 1);
    auto const w = normal(n, 2);
    agrees(3, n, x, 1e-6, [&](on_cpu const& where, auto y, auto x) { return rms_norm(where, y, x, w, 1e-5f); },
           [&](float const* row, int c) {
             double s = 0;
             for (int i = 0; i < n; ++i) s += double(row[i]) * row[i];
             return row[c] / std::sqrt(s / n + 1e-5) * w[std::size_t(c)];
           });
  }
}

TEST_CASE("layer_norm, also far from zero") {
  for (int n : widths) {
    auto x = normal(3 * n, 3, 100);  // the centred sum of squares: E[x²] − E[x]² would lose four digits here
    auto const w = normal(n, 4), b = normal(n, 5);
    agrees(3, n, x, 2e-4, [&](on_cpu const& where, auto y, auto x) { return layer_norm(where, y, x, w, b, 1e-3f); },
           [&](float const* row, int c) {
             double m = 0, s = 0;
             for (int i = 0; i < n; ++i) m += row[i] / double(n);
             for (int i = 0; i < n; ++i) s += (row[i] - m) * (row[i] - m);
             return (row[c] - m) / std::sqrt(s / n + 1e-3) * w[std::size_t(c)] + b[std::size_t(c)];
           });
  }
}

TEST_CASE("softmax") {
  for (int n : widths) {
    auto x = normal(2 * n, 6);
    for (auto& e : x) e *= 20;
    agrees(2, n, x, 5e-7, [](on_cpu const& where, auto y, auto x) { return softmax(where, y, x); }, [&](float const* row, int c) {
      double m = -INFINITY, s = 0;
      for (int i = 0; i < n; ++i) m = std::fmax(m, row[i]);
      for (int i = 0; i < n; ++i) s += std::exp(row[i] - m);
      return std::exp(row[c] - m) / s;
    });
  }
  float x[3] = {-INFINITY, -INFINITY, -INFINITY}, y[3];
  REQUIRE(softmax(on_cpu{}, row_major(y, 1, 3), row_major(x, 1, 3)));
  CHECK(y[1] == 0);
}

TEST_CASE("gelu and silu") {
  std::vector<float> x{0, -0.f, 1, -1, 88, -88, 1e30f, -1e30f, 3e-5f};
  for (float v = -12; v < 12; v += 0.037f) x.push_back(v);
  int const n = int(x.size());
  agrees(1, n, x, 4e-7, [](on_cpu const& where, auto y, auto x) { return apply_gelu(where, y, x); },
         [](float const* row, int c) { return row[c] * 0.5 * std::erfc(-double(row[c]) / std::sqrt(2.)); });
  agrees(1, n, x, 4e-7, [](on_cpu const& where, auto y, auto x) { return apply_silu(where, y, x); },
         [](float const* row, int c) { return row[c] / (1 + std::exp(-double(row[c]))); });
}

TEST_CASE("16-bit rows are rounded once") {
  auto const x = normal(77, 8), w = normal(77, 9);
  std::vector<bf16> b(77), y(77);
  for (std::size_t i = 0; i < 77; ++i) b[i] = bf16(x[i]);
  std::vector<float> wide(77), want(77);
  for (std::size_t i = 0; i < 77; ++i) wide[i] = float(b[i]);
  REQUIRE(rms_norm(on_cpu{}, row_major(want.data(), 1, 77), row_major(wide.data(), 1, 77), w, 1e-6f));
  REQUIRE(rms_norm(on_cpu{}, row_major(y.data(), 1, 77), row_major(b.data(), 1, 77), w, 1e-6f));
  for (std::size_t i = 0; i < 77; ++i) CHECK(y[i] == bf16(want[i]));
}

TEST_CASE("row operations refuse what does not fit") {
  std::vector<float> x(12), y(12), w(4);
  auto const v = row_major(x.data(), 3, 4);
  CHECK(std::string(rms_norm(on_cpu{}, row_major(y.data(), 3, 3), v, w, 0).id) == "math.3");
  CHECK(std::string(rms_norm(on_cpu{}, row_major(y.data(), 3, 4), v, std::span<float const>(w).first(3), 0).id) == "math.3");
  CHECK(std::string(layer_norm(on_cpu{}, v, v, w, std::span<float const>(w).first(3), 0).id) == "math.3");
  CHECK(std::string(softmax(on_cpu{}, view<float, 2>{y.data(), {3, 4}, {1, 3}}, v).id) == "math.3");
  CHECK(rms_norm(on_cpu{}, row_major(y.data(), 0, 4), row_major(x.data(), 0, 4), w, 0));
}

}  // namespace smalti::test
