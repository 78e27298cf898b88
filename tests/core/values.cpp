// dtypes, views, sweeps, buffers: exhaustive where that is possible, and the same at compile time.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <smalti/core/buffer.hpp>
#include <smalti/core/dtype.hpp>
#include <smalti/core/error.hpp>
#include <smalti/core/sweep.hpp>
#include <smalti/core/view.hpp>

namespace smalti {
namespace {

static_assert(float(bf16(1.f)) == 1.f && bf16(1.f).bits == 0x3f80 && f16(1.f).bits == 0x3c00 && float(f16(-2.f)) == -2.f);
static_assert(bytes_of(dtype_of<double>) == 8 && bytes_of(dtype::f8_e4m3) == 1 && dtype_of<f16> == dtype::f16);

double value_of_f16(int h) {  // IEEE 754-2019 §3.4, from the fields
  double const sign = h & 0x8000 ? -1 : 1;
  int const e = h >> 10 & 31, m = h & 1023;
  return e ? sign * std::ldexp(1 + m / 1024., e - 15) : sign * std::ldexp(m / 1024., -14);
}

TEST_CASE("every f16 and bf16 means what the standard says and survives the way through fp32") {
  for (int h = 0; h < 65536; ++h) {
    bool const nan16 = (h & 0x7c00) == 0x7c00 && (h & 0x3ff), infinite16 = (h & 0x7fff) == 0x7c00;
    float const v = detail::f16_to_f32(uint16_t(h));
    if (nan16) CHECK(std::isnan(float(f16(v))));
    else {
      if (!infinite16) CHECK(double(v) == value_of_f16(h));
      CHECK(f16(v).bits == h);
    }
    bf16 const b{};
    (void)b;
    bf16 x;
    x.bits = uint16_t(h);
    if (!std::isnan(float(x))) CHECK(bf16(float(x)).bits == h);
    else CHECK(std::isnan(float(bf16(float(x)))));
  }
}

TEST_CASE("conversion rounds to nearest, ties to even, and overflows to infinity") {
  for (int h = 0; h < 0x7bff; ++h) {  // between neighbours: below the middle down, above it up, on it to the even one
    double const a = value_of_f16(h), b = value_of_f16(h + 1), middle = (a + b) / 2;
    float const m = float(middle);
    REQUIRE(double(m) == middle);
    CHECK(f16(m).bits == (h % 2 ? h + 1 : h));
    CHECK(f16(std::nextafter(m, 1e9f)).bits == h + 1);
    CHECK(f16(std::nextafter(m, -1e9f)).bits == h);
  }
  CHECK(f16(65519.996f).bits == 0x7bff);
  CHECK(f16(65520.f).bits == 0x7c00);
  CHECK(f16(-1e30f).bits == 0xfc00);
  CHECK(f16(1e-30f).bits == 0);
  CHECK(bf16(1 + 1.f / 256).bits == 0x3f80);   // tie, to even
  CHECK(bf16(1 + 3.f / 256).bits == 0x3f82);
  CHECK(bf16(std::nextafter(1 + 1.f / 256, 2.f)).bits == 0x3f81);
  CHECK(bf16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(std::isnan(float(bf16(std::bit_cast<float>(0x7f800001)))));  // a NaN whose payload would be cut away
}

TEST_CASE("a view reads through its strides and becomes a view of const") {
  float data[24];
  for (int i = 0; i < 24; ++i) data[i] = float(i);
  auto const v = row_major(data, 2, 3, 4);
  CHECK(v(1, 2, 3) == 23);
  CHECK(v.size() == 24);
  view<float, 2> const transposed{data, {4, 6}, {1, 4}};
  CHECK(transposed(3, 5) == 23);
  view<float const, 2> const same = transposed;
  CHECK(same(0, 1) == 4);
  CHECK(rows(view<float, 2>(transposed), 1, 2)(0, 0) == 1);
  CHECK(!view<float, 1>{});
}

struct config { int a, b; friend constexpr bool operator==(config const&, config const&) = default; };
inline constexpr auto space = sweep<config>(axis{1, 2, 3}, axis{10, 20});
static_assert(space.size() == 6 && space[0] == config{1, 10} && space[5] == config{3, 20});
static_assert(space.where([](config c) { return c.a == 2; }).size() == 2);

TEST_CASE("shards of a sweep cover it once, and dispatch finds what is allowed and nothing else") {
  int seen = 0, sum = 0;
  for_each<space.shard(0, 2)>([&]<config C> { ++seen, sum += C.a * C.b; return false; });
  for_each<space.shard(1, 2)>([&]<config C> { ++seen, sum += C.a * C.b; return false; });
  CHECK(seen == 6);
  CHECK(sum == 6 * 30);
  CHECK(for_each<space>([&]<config C> { return C.b == 20; }));
  int got = 0;
  CHECK(dispatch<32, 64>(64, [&]<int D> { got = D; }));
  CHECK(got == 64);
  CHECK(!dispatch<32, 64>(65, [&]<int D> { got = D; }));
}

TEST_CASE("a buffer is aligned, movable, copied only when asked, and refuses sizes that overflow") {
  buffer<float> a(5, 2.f);
  CHECK(reinterpret_cast<uintptr_t>(a.data()) % 64 == 0);
  buffer<float> b = std::move(a), c = b.copy();
  c[0] = 7;
  CHECK(b[0] == 2);
  CHECK(a.empty());
  CHECK(c.size() == 5);
  CHECK(buffer<float>().copy().empty());
  CHECK_THROWS_AS(buffer<double>(std::size_t(-1) / 8), std::bad_array_new_length);
}

TEST_CASE("a refusal becomes an exception that keeps its id") {
  CHECK_NOTHROW(require(status{}));
  try { require({"gemm.1", "why"}); FAIL(); } catch (error const& e) {
    CHECK(e.id == "gemm.1");
    CHECK(std::string(e.what()) == "gemm.1: why");
  }
}

}  // namespace
}  // namespace smalti
