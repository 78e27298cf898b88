#pragma once
// Cases of NF4 products on a device, against double precision there.

#include "device_array.cuh"

#include <algorithm>
#include <cmath>

namespace smalti::test {

inline on_cuda const gpu = [] {  // Hopper's clusters and programmatic launches where the board has them
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  return on_cuda{nullptr, major == 9 ? sm_90a : sm_80};
}();

struct product_case {
  int n, k, m, rank = 0, block = 64;
  bool nested = true;
  nf4_tile tile = {};
  int row_y = 0;  ///< 0: n
  nf4_strategy strategy = nf4_strategy::tuned;
  nf4_wide_tile wide = {};
  nf4_stationary_tile stationary = {};
  nf4_resident_tile resident = {};
  term_bands bands = {};
  nf4_lent lent = {};

  launch_options how() const { return {.tile = tile, .stationary_tile = stationary, .resident_tile = resident, .strategy = strategy, .wide_tile = wide, .lent = lent}; }
  /// The kernel for many tokens, which rounds level · absmax.
  bool rounds() const {
    return gpu.device >= sm_90a && !tile.panels && (strategy == nf4_strategy::wide || (strategy == nf4_strategy::tuned && nf4_many_tokens(m)));
  }
  decoding weights() const { return rounds() ? decoding::split : decoding::levels; }
};

template <class X>
struct operands {
  nf4_data file;
  device_nf4 w;
  device_array<X> x, t, b;
  index row_x;
  operands(product_case const& c, unsigned seed)
      : file(random_nf4(c.n, c.k, c.block, c.nested, seed)), w(make(file)), x(random_values<X>(std::size_t(c.m * (c.k + 8)), seed + 1)),
        t(random_values<X>(std::size_t(c.m * c.rank), seed + 2)), b(random_b(c, seed + 3)), row_x(c.k + 8) {}
  static std::vector<X> random_b(product_case const& c, unsigned seed) {
    auto b = random_values<X>(std::size_t(c.n * c.rank), seed);
    auto const band = [&](int const (&end)[3], int at) { return int(std::count_if(end, end + c.bands.count, [&](int e) { return at >= e; })); };
    for (int n = 0; n < c.n && c.bands.count; ++n)
      for (int r = 0; r < c.rank; ++r)
        if (band(c.bands.row, n) != band(c.bands.column, r)) b[std::size_t(n * c.rank + r)] = X(0.f);
    return b;
  }
  static device_nf4 make(nf4_data const& file) {
    auto const there = upload(gpu, file);
    auto packed = pack(gpu, there);
    require_cuda(cudaDeviceSynchronize());
    return packed;
  }
  view<X, 2> view_x(product_case const& c) const { return {x.at, {c.m, c.k}, {row_x, 1}}; }
};

template <class Y> constexpr double rounding = sizeof(Y) == 4 ? 1e-7 : std::is_same_v<Y, bf16> ? 1. / 256 : 1. / 1024;  // one rounding of y, with room

/// Compares y (m, n), e applied to the oracle's sums in double.
template <class Y, class E>
void compare(std::vector<Y> const& y, index row_y, product_case const& c, oracle_result const& ref, double slope, E e) {
  double worst = 0, error = 0, norm = 0;
  for (int i = 0; i < c.m; ++i)
    for (int j = 0; j < c.n; ++j) {
      double const got = double(float(y[std::size_t(i * row_y + j)])), same = e(ref.same(i, j), i, j), exact = e(ref.exact(i, j), i, j);
      double const off = std::fabs(got - same) / (std::fabs(same) * rounding<Y> + slope * ref.size(i, j) * 1e-6);
      worst = off <= worst ? worst : std::isnan(off) ? 1e9 : off;
      error += (got - exact) * (got - exact), norm += exact * exact;
    }
  CHECK(worst < 1);
  CHECK(std::sqrt(error / norm) < (std::is_same_v<Y, f16> ? 1e-3 : 4e-3));
}

template <class X, class Y = X, nf4_kernels Made = all_nf4_kernels>
void check(product_case const& c) {
  INFO("N " << c.n << " K " << c.k << " M " << c.m << " rank " << c.rank << " block " << c.block << " nested " << c.nested << " tile " << c.tile.panels << ","
            << c.tile.parts << "," << c.tile.split << "," << c.tile.chunk << " wide " << c.wide.groups << "," << c.wide.split << "," << c.wide.clusters << " stationary "
           << c.stationary.panels << "," << c.stationary.parts << "," << c.stationary.split);
  operands<X> const a(c, unsigned(c.n + c.k + c.m));
  index const row_y = c.row_y ? c.row_y : c.n;
  device_array<Y> y(std::size_t(c.m * row_y + 7));
  view<Y, 2> const to{y.at, {c.m, c.n}, {row_y, 1}};
  std::vector<Y> once;
  for (int again = 0; again < 2; ++again) {
    y.poison();
    auto const base = product(a.view_x(c), a.w);
    auto added = product(row_major(a.t.at, c.m, c.rank), row_major(a.b.at, c.n, c.rank));
    added.all[0].bands = c.bands;
    if (c.rank) require_ok(gemm<Made>(gpu, to, 2.f * base + 0.5f * added, identity{}, c.how()));
    else require_ok(gemm<Made>(gpu, to, base, identity{}, c.how()));
    require_cuda(cudaDeviceSynchronize());
    auto got = y.host();
    if (again) CHECK(std::memcmp(got.data(), once.data(), got.size() * sizeof(Y)) == 0);  // run to run, bit for bit
    once = std::move(got);
  }
  for (index i = 0; i < index(once.size()); ++i)  // nothing beside the rectangle was written
    if (i >= c.m * row_y || i % row_y >= c.n) {
      unsigned char bytes[sizeof(Y)];
      std::memcpy(bytes, &once[std::size_t(i)], sizeof(Y));
      for (auto byte : bytes) REQUIRE(byte == 0xff);
    }
  auto const ref = oracle(a.file, a.x.at, a.row_x, c.m, a.t.at, a.b.at, c.rank, c.rank ? 0.25 : 0., c.weights());
  double const whole = c.rank ? 2 : 1;  // 2·(x·Ŵᵀ) + ½·t·Bᵀ
  compare(once, row_y, c, ref, whole, [&](double v, int, int) { return whole * v; });
}

/// y (m, n) = silu(gate) ⊙ up.
inline void compare_gated(std::vector<bf16> const& y, product_case const& c, oracle_result const& gate, oracle_result const& up) {
  double worst = 0;
  for (int i = 0; i < c.m; ++i)
    for (int j = 0; j < c.n; ++j) {
      double const g = gate.same(i, j), u = up.same(i, j), gated = g / (1 + std::exp(-g)), want = gated * u;
      double const room = std::fabs(want) / 256 + 3e-6 * (gate.size(i, j) * (std::fabs(u) + 1) + up.size(i, j) * std::fabs(gated));
      double const off = std::fabs(float(y[std::size_t(i * c.n + j)]) - want) / room;
      worst = off <= worst ? worst : std::isnan(off) ? 1e9 : off;
    }
  CHECK(worst < 1);
}

/// bias, silu and a residual that is y itself; then the pair.
template <nf4_kernels Made = all_nf4_kernels>
void check_epilogues(product_case const& c) {
  operands<bf16> const a(c, 5), other(c, 9);
  auto const more = random_values<float>(std::size_t(c.n), 1);
  auto const r = random_values<bf16>(std::size_t(c.m * c.n), 2);
  device_array<float> const d_more(more);
  device_array<bf16> y(r);
  auto const to = row_major(y.at, c.m, c.n);
  auto const gate = oracle(a.file, a.x.at, a.row_x, c.m, {}, {}, 0, 0, c.weights()), up = oracle(other.file, a.x.at, a.row_x, c.m, {}, {}, 0, 0, c.weights());

  require_ok(gemm<Made>(gpu, to, product(a.view_x(c), a.w), bias{d_more.at} | silu{} | residual{to}, c.how()));
  require_cuda(cudaDeviceSynchronize());
  compare(y.host(), c.n, c, gate, 2, [&](double v, int i, int j) {
    double const x = v + more[std::size_t(j)];
    return x / (1 + std::exp(-x)) + double(float(r[std::size_t(i * c.n + j)]));
  });
  y.poison();
  require_ok(gemm_swiglu<Made>(gpu, to, product(a.view_x(c), a.w), product(a.view_x(c), other.w), identity{}, c.how()));
  require_cuda(cudaDeviceSynchronize());
  compare_gated(y.host(), c, gate, up);
}

}  // namespace smalti::test
