// Adapters: as terms, stacked, per row, merged and taken out again.
#include <catch2/catch.hpp>
#include <smalti/lora.hpp>
#include "gemm/weights.hpp"

namespace smalti::test {
namespace {

lora adapter(int n, int k, int rank, unsigned seed) {
  return {rank, 0.5f, narrowed<float>(normal(rank * k, seed, 0.2f)), narrowed<float>(normal(n * rank, seed + 1, 0.2f))};
}
/// w += s · B · A in double precision.
void add(std::vector<double>& w, lora const& l, int n, int k) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < k; ++j)
      for (int r = 0; r < l.rank; ++r) w[std::size_t(i * k + j)] += double(l.scale) * l.b[std::size_t(i * l.rank + r)] * l.a[std::size_t(r * k + j)];
}
double product_of(float const* x, double const* w, int k) {
  double sum = 0;
  for (int j = 0; j < k; ++j) sum += x[j] * w[j];
  return sum;
}

TEST_CASE("adapters as terms are the merged weight, on every kind of weight") {
  int const n = 45, k = 128;
  lora const a = adapter(n, k, 5, 10), b = adapter(n, k, 16, 20);
  lora const* const both[] = {&a, &b};
  for (arch device : {generic_cpu, host_arch()})
    for (int kind = 0; kind < 6; ++kind) {
      auto const w = make(kind, normal(n * k, 1), n, k);
      auto const base = decoded(w);
      std::vector<double> merged(base.begin(), base.end());
      add(merged, a, n, k), add(merged, b, n, k);
      for (int m : {1, 3, 11}) {
        auto const x = normal(m * k, 2), old = normal(m * n, 3);
        auto y = old;
        auto const out = row_major(y.data(), m, n);
        REQUIRE(linear(on_cpu{device}, out, row_major(x.data(), m, k), w, both, residual{out}));
        for (int i = 0; i < m * n; ++i)
          REQUIRE(y[std::size_t(i)] == Approx(product_of(&x[std::size_t(i / n * k)], &merged[std::size_t(i % n * k)], k) + old[std::size_t(i)]).margin(1e-4));
      }
    }
}

TEST_CASE("every row may have an adapter of its own") {
  int const n = 30, k = 64, m = 9;
  lora const a = adapter(n, k, 4, 10), b = adapter(n, k, 8, 20);
  lora const* const both[] = {&a, &b};
  auto const w = make(5, normal(n * k, 1), n, k);
  auto const x = normal(m * k, 2), base = decoded(w);
  std::vector<std::vector<double>> merged(3, std::vector<double>(base.begin(), base.end()));  // none, a, b
  add(merged[1], a, n, k), add(merged[2], b, n, k);
  int const of_row[m] = {-1, 0, 0, 1, -1, 1, 1, 0, 1};
  std::vector<float> y(m * n, nan);
  REQUIRE(linear(on_cpu{}, row_major(y.data(), m, n), row_major(x.data(), m, k), w, both, identity{}, of_row));
  for (int i = 0; i < m * n; ++i) {
    auto const& with = merged[std::size_t(of_row[i / n] + 1)];
    REQUIRE(y[std::size_t(i)] == Approx(product_of(&x[std::size_t(i / n * k)], &with[std::size_t(i % n * k)], k)).margin(5e-5));
  }
}

TEST_CASE("unmerge takes out what merge put in") {
  int const n = 33, k = 70;
  lora const a = adapter(n, k, 7, 10);
  auto const w = normal(n * k, 1);
  auto v = w;
  std::vector<double> expected(w.begin(), w.end());
  add(expected, a, n, k);
  REQUIRE(merge(on_cpu{}, row_major(v.data(), n, k), a));
  for (std::size_t i = 0; i < v.size(); ++i) REQUIRE(v[i] == Approx(expected[i]).margin(1e-6));
  REQUIRE(unmerge(on_cpu{}, row_major(v.data(), n, k), a));
  for (std::size_t i = 0; i < v.size(); ++i) REQUIRE(v[i] == Approx(w[i]).margin(1e-6));
}

TEST_CASE("an adapter merges into the original or into the dequantised weight") {
  int const n = 20, k = 64;
  lora const a = adapter(n, k, 4, 10), b = adapter(n, k, 3, 20);
  lora const* const both[] = {&a, &b};
  auto const w = normal(n * k, 1);
  auto const q = quantise_nf4(on_cpu{}, row_major(w.data(), n, k));
  auto half = narrowed<bf16>(w), out = narrowed<bf16>(w);
  REQUIRE(merge_into_original(on_cpu{}, row_major(half.data(), n, k), both));
  REQUIRE(merge_into_dequantised(on_cpu{}, row_major(out.data(), n, k), q, both));
  std::vector<float> dequantised(n * k);
  dequantise(on_cpu{}, q, row_major(dequantised.data(), n, k));
  std::vector<double> first(n * k), second(dequantised.begin(), dequantised.end());
  for (int i = 0; i < n * k; ++i) first[std::size_t(i)] = float(bf16(w[std::size_t(i)]));
  for (auto* v : {&first, &second}) add(*v, a, n, k), add(*v, b, n, k);
  for (std::size_t i = 0; i < w.size(); ++i) {  // one rounding to bf16, after the fp32 sum
    REQUIRE(std::fabs(float(half[i]) - first[i]) <= std::fabs(first[i]) / 256 + 1e-6);
    REQUIRE(std::fabs(float(out[i]) - second[i]) <= std::fabs(second[i]) / 256 + 1e-6);
  }
}

TEST_CASE("an adapter that does not fit is refused") {
  int const n = 20, k = 64;
  auto const w = make(0, normal(n * k, 1), n, k);
  lora const other = adapter(n, k + 1, 4, 1), fits = adapter(n, k, 4, 1), empty{};
  float x[2 * 64] = {}, y[2 * 20], v[20 * 64];
  auto const id = [&](lora const* l, std::span<int const> of_row) {
    lora const* const one[] = {l};
    auto const s = linear(on_cpu{}, row_major(y, 2, n), row_major(x, 2, k), w, one, identity{}, of_row);
    return std::string(s ? "ok" : s.id);
  };
  int const beyond[] = {0, 1}, good[] = {0, -1};
  CHECK(id(&other, {}) == "gemm.7");
  CHECK(id(&empty, {}) == "gemm.7");
  CHECK(id(nullptr, {}) == "gemm.7");
  CHECK(id(&fits, beyond) == "gemm.8");
  CHECK(id(&fits, std::span(good, 1)) == "gemm.8");
  CHECK(id(&fits, good) == "ok");
  CHECK(std::string(merge(on_cpu{}, row_major(v, n, k), other).id) == "gemm.7");
}

}  // namespace
}  // namespace smalti::test
