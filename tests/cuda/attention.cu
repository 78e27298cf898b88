// The entry point: which engine takes a problem, what it refuses, and the common engine. Oracle: double precision on the device.

#include "attention_common.cuh"

namespace smalti::test {

TEST_CASE("whole sequences: the board's best engine") {
  auto const w = board();
  using best = entry<tuned_heads<128>>;
  check<best, bf16>(w, "full", {1, 1, 1, 128, 128, 128}, full{});
  check<best, bf16>(w, "full", {2, 4, 4, 1024, 1024, 128}, full{});
  check<best, bf16>(w, "full, GQA, ragged", {2, 4, 2, 200, 333, 128}, full{});
  check<best, bf16>(w, "causal", {2, 3, 3, 1024, 1024, 128}, causal{});
  check<best, bf16>(w, "causal, ragged", {1, 40, 8, 777, 777, 128}, causal{});
  check<best, bf16>(w, "causal, cache before it", {1, 4, 2, 77, 500, 128}, causal{423});
  check<best, bf16>(w, "causal, empty rows", {1, 2, 2, 300, 200, 128}, causal{-130});
  check<best, bf16>(w, "causal, empty rows, many items", {2, 100, 50, 300, 200, 128}, causal{-130});
  check<best, bf16>(w, "full, many items", {2, 100, 100, 300, 200, 128}, full{});
  check<best, bf16>(w, "one query, one key", {1, 2, 1, 1, 1, 128}, full{});
  for (auto [n, m] : {std::pair{113, 203}, {239, 1}, {799, 3}, {1023, 1024}}) check<best, bf16>(w, "odd sizes", {1, 2, 1, n, m, 128}, full{});
  check<best, bf16>(w, "tokens first in memory", {2, 4, 2, 200, 333, 128}, causal{}, {.tokens_first = true});
  check<best, bf16>(w, "huge logits", {1, 2, 2, 300, 300, 128}, causal{}, {.loud = 3000});
}

TEST_CASE("the sm_80 engine, on whatever board") {
  on_cuda const w{nullptr, on_hopper() ? sm_90a : sm_80};
  using small = entry<fixed<attention_tile{.q = 64, .kv = 32, .stages = 2, .warps = 4}>>;  // naming a tile chooses the common engine
  check<small, bf16>(w, "causal", {2, 4, 2, 300, 333, 64}, causal{33});
  on_cuda const old{nullptr, sm_80};
  check<entry<tuned_heads<128>>, f16>(old, "f16", {2, 4, 2, 300, 333, 128}, causal{33});
  check<entry<tuned_heads<192, 128>>, bf16>(old, "192 / 128", {1, 2, 1, 200, 200, 192, 128}, causal{});
  check<entry<tuned_heads<256>>, bf16>(old, "256", {1, 2, 1, 200, 200, 256}, causal{});
  device_array<int> const qs(std::vector<int>{0, 1, 90, 90, 200}), ks(std::vector<int>{0, 77, 170, 170, 300}), at(std::vector<int>{76, 4, 0, 20});
  check<entry<tuned_heads<128>>, bf16>(old, "packed sequences", {1, 4, 2, 200, 300, 128}, causal{},
                                       {.lengths = {.count = 4, .q_starts = qs.at, .kv_starts = ks.at, .positions = at.at}});
}

TEST_CASE("refusals: nothing is written") {
  using only = tuned_heads<64>;
  device_array<bf16> x(8192);
  require_cuda(cudaMemset(x.at, 0xff, 8192 * 2));
  attention_problem<bf16> p{};
  on_cuda where = board();
  auto const id = [&] {
    auto const s = attention<only>(where, p, causal{});
    return std::string(s ? "ok" : s.id);
  };
  auto const of = [&](int d) {
    auto const v = row_major<bf16 const>(x.at, 1, 2, 4, d);
    p = {v, v, v, row_major(x.at, 1, 2, 4, d), {}, 1.f};
  };
  CHECK(id() == "attn.6");
  of(48);
  CHECK(id() == "attn.10");
  of(64), p.q.at = x.at + 1;
  CHECK(id() == "attn.11");
  of(64), p.k.stride[2] = 68;
  CHECK(id() == "attn.11");
  of(64), p.v.stride[3] = 2;
  CHECK(id() == "attn.9");
  of(64), p.pages = {reinterpret_cast<int const*>(x.at), 4, 1}, p.scale = 0;
  CHECK(id() == "attn.16");
  of(64), p.pages = {reinterpret_cast<int const*>(x.at), 4, 1};
  CHECK(id() == (on_hopper() ? "attn.15" : "attn.16"));  // pages of 4 rows
  require_cuda(cudaDeviceSynchronize());
  for (auto const& y : x.host()) CHECK(y.bits == 0xffff);
}

TEST_CASE("what Hopper's engine leaves to the common one") {
  auto const w = board();
  auto const turned = [](operands<bf16>& c) { c.p.k.at += (c.n.M - 1) * c.p.k.stride[2], c.p.k.stride[2] = -c.p.k.stride[2]; };
  check<entry<tuned_heads<128>>, bf16>(w, "keys in reverse", {1, 2, 2, 200, 300, 128}, causal{100}, {}, turned);
  check<entry<tuned_heads<128>>, bf16>(w, "scale 0", {1, 2, 2, 200, 300, 128}, causal{100}, {}, [](operands<bf16>& c) { c.p.scale = 0; });
  check<entry<tuned_heads<128>>, bf16>(w, "no key", {1, 2, 2, 200, 0, 128}, causal{100});
}

}  // namespace smalti::test
