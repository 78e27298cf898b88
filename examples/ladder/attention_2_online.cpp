// Rung 2, one pass: the softmax keeps a running maximum and sum, so no row of scores is ever stored.
// Milakov & Gimelshein 2018, "Online normalizer calculation for softmax", Algorithm 3; Rabe & Staats 2021.
//
// When a larger score arrives, what was summed so far shrinks by e^(m_old − m_new). Memory falls from N² to D per row, the
// keys past the diagonal are not visited (half the work), and the inner loops run along rows of K and V.

#include "ladder_attention.hpp"

void attention(ladder::problem& p) {
  std::size_t const N = std::size_t(p.N), D = std::size_t(p.D);
  std::vector<float> o(D);                                        // O_i before the division        (D)
  for (std::size_t h = 0; h < std::size_t(p.H); ++h)
    for (std::size_t i = 0; i < N; ++i) {
      float const* const q = &p.q[(h * N + i) * D];               //                                (D)
      float m = -INFINITY, l = 0;
      std::fill(o.begin(), o.end(), 0.f);
      for (std::size_t j = 0; j <= i; ++j) {
        float const *k = &p.k[(h * N + j) * D], *v = &p.v[(h * N + j) * D];
        float s = 0;
        for (std::size_t c = 0; c < D; ++c) s += q[c] * k[c];
        s *= p.scale;
        float const m_new = std::max(m, s), decay = std::exp(m - m_new), w = std::exp(s - m_new);
        for (std::size_t c = 0; c < D; ++c) o[c] = decay * o[c] + w * v[c];
        l = decay * l + w, m = m_new;
      }
      for (std::size_t c = 0; c < D; ++c) p.o[(h * N + i) * D + c] = o[c] / l;
    }
}

int main(int argc, char** argv) { return ladder::climb(argc, argv, "2 online softmax: one pass, no score stored", attention); }
