// y = e(x · Ŵᵀ + …) from NF4 weights on a device, against double precision there.
//   test_cuda_gemm_nf4_cuda            needs a board with code in this program (sm_80 or sm_90a)
//   test_cuda_gemm_nf4_cuda "[small]"  the cases for a sanitizer

#include "device_array.cuh"

#include <cmath>

namespace smalti::test {
namespace {

on_cuda const gpu = [] {  // Hopper's clusters and programmatic launches where the board has them
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  return on_cuda{nullptr, major == 9 ? sm_90a : sm_80};
}();

struct product_case {
  int n, k, m, rank = 0, block = 64;
  bool nested = true;
  nf4_tile tile = {};
  int row_y = 0;  ///< 0: n
};

template <class X>
struct operands {
  nf4_data file;
  device_nf4 w;
  device_array<X> x, t, b;
  index row_x;
  operands(product_case const& c, unsigned seed)
      : file(random_nf4(c.n, c.k, c.block, c.nested, seed)), w(make(file)), x(random_values<X>(std::size_t(c.m * (c.k + 8)), seed + 1)),
        t(random_values<X>(std::size_t(c.m * c.rank), seed + 2)), b(random_values<X>(std::size_t(c.n * c.rank), seed + 3)), row_x(c.k + 8) {}
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

template <class X, class Y = X>
void check(product_case const& c) {
  INFO("N " << c.n << " K " << c.k << " M " << c.m << " rank " << c.rank << " block " << c.block << " nested " << c.nested << " tile " << c.tile.panels << ","
            << c.tile.parts << "," << c.tile.split << "," << c.tile.chunk);
  operands<X> const a(c, unsigned(c.n + c.k + c.m));
  index const row_y = c.row_y ? c.row_y : c.n;
  device_array<Y> y(std::size_t(c.m * row_y + 7));
  view<Y, 2> const to{y.at, {c.m, c.n}, {row_y, 1}};
  std::vector<Y> once;
  for (int again = 0; again < 2; ++again) {
    y.poison();
    auto const base = product(a.view_x(c), a.w);
    if (c.rank) require_ok(gemm(gpu, to, 2.f * base + 0.5f * product(row_major(a.t.at, c.m, c.rank), row_major(a.b.at, c.n, c.rank)), identity{}, {.tile = c.tile}));
    else require_ok(gemm(gpu, to, base, identity{}, {.tile = c.tile}));
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
  auto const ref = oracle(a.file, a.x.at, a.row_x, c.m, a.t.at, a.b.at, c.rank, c.rank ? 0.25 : 0.);
  double const whole = c.rank ? 2 : 1;  // 2·(x·Ŵᵀ) + ½·t·Bᵀ
  compare(once, row_y, c, ref, whole, [&](double v, int, int) { return whole * v; });
}

TEST_CASE("NF4 product: shapes of every kind, small", "[small]") {
  for (product_case c : {product_case{32, 128, 1}, {40, 256, 3, 16}, {160, 512, 5}, {256, 1152, 8, 32}, {129, 640, 16}, {65, 64, 2}, {97, 192, 9, 8}, {512, 1536, 33},
                         {333, 1024, 31, 16}, {1, 128, 64, 2}, {31, 320, 17}, {70, 448, 64, 6}}) {
    check<bf16>(c);
    c.nested = false, c.row_y = c.n + 5;
    check<bf16>(c);
  }
  check<f16>({129, 640, 7, 16});
  check<f16>({96, 192, 40});
  check<bf16>({.n = 70, .k = 512, .m = 3, .block = 128});
  check<bf16>({.n = 70, .k = 512, .m = 3, .block = 256, .nested = false});
  check<bf16>({.n = 9, .k = 4096, .m = 11, .block = 4096});
}

TEST_CASE("NF4 product: the shapes of models") {
  for (product_case c : {product_case{1024, 4096, 7}, {768, 3072, 13, 16}, {512, 2048, 17}, {512, 4096, 32}, {640, 4096, 63, 64}, {1024, 4096, 64}, {49155, 256, 3},
                         {49155, 256, 64}, {4096, 4096, 1, 16}, {6144, 4096, 4}, {28672, 4096, 16}, {4096, 14336, 1}, {4096, 14336, 7, 128}, {4096, 14336, 16},
                         {4096, 14336, 32}, {4096, 14336, 64, 16}, {6144, 4096, 64}, {28672, 4096, 64}})
    check<bf16>(c);
  check<f16>({4096, 4096, 1, 16});
  check<f16>({.n = 4096, .k = 4096, .m = 16, .nested = false});
}

TEST_CASE("NF4 product: all tiles agree", "[small]") {
  if (!(gpu.device >= sm_90a)) return;
  // Clusters, several chunks of x, parts that do not divide the steps, more panels than there are.
  for (auto t : {nf4_tile{4, 3, 4, 3}, nf4_tile{4, 3, 2, 6}, nf4_tile{2, 4, 8, 4}, nf4_tile{1, 7, 1, 7}, nf4_tile{14, 1, 2, 3}, nf4_tile{2, 5, 1, 25}}) {
    check<bf16>({.n = 760, .k = 3072, .m = 13, .rank = 16, .tile = t});
    check<bf16>({.n = 760, .k = 3008, .m = 5, .nested = false, .tile = t});
  }
  check<bf16>({.n = 760, .k = 3072, .m = 64, .rank = 16, .tile = {3, 2, 4, 2}});
}

TEST_CASE("NF4 product: epilogues and the SwiGLU pair", "[small]") {
  for (product_case c : {product_case{200, 512, 3}, {77, 320, 20}, {1024, 1024, 1}}) {
    INFO("N " << c.n << " K " << c.k << " M " << c.m);
    operands<bf16> const a(c, 5), other(c, 9);
    auto const more = random_values<float>(std::size_t(c.n), 1);
    auto const r = random_values<bf16>(std::size_t(c.m * c.n), 2);
    device_array<float> const d_more(more);
    device_array<bf16> y(r);  // the residual is y itself
    auto const to = row_major(y.at, c.m, c.n);
    auto const gate = oracle(a.file, a.x.at, a.row_x, c.m), up = oracle(other.file, a.x.at, a.row_x, c.m);
    auto const gated = [](double v) { return v / (1 + std::exp(-v)); };

    require_ok(gemm(gpu, to, product(a.view_x(c), a.w), bias{d_more.at} | silu{} | residual{to}));
    require_cuda(cudaDeviceSynchronize());
    compare(y.host(), c.n, c, gate, 2, [&](double v, int i, int j) { return gated(v + more[std::size_t(j)]) + double(float(r[std::size_t(i * c.n + j)])); });

    y.poison();
    require_ok(gemm_swiglu(gpu, to, product(a.view_x(c), a.w), product(a.view_x(c), other.w)));
    require_cuda(cudaDeviceSynchronize());
    auto const got = y.host();
    double worst = 0;
    for (int i = 0; i < c.m; ++i)
      for (int j = 0; j < c.n; ++j) {
        double const g = gate.same(i, j), u = up.same(i, j), want = gated(g) * u;
        double const room = std::fabs(want) / 256 + 3e-6 * (gate.size(i, j) * (std::fabs(u) + 1) + up.size(i, j) * std::fabs(gated(g)));
        double const off = std::fabs(float(got[std::size_t(i * c.n + j)]) - want) / room;
        worst = off <= worst ? worst : std::isnan(off) ? 1e9 : off;
      }
    CHECK(worst < 1);
  }
}

TEST_CASE("NF4 product: dependent launches in a graph give what single launches give", "[small]") {
  product_case const c{512, 512, 2};
  operands<bf16> const a(c, 3), b(c, 4);
  device_array<bf16> one(std::size_t(c.m * c.n)), two(std::size_t(c.m * c.n));
  cudaStream_t stream;
  require_cuda(cudaStreamCreate(&stream));
  auto const chain = [&](bool programmatic) {
    on_cuda const on{stream, gpu.device};
    launch_options const how{.programmatic = programmatic};
    require_ok(gemm(on, row_major(one.at, c.m, c.n), product(a.view_x(c), a.w), identity{}, how));
    for (int i = 0; i < 6; ++i) {
      require_ok(gemm(on, row_major(two.at, c.m, c.n), product(row_major(one.at, c.m, c.k), b.w), identity{}, how));
      require_ok(gemm(on, row_major(one.at, c.m, c.n), product(row_major(two.at, c.m, c.k), a.w), identity{}, how));
    }
  };
  chain(false);
  require_cuda(cudaStreamSynchronize(stream));
  auto const expected = one.host();
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  require_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  chain(true);
  require_cuda(cudaStreamEndCapture(stream, &graph));
  require_cuda(cudaGraphInstantiate(&exec, graph, 0));
  for (int i = 0; i < 3; ++i) {
    one.poison(), two.poison();
    require_cuda(cudaGraphLaunch(exec, stream));
    require_cuda(cudaStreamSynchronize(stream));
    auto const got = one.host();
    CHECK(std::memcmp(got.data(), expected.data(), got.size() * 2) == 0);
  }
  cudaGraphExecDestroy(exec), cudaGraphDestroy(graph), cudaStreamDestroy(stream);
}

TEST_CASE("NF4 product: what cannot run is refused by name and writes nothing", "[small]") {
  product_case const c{64, 128, 2, 16};
  operands<bf16> const a(c, 1);
  device_array<bf16> y(65 * 64);
  y.poison();
  auto const to = row_major(y.at, 2, 64);
  auto const x = a.view_x(c);
  auto const refused = [&](char const* id, status s) { CHECK(std::string(s.id ? s.id : "accepted") == id); };
  refused("gemm.1", gemm(gpu, to, product(view<bf16, 2>{a.x.at, {2, 64}, {a.row_x, 1}}, a.w)));
  refused("gemm.2", gemm(gpu, row_major(y.at, 2, 63), product(x, a.w)));
  refused("gemm.2", gemm(gpu, row_major(y.at, 1, 64), product(x, a.w)));
  refused("gemm.3", gemm(gpu, to, product(view<bf16, 2>{nullptr, {2, 128}, {136, 1}}, a.w)));
  refused("gemm.3", gemm(gpu, row_major(static_cast<bf16*>(nullptr), 2, 64), product(x, a.w)));
  refused("gemm.3", gemm(gpu, to, product(x, device_nf4{.n = 64, .k = 128})));
  refused("gemm.9", gemm(gpu, row_major(y.at, 65, 64), product(view<bf16, 2>{a.x.at, {65, 128}, {136, 1}}, a.w)));
  refused("gemm.10", gemm(gpu, to, product(view<f16, 2>{reinterpret_cast<f16*>(a.x.at), {2, 128}, {136, 1}}, a.w)));
  refused("gemm.10", gemm(gpu, to, product(x, a.w) + product(row_major(reinterpret_cast<float*>(a.t.at), 2, 8), row_major(a.b.at, 64, 8))));
  refused("gemm.11", gemm(gpu, to, product(view<bf16, 2>{a.x.at + 1, {2, 128}, {136, 1}}, a.w)));
  refused("gemm.11", gemm(gpu, to, product(view<bf16, 2>{a.x.at, {2, 128}, {129, 1}}, a.w)));
  refused("gemm.11", gemm(gpu, to, product(view<bf16, 2>{a.x.at, {2, 128}, {1, 2}}, a.w)));
  refused("gemm.11", gemm(gpu, view<bf16, 2>{y.at, {2, 64}, {1, 2}}, product(x, a.w)));
  refused("gemm.12", gemm(gpu, to, product(x, a.w), identity{}, {.tile = {64, 64, 1, 64}}));
  refused("gemm.12", gemm(gpu, to, product(x, a.w), identity{}, {.tile = {2, 1, 3, 1}}));
  refused("gemm.13", gemm(gpu, to, product(x, a.w) + product(row_major(a.t.at, 2, 7), row_major(a.b.at, 64, 7))));
  refused("gemm.13", gemm(gpu, to, product(x, a.w) + product(row_major(a.t.at + 1, 2, 8), row_major(a.b.at, 64, 8))));
  operands<bf16> const plain({.n = 64, .k = 128, .m = 2, .nested = false}, 1);
  refused("gemm.15", gemm_swiglu(gpu, to, product(x, a.w), product(x, plain.w)));
  require_ok(gemm(gpu, row_major(y.at, 0, 64), product(view<bf16, 2>{a.x.at, {0, 128}, {136, 1}}, a.w)));
  require_cuda(cudaDeviceSynchronize());
  for (auto v : y.host()) REQUIRE(v.bits == 0xffff);
  REQUIRE_THROWS_WITH(operands<bf16>::make(random_nf4(4, 96, 64, false, 1)), Catch::Contains("gemm.5"));
  REQUIRE_THROWS_WITH(operands<bf16>::make(random_nf4(4, 96, 32, false, 1)), Catch::Contains("gemm.14"));
}

}  // namespace
}  // namespace smalti::test
