// RoPE: the rotation, partial rotation, the four scalings against figures of transformers 5.17, refusals.

#include <catch2/catch.hpp>
#include <smalti/core/dtype.hpp>
#include <smalti/math/rope.hpp>

namespace smalti::test {

TEST_CASE("a rotation: lengths stay, and scores depend on distance alone") {
  auto const table = make_rope_table(8, 100, 10000);
  float a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, b[8] = {-1, 3, 0.5f, 2, -2, 1, 4, 0};
  auto score = [&](int p, int q) {
    float x[16];
    std::copy(a, a + 8, x), std::copy(b, b + 8, x + 8);
    int const positions[] = {p, q};
    REQUIRE(apply_rope(on_cpu{}, row_major(x, 2, 1, 8), positions, table));
    double length = 0, s = 0;
    for (int i = 0; i < 8; ++i) length += double(x[i]) * x[i], s += double(x[i]) * x[i + 8];
    CHECK(length == Approx(204));
    return s;
  };
  CHECK(score(5, 2) == Approx(score(93, 90)).epsilon(1e-5));
  CHECK(score(0, 0) == Approx(-1 + 6 + 1.5 + 8 - 10 + 6 + 28));
}

TEST_CASE("rotate-half order: column i pairs with column i + dim / 2; later columns stay") {
  auto const table = make_rope_table(4, 8, 100);
  float x[6] = {1, 0, 0, 1, 7, 8};
  int const position[] = {3};
  REQUIRE(apply_rope(on_cpu{}, row_major(x, 1, 1, 6), position, table));
  CHECK(x[0] == Approx(std::cos(3.)));
  CHECK(x[2] == Approx(std::sin(3.)));
  CHECK(x[1] == Approx(-std::sin(0.3)));  // θ^(−2/4) = 0.1
  CHECK(x[3] == Approx(std::cos(0.3)));
  CHECK(x[4] == 7);
  CHECK(x[5] == 8);
}

TEST_CASE("strided views and 16-bit elements rotate in place") {
  auto const table = make_rope_table(16, 50, 500);
  std::vector<bf16> x(3 * 2 * 24, bf16(1.f));
  view<bf16, 3> const v{x.data(), {3, 2, 16}, {48, 24, 1}};
  int const positions[] = {0, 17, 49};
  REQUIRE(apply_rope(on_cpu{}, v, positions, table));
  CHECK(float(v(0, 1, 3)) == 1);
  CHECK(float(v(1, 1, 0)) == Approx(std::cos(17.) - std::sin(17.)).margin(4e-3));
  CHECK(float(x[16]) == 1);  // beyond the view's columns
}

TEST_CASE("scalings agree with the reference") {
#include "rope_reference.inc"
  for (auto const& r : rope_reference) {
    CAPTURE(r.name);
    auto const f = rope_frequencies(r.dim, r.theta, r.scaling, r.length);
    for (int i = 0; i < 4; ++i) {
      int const at = i * (r.dim / 2 - 1) / 3;
      CHECK(f[std::size_t(at)] == Approx(r.frequency[i]).epsilon(2e-6));
    }
    CHECK(rope_magnitude(r.scaling) == Approx(r.magnitude).epsilon(1e-6));
  }
}

TEST_CASE("rope refuses before it writes") {
  auto const table = make_rope_table(8, 10, 10000);
  std::vector<float> x(32, 1.f);
  auto id = [&](view<float, 3> v, std::vector<int> positions) { return std::string(apply_rope(on_cpu{}, v, positions, table).id); };
  CHECK(id(row_major(x.data(), 2, 2, 8), {1}) == "math.1");
  CHECK(id(row_major(x.data(), 4, 2, 4), {1, 2, 3, 4}) == "math.1");
  CHECK(id(row_major(x.data(), 2, 2, 8), {1, 10}) == "math.2");
  CHECK(id(row_major(x.data(), 2, 2, 8), {-1, 1}) == "math.2");
  CHECK(x == std::vector<float>(32, 1.f));
}

}  // namespace smalti::test
