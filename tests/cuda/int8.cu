// INT8 weights on a device: quantised there byte for byte as on the host, and their product against double precision.
//   test_cuda_int8_cuda            needs a board with code in this program (sm_80 or sm_90a)
//   test_cuda_int8_cuda "[small]"  the cases for a sanitizer

#include <smalti/gemm/dense.cuh>

#include "rows_oracle.cuh"

namespace smalti::test {
namespace {

template <class T>
void check_quantise(int n, int k, bool hard) {
  INFO("(" << n << ", " << k << ") hard " << hard);
  auto w = random_values<T>(std::size_t(n) * k, 7);
  if (hard)
    for (int j = 0; j < k; ++j) {
      w[std::size_t(j)] = T(0.f);
      if (n > 1) w[std::size_t(k + j)] = T(float(j - k / 2));                                       // many ties
      if (n > 2) w[std::size_t(2 * k + j)] = T(sizeof(T) == 4 ? 1e-42f * float(j % 5) : 6e-8f * float(j % 3));  // subnormal
    }
  auto const host = quantise_int8(on_cpu{}, row_major<T const>(w.data(), n, k));
  device_array<T> const there(w);
  auto const made = quantise_int8(gpu, row_major<T const>(there.at, n, k));
  auto const back = download(gpu, made);
  CHECK(std::memcmp(back.code.data(), host.code.data(), host.code.size()) == 0);
  CHECK(std::memcmp(back.scale.data(), host.scale.data(), host.scale.size() * 4) == 0);
  std::vector<T> want(w.size());
  dequantise(on_cpu{}, host, row_major(want.data(), n, k));
  device_array<T> out(w.size());
  out.poison();
  require_ok(dequantise(gpu, upload(gpu, host), row_major(out.at, n, k)));
  auto const got = out.host();
  CHECK(std::memcmp(got.data(), want.data(), want.size() * sizeof(T)) == 0);
}

TEST_CASE("INT8 weights are made on the device as on the host", "[small]") {
  check_quantise<float>(5, 300, true), check_quantise<bf16>(70, 512, false), check_quantise<f16>(3, 77, true), check_quantise<bf16>(3, 129, true), check_quantise<float>(1, 1, false);
  auto w = random_values<float>(64, 1);
  w[37] = NAN;
  device_array<float> const there(w);
  REQUIRE_THROWS_WITH(quantise_int8(gpu, row_major(there.at, 8, 8)), Catch::Contains("quant.1") && Catch::Contains("row 4"));
  REQUIRE_THROWS_WITH(quantise_int8(gpu, row_major(there.at, 0, 8)), Catch::Contains("quant.3"));
}

template <class X, class Y = X>
void check_product(rows_case const& c) {
  INFO("N " << c.n << " K " << c.k << " M " << c.m << " rank " << c.rank << " gap " << c.gap);
  rows_operands<float, X> const a(c);
  auto const host = quantise_int8(on_cpu{}, row_major<float const>(a.w.data(), c.n, c.k));
  auto const w = upload(gpu, host);
  check_sums<Y>(c, a, [&](view<Y, 2> y) {
    auto const base = product(a.view_x(), w);
    if (c.rank) return gemm(gpu, y, 2.f * base + 0.5f * product(a.view_t(), a.view_b()), identity{}, early);
    return gemm(gpu, y, 2.f * base, identity{}, early);
  }, a.oracle([&](int n, int k) { return double(host.code[std::size_t(n) * c.k + k]) * double(host.scale[std::size_t(n)]) / 127; }));
}

TEST_CASE("INT8 product: shapes of every kind", "[small]") {
  check_product<bf16>({16, 256, 1}), check_product<bf16>({17, 16, 2}), check_product<bf16>({40, 272, 3, 16}), check_product<bf16>({100, 1040, 8, 6, 8}), check_product<bf16>({33, 4112, 9}),
      check_product<bf16>({49, 512, 37, 8, 8}), check_product<bf16>({5, 3, 2}), check_product<bf16>({20, 75, 6, 3, 1}), check_product<f16>({70, 528, 5, 16}), check_product<f16>({64, 4096, 16}),
      check_product<bf16, float>({50, 384, 4}), check_product<float>({19, 64, 2});
}

TEST_CASE("INT8 product: the shapes of models") {
  check_product<bf16>({4096, 1440, 7, 16}), check_product<bf16>({1027, 14336, 16}), check_product<f16>({2048, 2048, 13});
}

}  // namespace
}  // namespace smalti::test
