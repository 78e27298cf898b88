// e4m3: every code, every rounding; the quantiser of attention's operands and the order of its values.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <smalti/quant/e4m3.hpp>
#include <vector>

namespace smalti {
namespace {

static_assert(e4m3(1.f).bits == 0x38 && float(e4m3(-448.f)) == -448.f && sizeof(e4m3) == 1 && dtype_of<e4m3> == dtype::f8_e4m3);

e4m3 coded(int bits) {
  e4m3 x;
  x.bits = uint8_t(bits);
  return x;
}
double value_of(int code) {  // Micikevicius et al. 2022, table 1, from the fields
  int const e = code >> 3 & 15, m = code & 7;
  return (code & 0x80 ? -1 : 1) * (e ? std::ldexp(1 + m / 8., e - 7) : std::ldexp(m / 8., -6));
}

TEST_CASE("every e4m3 means what its fields say and survives the way through fp32") {
  for (int code = 0; code < 256; ++code) {
    float const x = float(coded(code));
    if ((code & 0x7f) == 0x7f) {
      CHECK(std::isnan(x));
      CHECK((e4m3(x).bits & 0x7f) == 0x7f);
      continue;
    }
    CHECK(double(x) == value_of(code));
    CHECK(std::signbit(x) == (code >= 128));
    CHECK(e4m3(x).bits == code);
  }
}

TEST_CASE("between two codes: to nearest, ties to even; beyond the last: saturated") {
  for (int code = 0; code < 0x7e; ++code)
    for (int sign : {0, 0x80}) {
      float const middle = float((value_of(code) + value_of(code + 1)) / 2) * (sign ? -1.f : 1.f), away = sign ? -1e9f : 1e9f;
      CHECK(e4m3(middle).bits == (sign | (code % 2 ? code + 1 : code)));
      CHECK(e4m3(std::nextafter(middle, away)).bits == (sign | (code + 1)));
      CHECK(e4m3(std::nextafter(middle, 0.f)).bits == (sign | code));
    }
  float const infinity = std::numeric_limits<float>::infinity();
  for (float x : {448.f, 449.f, 464.f, 480.f, 1e30f, infinity}) {
    CHECK(e4m3(x).bits == 0x7e);
    CHECK(e4m3(-x).bits == 0xfe);
  }
  CHECK(e4m3(std::ldexp(1.f, -10)).bits == 0);  // half of the smallest: the tie goes to 0
  CHECK(e4m3(std::nextafter(std::ldexp(1.f, -10), 1.f)).bits == 1);
  CHECK(e4m3(-1e-30f).bits == 0x80);
  CHECK(e4m3(std::numeric_limits<float>::denorm_min()).bits == 0);
  CHECK(e4m3(std::numeric_limits<float>::quiet_NaN()).bits == 0x7f);
}

TEST_CASE("any float: no code is nearer") {
  std::mt19937 g(1);
  for (int i = 0; i < 20000; ++i) {
    float const x = __builtin_bit_cast(float, (uint32_t(g()) & 0x87ffffffu) + 0x38000000u);  // magnitudes 2^-15 … 2^1
    double nearest = 1e9;
    for (int code = 0; code < 256; ++code)
      if ((code & 0x7f) != 0x7f) nearest = std::fmin(nearest, std::fabs(value_of(code) - double(x)));
    REQUIRE(std::fabs(double(float(e4m3(x))) - double(x)) == nearest);
  }
}

TEST_CASE("slots: a permutation of every 16 keys that turns the layout of S into that of P") {
  for (index j = 0; j < 64; ++j) {
    CHECK(e4m3_key(e4m3_slot(j)) == j);
    CHECK(e4m3_slot(j) / 16 == j / 16);
  }
  for (int t = 0; t < 4; ++t)  // a lane's columns of S, in the order it packs them, are its columns of P
    for (int i = 0; i < 4; ++i) CHECK(e4m3_slot(8 * (i / 2) + 2 * t + i % 2) == 4 * t + i);
  CHECK(e4m3_slots(0) == 0);
  CHECK(e4m3_slots(1) == 16);
  CHECK(e4m3_slots(32) == 32);
}

TEST_CASE("a quantised head: half a step from the source, its largest at 448") {
  int const B = 2, H = 3, N = 21, D = 10, slots = 48;
  std::mt19937 g(2);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> x(std::size_t(B * H * N * D));
  for (auto& v : x) v = normal(g);
  for (int i = 0; i < N * D; ++i) x[std::size_t(i)] = 0;  // a head of zeros
  auto const from = row_major<float const>(x.data(), B, H, N, D);
  std::vector<e4m3> q(x.size(), coded(0x7f)), v(std::size_t(B * H * D * slots), coded(0x7f));
  std::vector<float> scale(std::size_t(B * H), NAN), v_scale(scale);
  thread_pool pool{2};
  auto const to = row_major(q.data(), B, H, N, D), values = row_major(v.data(), B, H, D, slots);
  REQUIRE(quantise_e4m3(on_cpu{pool}, to, row_major(scale.data(), B, H), from));
  REQUIRE(quantise_values_e4m3(on_cpu{}, values, row_major(v_scale.data(), B, H), from));
  CHECK(scale == v_scale);
  CHECK(scale[0] == 1.f);
  for (int i = 0; i < B * H; ++i) {
    int const b = i / H, h = i % H;
    float largest = 0;
    for (int n = 0; n < N; ++n)
      for (int d = 0; d < D; ++d) {
        double const s = scale[std::size_t(i)], code = float(to(b, h, n, d)), want = from(b, h, n, d);
        CHECK(std::fabs(s * code - want) <= std::fmax(std::fabs(want) / 16, s / 1024) * (1 + 1e-6));
        CHECK(values(b, h, d, e4m3_slot(n)).bits == to(b, h, n, d).bits);
        largest = std::fmax(largest, std::fabs(float(code)));
      }
    CHECK(largest == (i == 0 ? 0.f : 448.f));
    for (int d = 0; d < D; ++d)
      for (int c = 0; c < slots; ++c)
        if (e4m3_key(c) >= N) CHECK(values(b, h, d, c).bits == 0);
  }
  CHECK(std::string(quantise_values_e4m3(on_cpu{}, row_major(v.data(), B, H, D, 16), row_major(scale.data(), B, H), from).id) == "quant.9");
  CHECK(std::string(quantise_e4m3(on_cpu{}, row_major(q.data(), B, H, N, D), row_major(scale.data(), B, 2), from).id) == "quant.9");
}

}  // namespace
}  // namespace smalti
