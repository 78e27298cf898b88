// Rung 3, blocks: 32 queries meet 64 keys at a time. Dao et al. 2022, "FlashAttention", Algorithm 1; Dao 2023, Algorithm 1.
//
// A block of K and V is fetched once for 32 queries instead of once for each, and the running maximum moves once a block
// instead of once a key. K is turned on its side, so that the inner loop of Q Kᵀ runs over keys: independent sums, which the
// compiler can keep in vectors, where a dot product is one chain of additions.

#include "ladder_attention.hpp"

constexpr int Bq = 32, Bk = 64;

/// One block of queries of one head; rows past the end repeat nothing and are not stored.
void attend(ladder::problem& p, std::size_t head, int q0) {
  int const D = p.D, rows = std::min(Bq, p.N - q0);
  auto row = [&](std::vector<float> const& x, int i) { return &x[(head * std::size_t(p.N) + std::size_t(i)) * std::size_t(D)]; };
  std::vector<float> o(std::size_t(Bq * D)), kt(std::size_t(D * Bk));  // O_i (Bq, D), K_jᵀ (D, Bk)
  float s[Bq][Bk], m[Bq], l[Bq] = {};                                  // S_ij, then P_ij (Bq, Bk)
  std::fill(m, m + Bq, -INFINITY);
  for (int k0 = 0; k0 < q0 + rows; k0 += Bk) {                         // blocks past the diagonal are not visited
    int const keys = std::min(Bk, p.N - k0);
    for (int j = 0; j < Bk; ++j)
      for (int c = 0; c < D; ++c) kt[std::size_t(c * Bk + j)] = j < keys ? row(p.k, k0 + j)[c] : 0;
    for (int r = 0; r < rows; ++r) {
      float const* const q = row(p.q, q0 + r);
      std::fill(s[r], s[r] + Bk, 0.f);
      for (int c = 0; c < D; ++c)
        for (int j = 0; j < Bk; ++j) s[r][j] += q[c] * kt[std::size_t(c * Bk + j)];
      float top = m[r];
      for (int j = 0; j < Bk; ++j) top = std::max(top, s[r][j] = k0 + j <= q0 + r ? s[r][j] * p.scale : -INFINITY);
      float const decay = std::exp(m[r] - top);
      l[r] *= decay, m[r] = top;
      for (int j = 0; j < Bk; ++j) l[r] += s[r][j] = std::exp(s[r][j] - top);
      float* const out = &o[std::size_t(r * D)];
      for (int c = 0; c < D; ++c) out[c] *= decay;
      for (int j = 0; j < keys; ++j)
        for (int c = 0; c < D; ++c) out[c] += s[r][j] * row(p.v, k0 + j)[c];
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < D; ++c) p.o[(head * std::size_t(p.N) + std::size_t(q0 + r)) * std::size_t(D) + std::size_t(c)] = o[std::size_t(r * D + c)] / l[r];
}

void attention(ladder::problem& p) {
  for (int h = 0; h < p.H; ++h)
    for (int q0 = 0; q0 < p.N; q0 += Bq) attend(p, std::size_t(h), q0);
}

int main(int argc, char** argv) { return ladder::climb(argc, argv, "3 blocks: 32 queries meet 64 keys", attention); }
