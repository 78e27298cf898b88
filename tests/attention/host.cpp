// The host engine against double precision: sizes, variants, element types, layouts.

#include "oracle.hpp"

namespace smalti::test {

TEST_CASE("odd sizes, causal and full") {
  for (auto [nq, nk] : {std::pair{113, 203}, {1, 1}, {239, 1}, {799, 3}, {1, 799}, {3, 1023}, {64, 64}, {130, 257}}) {
    operands<float> x({.heads = 2, .heads_kv = 2, .queries = nq, .keys = nk, .d = 32});
    agrees(x, full{});
    agrees(x, causal{nk - nq});
  }
}

TEST_CASE("head dimensions, also those that are no multiple of a vector, and values of another width") {
  for (int d : {1, 7, 16, 20, 32, 64, 80, 96, 128, 192, 256}) {
    operands<float> many({.queries = 19, .keys = 45, .d = d}), few({.heads = 3, .queries = 1, .keys = 45, .d = d});
    agrees(many, causal{26}), agrees(few, full{});
  }
  operands<float> latent({.heads = 2, .heads_kv = 1, .queries = 21, .keys = 40, .d = 192, .dv = 128});
  agrees(latent, causal{19});
  operands<float> odd({.queries = 2, .keys = 33, .d = 24, .dv = 9});
  agrees(odd, full{});
}

TEST_CASE("grouped queries: every group size, one query and many") {
  for (int group : {1, 2, 3, 4, 8})
    for (int nq : {1, 2, 5, 40}) {
      operands<float> x({.batch = 2, .heads = 2 * group, .heads_kv = 2, .queries = nq, .keys = 70, .d = 32});
      agrees(x, causal{70 - nq});
    }
}

TEST_CASE("variants, alone and together") {
  operands<float> x({.batch = 2, .heads = 4, .heads_kv = 2, .queries = 50, .keys = 90, .d = 32});
  float slope[4], logit[4] = {-1, 0, 2, 9};
  for (int h = 0; h < 4; ++h) slope[h] = alibi_slope(h, 4);
  agrees(x, causal{40} & window{17});
  agrees(x, causal{40} & streaming(9, 4));
  agrees(x, causal{40} & softcap{2.f});
  agrees(x, causal{40} & alibi{slope});
  agrees(x, full{} & sinks{logit});
  agrees(x, causal{-20} & sinks{logit});  // rows whose only term is the sink
  agrees(x, dropout(0.3f, 7));
  agrees(x, causal{40} & window{30} & softcap{5.f} & alibi{slope} & sinks{logit} & dropout(0.1f, 8));
}

/// What a user writes: attend only to keys of the query's own parity. Nothing in the library knows about it.
struct same_parity : full {
  bool keep(score_at at) const { return (at.q + at.k) % 2 == 0; }
  float score(float s, score_at at) const { return s + 0.01f * float(at.head); }
  cover covers(int, int, int, int) const { return cover::some; }
};
TEST_CASE("a variant of one's own") {
  operands<float> x({.heads = 3, .queries = 33, .keys = 65, .d = 16});
  agrees(x, same_parity{});
  agrees(x, causal{32} & same_parity{});
}

TEST_CASE("16-bit operands: rounded once, at the end") {
  operands<bf16> b({.heads = 4, .heads_kv = 2, .queries = 37, .keys = 91, .d = 64});
  agrees(b, causal{54});
  operands<f16> h({.heads = 4, .heads_kv = 1, .queries = 1, .keys = 91, .d = 64});
  agrees(h, causal{90});
}

TEST_CASE("long keys for few queries: parts joined by the law") {
  operands<float> x({.heads = 4, .heads_kv = 1, .queries = 2, .keys = 4100, .d = 16});
  float const logit[4] = {1, 2, 3, 8};
  agrees(x, causal{4098});
  agrees(x, causal{4098} & sinks{logit});
  agrees(x, causal{4098} & window{100});  // most parts are empty
}

TEST_CASE("rows without keys give 0 and −inf") {
  operands<float> x({.queries = 5, .keys = 3, .d = 16});
  agrees(x, causal{-2});
  CHECK(x.o[0] == 0);
  CHECK(x.lse[1] == -INFINITY);
  CHECK(std::isfinite(x.lse[2]));
  operands<float> none({.queries = 2, .keys = 0, .d = 16});
  agrees(none, full{});
  CHECK(none.o[17] == 0);
}

TEST_CASE("huge logits, −inf and NaN") {
  operands<float> huge({.heads = 2, .queries = 9, .keys = 40, .d = 64}, 5, 60.f);  // scores of about ±30000
  agrees(huge, causal{31});
  operands<float> x({.queries = 2, .keys = 20, .d = 16});
  for (int c = 0; c < 16; ++c) x.q[std::size_t(c)] = c == 0 ? 1.f : 0.f, x.k[std::size_t(c)] = c == 0 ? -INFINITY : 0.f;
  REQUIRE(attention(on_cpu{}, x.problem));
  CHECK(std::isfinite(x.o[0]));  // that one key has weight 0
  x.k[0] = 0, x.k[5 * 16] = NAN;
  REQUIRE(attention(on_cpu{}, x.problem));
  CHECK(std::isnan(x.o[0]));  // not a plausible number
  CHECK(std::isnan(x.lse[0]));
}

TEST_CASE("strides: tokens first, heads within, and padding that is never touched") {
  int const H = 3, N = 21, M = 34, D = 16, pad = 5;
  auto const q = normal<float>(std::size_t(N) * (H * D + pad), 1), kv = normal<float>(std::size_t(M) * (2 * D + pad), 2);
  std::vector<float> o(std::size_t(N) * (H * D + pad), -77.f);
  attention_problem<float> p{.q = {q.data(), {1, H, N, D}, {0, D, H * D + pad, 1}},
                             .k = {kv.data(), {1, 1, M, D}, {0, 0, 2 * D + pad, 1}},
                             .v = {kv.data() + D, {1, 1, M, D}, {0, 0, 2 * D + pad, 1}},
                             .o = {o.data(), {1, H, N, D}, {0, D, H * D + pad, 1}},
                             .lse = {},
                             .scale = 0.25f};
  REQUIRE(attention(on_cpu{}, p, causal{13}));
  CHECK(error(p, causal{13}) <= 1);
  for (int i = 0; i < N; ++i)
    for (int c = H * D; c < H * D + pad; ++c) REQUIRE(o[std::size_t(i) * (H * D + pad) + std::size_t(c)] == -77.f);
}

}  // namespace smalti::test
