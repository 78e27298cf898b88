// LLM.int8 on the host: codes, scales, outlier columns and products against bitsandbytes' (tests/golden/nf4), sums against exact integers.
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <smalti/gemm/llm_int8.hpp>
#include <smalti/io/safetensors.hpp>

namespace smalti {
namespace {

template <class T>
std::vector<T> values(tensor const& t) {
  std::vector<T> v(t.bytes.size() / sizeof(T));
  if (!v.empty()) std::memcpy(v.data(), t.bytes.data(), t.bytes.size());
  return v;
}

TEST_CASE("activations, their outliers and products as bitsandbytes has them") {
  safetensors const file("tests/golden/nf4/tokens.safetensors");
  for (std::string const name : {"plain", "some", "without", "all", "one_row", "ties"}) {
    INFO(name);
    auto const x = values<f16>(file.at(name + ".x"));
    index const m = file.at(name + ".x").shape[0], k = file.at(name + ".x").shape[1], n = file.at(name + ".weight").shape[0];
    float const threshold = values<float>(file.at(name + ".threshold"))[0];
    auto const q = quantise_tokens(on_cpu{}, row_major(x.data(), m, k), threshold);
    auto const code = values<int8_t>(file.at(name + ".code"));
    auto const scale = values<float>(file.at(name + ".scale"));
    auto const outliers = values<int64_t>(file.at(name + ".outliers"));
    CHECK(std::vector<int64_t>(q.outlier.begin(), q.outlier.end()) == outliers);
    CHECK((name == "some" || name == "one_row" || name == "all") == !outliers.empty());
    REQUIRE(q.scale.size() == scale.size());
    for (std::size_t i = 0; i < scale.size(); ++i) CHECK(q.scale[i] == scale[i]);
    REQUIRE(q.code.size() == code.size());
    CHECK(std::memcmp(q.code.data(), code.data(), code.size()) == 0);

    int8_data w{int(n), int(k), buffer<int8_t>(std::size_t(n * k)), buffer<float>(std::size_t(n))};
    auto const codes = values<int8_t>(file.at(name + ".weight"));
    auto const rows = values<float>(file.at(name + ".SCB")), want = values<float>(file.at(name + ".y"));
    std::copy(codes.begin(), codes.end(), w.code.begin()), std::copy(rows.begin(), rows.end(), w.scale.begin());
    packed_int8 const packed = pack(w);
    std::vector<float> y(want.size(), NAN);
    require(gemm(on_cpu{}, row_major(y.data(), m, n), product(row_major(x.data(), m, k), packed), identity{}, llm_int8{.threshold = threshold}));
    for (index i = 0; i < m; ++i)
      for (index j = 0; j < n; ++j) {
        double size = 0;  // what the terms add up to without signs: both round in fp32, k terms at most
        int64_t sum = 0;
        for (index c = 0; c < k; ++c) {
          size += std::fabs(double(float(x[std::size_t(i * k + c)])) * w.code[std::size_t(j * k + c)] * w.scale[std::size_t(j)] / 127);
          sum += int(q.code[std::size_t(i * k + c)]) * int(w.code[std::size_t(j * k + c)]);
        }
        // Its code for the CPU multiplies by 6.200124e-05 where 1/127² is 6.200012e-05, as its code for CUDA has it.
        double const slip = double(sum) * scale[std::size_t(i)] * rows[std::size_t(j)] * (6.200124e-05 - 1. / (127 * 127));
        REQUIRE(std::fabs(y[std::size_t(i * n + j)] + slip - want[std::size_t(i * n + j)]) <= 8 * 6e-8 * size + 1e-12);
      }
  }
}

TEST_CASE("LLM.int8 sums are exact, its terms and epilogue as elsewhere") {
  int const m = 7, n = 33, k = 2100, rank = 6;
  std::mt19937 g(3);
  std::normal_distribution<float> normal;
  auto const made = [&](std::size_t count) {
    std::vector<float> v(count);
    for (auto& e : v) e = normal(g);
    return v;
  };
  auto x = made(m * k);
  auto const source = made(n * k), t = made(m * rank), b = made(n * rank);
  std::vector<float> r = made(m * n);
  for (int i = 0; i < k; ++i) x[std::size_t(2 * k + i)] = 0;
  x[11] = 9.f, x[3 * k + 500] = -7.f, x[4 * k + 501] = 6.f;
  auto const w = quantise_int8(on_cpu{}, row_major(source.data(), n, k));
  auto const packed = pack(w);
  auto const q = quantise_tokens(on_cpu{}, row_major(x.data(), m, k));
  CHECK(q.outlier == std::vector<int>{11, 500, 501});
  CHECK(q.scale[2] == 0.f);
  auto y = r;
  auto const to = row_major(y.data(), m, n);
  require(gemm(on_cpu{}, to, 2.f * product(row_major(x.data(), m, k), packed) + 0.5f * product(row_major(t.data(), m, rank), row_major(b.data(), n, rank)), residual{to}, llm_int8{}));
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      int64_t sum = 0;
      for (int c = 0; c < k; ++c) sum += int(q.code[std::size_t(i * k + c)]) * int(w.code[std::size_t(j * k + c)]);
      double want = double(sum) * q.scale[std::size_t(i)] / 127 * w.scale[std::size_t(j)] / 127 * 2 + r[std::size_t(i * n + j)], size = std::fabs(want) + 1;
      for (int c : q.outlier) want += 2. * x[std::size_t(i * k + c)] * w.code[std::size_t(j * k + c)] * w.scale[std::size_t(j)] / 127, size += 40;
      for (int c = 0; c < rank; ++c) want += 0.5 * t[std::size_t(i * rank + c)] * b[std::size_t(j * rank + c)];
      REQUIRE(std::fabs(y[std::size_t(i * n + j)] - want) <= 1e-6 * size);
    }
}

TEST_CASE("what is no number, and what is refused") {
  int const m = 3, n = 4, k = 20;
  std::vector<float> x(m * k, 1.f), source(n * k, 0.5f), y(m * n);
  x[k + 3] = NAN, x[2 * k + 4] = INFINITY;
  auto const packed = pack(quantise_int8(on_cpu{}, row_major(source.data(), n, k)));
  for (float threshold : {6.f, 0.f}) {
    require(gemm(on_cpu{}, row_major(y.data(), m, n), product(row_major(x.data(), m, k), packed), identity{}, llm_int8{.threshold = threshold}));
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j) CHECK(std::isfinite(y[std::size_t(i * n + j)]) == (i == 0));
  }
  auto const dense = product(row_major(x.data(), m, k), row_major(source.data(), n, k));
  auto const s = gemm(on_cpu{}, row_major(y.data(), m, n), dense, identity{}, llm_int8{});
  REQUIRE(!s);
  CHECK(std::string(s.id) == "gemm.32");
  auto const two = gemm(on_cpu{}, row_major(y.data(), m - 1, n), product(row_major(x.data(), m, k), packed), identity{}, llm_int8{});
  REQUIRE(!two);
  CHECK(std::string(two.id) == "gemm.2");
}

}  // namespace
}  // namespace smalti
