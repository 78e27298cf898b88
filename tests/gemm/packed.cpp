// Packing is a permutation: unpack ∘ pack is the identity, bit for bit.
#include <catch2/catch.hpp>
#include <cstring>
#include "gemm/weights.hpp"

namespace smalti::test {
namespace {

template <class T>
bool same(buffer<T> const& a, buffer<T> const& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

TEST_CASE("unpack ∘ pack is the identity") {
  for (auto [n, k] : {std::pair{1, 64}, {15, 128}, {16, 192}, {33, 320}}) {
    auto const w = normal(n * k, 1);
    for (bool nested : {false, true}) {
      auto const q = quantise_nf4(on_cpu{}, row_major(w.data(), n, k), {.double_quant = nested});
      auto const p = pack(q);
      auto const back = unpack(p);
      REQUIRE((back.n == n && back.k == k && back.block == 64 && back.nested() == nested));
      REQUIRE((same(q.code, back.code) && same(q.absmax, back.absmax) && same(q.absmax_code, back.absmax_code)));
      REQUIRE((same(q.nested_absmax, back.nested_absmax) && same(q.nested_map, back.nested_map) && q.nested_offset == back.nested_offset));
      std::vector<float> all(std::size_t(n * k)), row(std::size_t(k), nan);
      dequantise(on_cpu{}, q, row_major(all.data(), n, k));
      for (int r = 0; r < n; ++r) {
        decode_row(packed_weight(pack(q)), r, row.data());
        REQUIRE(std::equal(row.begin(), row.end(), all.begin() + r * k));
      }
    }
    auto const q = quantise_int8(on_cpu{}, row_major(w.data(), n, k));
    auto const back = unpack(pack(q));
    REQUIRE((back.n == n && back.k == k && same(q.code, back.code) && same(q.scale, back.scale)));
    auto const h = narrowed<bf16>(w);
    REQUIRE(same(h, unpack(pack(row_major(h.data(), n, k)))));
  }
}

TEST_CASE("the bytes of a weight are what a product reads") {
  int const n = 64, k = 128;
  auto const w = normal(n * k, 1);
  CHECK(bytes_of(make(0, w, n, k)) == n * k * 4);
  CHECK(bytes_of(make(1, w, n, k)) == n * k * 2);
  CHECK(bytes_of(make(3, w, n, k)) == n * k + n * 4);
  CHECK(bytes_of(make(4, w, n, k)) == n * k / 2 + n * k / 64 * 4);
  CHECK(bytes_of(make(5, w, n, k)) == n * k / 2 + n * k / 64 + 4 + 256 * 4);
}

TEST_CASE("weights that cannot be packed are refused") {
  auto const w = normal(4 * 96, 1);
  auto const id = [](auto&& f) { try { f(); } catch (error const& e) { return e.id; } return std::string("none"); };
  CHECK(id([&] { (void)pack(row_major(w.data(), 0, 64)); }) == "gemm.4");
  CHECK(id([&] { (void)pack(row_major(w.data(), 4, 0)); }) == "gemm.4");
  CHECK(id([&] { (void)pack(quantise_nf4(on_cpu{}, row_major(w.data(), 4, 96))); }) == "gemm.5");  // blocks of 64 cross its rows
}

}  // namespace
}  // namespace smalti::test
