// What must hold whatever the numbers are.

#include "oracle.hpp"

namespace smalti::test {

double difference(std::vector<float> const& a, std::vector<float> const& b) {
  double d = 0;
  for (std::size_t i = 0; i < a.size(); ++i) d = std::fmax(d, a[i] == b[i] ? 0 : std::isfinite(a[i] - b[i]) ? std::fabs(a[i] - b[i]) : INFINITY);
  return a.size() == b.size() ? d : INFINITY;
}

template <class Tuning = tuned, class Variant>
std::vector<float> result(operands<float>& x, Variant const& variant, on_cpu const& where = {}) {
  std::fill(x.o.begin(), x.o.end(), NAN);
  REQUIRE(attention<Tuning>(where, x.problem, variant));
  return x.o;
}

TEST_CASE("all tiles agree") {
  operands<float> x({.heads = 4, .heads_kv = 2, .queries = 45, .keys = 300, .d = 32});
  auto const want = result(x, causal{255} & window{70});
  int tiles = 0;
  for_each<attention_candidates<attention_shape{32, 4}, avx2>.shard(0, 3)>([&]<attention_tile T> {
    CAPTURE(T.q, T.kv, T.split);
    CHECK(difference(result<fixed<T>>(x, causal{255} & window{70}), want) < 2e-6);
    return ++tiles, false;
  });
  CHECK(tiles > 5);
}

TEST_CASE("the result does not depend on the number of threads, nor on what else is in the batch") {
  operands<float> x({.batch = 3, .heads = 4, .heads_kv = 2, .queries = 3, .keys = 2500, .d = 16});
  auto const alone = result(x, causal{2497});
  for (int n : {2, 3, 7}) {
    thread_pool pool(n);
    CHECK(result(x, causal{2497}, on_cpu{pool}) == alone);
  }
}

TEST_CASE("⊕ is associative and commutative, with the empty state as zero") {
  softmax_state const a{1.5f, 2.25f}, b{-40, 1}, c{3, 0.5f}, zero{};
  auto same = [](softmax_state x, softmax_state y) { return x.m == y.m && std::fabs(x.l - y.l) <= 2e-7f * x.l; };
  CHECK(same(a + b, b + a));
  CHECK(same((a + b) + c, a + (b + c)));
  CHECK(same(a + zero, a));
  CHECK((zero + zero).logsumexp() == -INFINITY);
  CHECK((a + c).logsumexp() == Approx(std::log(2.25 * std::exp(1.5) + 0.5 * std::exp(3.))));
}

TEST_CASE("split = whole: results over halves of the keys join into the result over all of them") {
  operands<float> x({.heads = 2, .heads_kv = 1, .queries = 9, .keys = 200, .d = 32});
  auto const whole = result(x, full{});
  auto const whole_lse = x.lse;
  for (int cut : {0, 1, 77, 200}) {
    operands<float> left(x.n), right(x.n);
    auto &l = left.problem, &r = right.problem;
    l.k.extent[2] = l.v.extent[2] = cut, r.k.extent[2] = r.v.extent[2] = 200 - cut;
    r.k.at += cut * 32, r.v.at += cut * 32;
    REQUIRE((attention(on_cpu{}, l) && attention(on_cpu{}, r)));
    REQUIRE(join(on_cpu{}, l.o, l.lse, view<float const, 4>(r.o), view<float const, 3>(r.lse)));
    CHECK(difference(left.o, whole) < 2e-6);
    CHECK(difference(left.lse, whole_lse) < 2e-6);
  }
}

TEST_CASE("a window as wide as the keys is none; causal past the end is full") {
  operands<float> x({.queries = 40, .keys = 90, .d = 32});
  auto const want = result(x, causal{50});
  CHECK(result(x, causal{50} & window{90}) == want);
  CHECK(result(x, window{90, 50} & causal{50}) == want);
  CHECK(result(x, causal{90}) == result(x, full{}));
}

TEST_CASE("parts of a variant share the cache's length") {
  constexpr auto v = window{8} & softcap{1.f} & causal{100};
  static_assert(v.a.a.offset == 100);
  CHECK(v.keys(0).begin == 93);
  CHECK(v.keys(0).end == 101);
  CHECK(v.covers(0, 1, 0, 93) == cover::none);
  CHECK(v.covers(0, 1, 93, 101) == cover::all);
}

TEST_CASE("covers never contradicts keep") {
  auto check = [](auto const& v) {
    for (int q0 = 0; q0 < 12; q0 += 3)
      for (int k0 = 0; k0 < 24; k0 += 4) {
        int kept = 0;
        for (int q = q0; q < q0 + 3; ++q)
          for (int k = k0; k < k0 + 4; ++k) kept += v.keep({q, k, 0, 0});
        auto const c = v.covers(q0, q0 + 3, k0, k0 + 4);
        CHECK((c == cover::some || kept == (c == cover::all ? 12 : 0)));
      }
  };
  check(causal{3}), check(window{5}), check(causal{7} & window{4}), check(causal{6} & streaming(4, 5)), check(streaming(2, 3, 4));
}

TEST_CASE("dropout: a function of seed and place; the mean stays") {
  operands<float> x({.batch = 2, .heads = 2, .queries = 50, .keys = 400, .d = 16});
  std::fill(x.v.begin(), x.v.end(), 1.f);
  auto const once = result(x, dropout(0.4f, 3)), other = result(x, dropout(0.4f, 4));
  CHECK(result(x, dropout(0.4f, 3)) == once);
  CHECK(difference(result<fixed<attention_tile{.q = 32, .kv = 64}>>(x, dropout(0.4f, 3)), once) < 2e-6);
  CHECK(difference(once, other) > 0.01);
  double mean = 0;
  for (float e : once) mean += e / double(once.size());
  CHECK(mean == Approx(1).margin(0.02));  // 200 rows, each of about 150 effective keys: σ ≈ 0.005
  int dropped = 0;
  for (int k = 0; k < 100000; ++k) dropped += dropout(0.25f, 9).drops({5, k, 1, 2});
  CHECK(std::abs(dropped - 25000) < 5 * 137);
}

TEST_CASE("a permutation of the keys changes nothing") {
  operands<float> x({.queries = 7, .keys = 64, .d = 16}), y(x.n);
  for (int j = 0; j < 64; ++j)
    for (int c = 0; c < 16; ++c) {
      std::size_t const to = std::size_t((j * 37 % 64) * 16 + c), from = std::size_t(j * 16 + c);
      y.k[to] = x.k[from], y.v[to] = x.v[from];
    }
  CHECK(difference(result(x, full{}), result(y, full{})) < 2e-6);
}

}  // namespace smalti::test
