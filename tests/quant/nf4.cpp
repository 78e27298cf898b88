// Laws of the NF4 code and of the dynamic map, and what is refused.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>
#include <smalti/nf4.hpp>

namespace smalti {
namespace {

static_assert([] {
  for (int c = 0; c < 16; ++c)
    if (nf4_encode(nf4_level[c]) != c) return false;
  return true;
}(), "levels are fixed points");
static_assert([] {
  for (int c = 0; c < 15; ++c)
    if (nf4_encode(nf4_threshold[c]) != c || nf4_level[c] >= nf4_threshold[c] || nf4_threshold[c] >= nf4_level[c + 1]) return false;
  return true;
}(), "thresholds lie between levels, and a tie goes down");

std::vector<float> normal(index n, unsigned seed) {
  std::mt19937 g(seed);
  std::normal_distribution<float> d;
  std::vector<float> v(static_cast<std::size_t>(n));
  for (float& x : v) x = d(g);
  return v;
}
template <class F>
std::string id_of(F&& f) {
  try { f(); } catch (error const& e) { return e.id; }
  return "none";
}

TEST_CASE("the code is the nearest level") {
  for (int i = -100000; i <= 100000; ++i) {
    float const x = float(i) / 100000;
    int const c = nf4_encode(x);
    for (int other : {c - 1, c + 1})
      if (other >= 0 && other < 16) REQUIRE(std::fabs(x - nf4_level[c]) <= std::fabs(x - nf4_level[other]) + 1e-7f);
  }
}

TEST_CASE("every block size: the error is at most half the widest gap, and quantise ∘ dequantise is idempotent") {
  int const n = 6, k = 4096;
  auto const w = normal(n * k, 1);
  for (int block : {32, 64, 128, 256, 512, 1024, 2048, 4096}) {
    auto const q = quantise_nf4(on_cpu{}, row_major(w.data(), n, k), {.block = block, .double_quant = false});
    std::vector<float> v(w.size(), NAN);
    dequantise(on_cpu{}, q, row_major(v.data(), n, k));
    for (std::size_t i = 0; i < w.size(); ++i) REQUIRE(std::fabs(v[i] - w[i]) <= 0.1520f * q.absmax[i / std::size_t(block)]);
    auto const again = quantise_nf4(on_cpu{}, row_major(v.data(), n, k), {.block = block, .double_quant = false});
    REQUIRE(std::equal(q.code.begin(), q.code.end(), again.code.begin()));
    REQUIRE(std::equal(q.absmax.begin(), q.absmax.end(), again.absmax.begin()));
  }
}

TEST_CASE("blocks may cross rows, and strides do not matter") {
  auto const w = normal(4 * 96, 2);  // 96 columns, blocks of 64
  auto const plain = quantise_nf4(on_cpu{}, row_major(w.data(), 4, 96));
  std::vector<float> spread(4 * 96 * 2, NAN);
  for (std::size_t i = 0; i < w.size(); ++i) spread[2 * i] = w[i];
  thread_pool pool(2);
  auto const strided = quantise_nf4(pool, view<float const, 2>{spread.data(), {4, 96}, {192, 2}});
  REQUIRE(std::equal(plain.code.begin(), plain.code.end(), strided.code.begin()));
  std::vector<float> a(4 * 96), b(4 * 96);
  dequantise(on_cpu{}, plain, row_major(a.data(), 4, 96)), dequantise(pool, strided, row_major(b.data(), 4, 96));
  REQUIRE(a == b);
  for (index i = 0; i < 4 * 96; ++i) REQUIRE(a[std::size_t(i)] == nf4_level[nf4_code_at(plain.code.data(), i)] * plain.scale(i / 64));
}

TEST_CASE("double quantisation moves a scale by at most half a step of the dynamic map") {
  int const n = 70, k = 1024;
  auto const w = normal(n * k, 3);
  auto const plain = quantise_nf4(on_cpu{}, row_major(w.data(), n, k), {.double_quant = false});
  auto const nested = quantise_nf4(on_cpu{}, row_major(w.data(), n, k));
  REQUIRE((nested.nested() && nested.absmax.empty() && nested.nested_absmax.size() == std::size_t(ceil_div(n * k / 64, 256))));
  for (index b = 0; b < plain.blocks(); ++b)  // neighbours of the map are at most 0.0141 apart, in units of the nested absmax
    REQUIRE(std::fabs(plain.scale(b) - nested.scale(b)) <= 0.00705f * nested.nested_absmax[std::size_t(b / 256)] + 1e-6f);
}

TEST_CASE("zeros stay zeros, and tiny blocks are not flushed") {
  std::vector<float> w(128, 0.f);
  for (int i = 64; i < 128; ++i) w[std::size_t(i)] = (i % 2 ? 1e-40f : -1e-40f);  // 1 / absmax is infinite
  for (bool nested : {false, true}) {
    auto const q = quantise_nf4(on_cpu{}, row_major(w.data(), 2, 64), {.double_quant = nested});
    std::vector<float> v(128, NAN);
    dequantise(on_cpu{}, q, row_major(v.data(), 2, 64));
    for (int i = 0; i < 64; ++i) REQUIRE(std::fabs(v[std::size_t(i)]) <= 1e-40f);
    if (!nested) REQUIRE(std::memcmp(&v[64], &w[64], 256) == 0);
  }
}

TEST_CASE("the dynamic map") {
  auto const& map = signed_dynamic_map();
  CHECK(std::is_sorted(map.begin(), map.end()));
  CHECK((map[0] == -0.99296875f && map[127] == 0.f && map[255] == 1.f));
  auto const& half = unsigned_dynamic_map();
  CHECK(std::is_sorted(half.begin(), half.end()));
  CHECK((half[0] == 0.f && half[255] == 1.f));
  for (int i = 0; i < 256; ++i) REQUIRE(encode_nearest(map.data(), map[i]) == i);
  CHECK((encode_nearest(map.data(), -5) == 0 && encode_nearest(map.data(), 5) == 255));
}

TEST_CASE("int8 rows") {
  int const n = 5, k = 77;
  auto w = normal(n * k, 4);
  for (int j = 0; j < k; ++j) w[std::size_t(2 * k + j)] = 0;
  auto const q = quantise_int8(on_cpu{}, row_major(w.data(), n, k));
  std::vector<float> v(w.size(), NAN);
  dequantise(on_cpu{}, q, row_major(v.data(), n, k));
  for (int i = 0; i < n * k; ++i) REQUIRE(std::fabs(v[std::size_t(i)] - w[std::size_t(i)]) <= q.scale[std::size_t(i / k)] * (0.5f / 127 + 1e-6f));
  REQUIRE((q.scale[2] == 0 && v[2 * k] == 0));
}

TEST_CASE("what cannot be quantised is refused") {
  auto w = normal(2 * 64, 5);
  auto const v = row_major(w.data(), 2, 64);
  CHECK(id_of([&] { (void)quantise_nf4(on_cpu{}, v, {.block = 48}); }) == "quant.2");
  CHECK(id_of([&] { (void)quantise_nf4(on_cpu{}, v, {.block = 256}); }) == "quant.3");
  CHECK(id_of([&] { (void)quantise_nf4(on_cpu{}, row_major(w.data(), 0, 64)); }) == "quant.3");
  CHECK(id_of([&] { (void)quantise_int8(on_cpu{}, row_major(w.data(), 2, 0)); }) == "quant.3");
  auto const q = quantise_nf4(on_cpu{}, v);
  CHECK(id_of([&] { dequantise(on_cpu{}, q, row_major(w.data(), 1, 128)); }) == "quant.4");
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    w[70] = bad;
    CHECK(id_of([&] { (void)quantise_nf4(on_cpu{}, v); }) == "quant.1");
    CHECK(id_of([&] { (void)quantise_int8(on_cpu{}, v); }) == "quant.1");
  }
}

}  // namespace
}  // namespace smalti
