// Adapters per row on a device, against the host's linear.
//   test_cuda_lora_rows_cuda            needs a board with code in this program (sm_80 or sm_90a)
//   test_cuda_lora_rows_cuda "[small]"  the cases for a sanitizer

#include <smalti/gemm/lora_rows.cuh>

#include "rows_oracle.cuh"

namespace smalti::test {
namespace {

/// Values that T holds exactly.
template <class T>
lora random_lora(int rank, int n, int k, unsigned seed) {
  lora l{rank, 0.5f + 0.25f * float(seed % 3), buffer<float>(std::size_t(rank) * k), buffer<float>(std::size_t(n) * rank)};
  auto const a = random_values<T>(l.a.size(), seed), b = random_values<T>(l.b.size(), seed + 100);
  for (std::size_t i = 0; i < a.size(); ++i) l.a[i] = float(a[i]);
  for (std::size_t i = 0; i < b.size(); ++i) l.b[i] = float(b[i]);
  return l;
}

template <class T, class Y>
void check(int m, int n, int k, std::vector<int> const& ranks, int period) {
  INFO("M " << m << " N " << n << " K " << k << " adapters " << ranks.size());
  std::vector<lora> all;
  std::vector<lora const*> list;
  for (std::size_t i = 0; i < ranks.size(); ++i) all.push_back(random_lora<T>(std::max(ranks[i], 1), n, k, unsigned(i)));
  for (std::size_t i = 0; i < ranks.size(); ++i) list.push_back(ranks[i] ? &all[i] : nullptr);
  std::vector<int> of_row(std::size_t(m), 0);
  for (int i = 0; i < m; ++i) of_row[std::size_t(i)] = period ? (i * 7 + i / period) % int(ranks.size() + 1) - 1 : i % 2 ? 99 : -1;  // 99: none
  auto const x = random_values<T>(std::size_t(m) * k, 1);
  auto const y = random_values<Y>(std::size_t(m) * n, 2);
  auto const loras = upload_loras<T>(gpu, list, n, k);
  row_groups groups(m + 3, int(ranks.size()));
  device_array<T> const xs(x);
  device_array<T> t(std::size_t(m) * std::max(loras.most_rank, 1));
  device_array<int> const rows(of_row);
  std::vector<Y> once;
  for (int again = 0; again < 2; ++again) {
    device_array<Y> ys(y);
    t.poison();
    require_ok(sort_rows(gpu, groups, rows.at, m, early));
    require_ok(add_loras(gpu, row_major(ys.at, m, n), row_major<T const>(xs.at, m, k), loras, groups, row_major(t.at, m, loras.most_rank), early));
    require_cuda(cudaDeviceSynchronize());
    auto got = ys.host();
    if (again) CHECK(std::memcmp(got.data(), once.data(), got.size() * sizeof(Y)) == 0);
    once = std::move(got);
  }
  // The host in fp32: what the device rounds between (t) is allowed for by the size of the terms.
  std::vector<float> base(std::size_t(n) * k, 0.f), xf(x.size()), want(y.size()), size(y.size(), 0.f);
  for (std::size_t i = 0; i < x.size(); ++i) xf[i] = float(x[i]);
  for (std::size_t i = 0; i < y.size(); ++i) want[i] = float(y[i]);
  std::vector<int> clean;
  std::vector<lora const*> present;
  std::vector<int> place(ranks.size(), -1);
  for (std::size_t i = 0; i < ranks.size(); ++i)
    if (ranks[i]) place[i] = int(present.size()), present.push_back(&all[i]);
  for (int a : of_row) clean.push_back(a >= 0 && a < int(ranks.size()) ? place[std::size_t(a)] : -1);
  auto const out = row_major(want.data(), m, n);
  require_ok(linear(on_cpu{}, out, row_major<float const>(xf.data(), m, k), row_major<float const>(base.data(), n, k), present, residual{out}, clean));
  double worst = 0;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      std::size_t const at = std::size_t(i) * n + j;
      int const a = clean[std::size_t(i)];
      double terms = 0;
      if (a >= 0) {
        lora const& l = *present[std::size_t(a)];
        for (int r = 0; r < l.rank; ++r) terms += std::pow(double(l.b[std::size_t(j * l.rank + r)]), 2);
        terms = l.scale * std::sqrt(terms * k);  // the deviation of the sum
      } else {
        unsigned char same = std::memcmp(&once[at], &y[at], sizeof(Y)) == 0;
        REQUIRE(same);
      }
      double const d = std::fabs(double(float(once[at])) - double(want[at])) / (std::fabs(double(want[at])) / 250 + terms / 60 + 1e-4);
      worst = std::max(worst, std::isnan(d) ? 1e9 : d);
    }
  CHECK(worst < 1);
}

TEST_CASE("adapters per row: each row passes its own", "[small]") {
  check<bf16, bf16>(1, 40, 64, {8}, 1), check<bf16, bf16>(37, 200, 512, {16, 8, 0, 64}, 3), check<bf16, float>(20, 129, 1032, {3, 128}, 5), check<f16, f16>(9, 17, 72, {6, 24, 8}, 1);
  check<bf16, bf16>(5, 33, 64, {8}, 0);
}

TEST_CASE("adapters per row: many rows, many adapters") {
  check<bf16, bf16>(2500, 64, 128, std::vector<int>(300, 8), 11);
  check<bf16, bf16>(64, 4096, 4096, {16, 16, 16, 16, 16, 16, 16, 16}, 8);
}

TEST_CASE("adapters per row: what cannot run is refused by name", "[small]") {
  lora const l = random_lora<bf16>(8, 16, 64, 1);
  lora const* const one[] = {&l};
  auto const loras = upload_loras<bf16>(gpu, one, 16, 64);
  row_groups groups(4, 1), two(4, 2);
  device_array<bf16> x(4 * 64), y(4 * 16), t(4 * 8);
  device_array<int> const rows(std::vector<int>(4, 0));
  auto const refused = [&](char const* id, status s) { CHECK(std::string(s.id ? s.id : "accepted") == id); };
  auto const X = row_major(x.at, 4, 64), Y = row_major(y.at, 4, 16), S = row_major(t.at, 4, 8);
  require_ok(sort_rows(gpu, groups, rows.at, 4));
  refused("gemm.8", sort_rows(gpu, groups, rows.at, 5));
  refused("gemm.3", sort_rows(gpu, groups, nullptr, 4));
  refused("gemm.1", add_loras(gpu, Y, row_major(x.at, 4, 32), loras, groups, S));
  refused("gemm.2", add_loras(gpu, row_major(y.at, 4, 15), X, loras, groups, S));
  refused("gemm.8", add_loras(gpu, Y, X, loras, two, S));
  refused("gemm.11", add_loras(gpu, Y, X, loras, groups, row_major(t.at, 4, 7)));
  REQUIRE_THROWS_WITH(upload_loras<bf16>(gpu, one, 16, 72), Catch::Contains("gemm.7"));
  REQUIRE_THROWS_WITH(upload_loras<bf16>(gpu, one, 16, 60), Catch::Contains("gemm.11"));
}

}  // namespace
}  // namespace smalti::test
