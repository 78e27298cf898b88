// y = e(x · Ŵᵀ + …) of up to 16 tokens from NF4 weights on Hopper, x resident in shared memory, against double precision there.
//   test_cuda_gemm_nf4_resident_cuda            needs a board with code in this program (sm_90a; elsewhere the kernel for few tokens is checked)
//   test_cuda_gemm_nf4_resident_cuda "[small]"  the cases for a sanitizer

#include "gemm_nf4_common.cuh"

namespace smalti::test {
namespace {

constexpr auto resident = nf4_strategy::resident;

TEST_CASE("NF4 product, x resident: every count of tokens, small", "[small]") {
  for (product_case c : {product_case{32, 128, 1}, {32, 256, 16}, {40, 256, 3, 16}, {160, 512, 2}, {256, 1152, 8, 32}, {129, 640, 9, 16}, {65, 64, 12}, {97, 192, 15, 8}, {333, 1024, 4},
                         {1, 128, 16, 2}, {31, 320, 3}, {70, 448, 7, 6}, {640, 2176, 5}, {64, 64, 11}}) {
    c.strategy = resident;
    check<bf16>(c);
    c.nested = false, c.row_y = c.n + 5;
    check<bf16>(c);
  }
  check<f16>({.n = 129, .k = 640, .m = 10, .rank = 16, .strategy = resident});
  check<f16, float>({.n = 129, .k = 512, .m = 3, .strategy = resident});
  check<bf16>({.n = 70, .k = 512, .m = 13, .block = 128, .strategy = resident});
  check<bf16>({.n = 70, .k = 512, .m = 6, .block = 256, .nested = false, .strategy = resident});
  check<bf16>({.n = 9, .k = 4096, .m = 14, .block = 4096, .strategy = resident});
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
        if (fit) c.strategy = resident, c.resident = t, check<bf16>(c);
      };
      fitting({.n = 760, .k = 3072, .m = m, .rank = m * 8});
      fitting({.n = 760, .k = 3008, .m = m, .nested = false});
      fitting({.n = 760, .k = 1088, .m = m});
    }
}

TEST_CASE("NF4 product, x resident: the shapes of models") {
  for (product_case c : {product_case{28672, 4096, 16}, {28672, 4096, 3}, {4096, 14336, 16, 16}, {4096, 14336, 8}, {6144, 4096, 5}, {6144, 4096, 16, 64}, {49155, 256, 9}, {49155, 2048, 4}, {1024, 4096, 12},
                         {4096, 4096, 16}, {4096, 4096, 7, 16}}) {
    c.strategy = resident;
    check<bf16>(c);
  }
}

TEST_CASE("NF4 product, x resident: epilogues and the SwiGLU pair", "[small]") {
  for (product_case c : {product_case{200, 512, 3}, {1024, 1024, 16}, {77, 320, 9}, {520, 2048, 8}}) {
    INFO("N " << c.n << " K " << c.k << " M " << c.m);
    c.strategy = resident;
    check_epilogues(c);
    if (!(gpu.device >= sm_90a)) continue;
    for (auto t : {nf4_resident_tile{2, 2}, nf4_resident_tile{4, 3}, nf4_resident_tile{6, 1}}) c.resident = t, check_epilogues(c);
  }
}

TEST_CASE("NF4 product, x resident: what cannot run is refused by name and writes nothing", "[small]") {
  if (!(gpu.device >= sm_90a)) return;
  product_case const c{64, 128, 3};
  operands<bf16> const a(c, 1);
  device_array<bf16> x(17 * 136), y(17 * 64);
  y.poison();
  auto const refused = [&](char const* id, int m, nf4_resident_tile t) {
    status const s = gemm(gpu, row_major(y.at, m, 64), product(view<bf16, 2>{x.at, {m, 128}, {136, 1}}, a.w), identity{}, {.resident_tile = t, .strategy = resident});
    CHECK(std::string(s.id ? s.id : "accepted") == id);
  };
  refused("gemm.12", 17, {});
  refused("gemm.12", 3, {1, 9});
  refused("gemm.12", 3, {2000, 1});
  require_cuda(cudaDeviceSynchronize());
  for (auto v : y.host()) REQUIRE(v.bits == 0xffff);
}

}  // namespace
}  // namespace smalti::test
