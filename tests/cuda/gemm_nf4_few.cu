// y = e(x · Ŵᵀ + …) of up to 16 tokens from NF4 weights on a device, x in registers or resident in shared memory, against double precision there. Compiled without the kernels for
// many tokens.
//   test_cuda_gemm_nf4_few_cuda            needs a board with code in this program (sm_80 or sm_90a; x is resident on sm_90a alone, elsewhere the kernel for few tokens is checked)
//   test_cuda_gemm_nf4_few_cuda "[small]"  the cases for a sanitizer

#include "gemm_nf4_common.cuh"

namespace smalti::test {
namespace {

constexpr nf4_kernels made{.wide = false};
template <class X, class Y = X>
void check_few(product_case const& c) { check<X, Y, made>(c); }

TEST_CASE("NF4 product, x stationary: every count of tokens, small", "[small]") {
  for (product_case c : {product_case{32, 128, 1}, {32, 256, 1}, {40, 256, 2, 16}, {160, 512, 2}, {256, 1152, 4, 32}, {129, 640, 3, 16}, {65, 64, 2}, {97, 192, 1, 8}, {333, 1024, 4}, {1, 128, 1, 2}, {31, 320, 3}, {70, 448, 4, 6}}) {
    c.strategy = nf4_strategy::stationary;
    check_few<bf16>(c);
    c.nested = false, c.row_y = c.n + 5;
    check_few<bf16>(c);
  }
  check_few<f16>({.n = 129, .k = 640, .m = 2, .rank = 16, .strategy = nf4_strategy::stationary});
  check_few<f16, float>({.n = 129, .k = 512, .m = 1, .strategy = nf4_strategy::stationary});
  check_few<bf16>({.n = 70, .k = 512, .m = 3, .block = 128, .strategy = nf4_strategy::stationary});
  check_few<bf16>({.n = 70, .k = 512, .m = 1, .block = 256, .nested = false, .strategy = nf4_strategy::stationary});
  check_few<bf16>({.n = 9, .k = 4096, .m = 2, .block = 4096, .strategy = nf4_strategy::stationary});
}

TEST_CASE("NF4 product, x stationary: all tiles agree", "[small]") {
  if (!(gpu.device >= sm_90a)) return;
  // Clusters with a block that has nothing to do, slices that parts do not divide, more panels than there are.
  for (auto t : {nf4_stationary_tile{1, 8, 1}, nf4_stationary_tile{7, 16, 1}, nf4_stationary_tile{2, 7, 2}, nf4_stationary_tile{3, 3, 4}, nf4_stationary_tile{5, 1, 2}, nf4_stationary_tile{2, 5, 8}, nf4_stationary_tile{8, 5, 1}, nf4_stationary_tile{30, 5, 8}})
    for (int m : {1, 2, 4}) {
      check_few<bf16>({.n = 760, .k = 3072, .m = m, .rank = m * 8, .strategy = nf4_strategy::stationary, .stationary = t});
      check_few<bf16>({.n = 760, .k = 3008, .m = m, .nested = false, .strategy = nf4_strategy::stationary, .stationary = t});
      check_few<bf16>({.n = 760, .k = 1088, .m = m, .strategy = nf4_strategy::stationary, .stationary = t});
    }
}

/// Terms whose rows of W pass columns of t of their own: at multiples of a panel, not, and where one has none. 96 columns and more are more than a lane copies at once.
void check_bands(nf4_strategy strategy, std::initializer_list<int> tokens) {
  for (int m : tokens)
    for (term_bands bands : {term_bands{3, {96, 160, 233}, {32, 64, 96}}, term_bands{3, {90, 160, 233}, {32, 64, 96}}, term_bands{3, {96, 160, 233}, {64, 64, 96}}, term_bands{2, {128, 233}, {16, 96}},
                             term_bands{2, {128, 233}, {8, 96}}}) {
      INFO("bands of " << bands.row[0] << ", " << bands.column[0]);
      product_case c{.n = 233, .k = 576, .m = m, .rank = 96, .strategy = strategy, .bands = bands};
      check_few<bf16>(c);
      if (!(gpu.device >= sm_90a)) continue;
      c.stationary = {3, 2, 2}, c.resident = {2, 2};
      check_few<bf16>(c);
    }
  check_few<bf16>({.n = 233, .k = 576, .m = *tokens.begin(), .rank = 256, .strategy = strategy});
  check_few<bf16>({.n = 233, .k = 576, .m = *tokens.begin(), .rank = 272, .strategy = strategy});
}
TEST_CASE("NF4 product, x stationary: bands of terms", "[small]") { check_bands(nf4_strategy::stationary, {1, 2, 4}); }

TEST_CASE("NF4 product, x stationary: the shapes of models") {
  for (product_case c : {product_case{28672, 4096, 1}, {28672, 4096, 2}, {28672, 4096, 1, 64}, {4096, 14336, 1, 16}, {4096, 14336, 2}, {6144, 4096, 1}, {6144, 4096, 4}, {49155, 256, 1}, {49155, 2048, 2}, {1024, 4096, 1}}) {
    c.strategy = nf4_strategy::stationary;
    check_few<bf16>(c);
  }
}

TEST_CASE("NF4 product, x stationary: epilogues and the SwiGLU pair", "[small]") {
  for (product_case c : {product_case{200, 512, 3}, {1024, 1024, 1}, {77, 320, 2}, {520, 2048, 2}}) {
    INFO("N " << c.n << " K " << c.k << " M " << c.m);
    c.strategy = nf4_strategy::stationary;
    check_epilogues<made>(c);
    if (!(gpu.device >= sm_90a)) continue;
    c.stationary = {2, 3, 2};
    check_epilogues<made>(c);
  }
}

/// Rows of fp32, a weight of a norm, and what the two make in double precision, rounded to bf16 once.
struct normalised_case {
  product_case c;
  float eps = 1e-5f;
  std::vector<float> x, weight;
  std::vector<bf16> h;
  index row() const { return c.k + 4; }
  explicit normalised_case(product_case c, float size = 1.f) : c(c), x(random_values<float>(std::size_t(c.m * row()), 11)), weight(random_values<float>(std::size_t(c.k), 12)) {
    for (auto& v : x) v *= size;
    h.resize(std::size_t(c.m * c.k));
    for (int i = 0; i < c.m; ++i) {
      double sum = 0;
      for (int j = 0; j < c.k; ++j) sum += double(x[std::size_t(i * row() + j)]) * x[std::size_t(i * row() + j)];
      for (int j = 0; j < c.k; ++j) h[std::size_t(i * c.k + j)] = bf16(float(x[std::size_t(i * row() + j)] / std::sqrt(sum / c.k + eps) * weight[std::size_t(j)]));
    }
  }
};

TEST_CASE("NF4 product: rows normalised within it", "[small]") {
  for (auto [c, size] : {std::pair{product_case{200, 512, 1}, 1.f}, {{77, 1024, 2, 16}, 30.f}, {{96, 4096, 2}, 1e-3f}, {{40, 6144, 2}, 1.f}, {{33, 320, 1}, 0.f}, {{64, 12288, 1}, 1.f},
                         {{.n = 760, .k = 3072, .m = 1, .stationary = {4, 2, 2}}, 1.f}, {{.n = 760, .k = 3072, .m = 2, .rank = 16, .nested = false, .stationary = {2, 1, 8}}, 1.f}, {{.n = 130, .k = 1088, .m = 2, .stationary = {1, 7, 1}}, 1.f},
                         {{4096, 14336, 1}, 1.f}, {{513, 14336, 2, 0, 128}, 1.f}}) {
    INFO("N " << c.n << " K " << c.k << " M " << c.m << " size " << size);
    normalised_case const n(c, size);
    operands<bf16> const a(c, 7), other(c, 9);
    device_array<float> const x(n.x), weight(n.weight);
    device_array<bf16> const h(n.h);
    device_array<bf16> y(std::size_t(c.m * c.n));
    auto const to = row_major(y.at, c.m, c.n);
    normalised_rows const rows{{x.at, {c.m, c.k}, {n.row(), 1}}, {weight.at, n.eps}};
    auto const ref = oracle(a.file, h.at, c.k, c.m, a.t.at, a.b.at, c.rank, c.rank ? 0.5 : 0., decoding::levels);
    y.poison();
    if (c.rank) require_ok(gemm<made>(gpu, to, product(rows, a.w) + 0.5f * product(row_major(a.t.at, c.m, c.rank), row_major(a.b.at, c.n, c.rank)), identity{}, c.how()));
    else require_ok(gemm<made>(gpu, to, product(rows, a.w), identity{}, c.how()));
    require_cuda(cudaDeviceSynchronize());
    auto const once = y.host();
    if (size) compare(once, c.n, c, ref, 200, [](double v, int, int) { return v; });  // a value of h may round the other way: 1/256 of one of K terms
    else for (auto v : once) REQUIRE(float(v) == 0);
    if (c.rank || !size || c.stationary.panels) continue;
    y.poison();
    require_ok(gemm_swiglu<made>(gpu, to, product(rows, a.w), product(rows, other.w)));
    require_cuda(cudaDeviceSynchronize());
    auto const up = oracle(other.file, h.at, c.k, c.m, {}, {}, 0, 0, decoding::levels);
    double error = 0, norm = 0;
    auto const got = y.host();
    for (int i = 0; i < c.m; ++i)
      for (int j = 0; j < c.n; ++j) {
        double const g = ref.same(i, j), want = g / (1 + std::exp(-g)) * up.same(i, j), off = float(got[std::size_t(i * c.n + j)]) - want;
        error += off * off, norm += want * want;
      }
    CHECK(std::sqrt(error / norm) < 4e-3);
  }
  product_case const c{64, 128, 3};
  normalised_case const n(c);
  operands<bf16> const a(c, 7);
  device_array<float> const x(n.x), weight(n.weight);
  device_array<bf16> y(std::size_t(c.m * c.n));
  y.poison();
  auto const refused = [&](char const* id, int m, float const* at, float const* w, launch_options const& how = {}) {
    normalised_rows const rows{{at, {m, c.k}, {n.row(), 1}}, {w, n.eps}};
    status const s = gemm<made>(gpu, row_major(y.at, m, c.n), product(rows, a.w), identity{}, how);
    CHECK(std::string(s.id ? s.id : "accepted") == id);
  };
  refused("gemm.35", 3, x.at, weight.at);
  refused("gemm.35", 1, x.at, weight.at + 1);
  refused("gemm.35", 1, x.at, weight.at, {.strategy = nf4_strategy::wide});
  refused("gemm.11", 1, x.at + 1, weight.at);
  refused("gemm.35", 1, x.at, weight.at, {.strategy = nf4_strategy::few});
  refused("gemm.12", 1, x.at, weight.at, {.stationary_tile = {1, 17, 1}});
  require_cuda(cudaDeviceSynchronize());
  for (auto v : y.host()) REQUIRE(v.bits == 0xffff);
}

constexpr auto resident = nf4_strategy::resident;

TEST_CASE("NF4 product, x resident: every count of tokens, small", "[small]") {
  for (product_case c : {product_case{32, 128, 1}, {32, 256, 16}, {40, 256, 3, 16}, {160, 512, 2}, {256, 1152, 8, 32}, {129, 640, 9, 16}, {65, 64, 12}, {97, 192, 15, 8}, {333, 1024, 4},
                         {1, 128, 16, 2}, {31, 320, 3}, {70, 448, 7, 6}, {640, 2176, 5}, {64, 64, 11}}) {
    c.strategy = resident;
    check_few<bf16>(c);
    c.nested = false, c.row_y = c.n + 5;
    check_few<bf16>(c);
  }
  check_few<f16>({.n = 129, .k = 640, .m = 10, .rank = 16, .strategy = resident});
  check_few<f16, float>({.n = 129, .k = 512, .m = 3, .strategy = resident});
  check_few<bf16>({.n = 70, .k = 512, .m = 13, .block = 128, .strategy = resident});
  check_few<bf16>({.n = 70, .k = 512, .m = 6, .block = 256, .nested = false, .strategy = resident});
  check_few<bf16>({.n = 9, .k = 4096, .m = 14, .block = 4096, .strategy = resident});
}

TEST_CASE("NF4 product, x resident: all tiles agree", "[small]") {
  if (!(gpu.device >= sm_90a)) return;
  // Blocks of a cluster with fewer steps or none, warpgroups that share a slot or have many, a last cluster with fewer slots, more slots than there are.
  for (auto t : {nf4_resident_tile{1, 1}, nf4_resident_tile{5, 1}, nf4_resident_tile{12, 1}, nf4_resident_tile{1, 2}, nf4_resident_tile{2, 5}, nf4_resident_tile{3, 3}, nf4_resident_tile{7, 4}, nf4_resident_tile{2, 7},
                 nf4_resident_tile{13, 6}, nf4_resident_tile{1, 8}, nf4_resident_tile{5, 8}})
    for (int m : {1, 6, 8, 13, 16}) {
      auto const fitting = [&](product_case c) {
        nf4_work const work{c.m, nf4_panel::panels(c.n), c.k, 1};
        bool const fit = with_nf4_resident_config(c.m, [&]<class Config>() { return fits<Config>(t, work, c.nested ? 14 : 0, c.rank > 0, gpu.device); });
        if (fit) c.strategy = resident, c.resident = t, check_few<bf16>(c);
      };
      fitting({.n = 760, .k = 3072, .m = m, .rank = m * 8});
      fitting({.n = 760, .k = 3008, .m = m, .nested = false});
      fitting({.n = 760, .k = 1088, .m = m});
    }
}

TEST_CASE("NF4 product, x resident: bands of terms", "[small]") { check_bands(resident, {3, 9, 16}); }

TEST_CASE("NF4 product, x resident: the shapes of models") {
  for (product_case c : {product_case{28672, 4096, 16}, {28672, 4096, 3}, {4096, 14336, 16, 16}, {4096, 14336, 8}, {6144, 4096, 5}, {6144, 4096, 16, 64}, {49155, 256, 9}, {49155, 2048, 4}, {1024, 4096, 12},
                         {4096, 4096, 16}, {4096, 4096, 7, 16}}) {
    c.strategy = resident;
    check_few<bf16>(c);
  }
}

TEST_CASE("NF4 product, x resident: epilogues and the SwiGLU pair", "[small]") {
  for (product_case c : {product_case{200, 512, 3}, {1024, 1024, 16}, {77, 320, 9}, {520, 2048, 8}}) {
    INFO("N " << c.n << " K " << c.k << " M " << c.m);
    c.strategy = resident;
    check_epilogues<made>(c);
    if (!(gpu.device >= sm_90a)) continue;
    for (auto t : {nf4_resident_tile{2, 2}, nf4_resident_tile{4, 3}, nf4_resident_tile{6, 1}}) c.resident = t, check_epilogues<made>(c);
  }
}

TEST_CASE("NF4 product, x resident: what cannot run is refused by name and writes nothing", "[small]") {
  if (!(gpu.device >= sm_90a)) return;
  product_case const c{64, 128, 3};
  operands<bf16> const a(c, 1);
  device_array<bf16> x(17 * 136), y(17 * 64);
  y.poison();
  auto const refused = [&](char const* id, int m, nf4_resident_tile t) {
    status const s = gemm<made>(gpu, row_major(y.at, m, 64), product(view<bf16, 2>{x.at, {m, 128}, {136, 1}}, a.w), identity{}, {.resident_tile = t, .strategy = resident});
    CHECK(std::string(s.id ? s.id : "accepted") == id);
  };
  refused("gemm.12", 17, {});
  refused("gemm.12", 3, {1, 9});
  refused("gemm.12", 3, {2000, 1});
  require_cuda(cudaDeviceSynchronize());
  for (auto v : y.host()) REQUIRE(v.bits == 0xffff);
}

TEST_CASE("NF4 product: what it was not compiled for is refused by name, and what was serves in its place", "[small]") {
  operands<bf16> const a({64, 128, 3}, 1), plain({.n = 64, .k = 128, .m = 3, .nested = false}, 1);
  operands<f16> const other({64, 128, 3}, 1);
  device_array<bf16> y(3 * 64);
  device_array<float> sums(3 * 64);
  y.poison(), sums.poison();
  auto const to = row_major(y.at, 3, 64);
  view<bf16, 2> const x{a.x.at, {3, 128}, {a.row_x, 1}};
  auto const refused = [](status const& s) { CHECK(std::string(s.id ? s.id : "accepted") == "gemm.37"); };
  constexpr nf4_kernels only_few{.stationary = false, .resident = false, .wide = false, .plain = false, .of_f16 = false};
  for (auto strategy : {nf4_strategy::wide, nf4_strategy::resident, nf4_strategy::stationary}) refused(gemm<only_few>(gpu, to, product(x, a.w), identity{}, {.strategy = strategy}));
  refused(gemm<only_few>(gpu, to, product(x, plain.w)));
  refused(gemm<only_few>(gpu, row_major(sums.at, 3, 64), product(view<f16, 2>{other.x.at, {3, 128}, {other.row_x, 1}}, other.w)));
  require_cuda(cudaDeviceSynchronize());
  for (auto v : y.host()) REQUIRE(v.bits == 0xffff);
  for (int m : {1, 3, 16}) check<bf16, bf16, only_few>({70, 256, m});
}

}  // namespace
}  // namespace smalti::test
