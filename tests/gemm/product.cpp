// Products against a double-precision oracle: all kinds of weights, odd sizes, all instruction sets that this machine has.
#include <catch2/catch.hpp>
#include "gemm/weights.hpp"

namespace smalti::test {
namespace {

void check(packed_weight const& w, char const* kind, int m, arch a) {
  int const n = rows_of(w), k = columns_of(w);
  auto const x = normal(index(m) * k, 2), all = decoded(w);
  std::vector<float> y(std::size_t(index(m) * n) + 1, nan);
  REQUIRE(gemm(on_cpu{a}, row_major(y.data(), m, n), product(row_major(x.data(), m, k), w)));
  bool good = true;
  for (int i = 0; i < m && good; ++i)
    for (int j = 0; j < n && good; ++j) {
      auto const [value, tolerance] = dot(x.data() + index(i) * k, all.data() + index(j) * k, k);
      if (std::fabs(y[std::size_t(index(i) * n + j)] - value) <= tolerance) continue;  // a NaN fails too
      good = false;
      FAIL_CHECK(kind << " (" << m << ", " << n << ", " << k << ") level " << a.level << ": y(" << i << ", " << j << ") = " << y[std::size_t(index(i) * n + j)]
                      << ", expected " << value << " ± " << tolerance);
    }
  CHECK(std::isnan(y.back()));  // nothing written beyond y
}

TEST_CASE("a product agrees with double precision") {
  for (arch a : {generic_cpu, host_arch()})
    for (auto [n, k] : {std::pair{1, 128}, {33, 384}, {70, 640}})
      for (int kind = 0; kind < 8; ++kind) {
        auto const w = make(kind, normal(index(n) * k, 1), n, k);
        for (int m : {0, 1, 2, 3, 4, 5, 9, 17}) check(w, kinds[kind], m, a);
      }
}

TEST_CASE("a product may have any number of columns") {
  for (arch a : {generic_cpu, host_arch()})
    for (auto [n, k] : {std::pair{5, 1}, {17, 7}, {31, 67}, {16, 263}})
      for (int kind = 0; kind < 4; ++kind) {
        auto const w = make(kind, normal(index(n) * k, 1), n, k);
        for (int m : {1, 2, 3, 4, 8}) check(w, kinds[kind], m, a);
      }
}

TEST_CASE("a product may be tall, wide, and deeper than a panel") {
  auto const wide = make(5, normal(49155 * 64, 1), 49155, 64);
  check(wide, "nf4 nested", 1, host_arch()), check(wide, "nf4 nested", 3, host_arch());
  auto const deep = make(5, normal(20 * 8192, 1), 20, 8192);  // more blocks than few_rows decodes scales for at a time
  for (int m : {1, 2, 7}) check(deep, "nf4 nested", m, host_arch());
  check(make(4, normal(70 * 192, 1), 70, 192), "nf4", 401, host_arch());  // more rows than a slab
}

TEST_CASE("threads do not change a bit") {
  thread_pool pool(3);
  int const n = 500, k = 192;
  auto const w = make(5, normal(n * k, 1), n, k);
  for (int m : {1, 40}) {
    auto const x = normal(m * k, 3);
    std::vector<float> one(std::size_t(m * n), nan), many(std::size_t(m * n), nan);
    REQUIRE(gemm(on_cpu{}, row_major(one.data(), m, n), product(row_major(x.data(), m, k), w)));
    REQUIRE(gemm(on_cpu{pool}, row_major(many.data(), m, n), product(row_major(x.data(), m, k), w)));
    REQUIRE(one == many);
  }
}

TEST_CASE("a NaN stays in its row") {
  int const m = 8, n = 40, k = 64;
  auto const w = make(4, normal(n * k, 1), n, k);
  auto x = normal(m * k, 3);
  x[3 * k + 5] = nan;
  std::vector<float> y(m * n, 0.f);
  REQUIRE(gemm(on_cpu{}, row_major(y.data(), m, n), product(row_major(x.data(), m, k), w)));
  for (int i = 0; i < m * n; ++i) REQUIRE(std::isnan(y[std::size_t(i)]) == (i / n == 3));
}

TEST_CASE("bad arguments are refused and y is left alone") {
  auto const w = make(0, normal(8 * 64, 1), 8, 64);
  auto const x = normal(2 * 64, 2);
  std::vector<float> y(16, 7.f);
  auto const id = [&](auto out, auto in) { return std::string(gemm(on_cpu{}, out, product(in, w)).id); };
  CHECK(id(row_major(y.data(), 2, 8), row_major(x.data(), 2, 32)) == "gemm.1");
  CHECK(id(row_major(y.data(), 2, 7), row_major(x.data(), 2, 64)) == "gemm.2");
  CHECK(id(row_major(y.data(), 1, 8), row_major(x.data(), 2, 64)) == "gemm.2");
  CHECK(id(view<float, 2>{nullptr, {2, 8}, {8, 1}}, row_major(x.data(), 2, 64)) == "gemm.3");
  CHECK(id(row_major(y.data(), 2, 8), view<float const, 2>{nullptr, {2, 64}, {64, 1}}) == "gemm.3");
  CHECK(std::string(gemm(on_cpu{}, row_major(y.data(), 2, 8), std::span<term const>{}).id) == "gemm.3");
  CHECK(y == std::vector<float>(16, 7.f));
}

}  // namespace
}  // namespace smalti::test
