// The common engine, tile by tile and variant by variant, against double precision. Any board since sm_80.

#include "attention_common.cuh"

namespace smalti::test {

/// The common engine with a tile, for one pair of head dimensions.
template <attention_tile T, int D, int Dv = D>
struct common {
  template <class E, class V>
  static status run(on_cuda const& where, attention_problem<E> const& p, V const& v) { return detail::launch_sm80<D, Dv, fixed<T>>(where, p, v); }
};
constexpr attention_tile tall{.q = 256, .kv = 64, .stages = 3, .warps = 8}, ahead{.q = 128, .kv = 64, .stages = 2, .warps = 4},
    lean{.q = 64, .kv = 32, .stages = 1, .warps = 4}, deep{.q = 128, .kv = 48, .stages = 4, .warps = 4};

template <class Engine, class E, int D, int Dv, class V>
void sizes_of(char const* name, V const& v) {
  auto const w = board();
  check<Engine, E>(w, name, {2, 4, 2, 700, 700, D, Dv}, v);
  for (auto [n, m] : {std::pair{1, 1}, {113, 203}, {239, 1}, {799, 3}}) check<Engine, E>(w, name, {1, 2, 1, n, m, D, Dv}, v);
}

TEST_CASE("tiles and head dimensions") {
  sizes_of<common<tall, 128>, bf16, 128, 128>("256 rows", causal{3});
  sizes_of<common<tall, 128>, bf16, 128, 128>("256 rows, no mask", full{});
  sizes_of<common<deep, 128>, bf16, 128, 128>("four stages", causal{3});
  sizes_of<common<ahead, 64>, bf16, 64, 64>("scores ahead", causal{3});
  sizes_of<common<attention_tile{.q = 128, .kv = 80, .stages = 3, .warps = 4}, 64>, bf16, 64, 64>("80 keys", causal{3});
  sizes_of<common<lean, 192, 128>, f16, 192, 128>("one stage, 192 / 128", causal{3});
}

/// A user's own: odd keys are dropped for odd heads, and scores may become −∞ without a mask.
struct mine : full {
  SMALTI_HD float score(float s, score_at at) const { return at.k % 7 == 3 || at.q % 50 == 9 ? -INFINITY : s + 0.01f * float(at.k % 5); }
  SMALTI_HD constexpr bool keep(score_at at) const { return at.head % 2 == 0 || at.k % 2 == 0; }
  SMALTI_HD constexpr cover covers(int, int, int, int) const { return cover::some; }
};

TEST_CASE("few and short, for the sanitizers", "[small]") {
  auto const w = board();
  check<common<tall, 128>, bf16>(w, "256 rows", {1, 2, 1, 300, 333, 128}, causal{33} & window{150});
  check<common<deep, 128>, bf16>(w, "four stages", {1, 1, 1, 200, 400, 128}, full{});
  check<common<ahead, 64>, bf16>(w, "scores ahead", {1, 2, 1, 150, 333, 64}, causal{183} & window{100});
  check<common<lean, 64>, bf16>(w, "one stage", {1, 1, 1, 100, 100, 64}, causal{});
}

TEST_CASE("variants") {
  auto const w = board();
  using of = common<ahead, 64>;
  sizes const n{2, 4, 2, 300, 700, 64};
  device_array<float> const slope(std::vector<float>{0.5f, 0.25f, 0.125f, 0.0625f}), logit(std::vector<float>{-1, 0, 2, 600});
  check<of, bf16>(w, "window", n, causal{400} & window{130});
  check<of, bf16>(w, "streaming", n, causal{400} & streaming(40, 8));
  check<of, bf16>(w, "softcap, alibi", n, causal{400} & softcap{5.f} & alibi{slope.at});
  check<of, bf16>(w, "a user's own", n, mine{});
  check<of, bf16>(w, "sinks, dropout", n, causal{} & sinks{logit.at} & dropout(0.25f, 11));
}

TEST_CASE("scales, lengths and empty rows") {
  auto const w = board();
  using of = common<tall, 128>;
  check<of, bf16>(w, "scale < 0", {1, 2, 2, 200, 300, 128}, causal{3}, {}, [](operands<bf16>& c) { c.p.scale = -0.1f; });
  check<of, bf16>(w, "scale 0", {1, 2, 2, 200, 300, 128}, causal{3}, {}, [](operands<bf16>& c) { c.p.scale = 0; });
  check<of, bf16>(w, "huge logits", {1, 2, 2, 300, 300, 128}, causal{3}, {.loud = 3000});
  check<of, bf16>(w, "empty rows", {1, 2, 2, 300, 200, 128}, causal{-130});
  check<of, bf16>(w, "no key", {1, 2, 2, 200, 0, 128}, causal{3});
  check<of, bf16>(w, "tokens first", {2, 4, 2, 200, 333, 128}, causal{3}, {.tokens_first = true});
  device_array<int> const qs(std::vector<int>{0, 1, 90, 90, 200, 500}), ks(std::vector<int>{0, 77, 170, 170, 300, 700}), at(std::vector<int>{76, 4, 0, 20, 100}),
      used(std::vector<int>{50, 93, 0, 1, 333});
  attention_lengths const packed{.count = 5, .q_starts = qs.at, .kv_starts = ks.at, .kv_used = used.at, .positions = at.at};
  check<of, bf16>(w, "packed, partly filled", {1, 4, 2, 500, 700, 128}, causal{}, {.lengths = packed});
}

}  // namespace smalti::test
