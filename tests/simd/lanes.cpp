// The sixteen-lane operations: each instruction set does what the common version says.
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <smalti/simd/lanes.hpp>

// One function that runs every operation, compiled three times; results go to memory, so that versions can be compared.
#define SMALTI_TEST_BODY                                                                                                       \
  inline void run_all(float const* a, float const* b, float* out) {                                                           \
    auto const put = [&](f32x16 v) { store(out, v), out += 16; };                                                              \
    f32x16 const x = load(a), y = load(b);                                                                                     \
    put(x + y), put(x - y), put(x * y), put(x / y), put(fma(x, y, x)), put(max(x, y)), put(min(x, y)), put(round(x));          \
    put(scale_by_power(x, round(y))), put(exp(x)), put(zero_below(x, y, broadcast(3.f))), put(broadcast(a[3])), put(zero());   \
    put(broadcast(sum(x))), put(broadcast(largest(x))), put(load_first(a, 5)), put(broadcast(dot(a, b, 16)));                  \
    bf16 narrow[16]; f16 half[16]; int8_t bytes[16];                                                                           \
    store(narrow, x), put(load(narrow)), store(half, x), put(load(half));                                                      \
    for (int i = 0; i < 16; ++i) bytes[i] = int8_t(i * 16 - 128);                                                              \
    put(load(bytes));                                                                                                          \
    uint32_t words[16];                                                                                                        \
    for (int i = 0; i < 16; ++i) words[i] = 0x9e3779b9u * uint32_t(i + 1);                                                     \
    i32x16 const w = load_words(words);                                                                                        \
    table16 const t = load_table(b);                                                                                           \
    put(lookup(t, w)), put(lookup(t, shift_right<4>(w))), put(lookup(t, shift_right<28>(w)));                                  \
    for (int i = 0; i < 16; ++i) out[i] = -77;                                                                                 \
    store_first(out, y, 3), out += 16;                                                                                         \
  }
#include <smalti/simd/begin_generic.inc>
SMALTI_TEST_BODY
#include <smalti/simd/end_generic.inc>
#if defined(__x86_64__)
  #include <smalti/simd/begin_avx2.inc>
SMALTI_TEST_BODY
  #include <smalti/simd/end_avx2.inc>
  #include <smalti/simd/begin_avx512.inc>
SMALTI_TEST_BODY
  #include <smalti/simd/end_avx512.inc>
#endif

namespace smalti {
namespace {

constexpr int results = 24 * 16;

TEST_CASE("every instruction set this machine has agrees with the common version") {
  std::mt19937 g(1);
  std::normal_distribution<float> normal(0, 10);
  for (int round = 0; round < 300; ++round) {
    float a[16], b[16], want[results], got[results];
    for (int i = 0; i < 16; ++i) a[i] = normal(g), b[i] = normal(g);
    if (round == 0) a[0] = -INFINITY, a[1] = -200, a[2] = 88, a[3] = -87.4f, a[4] = 0.f, a[5] = 1e-40f, a[6] = 65519.f;
    simd_generic::run_all(a, b, want);
    for (arch device : {avx2, avx512}) {
      if (!(host_arch() >= device)) continue;
      pick(device, &simd_generic::run_all, &simd_avx2::run_all, &simd_avx512::run_all)(a, b, got);
      for (int i = 0; i < results; ++i) {
        CAPTURE(device.level, i / 16, i % 16, want[i], got[i]);
        bool const same = want[i] == got[i] || (std::isnan(want[i]) && std::isnan(got[i]));
        if (!same) CHECK(std::abs(got[i] - want[i]) <= 2e-6f * std::max(1.f, std::abs(want[i])) * 16);  // sums in another order, fused or not
      }
    }
  }
}

TEST_CASE("exp is within 3e-7 of the truth, 0 at the bottom and finite at the top") {
  for (float x = -87; x < 88; x += 0.0713f) {
    float a[16], out[results];
    for (auto& v : a) v = x;
    for (arch device : {generic_cpu, host_arch()}) {
      pick(device, &simd_generic::run_all, &simd_avx2::run_all, &simd_avx512::run_all)(a, a, out);
      CHECK(out[9 * 16] == Approx(std::exp(double(x))).epsilon(3e-7));
    }
  }
}

}  // namespace
}  // namespace smalti
