// Rung 1, the definition: softmax(Q Kᵀ / √d) V, eagerly. Vaswani et al. 2017, "Attention is all you need", eq. 1.
//
// The whole matrix of scores is written to memory, read for the maximum, written as exponentials, read for the sum, and read
// again for the product: at N = 1024 that is 4 MB per head, five times, and at N = 32768 it no longer fits at all.

#include "ladder_attention.hpp"

void attention(ladder::problem& p) {
  std::size_t const N = std::size_t(p.N), D = std::size_t(p.D);
  std::vector<float> s(N * N);                                    // S, then P                      (N, N)
  for (std::size_t h = 0; h < std::size_t(p.H); ++h) {
    float const *q = &p.q[h * N * D], *k = &p.k[h * N * D], *v = &p.v[h * N * D];  //               (N, D)
    float* o = &p.o[h * N * D];                                   //                                (N, D)
    for (std::size_t i = 0; i < N; ++i)
      for (std::size_t j = 0; j < N; ++j) {                       // S = Q Kᵀ / √d, −∞ above the diagonal
        float dot = 0;
        for (std::size_t c = 0; c < D; ++c) dot += q[i * D + c] * k[j * D + c];
        s[i * N + j] = j <= i ? dot * p.scale : -INFINITY;
      }
    for (std::size_t i = 0; i < N; ++i) {                         // P = softmax(S), row by row
      float const m = *std::max_element(&s[i * N], &s[i * N] + N);
      float l = 0;
      for (std::size_t j = 0; j < N; ++j) l += s[i * N + j] = std::exp(s[i * N + j] - m);
      for (std::size_t j = 0; j < N; ++j) s[i * N + j] /= l;
    }
    for (std::size_t i = 0; i < N; ++i)                           // O = P V
      for (std::size_t c = 0; c < D; ++c) {
        float sum = 0;
        for (std::size_t j = 0; j < N; ++j) sum += s[i * N + j] * v[j * D + c];
        o[i * D + c] = sum;
      }
  }
}

int main(int argc, char** argv) { return ladder::climb(argc, argv, "1 naive: all scores in memory", attention); }
