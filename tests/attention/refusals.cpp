// What cannot run is refused with a name before anything is written; tiles are judged by the compiler.

#include "oracle.hpp"

namespace smalti::test {

template <int... D>
constexpr bool table_fits(arch a, int bytes) {
  return ((fits(tuned{}({D, bytes}, a), {D, bytes}, a) == misfit::none) && ...);
}
static_assert(table_fits<64, 96, 128, 256>(sm_80, 2) && table_fits<64, 96, 128, 256>(sm_90a, 2));
static_assert(table_fits<64, 96, 128>(sm_86, 2) && table_fits<64, 96, 128>(sm_89, 2));
static_assert(table_fits<1, 16, 20, 32, 64, 128, 256, 512>(generic_cpu, 4) && table_fits<32, 64, 128>(avx2, 2) && table_fits<32, 64, 128>(avx512, 4));
static_assert(attention_space.size() == 144);
static_assert(attention_candidates<attention_shape{128, 2}, sm_80>.size() > 0);
static_assert(fits({.q = 64, .kv = 128, .stages = 3, .warps = 4}, {128, 2}, sm_89) == misfit::shared_memory);
static_assert(fits({.q = 512, .kv = 64}, {64, 4}, avx2) == misfit::q_rows);
static_assert(fits({.q = 64, .kv = 24}, {64, 4}, avx2) == misfit::kv_rows);
static_assert(masks_interval<both<causal, window>> && !masks_interval<both<causal, streaming>> && masks_interval<softcap>);
static_assert(leaves_scores<both<causal, sinks>> && !leaves_scores<both<causal, softcap>> && has_sink<both<causal, sinks>>);

/// The id, or "" when it ran; the output must be as before in the first case.
template <class T>
std::string refusal(operands<T>& x) {
  status const s = attention(on_cpu{}, x.problem, causal{});
  if (s) return "";
  for (auto e : x.o) REQUIRE(std::isnan(float(e)));
  return s.id;
}

TEST_CASE("shapes that contradict each other") {
  sizes const n{.batch = 2, .heads = 4, .heads_kv = 2, .queries = 3, .keys = 5, .d = 16};
  auto after = [&](auto change) {
    operands<float> x(n);
    change(x.problem);
    return refusal(x);
  };
  CHECK(after([](auto&) {}) == "");
  CHECK(after([](auto& p) { p.k.extent[1] = p.v.extent[1] = 3; }) == "attn.6");
  CHECK(after([](auto& p) { p.k.extent[1] = p.v.extent[1] = 0; }) == "attn.6");
  CHECK(after([](auto& p) { p.v.extent[2] = 4; }) == "attn.7");
  CHECK(after([](auto& p) { p.o.extent[2] = 2; }) == "attn.7");
  CHECK(after([](auto& p) { p.lse.extent[0] = 1; }) == "attn.7");
  CHECK(after([](auto& p) { p.k.extent[3] = 8; }) == "attn.8");
  CHECK(after([](auto& p) { p.q.extent[3] = p.k.extent[3] = 0; }) == "attn.8");
  CHECK(after([](auto& p) { p.v.stride[3] = 2; }) == "attn.9");
  CHECK(after([](auto& p) { p.q.extent[2] = -1; }) == "attn.13");
  CHECK(after([](auto& p) { p.q.extent[2] = p.o.extent[2] = p.lse.extent[2] = index(1) << 40; }) == "attn.13");
  CHECK(after([](auto& p) { p.k.at = nullptr; }) == "attn.13");
  CHECK(after([](auto& p) { p.k.extent[0] = p.v.extent[0] = 1; }) == "attn.14");
}

TEST_CASE("lengths and pages that contradict the operands") {
  operands<float> x({.heads = 2, .heads_kv = 2, .queries = 6, .keys = 10, .d = 16});
  auto const plain = x.problem;
  auto with = [&](attention_lengths l, page_table t = {}) {
    x.problem = plain, x.problem.lengths = l, x.problem.pages = t;
    return refusal(x);
  };
  int const back[] = {0, 4, 2}, past[] = {0, 4, 11}, fine[] = {0, 4, 6}, below[] = {-1, 2, 6};
  int const much[] = {11}, negative[] = {-3}, one[] = {1}, page[] = {0}, wild[] = {7}, minus[] = {-1}, used[] = {9};
  CHECK(with({.count = 2, .q_starts = back, .kv_starts = fine}) == "attn.14");
  CHECK(with({.count = 2, .q_starts = past, .kv_starts = fine}) == "attn.14");
  CHECK(with({.count = 2, .q_starts = below, .kv_starts = fine}) == "attn.14");
  CHECK(with({.count = 2, .q_starts = fine, .kv_starts = back}) == "attn.14");
  CHECK(with({.count = 2, .q_starts = fine, .kv_starts = past}) == "attn.14");
  CHECK(with({.count = -1, .q_starts = fine, .kv_starts = fine}) == "attn.14");
  CHECK(with({.kv_used = much}) == "attn.14");
  CHECK(with({.kv_used = negative}) == "attn.14");
  CHECK(with({.positions = negative}) == "attn.14");
  CHECK(with({.kv_used = used}, {.pages = wild, .page_size = 10, .max_pages = 1}) == "attn.15");
  CHECK(with({.kv_used = used}, {.pages = minus, .page_size = 10, .max_pages = 1}) == "attn.15");
  CHECK(with({.kv_used = used}, {.pages = page, .page_size = 9, .max_pages = 1}) == "attn.15");
  CHECK(with({.kv_used = used}, {.pages = page, .page_size = 10, .max_pages = 1 << 29}) == "attn.15");
  CHECK(with({.kv_used = used, .positions = one}, {.pages = page, .page_size = 10, .max_pages = 1}) == "");
}

TEST_CASE("nothing to do is not an error") {
  operands<float> x({.heads = 2, .heads_kv = 2, .queries = 0, .keys = 10, .d = 16}), y({.batch = 0, .queries = 3, .keys = 3, .d = 16});
  CHECK(attention(on_cpu{}, x.problem));
  CHECK(attention(on_cpu{}, y.problem));
}

TEST_CASE("a tile that cannot run is refused at run time, too") {
  operands<float> x({.queries = 2, .keys = 2, .d = 16});
  CHECK(std::string(attention<fixed<attention_tile{.q = 999, .kv = 16}>>(on_cpu{}, x.problem).id) == "attn.1");
  CHECK(std::string(attention<fixed<attention_tile{.q = 16, .kv = 40}>>(on_cpu{}, x.problem).id) == "attn.2");
}

}  // namespace smalti::test
