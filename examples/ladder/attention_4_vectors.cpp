// Rung 4, registers: both products become tiles of 6 × 16 sums that stay in registers from the first term to the last.
// Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication", §4; the loop itself is still rung 3's.
//
// Each step of a tile loads one vector of K (or V), broadcasts six numbers of Q (or P) and does six multiply-adds of sixteen
// lanes. The text of attention_tiles.inc is compiled for each instruction set, and the best one here is chosen at run time.

#include <smalti/simd/lanes.hpp>
#include "ladder_attention.hpp"

#include <smalti/simd/begin_generic.inc>
#include "attention_tiles.inc"
#include <smalti/simd/end_generic.inc>
#if defined(__x86_64__)
  #include <smalti/simd/begin_avx2.inc>
  #include "attention_tiles.inc"
  #include <smalti/simd/end_avx2.inc>
  #include <smalti/simd/begin_avx512.inc>
  #include "attention_tiles.inc"
  #include <smalti/simd/end_avx512.inc>
#endif

constexpr int Bq = 48, Bk = 64;

auto* const multiply = smalti::pick(smalti::host_arch(), &smalti::simd_generic::multiply, &smalti::simd_avx2::multiply, &smalti::simd_avx512::multiply);
auto* const softmax_step =
    smalti::pick(smalti::host_arch(), &smalti::simd_generic::softmax_step, &smalti::simd_avx2::softmax_step, &smalti::simd_avx512::softmax_step);

struct workspace {
  std::vector<float> q, kt, v, s, o;  // (Bq, D), (D, Bk), (Bk, D), (Bq, Bk), (Bq, D)
  explicit workspace(int D)
      : q(std::size_t(Bq * D)), kt(std::size_t(D * Bk)), v(std::size_t(Bk * D)), s(std::size_t(Bq * Bk)), o(std::size_t(Bq * D)) {}
};

void attend(ladder::problem& p, workspace& w, std::size_t head, int q0) {  // D: a multiple of 16
  int const D = p.D, rows = std::min(Bq, p.N - q0);
  auto row = [&](std::vector<float> const& x, int i) { return &x[(head * std::size_t(p.N) + std::size_t(i)) * std::size_t(D)]; };
  float m[Bq], l[Bq] = {};
  std::fill(m, m + Bq, -INFINITY), std::fill(w.o.begin(), w.o.end(), 0.f), std::fill(w.q.begin(), w.q.end(), 0.f);
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < D; ++c) w.q[std::size_t(r * D + c)] = row(p.q, q0 + r)[c] * p.scale;
  for (int k0 = 0; k0 < q0 + rows; k0 += Bk) {
    for (int j = 0; j < Bk; ++j)
      for (int c = 0; c < D; ++c) {
        bool const there = k0 + j < p.N;
        w.kt[std::size_t(c * Bk + j)] = there ? row(p.k, k0 + j)[c] : 0, w.v[std::size_t(j * D + c)] = there ? row(p.v, k0 + j)[c] : 0;
      }
    std::fill(w.s.begin(), w.s.end(), 0.f);
    multiply(w.q.data(), D, w.kt.data(), Bk, D, Bq, Bk, w.s.data(), Bk);                // S = Q Kᵀ       (Bq, Bk)
    for (int r = 0; r < rows; ++r) {
      float* const s = &w.s[std::size_t(r * Bk)];
      for (int j = std::max(0, q0 + r + 1 - k0); j < Bk; ++j) s[j] = -INFINITY;
      softmax_step(s, Bk, &m[r], &l[r], &w.o[std::size_t(r * D)], D);                   // P, m, l; O shrinks
    }
    multiply(w.s.data(), Bk, w.v.data(), D, Bk, Bq, D, w.o.data(), D);                  // O += P V       (Bq, D)
  }
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < D; ++c) p.o[(head * std::size_t(p.N) + std::size_t(q0 + r)) * std::size_t(D) + std::size_t(c)] = w.o[std::size_t(r * D + c)] / l[r];
}

void attention(ladder::problem& p) {
  workspace w(p.D);
  for (int h = 0; h < p.H; ++h)
    for (int q0 = 0; q0 < p.N; q0 += Bq) attend(p, w, std::size_t(h), q0);
}

int main(int argc, char** argv) { return ladder::climb(argc, argv, "4 tiles in registers", attention); }
