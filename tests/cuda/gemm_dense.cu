// y = e(x · Wᵀ + …) from plain weights on a device, against double precision on the host.
//   test_cuda_gemm_dense_cuda            needs a board with code in this program (sm_80 or sm_90a)
//   test_cuda_gemm_dense_cuda "[small]"  the cases for a sanitizer

#include <smalti/gemm/dense.cuh>

#include "rows_oracle.cuh"

namespace smalti::test {
namespace {

template <class T, class X = T, class Y = T>
void check_dense(rows_case const& c) {
  INFO("N " << c.n << " K " << c.k << " M " << c.m << " rank " << c.rank << " gap " << c.gap);
  rows_operands<T, X> const a(c);
  device_dense<T> const w = upload(gpu, row_major(a.w.data(), c.n, c.k));
  check_sums<Y>(c, a, [&](view<Y, 2> y) {
    auto const base = product(a.view_x(), w);
    if (c.rank) return gemm(gpu, y, 2.f * base + 0.5f * product(a.view_t(), a.view_b()), identity{}, early);
    return gemm(gpu, y, 2.f * base, identity{}, early);
  }, a.oracle([&](int n, int k) { return double(float(a.w[std::size_t(n) * c.k + k])); }));
}

TEST_CASE("dense product: shapes of every kind", "[small]") {
  check_dense<bf16>({16, 128, 1}), check_dense<bf16>({17, 8, 2}), check_dense<bf16>({40, 136, 3, 16}), check_dense<bf16>({100, 1032, 8, 6, 8});
  check_dense<bf16>({33, 2056, 9}), check_dense<bf16>({64, 4096, 16, 64}), check_dense<bf16>({49, 512, 37, 8, 8}), check_dense<bf16>({5, 3, 2}), check_dense<bf16>({20, 75, 6, 3, 1});
  check_dense<f16>({70, 264, 5, 16}), check_dense<bf16, bf16, float>({50, 384, 4}), check_dense<float>({19, 67, 5, 4, 3}), check_dense<float, bf16, bf16>({19, 64, 2});
  check_dense<bf16, float, float>({31, 40, 7});
}

TEST_CASE("dense product: the shapes of models") {
  check_dense<bf16, bf16, float>({12821, 4096, 1}), check_dense<bf16>({4096, 1440, 7, 16}), check_dense<bf16>({1027, 14336, 16}), check_dense<f16>({2048, 2048, 13});
}

TEST_CASE("dense product: epilogues and the SwiGLU pair", "[small]") {
  for (rows_case c : {rows_case{77, 320, 3}, rows_case{40, 129, 5}, rows_case{24, 512, 20, 8}}) {
    INFO("N " << c.n << " K " << c.k << " M " << c.m);
    rows_operands<bf16, bf16> const a(c), other({c.n, c.k, c.m, c.rank, 0, 77});
    auto const w = upload(gpu, row_major(a.w.data(), c.n, c.k)), v = upload(gpu, row_major(other.w.data(), c.n, c.k));
    auto const more = random_values<float>(std::size_t(c.n), 1);
    auto const r = random_values<bf16>(std::size_t(c.m) * c.n, 2);
    device_array<float> const bias_there(more);
    device_array<bf16> y(r);  // the residual is y itself
    auto const to = row_major(y.at, c.m, c.n);
    auto const gate = a.oracle([&](int n, int k) { return double(float(a.w[std::size_t(n) * c.k + k])); }, 1, 0.5), up = a.oracle([&](int n, int k) { return double(float(other.w[std::size_t(n) * c.k + k])); }, 1, 0);
    auto const gated = [](double x) { return x / (1 + std::exp(-x)); };
    auto const sum = product(a.view_x(), w) + 0.5f * product(a.view_t(), a.view_b());
    require_ok(c.rank ? gemm(gpu, to, sum, bias{bias_there.at} | silu{} | residual{to}, early) : gemm(gpu, to, product(a.view_x(), w), bias{bias_there.at} | silu{} | residual{to}, early));
    auto got = y.host();
    double worst = 0;
    for (int i = 0; i < c.m * c.n; ++i) worst = std::max(worst, off_by(got[std::size_t(i)], gated(gate.value[std::size_t(i)] + more[std::size_t(i % c.n)]) + float(r[std::size_t(i)]), 2 * gate.size[std::size_t(i)]));
    CHECK(worst < 1);
    y.poison();
    require_ok(c.rank ? gemm_swiglu(gpu, to, sum, product(a.view_x(), v), identity{}, early) : gemm_swiglu(gpu, to, product(a.view_x(), w), product(a.view_x(), v), identity{}, early));
    got = y.host(), worst = 0;
    for (int i = 0; i < c.m * c.n; ++i) {
      double const g = gate.value[std::size_t(i)], u = up.value[std::size_t(i)];
      worst = std::max(worst, off_by(got[std::size_t(i)], gated(g) * u, gate.size[std::size_t(i)] * (std::fabs(u) + 1) + up.size[std::size_t(i)] * std::fabs(gated(g))));
    }
    CHECK(worst < 1);
  }
}

TEST_CASE("dense product: what cannot run is refused by name and writes nothing", "[small]") {
  rows_operands<bf16, bf16> const a({16, 64, 2, 8});
  auto const w = upload(gpu, row_major(a.w.data(), 16, 64));
  device_array<bf16> y(64);
  y.poison();
  auto const to = row_major(y.at, 2, 16);
  auto const refused = [&](char const* id, status s) { CHECK(std::string(s.id ? s.id : "accepted") == id); };
  refused("gemm.1", gemm(gpu, to, product(row_major(a.x_there.at, 2, 32), w)));
  refused("gemm.2", gemm(gpu, row_major(y.at, 2, 15), product(a.view_x(), w)));
  refused("gemm.3", gemm(gpu, to, product(view<bf16, 2>{nullptr, {2, 64}, {64, 1}}, w)));
  refused("gemm.3", gemm(gpu, to, product(a.view_x(), device_dense<bf16>{16, 64, {}})));
  refused("gemm.11", gemm(gpu, view<bf16, 2>{y.at, {2, 16}, {1, 2}}, product(a.view_x(), w)));
  refused("gemm.1", gemm(gpu, to, product(a.view_x(), w) + product(row_major(a.t_there.at, 2, 4), a.view_b())));
  require_ok(gemm(gpu, row_major(y.at, 0, 16), product(row_major(a.x_there.at, 0, 64), w)));
  for (auto v : y.host()) REQUIRE(v.bits == 0xffff);
  REQUIRE_THROWS_WITH(make_device_dense<bf16>(0, 3), Catch::Contains("gemm.4"));
}

}  // namespace
}  // namespace smalti::test
