#pragma once
// Attention in double precision, straight from the definition, and the problems that the tests put to it.

#include <catch2/catch.hpp>
#include <smalti/attention.hpp>

#include <cmath>
#include <random>
#include <vector>

namespace smalti::test {

template <class T>
std::vector<T> normal(std::size_t n, unsigned seed, float spread = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw(0, spread);
  std::vector<T> x(n);
  for (auto& e : x) e = T(draw(random));
  return x;
}

struct sizes {
  int batch = 1, heads = 1, heads_kv = 1, queries = 1, keys = 1, d = 64, dv = 0;
  int values() const { return dv ? dv : d; }
};

/// Operands that own their memory; outputs start as NaN.
template <class T>
struct operands {
  sizes n;
  std::vector<T> q, k, v, o;
  std::vector<float> lse;
  attention_problem<T> problem;

  explicit operands(sizes s, unsigned seed = 1, float spread = 1)
      : n(s), q(normal<T>(std::size_t(s.batch) * s.heads * s.queries * s.d, seed, spread)),
        k(normal<T>(std::size_t(s.batch) * s.heads_kv * s.keys * s.d, seed + 1, spread)),
        v(normal<T>(std::size_t(s.batch) * s.heads_kv * s.keys * s.values(), seed + 2)),
        o(std::size_t(s.batch) * s.heads * s.queries * s.values(), T(NAN)), lse(std::size_t(s.batch) * s.heads * s.queries, NAN),
        problem{row_major<T const>(q.data(), s.batch, s.heads, s.queries, s.d), row_major<T const>(k.data(), s.batch, s.heads_kv, s.keys, s.d),
                row_major<T const>(v.data(), s.batch, s.heads_kv, s.keys, s.values()), row_major(o.data(), s.batch, s.heads, s.queries, s.values()),
                row_major(lse.data(), s.batch, s.heads, s.queries), 1 / std::sqrt(float(s.d))} {}
  operands(operands const&) = delete;
};

template <class T>
double element(attention_problem<T> const& p, view<T const, 4> const& kv, int b, int g, int j, int c) {
  if (!p.pages.pages) return float(kv(p.lengths.kv_starts ? 0 : b, g, p.kv_first(b) + j, c));
  return float(kv(p.pages.pages[b * p.pages.max_pages + j / p.pages.page_size], g, j % p.pages.page_size, c));
}

/// The largest difference from the definition, as a multiple of what rounding can explain; NaN counts as infinite.
///
/// Bound: a score is a dot product of D terms, |δs| ≤ ε·(√D·Σ|q·k| scale) (random signs); a weight changes by |δs| plus a few
/// ε of the exponential and its sum; so |δo| ≤ (|δs| + 8ε)·2·max|v|, plus half an ulp of the output's own type.
template <class T, class Variant>
double error(attention_problem<T> const& p, Variant const& variant) {
  double const eps = 6e-8, ulp = std::is_same_v<T, float> ? 6e-8 : std::is_same_v<T, bf16> ? 3.91e-3 : 4.89e-4;
  int const D = int(p.q.extent[3]), Dv = int(p.v.extent[3]);
  double worst = 0;
  auto compare = [&](double got, double want, double bound) {
    double const e = got == want ? 0 : std::fabs(got - want) / bound;
    worst = e <= worst ? worst : std::isnan(e) ? INFINITY : e;
  };
  for (int b = 0; b < p.batch(); ++b)
    for (int h = 0; h < p.heads(); ++h)
      for (int i = 0; i < p.q_count(b); ++i) {
        int const g = h / p.group(), qb = p.lengths.q_starts ? 0 : b, row = p.q_first(b) + i, n = p.kv_count(b);
        std::vector<double> s(std::size_t(n), -INFINITY);
        double m = -INFINITY, size = 0, vmax = 0;
        for (int j = 0; j < n; ++j) {
          score_at const at{p.position(b) + i, j, h, b};
          double dot = 0, magnitude = 0;
          for (int c = 0; c < D; ++c) {
            double const t = double(float(p.q(qb, h, row, c))) * element(p, p.k, b, g, j, c);
            dot += t, magnitude += std::fabs(t);
          }
          if (!variant.keep(at)) continue;
          s[std::size_t(j)] = leaves_scores<Variant> ? dot * p.scale : double(variant.score(float(dot * p.scale), at));
          m = std::fmax(m, s[std::size_t(j)]), size = std::fmax(size, magnitude * p.scale + std::fabs(s[std::size_t(j)]));
          for (int c = 0; c < Dv; ++c) vmax = std::fmax(vmax, std::fabs(element(p, p.v, b, g, j, c)));
        }
        if constexpr (has_sink<Variant>) m = std::fmax(m, double(variant.sink(h)));
        double l = 0;
        if constexpr (has_sink<Variant>) l = std::exp(variant.sink(h) - m);
        for (auto& x : s) x = m == -INFINITY ? 0 : std::exp(x - m), l += x;
        if constexpr (has_weight<Variant>)
          for (int j = 0; j < n; ++j) s[std::size_t(j)] = variant.weight(float(s[std::size_t(j)]), {p.position(b) + i, j, h, b});
        double const score_error = eps * std::sqrt(double(D)) * size;
        for (int c = 0; c < Dv; ++c) {
          double o = 0;
          for (int j = 0; j < n; ++j) o += s[std::size_t(j)] * element(p, p.v, b, g, j, c);
          o = l > 0 ? o / l : 0;
          compare(float(p.o(qb, h, row, c)), o, (score_error + 8 * eps) * 2 * vmax + ulp * std::fabs(o) + 1e-30);
        }
        if (p.lse) compare(p.lse(qb, h, row), l > 0 ? m + std::log(l) : -INFINITY, score_error + 8 * eps * (1 + std::fabs(m)));
      }
  return worst;
}

/// Runs and compares on the plain instruction set and on the best there is here.
template <class Tuning = tuned, class T, class Variant>
void agrees(operands<T>& x, Variant const& variant) {
  for (arch a : {generic_cpu, host_arch()}) {
    for (auto& e : x.o) e = T(NAN);
    for (auto& e : x.lse) e = NAN;
    status const s = attention<Tuning>(on_cpu{a}, x.problem, variant);
    REQUIRE(s.why == std::string("ok"));
    CAPTURE(a.level, x.n.batch, x.n.heads, x.n.heads_kv, x.n.queries, x.n.keys, x.n.d, x.n.values());
    CHECK(error(x.problem, variant) <= 1);
  }
}

}  // namespace smalti::test
