// y = e(x · Ŵᵀ + …) from NF4 weights on a device, against double precision there.
//   test_cuda_gemm_nf4_cuda            needs a board with code in this program (sm_80 or sm_90a)
//   test_cuda_gemm_nf4_cuda "[small]"  the cases for a sanitizer

#include "gemm_nf4_common.cuh"

#include <smalti/gemm/nf4_dense.cuh>

namespace smalti::test {
namespace {

constexpr auto wide = nf4_strategy::wide;

/// A dense product that is only right: one thread an output.
template <class X, class Y>
__global__ void plain_product_kernel(X const* x, index row_x, X const* w, index row_w, Y* y, index row_y, int n, int k, float alpha, float beta) {
  int const j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y;
  if (j >= n) return;
  float sum = 0;
  for (int c = 0; c < k; ++c) sum = fmaf(float(x[i * row_x + c]), float(w[j * row_w + c]), sum);
  Y& to = y[i * row_y + j];
  to = Y(beta == 0 ? alpha * sum : alpha * sum + beta * float(to));
}
struct plain_dense {
  status operator()(on_cuda const& where, activations const& x, weight_view const& w, void* y, dtype type, index row_y, float alpha, float beta) const {
    auto const run = [&](auto* to) {
      plain_product_kernel<<<dim3((w.n + 127) / 128, unsigned(x.rows)), 128, 0, where.stream>>>(static_cast<bf16 const*>(x.at), x.row_stride, static_cast<bf16 const*>(w.at),
                                                                                                w.row_stride, to, row_y, w.n, w.k, alpha, beta);
      return explain(cudaGetLastError());
    };
    return type == dtype::f32 ? run(static_cast<float*>(y)) : run(static_cast<bf16*>(y));
  }
};

TEST_CASE("NF4 product: shapes of every kind, small", "[small]") {
  for (product_case c : {product_case{32, 128, 1}, {40, 256, 3, 16}, {160, 512, 5}, {256, 1152, 8, 32}, {129, 640, 16}, {65, 64, 2}, {97, 192, 9, 8}, {512, 1536, 33},
                         {333, 1024, 31, 16}, {1, 128, 64, 2}, {31, 320, 17}, {70, 448, 64, 6}}) {
    c.strategy = nf4_strategy::few;
    check<bf16>(c);
    c.nested = false, c.row_y = c.n + 5;
    check<bf16>(c);
  }
  check<f16>({129, 640, 7, 16});
  check<f16>({.n = 96, .k = 192, .m = 40, .strategy = nf4_strategy::few});
  check<bf16>({.n = 70, .k = 512, .m = 3, .block = 128});
  check<bf16>({.n = 70, .k = 512, .m = 3, .block = 256, .nested = false});
  check<bf16>({.n = 9, .k = 4096, .m = 11, .block = 4096});
}

TEST_CASE("NF4 product: the shapes of models") {
  for (product_case c : {product_case{1024, 4096, 7}, {768, 3072, 13, 16}, {512, 2048, 17}, {512, 4096, 32}, {640, 4096, 63, 64}, {1024, 4096, 64}, {49155, 256, 3},
                         {49155, 256, 64}, {4096, 4096, 1, 16}, {6144, 4096, 4}, {28672, 4096, 16}, {4096, 14336, 1}, {4096, 14336, 7, 128}, {4096, 14336, 16},
                         {4096, 14336, 32}, {4096, 14336, 64, 16}, {6144, 4096, 64}, {28672, 4096, 64}}) {
    c.strategy = nf4_strategy::few;
    check<bf16>(c);
  }
  check<f16>({4096, 4096, 1, 16});
  check<f16>({.n = 4096, .k = 4096, .m = 16, .nested = false});
}

TEST_CASE("NF4 product: all tiles agree", "[small]") {
  if (!(gpu.device >= sm_90a)) return;
  // Clusters, several chunks of x, parts that do not divide the steps, more panels than there are.
  for (auto t : {nf4_tile{4, 3, 4, 3}, nf4_tile{4, 3, 2, 6}, nf4_tile{2, 4, 8, 4}, nf4_tile{1, 7, 1, 7}, nf4_tile{14, 1, 2, 3}, nf4_tile{2, 5, 1, 25}, nf4_tile{4, 3, 2, 6}, nf4_tile{2, 4, 1, 24}}) {
    check<bf16>({.n = 760, .k = 3072, .m = 13, .rank = 16, .tile = t});
    check<bf16>({.n = 760, .k = 3008, .m = 5, .nested = false, .tile = t});
  }
  check<bf16>({.n = 760, .k = 3072, .m = 64, .rank = 16, .tile = {3, 2, 4, 2}});
}

TEST_CASE("NF4 product: epilogues and the SwiGLU pair", "[small]") {
  for (product_case c : {product_case{200, 512, 3}, {77, 320, 20}, {1024, 1024, 1}, {1024, 1024, 2}, {77, 320, 1}}) {
    INFO("N " << c.n << " K " << c.k << " M " << c.m);
    check_epilogues(c);
  }
}

/// x · A · B · A · … with each x from the launch ahead: a graph of dependent launches against launches one by one.
void check_chain(product_case const& c) {
  product_case const back{c.k, c.n, c.m};
  operands<bf16> const a(c, 3), b(back, 4);
  device_array<bf16> one(std::size_t(c.m * c.n)), two(std::size_t(c.m * c.k));
  cudaStream_t stream;
  require_cuda(cudaStreamCreate(&stream));
  auto const chain = [&](bool programmatic) {
    on_cuda const on{stream, gpu.device};
    launch_options const how{.programmatic = programmatic};
    require_ok(gemm(on, row_major(one.at, c.m, c.n), product(a.view_x(c), a.w), identity{}, how));
    for (int i = 0; i < 6; ++i) {
      require_ok(gemm(on, row_major(two.at, c.m, c.k), product(row_major(one.at, c.m, c.n), b.w), identity{}, how));
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

TEST_CASE("NF4 product: dependent launches in a graph give what single launches give", "[small]") { check_chain({512, 512, 2}); }
TEST_CASE("NF4 product: dependent launches, short products of many columns") { check_chain({49152, 512, 32}); }

TEST_CASE("NF4 product: a place that names no architecture", "[small]") {
  product_case const c{96, 4096, 2};
  operands<bf16> const a(c, 3);
  device_array<bf16> y(std::size_t(c.m * c.n));
  y.poison();
  require_ok(gemm(on_cuda{}, row_major(y.at, c.m, c.n), product(a.view_x(c), a.w)));
  require_cuda(cudaDeviceSynchronize());
  compare(y.host(), c.n, c, oracle(a.file, a.x.at, a.row_x, c.m, {}, {}, 0, 0, decoding::levels), 1, [](double v, int, int) { return v; });
}

TEST_CASE("NF4 product, wide: any count of tokens, small", "[small]") {
  for (int m : {1, 3, 16, 17, 33, 63, 65, 127, 129, 200, 257}) {
    check<bf16>({.n = 131, .k = 320, .m = m, .strategy = wide});
    check<bf16>({.n = 200, .k = 1024, .m = m, .rank = 16, .nested = false, .row_y = 205, .strategy = wide});
    check<bf16>({.n = 264, .k = 192, .m = m, .rank = 8, .strategy = wide});
  }
  check<f16>({.n = 96, .k = 192, .m = 70, .rank = 6, .strategy = wide});
  check<bf16>({.n = 1, .k = 64, .m = 40, .strategy = wide});
  check<bf16>({.n = 70, .k = 512, .m = 19, .block = 128, .strategy = wide});
}

TEST_CASE("NF4 product, wide: the shapes of models") {
  for (product_case c : {product_case{768, 3072, 1000, 16}, {1024, 4096, 64, 64}, {49155, 256, 65}, {49155, 128, 257}, {6144, 4096, 17}, {4096, 4096, 32, 16}, {4096, 14336, 64, 16},
                         {4096, 14336, 129}, {4096, 4096, 250}, {4096, 4096, 250, 64}, {6144, 4096, 256}, {6144, 4096, 200, 128}, {28672, 4096, 48}, {2048, 1024, 2100}}) {
    c.strategy = wide;
    check<bf16>(c);
  }
  check<f16>({.n = 1024, .k = 4096, .m = 256, .rank = 16, .strategy = wide});
}

TEST_CASE("NF4 product, wide: all tiles agree", "[small]") {
  if (!(gpu.device >= sm_90a)) return;
  for (auto t : {nf4_wide_tile{1, 1}, nf4_wide_tile{2, 8}, nf4_wide_tile{2, 2}, nf4_wide_tile{1, 4}, nf4_wide_tile{2, 3}})
    for (int m : {16, 32, 64, 100, 150}) check<bf16>({.n = 460, .k = 1088, .m = m, .rank = 16, .strategy = wide, .wide = t});
  for (auto t : {nf4_wide_tile{4, 1}, nf4_wide_tile{3, 2}, nf4_wide_tile{4, 4}, nf4_wide_tile{3, 5}, nf4_wide_tile{4, 6}, nf4_wide_tile{1, 7}})
    for (int m : {9, 30, 60}) check<bf16>({.n = 460, .k = 1088, .m = m, .strategy = wide, .wide = t});
  for (auto t : {nf4_wide_tile{1, 2}, nf4_wide_tile{1, 3}, nf4_wide_tile{2, 2}})  // whole tiles, then a share of one; the last of whole ones not for all
    for (int m : {60, 150, 300}) check<bf16>({.n = 9000, .k = 1088, .m = m, .rank = 16, .strategy = wide, .wide = t});
  for (auto t : {nf4_wide_tile{1, 2}, nf4_wide_tile{2, 2}, nf4_wide_tile{3, 2}, nf4_wide_tile{4, 2}, nf4_wide_tile{2, 3}, nf4_wide_tile{3, 3}, nf4_wide_tile{4, 4}, nf4_wide_tile{2, 5}, nf4_wide_tile{4, 6}, nf4_wide_tile{3, 7}, nf4_wide_tile{2, 8}, nf4_wide_tile{2, 1}, nf4_wide_tile{4, 1}})
    for (int m : {32, 64, 128})  // one tile a cluster; blocks exchange sums by mail: one and more steps each, as many and one more
      for (int k : {256, 1024, 1088})
        if ((t.groups < 4 || m < 65) && k >= 128 * t.split) check<bf16>({.n = k == 1088 ? 9216 : 768, .k = k, .m = m, .strategy = wide, .wide = t});
  check<f16>({.n = 768, .k = 1088, .m = 128, .strategy = wide, .wide = {3, 2}});
  for (auto t : {nf4_wide_tile{1, 2}, nf4_wide_tile{2, 2}, nf4_wide_tile{3, 2}, nf4_wide_tile{2, 3}, nf4_wide_tile{2, 5}, nf4_wide_tile{4, 6}, nf4_wide_tile{2, 8}, nf4_wide_tile{3, 1}, nf4_wide_tile{4, 1}})
    for (int m : {32, 64, 128})  // and terms: fewer steps of them than blocks, as many, more; blocks two steps apart (K 896, rank 64, five blocks)
      for (int rank : {16, 64, 72, 264})
        if (t.groups < 4 || m < 65)
          for (int k : {896, 1088})
            if (k >= 128 * t.split) check<bf16>({.n = 768, .k = k, .m = m, .rank = rank, .strategy = wide, .wide = t});
  check<f16>({.n = 768, .k = 1088, .m = 128, .rank = 48, .strategy = wide, .wide = {3, 2}});
  check<bf16>({.n = 768, .k = 1088, .m = 128, .nested = false, .row_y = 776, .strategy = wide, .wide = {2, 3}});
  for (auto t : {nf4_wide_tile{2, 2}, nf4_wide_tile{2, 5}, nf4_wide_tile{3, 1}})  // tokens of which the last tile is not full
    for (int m : {20, 60, 100, 250})
      if (t.groups < 3 || m < 129) check<bf16>({.n = 768, .k = 1088, .m = m, .rank = m % 3 ? 48 : 0, .strategy = wide, .wide = t});
}

TEST_CASE("NF4 product: without wgmma every count of tokens works, 64 at a time", "[small]") {
  for (int m : {65, 130, 257}) check<bf16>({.n = 131, .k = 320, .m = m, .rank = 8, .strategy = nf4_strategy::few});
}

TEST_CASE("NF4 product, wide: epilogues and the SwiGLU pair", "[small]") {
  for (product_case c : {product_case{200, 512, 33}, {77, 320, 70}, {330, 1024, 260}, {264, 192, 150}, {264, 192, 60}, {256, 640, 90}, {8200, 192, 300}})
    for (auto t : {nf4_wide_tile{2, 1}, nf4_wide_tile{2, 2}, nf4_wide_tile{4, 1}}) {
      if (t.groups == 4 && c.m > 64) continue;
      INFO("N " << c.n << " K " << c.k << " M " << c.m << " groups " << t.groups << " split " << t.split);
      c.strategy = wide, c.wide = t;
      check_epilogues(c);
    }
}

/// Memory lent to products. Zeros as they ask for, but not numbers where they have to write before they read.
struct lent_memory {
  static constexpr std::size_t flags = nf4_wide_lent::most * nf4_wide_lent::flags;
  device_array<unsigned char> room{nf4_lent_bytes};
  lent_memory() { renew(); }
  void renew() const { require_cuda(cudaMemset(room.at, 0, flags)), require_cuda(cudaMemset(room.at + flags, 0xff, nf4_lent_bytes - flags)); }
  nf4_lent lend(std::size_t bytes = nf4_lent_bytes) const { return {room.at, bytes}; }
  /// All flags are down; whether a product has worked in it.
  bool used() const {
    require_cuda(cudaDeviceSynchronize());
    auto const all = room.host();
    CHECK(std::all_of(all.begin(), all.begin() + flags, [](unsigned char b) { return b == 0; }));
    return std::any_of(all.begin() + flags, all.end(), [](unsigned char b) { return b != 0xff; });
  }
};

TEST_CASE("NF4 product, wide: two clusters share a tile, in memory that is lent", "[small]") {
  if (!(gpu.device >= sm_90a)) return;
  lent_memory const memory;
  for (product_case c : {product_case{128, 256, 130}, {128, 320, 256}, {640, 896, 250}, {1024, 4160, 512}, {384, 1088, 192}, {4608, 256, 200}, {256, 1152, 1}}) {  // 4608: as many tiles as there is memory for
    if (c.m > 1) c.wide = nf4_wide_pairs;
    c.strategy = wide, c.lent = memory.lend();
    memory.renew();
    check<bf16>(c);
    CHECK(memory.used() == (c.m > 1));
  }
  product_case c{.n = 640, .k = 1088, .m = 250, .nested = false, .row_y = 648, .strategy = wide, .wide = nf4_wide_pairs, .lent = memory.lend()};
  check<bf16>(c), check<f16>(c);
  auto const refused = [&](product_case const& of, auto y) {
    operands<bf16> const a(of, 3);
    device_array<decltype(y)> to(std::size_t(of.m * of.n));
    status const s = gemm(gpu, row_major(to.at, of.m, of.n), product(a.view_x(of), a.w), identity{}, of.how());
    return std::string(s.id ? s.id : "");
  };
  c.row_y = 0;
  memory.renew();
  auto d = c;
  d.n = 200;
  CHECK(refused(d, bf16{}) == "gemm.12");
  d = c, d.k = 192;
  CHECK(refused(d, bf16{}) == "gemm.12");
  d = c, d.n = 4736;
  CHECK(refused(d, bf16{}) == "gemm.12");
  d = c, d.lent = memory.lend(100000);
  CHECK(refused(d, bf16{}) == "gemm.12");
  d = c, d.lent = {};
  CHECK(refused(d, bf16{}) == "gemm.12");
  d = c, d.lent.at = memory.room.at + 16;
  CHECK(refused(d, bf16{}) == "gemm.36");
  CHECK(!memory.used());
}

TEST_CASE("NF4 product, wide: memory that is lent is used where it gains, and nothing else changes") {
  if (!(gpu.device >= sm_90a) || detail::processors() < 132) return;
  lent_memory const memory;
  auto const uses = [&](product_case c) {
    c.lent = memory.lend();
    memory.renew();
    check<bf16>(c);
    return memory.used();
  };
  CHECK(uses({4096, 14336, 256}));
  CHECK(uses({4096, 4096, 192}));
  CHECK(!uses({4096, 4096, 100}));
  CHECK(!uses({.n = 4096, .k = 4096, .m = 192, .rank = 16}));
  CHECK(!uses({4100, 4096, 192}));
  CHECK(!uses({4096, 64, 192}));
  product_case c{4096, 4096, 192};
  c.lent = memory.lend();
  memory.renew();
  check_epilogues(c);  // and a pair, which is multiplied without
  CHECK(memory.used());
  c.lent = memory.lend(nf4_lent_bytes / 2), c.k = 4160;
  memory.renew();
  check<bf16>(c);
  CHECK(!memory.used());
}

TEST_CASE("NF4 product, wide: memory that is lent, launch after launch, and on two streams at a time") {
  if (!(gpu.device >= sm_90a)) return;
  for (product_case c : {product_case{4096, 1088, 250}, {1024, 4160, 256}, {128, 448, 130}}) {
    INFO("N " << c.n << " K " << c.k << " M " << c.m);
    c.strategy = wide, c.wide = nf4_wide_pairs;
    operands<bf16> const a(c, 3), b(c, 4);
    lent_memory const memory[2];
    device_array<bf16> y[2][2] = {{device_array<bf16>(std::size_t(c.m * c.n)), device_array<bf16>(std::size_t(c.m * c.n))}, {device_array<bf16>(std::size_t(c.m * c.n)), device_array<bf16>(std::size_t(c.m * c.n))}};
    cudaStream_t stream[2];
    for (auto& s : stream) require_cuda(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    auto const multiply = [&](int s, int i, bool programmatic) {                // two x by turns
      c.lent = memory[s].lend();
      auto how = c.how();
      how.programmatic = programmatic;
      auto const& of = i % 2 ? b : a;
      require_ok(gemm({stream[s], gpu.device}, row_major(y[s][i % 2].at, c.m, c.n), product(of.view_x(c), of.w), identity{}, how));
    };
    for (int i = 0; i < 2; ++i) multiply(0, i, false);
    require_cuda(cudaDeviceSynchronize());
    std::vector<bf16> const expected[] = {y[0][0].host(), y[0][1].host()};
    for (int round = 0; round < 4; ++round) {
      for (auto& of : y) of[0].poison(), of[1].poison();
      require_cuda(cudaDeviceSynchronize());
      for (int i = 0; i < 40; ++i)
        for (int s = 0; s < 2; ++s) multiply(s, i, round > 0);
      require_cuda(cudaDeviceSynchronize());
      for (auto const& of : y)
        for (int i = 0; i < 2; ++i) {
          auto const got = of[i].host();
          CHECK(std::memcmp(got.data(), expected[i].data(), got.size() * 2) == 0);
        }
    }
    CHECK(memory[0].used());
    CHECK(memory[1].used());
    for (auto& s : stream) cudaStreamDestroy(s);
  }
}

TEST_CASE("NF4 product, wide: terms of every rank, of a pair, and more than one", "[small]") {
  for (int rank : {2, 8, 24, 32, 40, 64, 136})  // rows of t and B that the copy engine can and cannot express, whole and partial steps
    for (int m : {20, 50, 100, 200}) {
      check<bf16>({.n = 200, .k = 448, .m = m, .rank = rank, .strategy = wide});
      check<bf16>({.n = 460, .k = 1088, .m = m, .rank = rank, .strategy = wide, .wide = {2, 3}});
    }
  check<f16>({.n = 200, .k = 448, .m = 40, .rank = 48, .strategy = wide});
  for (int m : {20, 50, 100, 200})
    for (auto t : {nf4_wide_tile{2, 1}, nf4_wide_tile{2, 3}, nf4_wide_tile{4, 2}}) {
      if (t.groups == 4 && m > 64) continue;
      product_case const c{.n = 330, .k = 768, .m = m, .rank = 40, .strategy = wide, .wide = t};
      INFO("M " << m << " groups " << t.groups << " split " << t.split);
      operands<bf16> const a(c, 7), other(c, 9);
      auto const first = product(row_major(a.t.at, m, c.rank), row_major(a.b.at, c.n, c.rank)), second = product(row_major(other.t.at, m, c.rank), row_major(other.b.at, c.n, c.rank));
      auto const gate = product(a.view_x(c), a.w), up = product(a.view_x(c), other.w);
      auto const with = [&](operands<bf16> const& o, double scale) { return oracle(o.file, a.x.at, a.row_x, m, o.t.at, o.b.at, c.rank, scale, c.weights()); };
      auto const bare = [&](operands<bf16> const& o) { return oracle(o.file, a.x.at, a.row_x, m, {}, {}, 0, 0, c.weights()); };
      device_array<bf16> y(std::size_t(m * c.n));
      auto const to = row_major(y.at, m, c.n);
      auto const run = [&](auto const& one, auto const& two, oracle_result const& g, oracle_result const& u) {
        y.poison();
        require_ok(gemm_swiglu(gpu, to, one, two, identity{}, c.how()));
        require_cuda(cudaDeviceSynchronize());
        compare_gated(y.host(), c, g, u);
      };
      run(gate + 0.25f * first, up + 0.5f * second, with(a, 0.25), with(other, 0.5));
      run(gate + 0.25f * first, up, with(a, 0.25), bare(other));
      run(gate, up + second, bare(a), with(other, 1));
      y.poison();
      require_ok(gemm(gpu, to, gate + 0.25f * first + 0.5f * first, identity{}, c.how()));
      require_cuda(cudaDeviceSynchronize());
      compare(y.host(), c.n, c, with(a, 0.75), 2, [](double v, int, int) { return v; });
      y.poison();
      require_ok(gemm(gpu, to, gate + 0.f * first, identity{}, c.how()));
      require_cuda(cudaDeviceSynchronize());
      compare(y.host(), c.n, c, bare(a), 2, [](double v, int, int) { return v; });
    }
}

TEST_CASE("NF4 weights dequantised from panels are those of the file", "[small]") {
  for (auto [n, k, block, nested] : {std::tuple{1, 64, 64, true}, {33, 192, 64, false}, {131, 512, 128, true}, {64, 4096, 64, true}}) {
    auto const there = upload(gpu, random_nf4(n, k, block, nested, unsigned(n)));
    auto const packed = pack(gpu, there);
    device_array<bf16> whole(std::size_t(n * k)), got(std::size_t(n * (k + 8)));
    device_array<f16> whole_half(std::size_t(n * k)), got_half(std::size_t(n * k));
    got.poison(), got_half.poison();
    require_ok(dequantise(gpu, there, row_major(whole.at, n, k)));
    require_ok(dequantise(gpu, packed, view<bf16, 2>{got.at, {n, k}, {k + 8, 1}}));
    require_ok(dequantise(gpu, there, row_major(whole_half.at, n, k)));
    require_ok(dequantise(gpu, packed, row_major(got_half.at, n, k)));
    require_cuda(cudaDeviceSynchronize());
    auto const a = whole.host(), b = got.host();
    for (int i = 0; i < n * (k + 8); ++i) REQUIRE(b[std::size_t(i)].bits == (i % (k + 8) < k ? a[std::size_t(i / (k + 8) * k + i % (k + 8))].bits : 0xffff));
    auto const c = whole_half.host(), d = got_half.host();
    REQUIRE(std::memcmp(c.data(), d.data(), c.size() * 2) == 0);
    REQUIRE(dequantise(gpu, packed, row_major(got.at, n, k + 1)).id == std::string("quant.4"));
    REQUIRE(dequantise(gpu, packed, view<bf16, 2>{got.at + 1, {n, k}, {k + 8, 1}}).id == std::string("gemm.11"));
  }
}

TEST_CASE("NF4 product: weights dequantised first", "[small]") {
  product_case const c{131, 320, 70, 16};
  operands<bf16> const a(c, 7), other(c, 9);
  auto const terms = row_major(a.t.at, c.m, c.rank);
  auto const b = row_major(a.b.at, c.n, c.rank);
  std::size_t const least = scratch_bytes(a.w, 1, 2);
  for (std::size_t bytes : {least, scratch_bytes(a.w, 33, 2), scratch_bytes(a.w, c.m, 2)}) {
    device_array<unsigned char> scratch(bytes);
    scratch.poison();
    dequantise_first const how{plain_dense{}, scratch.at, bytes};
    device_array<bf16> y(std::size_t(c.m * c.n));
    device_array<float> sums(std::size_t(c.m * c.n));
    auto const to = row_major(y.at, c.m, c.n);
    auto const bare = oracle(a.file, a.x.at, a.row_x, c.m, {}, {}, 0, 0, decoding::whole);
    y.poison(), sums.poison();
    require_ok(gemm(gpu, to, product(a.view_x(c), a.w), identity{}, how));
    require_ok(gemm(gpu, row_major(sums.at, c.m, c.n), product(a.view_x(c), a.w), identity{}, how));
    require_cuda(cudaDeviceSynchronize());
    compare(y.host(), c.n, c, bare, 10, [](double v, int, int) { return v; });
    compare(sums.host(), c.n, c, bare, 10, [](double v, int, int) { return v; });
    y.poison();
    require_ok(gemm(gpu, to, 2.f * product(a.view_x(c), a.w) + 0.5f * product(terms, b), silu{}, how));
    require_cuda(cudaDeviceSynchronize());
    compare(y.host(), c.n, c, oracle(a.file, a.x.at, a.row_x, c.m, a.t.at, a.b.at, c.rank, 0.25, decoding::whole), 20, [](double v, int, int) { return 2 * v / (1 + std::exp(-2 * v)); });
    y.poison();
    require_ok(gemm_swiglu(gpu, to, product(a.view_x(c), a.w), product(a.view_x(c), other.w), identity{}, how));
    require_cuda(cudaDeviceSynchronize());
    compare_gated(y.host(), c, bare, oracle(other.file, a.x.at, a.row_x, c.m, {}, {}, 0, 0, decoding::whole));
    y.poison();
    CHECK(gemm(gpu, to, product(a.view_x(c), a.w), silu{}, dequantise_first{plain_dense{}, scratch.at, scratch_bytes(a.w)}).id == std::string("gemm.21"));
    CHECK(gemm(gpu, to, product(a.view_x(c), a.w), identity{}, dequantise_first{plain_dense{}, scratch.at + 16, bytes}).id == std::string("gemm.21"));
    CHECK(gemm(gpu, to, product(a.view_x(c), a.w), identity{}, dequantise_first{plain_dense{}, nullptr, bytes}).id == std::string("gemm.21"));
    for (auto v : y.host()) REQUIRE(v.bits == 0xffff);
  }
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
  refused("gemm.10", gemm(gpu, to, product(view<f16, 2>{reinterpret_cast<f16*>(a.x.at), {2, 128}, {136, 1}}, a.w)));
  refused("gemm.10", gemm(gpu, to, product(x, a.w) + product(row_major(reinterpret_cast<float*>(a.t.at), 2, 8), row_major(a.b.at, 64, 8))));
  refused("gemm.11", gemm(gpu, to, product(view<bf16, 2>{a.x.at + 1, {2, 128}, {136, 1}}, a.w)));
  refused("gemm.11", gemm(gpu, to, product(view<bf16, 2>{a.x.at, {2, 128}, {129, 1}}, a.w)));
  refused("gemm.11", gemm(gpu, to, product(view<bf16, 2>{a.x.at, {2, 128}, {1, 2}}, a.w)));
  refused("gemm.11", gemm(gpu, view<bf16, 2>{y.at, {2, 64}, {1, 2}}, product(x, a.w)));
  refused("gemm.12", gemm(gpu, to, product(x, a.w), identity{}, {.tile = {64, 64, 1, 64}}));
  refused("gemm.12", gemm(gpu, to, product(x, a.w), identity{}, {.tile = {2, 1, 3, 1}}));
  refused("gemm.12", gemm(gpu, to, product(x, a.w), identity{}, {.stationary_tile = {2, 1, 3}}));
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
