// What a program of somebody else's does with the kernels: an attention call, an NF4 product, an adapter. The same source
// for every way of getting the library.
#if __has_include(<smalti/smalti.hpp>)
  #include <smalti/smalti.hpp>
#else
  #include <smalti.hpp>
#endif

#include <cmath>
#include <cstdio>
#include <vector>

using namespace smalti;

int main() {
  thread_pool threads{2};
  int const B = 1, H = 2, N = 5, D = 64;
  std::vector<float> q(B * H * N * D, 0.f), v(q.size()), o(q.size(), NAN);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = float(i / D % N);  // row n of V is n
  attention_problem<float> const p{.q = row_major<float const>(q.data(), B, H, N, D), .k = row_major<float const>(q.data(), B, H, N, D),
                                   .v = row_major<float const>(v.data(), B, H, N, D), .o = row_major(o.data(), B, H, N, D),
                                   .lse = {}, .scale = 1 / std::sqrt(float(D))};
  require(attention(on_cpu{threads}, p, causal{}));
  // All scores are equal, so row i is the mean of 0 … i.
  bool good = std::abs(p.o(0, 1, 4, 3) - 2.f) < 1e-6f && std::abs(p.o(0, 0, 1, 0) - 0.5f) < 1e-6f;

  int const M = 3, K = 64;
  std::vector<float> w(N * K, 1.f), x(M * K, 0.5f), y(M * N, NAN);
  packed_nf4 const weight = pack(quantise_nf4(on_cpu{}, row_major<float const>(w.data(), N, K), {.block = 64, .double_quant = false}));
  lora adapter{.rank = 1, .scale = 2, .a = buffer<float>(K, 1.f), .b = buffer<float>(N, 0.25f)};
  lora const* const adapters[] = {&adapter};
  require(linear(on_cpu{}, row_major(y.data(), M, N), row_major<float const>(x.data(), M, K), weight, adapters));
  good = good && std::abs(y[7] - (32 + 2 * 32 * 0.25f)) < 1e-3f;  // x·Wᵀ = 32, x·Aᵀ = 32

  std::puts(good ? "consumer: ok" : "consumer: wrong numbers");
  return good ? 0 : 1;
}
