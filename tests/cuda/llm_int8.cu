// LLM.int8 on a device: codes, scales and outlier columns as on the host; the integer sums exact; the whole against double precision.
//   test_cuda_llm_int8_cuda            needs a board with code in this program (sm_80 or sm_90a)
//   test_cuda_llm_int8_cuda "[small]"  the cases for a sanitizer

#include <smalti/gemm/llm_int8.cuh>

#include <set>

#include "rows_oracle.cuh"

namespace smalti::test {
namespace {

struct int8_case {
  int m, n, k;
  int outliers = 0;   ///< columns
  int rank = 0, gap = 0;
  float threshold = 6;
  unsigned seed = 1;
};

/// Values of a few units; in some columns of some rows outliers, of both signs, one exactly at the threshold.
template <class X>
std::vector<X> tokens_of(int8_case const& c) {
  auto x = random_values<X>(std::size_t(c.m) * (c.k + c.gap), c.seed);
  for (auto& v : x) v = X(std::fmin(std::fmax(float(v), -5.5f), 5.5f));
  std::mt19937 g(c.seed + 7);
  std::set<int> columns;
  while (int(columns.size()) < min(c.outliers, c.k)) columns.insert(int(g() % unsigned(c.k)));
  int i = 0;
  for (int j : columns) x[std::size_t(int(g() % unsigned(c.m))) * (c.k + c.gap) + j] = X(i++ ? (g() % 2 ? 20.f : -33.f) : 6.f);
  return x;
}

template <class X>
struct quantised {
  std::vector<int8_t> code;
  std::vector<float> scale;
  std::vector<int> columns;
};
/// What the device makes of x, back on the host.
template <class X>
quantised<X> quantise_there(int8_case const& c, X const* x, device_int8 const& w, void* scratch) {
  std::size_t bytes;
  int8_problem<X, X> p{};
  p.room = detail::int8_rooms<X>(scratch, c.m, c.n, c.k, bytes);
  p.x = x, p.w = w.code.data(), p.row_x = c.k + c.gap, p.m = c.m, p.n = c.n, p.k = c.k;
  require_ok(detail::int8_quantise(gpu, p, c.threshold));
  quantised<X> q{std::vector<int8_t>(std::size_t(c.m) * c.k), std::vector<float>(std::size_t(c.m)), std::vector<int>(std::size_t(c.k) + 1)};
  require_cuda(cudaMemcpy2D(q.code.data(), std::size_t(c.k), p.room.code, std::size_t(p.room.row), std::size_t(c.k), std::size_t(c.m), cudaMemcpyDeviceToHost));
  require_cuda(cudaMemcpy(q.scale.data(), p.room.scale, q.scale.size() * 4, cudaMemcpyDeviceToHost));
  require_cuda(cudaMemcpy(q.columns.data(), p.room.columns, q.columns.size() * 4, cudaMemcpyDeviceToHost));
  REQUIRE(q.columns[0] >= 0);
  REQUIRE(q.columns[0] <= c.k);
  q.columns = std::vector<int>(q.columns.begin() + 1, q.columns.begin() + 1 + q.columns[0]);
  return q;
}

void check_same(float const* a, float const* b, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) REQUIRE((a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))));
}

template <class X>
void check_tokens(int8_case const& c, std::vector<X> const& x) {
  INFO("M " << c.m << " K " << c.k << " outliers " << c.outliers << " threshold " << c.threshold);
  auto const host = quantise_tokens(on_cpu{}, view<X const, 2>{x.data(), {c.m, c.k}, {c.k + c.gap, 1}}, c.threshold);
  auto const weights = random_values<float>(std::size_t(c.n) * c.k, 3);
  auto const w = upload(gpu, quantise_int8(on_cpu{}, row_major(weights.data(), c.n, c.k)));
  device_array<X> const there(x);
  device_array<uint8_t> scratch(llm_int8_bytes(c.m, c.n, c.k));
  scratch.poison();
  auto const got = quantise_there(c, there.at, w, scratch.at);
  CHECK(got.columns == host.outlier);
  CHECK(std::memcmp(got.code.data(), host.code.data(), got.code.size()) == 0);
  check_same(got.scale.data(), host.scale.data(), got.scale.size());
}

TEST_CASE("tokens are quantised on the device as on the host", "[small]") {
  for (int8_case const c : {int8_case{1, 8, 1}, {3, 8, 7, 2}, {5, 9, 40, 3}, {2, 8, 77, 77}, {33, 8, 512, 0}, {70, 8, 300, 1, 0, 3}, {9, 8, 2049, 700}, {4, 8, 16392, 5}, {2, 8, 33000, 80}, {6, 8, 64, 0, 0, 0, 0.f},
                            {5, 8, 64, 64, 0, 0, 1e-9f}}) {
    check_tokens(c, tokens_of<bf16>(c));
    check_tokens(c, tokens_of<f16>(c));
  }
  int8_case const c{6, 8, 24};
  auto x = tokens_of<bf16>(c);
  for (int j = 0; j < 24; ++j) x[std::size_t(j)] = bf16(0.f), x[24 + std::size_t(j)] = bf16(-0.f), x[48 + std::size_t(j)] = bf16(1e-39f * float(j % 5)), x[72 + std::size_t(j)] = bf16(float(j - 12) / 4);
  check_tokens(c, x);  // zeros, subnormals, ties
  x[4 * 24 + 5] = bf16(NAN), x[5 * 24 + 7] = bf16(-INFINITY), x[5 * 24 + 8] = bf16(INFINITY);
  check_tokens(c, x);
  check_tokens({6, 8, 24, 0, 0, 0, 0.f}, x);  // without a threshold their rows have no scale
}

/// Integer sums of the quantised operands on the host, and all else in double.
template <class X>
rows_sums oracle(int8_case const& c, int8_tokens const& q, int8_data const& w, X const* x, std::vector<X> const& t, std::vector<X> const& b, double by, double of_terms) {
  rows_sums s{std::vector<double>(std::size_t(c.m) * c.n), std::vector<double>(std::size_t(c.m) * c.n)};
  parallel_for(on_cpu{}, c.m, [&](index i) {
    for (int j = 0; j < c.n; ++j) {
      int64_t sum = 0;
      for (int k = 0; k < c.k; ++k) sum += int(q.code[std::size_t(i * c.k + k)]) * int(w.code[std::size_t(j) * c.k + k]);
      double const step = by * double(w.scale[std::size_t(j)]) / 127;
      double v = double(q.scale[std::size_t(i)]) / 127 * double(sum) * step, size = std::fabs(v);
      for (int k : q.outlier) {
        double const one = double(float(x[i * (c.k + c.gap) + k])) * double(w.code[std::size_t(j) * c.k + k]) * step;
        v += one, size += std::fabs(one);
      }
      for (int k = 0; k < c.rank; ++k) {
        double const one = of_terms * double(float(t[std::size_t(i) * c.rank + k])) * double(float(b[std::size_t(j) * c.rank + k]));
        v += one, size += std::fabs(one);
      }
      s.value[std::size_t(i) * c.n + j] = v, s.size[std::size_t(i) * c.n + j] = size;
    }
  });
  return s;
}

enum class engine { chosen, block, wide_64, wide_128 };

template <class X, class Y>
status run_engine(engine e, view<Y, 2> y, dense_terms<0, device_int8> const& sum, llm_int8 const& how) {
  int8_problem<X, Y> p;
  if (auto s = detail::int8_prepare(p, y, sum, how); !s) return s;
  if (auto s = detail::int8_quantise(gpu, p, how.threshold); !s) return s;
  if (e == engine::block) return int8_block_launch(gpu, p, identity{});
  if (e == engine::wide_64) return int8_wide_launch<64>(gpu, p, 3, identity{});  // a few blocks, so that each has several tiles
  return int8_wide_launch<128>(gpu, p, 3, identity{});
}

template <class X, class Y = X>
void check_product(int8_case const& c, engine e = engine::chosen) {
  INFO("M " << c.m << " N " << c.n << " K " << c.k << " outliers " << c.outliers << " rank " << c.rank << " gap " << c.gap << " engine " << int(e));
  auto const weights = random_values<float>(std::size_t(c.n) * c.k, 3);
  auto const host = quantise_int8(on_cpu{}, row_major(weights.data(), c.n, c.k));
  auto const w = upload(gpu, host);
  auto const x = tokens_of<X>(c), t = random_values<X>(std::size_t(c.m) * c.rank, 2), b = random_values<X>(std::size_t(c.n) * c.rank, 3);
  device_array<X> const x_there(x), t_there(t), b_there(b);
  auto const q = quantise_tokens(on_cpu{}, view<X const, 2>{x.data(), {c.m, c.k}, {c.k + c.gap, 1}}, c.threshold);
  device_array<uint8_t> scratch(llm_int8_bytes(c.m, c.n, c.k));
  llm_int8 const how{.threshold = c.threshold, .scratch = scratch.at, .bytes = scratch.n};
  rows_case const rows{.n = c.n, .k = c.k, .m = c.m, .rank = c.rank, .gap = c.gap};
  auto const base = 2.f * product(view<X const, 2>{x_there.at, {c.m, c.k}, {c.k + c.gap, 1}}, w);
  check_sums<Y>(rows, x, [&](view<Y, 2> y) {
    scratch.poison();
    if (e != engine::chosen) return run_engine<X>(e, y, base, how);
    if (c.rank) return gemm(gpu, y, base + 0.5f * product(row_major<X const>(t_there.at, c.m, c.rank), row_major<X const>(b_there.at, c.n, c.rank)), identity{}, how);
    return gemm(gpu, y, base, identity{}, how);
  }, oracle(c, q, host, x.data(), t, b, 2, 0.5));
}

TEST_CASE("LLM.int8 product: shapes of every kind", "[small]") {
  check_product<bf16>({1, 1, 1}), check_product<bf16>({16, 64, 32}), check_product<bf16>({3, 17, 16, 1}), check_product<bf16>({130, 70, 272, 3, 16}), check_product<bf16>({65, 257, 144, 20, 6, 8}),
      check_product<bf16>({200, 129, 75, 4, 8, 1}), check_product<f16>({150, 300, 528, 17, 8}), check_product<bf16, float>({37, 50, 384, 5, 4}), check_product<f16, float>({129, 31, 48, 48}),
      check_product<bf16>({64, 40, 80, 80}), check_product<bf16>({20, 136, 256, 100, 8}), check_product<bf16>({140, 90, 97, 90, 0, 3}), check_product<bf16>({9, 24, 64, 0, 0, 0, 0.f});
}

TEST_CASE("LLM.int8 product: every engine", "[small]") {
  for (engine e : {engine::block, engine::wide_64, engine::wide_128}) {
    if (e != engine::block && !(gpu.device >= sm_90a)) continue;
    check_product<bf16>({300, 500, 1040, 5}, e), check_product<f16>({129, 260, 2064, 70, 0, 8}, e), check_product<bf16, float>({600, 1100, 400, 33}, e), check_product<bf16>({7, 9, 16}, e);
  }
}

/// Sums of one scale only, so that they are what the kernel holds: exact, also where they need more than 24 bits.
TEST_CASE("the integer sums are exact") {
  int const m = 130, n = 140;
  for (int k : {4096, 14336}) {
    std::mt19937 g(9);
    std::vector<bf16> x(std::size_t(m) * k);
    int8_data w{n, k, buffer<int8_t>(std::size_t(n) * k), buffer<float>(std::size_t(n), 127.f)};
    for (auto& v : x) v = bf16(float(int(g() % 255) - 127));
    for (int i = 0; i < m; ++i) x[std::size_t(i) * k] = bf16(127.f);                                  // the scale, so that codes are the values
    for (auto& v : w.code) v = int8_t(int(g() % 255) - 127);
    for (int j = 0; j < k; ++j) w.code[std::size_t(j)] = 127, x[std::size_t(j)] = bf16(127.f);        // the largest sum
    auto const there = upload(gpu, w);
    device_array<bf16> const x_there(x);
    device_array<float> y(std::size_t(m) * n);
    device_array<uint8_t> scratch(llm_int8_bytes(m, n, k));
    y.poison();
    llm_int8 const how{.threshold = 0, .scratch = scratch.at, .bytes = scratch.n};
    require_ok(gemm(gpu, row_major(y.at, m, n), product(row_major<bf16 const>(x_there.at, m, k), there), identity{}, how));
    require_cuda(cudaDeviceSynchronize());
    auto const got = y.host();
    int wrong = 0;
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j) {
        int64_t sum = 0;
        for (int c = 0; c < k; ++c) sum += int(float(x[std::size_t(i) * k + c])) * int(w.code[std::size_t(j) * k + c]);
        // 127 · (1/127) is 1 in fp32, so nothing but the sum's own rounding to 24 bits is left.
        wrong += got[std::size_t(i) * n + j] != float(sum);
      }
    CHECK(wrong == 0);
  }
}

TEST_CASE("outliers that are no numbers poison their row alone", "[small]") {
  int8_case const c{40, 70, 160, 3};
  auto x = tokens_of<bf16>(c);
  x[5 * 160 + 17] = bf16(NAN), x[9 * 160 + 40] = bf16(INFINITY);
  auto const weights = random_values<float>(std::size_t(c.n) * c.k, 3);
  auto const w = upload(gpu, quantise_int8(on_cpu{}, row_major(weights.data(), c.n, c.k)));
  device_array<bf16> const there(x);
  device_array<float> y(std::size_t(c.m) * c.n);
  device_array<uint8_t> scratch(llm_int8_bytes(c.m, c.n, c.k));
  for (float threshold : {6.f, 0.f}) {
    y.poison();
    require_ok(gemm(gpu, row_major(y.at, c.m, c.n), product(row_major<bf16 const>(there.at, c.m, c.k), w), identity{}, llm_int8{.threshold = threshold, .scratch = scratch.at, .bytes = scratch.n}));
    require_cuda(cudaDeviceSynchronize());
    auto const got = y.host();
    for (int i = 0; i < c.m; ++i)
      for (int j = 0; j < c.n; ++j) REQUIRE(std::isfinite(got[std::size_t(i) * c.n + j]) == (i != 5 && i != 9));
  }
}

TEST_CASE("LLM.int8 with an epilogue, in a graph, and what it refuses", "[small]") {
  int const m = 50, n = 96, k = 128;
  auto const x = random_values<bf16>(std::size_t(m) * k, 1);
  auto const weights = random_values<float>(std::size_t(n) * k, 3), r = random_values<float>(std::size_t(m) * n, 4);
  auto const w = upload(gpu, quantise_int8(on_cpu{}, row_major(weights.data(), n, k)));
  device_array<bf16> const there(x);
  device_array<float> y(r), bare(std::size_t(m) * n);
  device_array<uint8_t> scratch(llm_int8_bytes(m, n, k));
  llm_int8 const how{.scratch = scratch.at, .bytes = scratch.n};
  auto const sum = product(row_major<bf16 const>(there.at, m, k), w);
  auto const to = row_major(y.at, m, n);
  bare.poison();
  require_ok(gemm(gpu, row_major(bare.at, m, n), sum, identity{}, how));
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  require_cuda(cudaDeviceSynchronize()), require_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  require_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  require_ok(gemm(on_cuda{stream, gpu.device}, to, sum, scaled{0.5f} | residual{to}, how));
  require_cuda(cudaStreamEndCapture(stream, &graph)), require_cuda(cudaGraphInstantiate(&exec, graph, 0));
  require_cuda(cudaGraphLaunch(exec, stream)), require_cuda(cudaStreamSynchronize(stream));
  require_cuda(cudaGraphExecDestroy(exec)), require_cuda(cudaGraphDestroy(graph)), require_cuda(cudaStreamDestroy(stream));
  auto const got = y.host(), plain = bare.host();
  for (std::size_t i = 0; i < got.size(); ++i) REQUIRE(got[i] == plain[i] * 0.5f + r[i]);

  auto const refused = [&](status s, char const* id) {
    REQUIRE(!s);
    CHECK(std::string(s.id) == id);
  };
  refused(gemm(gpu, to, sum, identity{}, llm_int8{.scratch = nullptr, .bytes = scratch.n}), "gemm.30");
  refused(gemm(gpu, to, sum, identity{}, llm_int8{.scratch = scratch.at, .bytes = scratch.n - 1}), "gemm.30");
  refused(gemm(gpu, rows(to, 0, m - 1), sum, identity{}, how), "gemm.2");
  refused(gemm(gpu, to, product(row_major<bf16 const>(there.at, m, k - 1), w), identity{}, how), "gemm.1");
  device_array<float> const floats(std::size_t(m) * k);
  refused(gemm(gpu, to, product(row_major<float const>(floats.at, m, k), w), identity{}, how), "gemm.10");
  require_ok(gemm(gpu, row_major(y.at, 0, n), product(row_major<bf16 const>(there.at, 0, k), w), identity{}, how));
}

}  // namespace
}  // namespace smalti::test
