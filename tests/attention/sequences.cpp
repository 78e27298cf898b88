// Packed sequences, caches filled to different lengths, pages: each equals separate calls on contiguous memory.

#include "oracle.hpp"

namespace smalti::test {

TEST_CASE("packed sequences equal separate calls") {
  int const starts_q[] = {0, 5, 5, 30, 31}, starts_k[] = {0, 9, 12, 52, 60}, positions[] = {4, 3, 15, 7};
  operands<float> x({.heads = 4, .heads_kv = 2, .queries = 31, .keys = 60, .d = 32});
  x.problem.lengths = {.count = 4, .q_starts = starts_q, .kv_starts = starts_k, .positions = positions};
  agrees(x, causal{} & window{6});
  auto const packed = x.o;
  for (int b = 0; b < 4; ++b) {
    auto p = x.problem;
    p.lengths = {};
    for (auto* v : {&p.q}) v->at += starts_q[b] * 32, v->extent[2] = starts_q[b + 1] - starts_q[b];
    p.o.at += starts_q[b] * 32, p.o.extent[2] = p.lse.extent[2] = p.q.extent[2], p.lse.at += starts_q[b];
    for (auto* v : {&p.k, &p.v}) v->at += starts_k[b] * 32, v->extent[2] = starts_k[b + 1] - starts_k[b];
    std::fill(x.o.begin(), x.o.end(), NAN);
    REQUIRE(attention(on_cpu{}, p, causal{positions[b]} & window{6}));
    for (int h = 0; h < 4; ++h)
      for (int i = starts_q[b]; i < starts_q[b + 1]; ++i)
        for (int c = 0; c < 32; ++c) REQUIRE(x.o[std::size_t((h * 31 + i) * 32 + c)] == Approx(packed[std::size_t((h * 31 + i) * 32 + c)]).margin(1e-6));
  }
}

TEST_CASE("caches filled to different lengths") {
  int const used[] = {70, 0, 33}, positions[] = {69, 0, 32};
  operands<bf16> x({.batch = 3, .heads = 4, .heads_kv = 1, .queries = 1, .keys = 80, .d = 32});
  for (std::size_t i = 33 * 32; i < 80 * 32; ++i) x.k[2 * 80 * 32 + i] = x.v[2 * 80 * 32 + i] = bf16(NAN);  // never read
  x.problem.lengths = {.kv_used = used, .positions = positions};
  agrees(x, causal{});
  agrees(x, causal{} & window{10});
}

TEST_CASE("pages equal contiguous memory, whatever their size and order") {
  for (int size : {1, 5, 16, 64}) {
    sizes const n{.batch = 2, .heads = 4, .heads_kv = 2, .queries = 3, .keys = 100, .d = 32};
    operands<float> x(n);
    int const per = (100 + size - 1) / size, used[] = {100, 41}, positions[] = {97, 38};
    std::vector<int> ids(std::size_t(2 * per));
    std::vector<float> k(std::size_t(2 * per + 1) * 2 * size * 32, NAN), v(k);
    for (int i = 0; i < 2 * per; ++i) ids[std::size_t(i)] = 2 * per - i;  // backwards; page 0 is nobody's
    for (int b = 0; b < 2; ++b)
      for (int g = 0; g < 2; ++g)
        for (int j = 0; j < used[b]; ++j)
          for (int c = 0; c < 32; ++c) {
            std::size_t const to = std::size_t(((ids[std::size_t(b * per + j / size)] * 2 + g) * size + j % size) * 32 + c);
            k[to] = x.problem.k(b, g, j, c), v[to] = x.problem.v(b, g, j, c);
          }
    x.problem.lengths = {.kv_used = used, .positions = positions};
    REQUIRE(attention(on_cpu{}, x.problem, causal{}));
    auto const want = x.o;
    x.problem.k = row_major<float const>(k.data(), 2 * per + 1, 2, size, 32);
    x.problem.v = row_major<float const>(v.data(), 2 * per + 1, 2, size, 32);
    x.problem.pages = {ids.data(), size, per};
    agrees(x, causal{});
    CHECK(x.o == want);
    agrees<fixed<attention_tile{.q = 4, .kv = 32, .split = 32}>>(x, causal{});
  }
}

}  // namespace smalti::test
