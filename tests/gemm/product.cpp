// Products against a double-precision oracle: all kinds of weights, odd sizes, all instruction sets that this machine has.
#include <catch2/catch.hpp>
#include <random>
#include <smalti/gemm.hpp>
#include <vector>

namespace smalti {
namespace {

std::vector<float> normal(index n, unsigned seed) {
  std::mt19937 g(seed);
  std::normal_distribution<float> d;
  std::vector<float> v(static_cast<std::size_t>(n));
  for (float& x : v) x = d(g);
  return v;
}

packed_weight make(int kind, view<float const, 2> w) {
  switch (kind) {
    case 0: return pack(w);
    case 1: case 2: {
      buffer<bf16> b(w.size()); buffer<f16> h(w.size());
      for (index i = 0; i < w.size(); ++i) b[i] = bf16(w.at[i]), h[i] = f16(w.at[i]);
      if (kind == 1) return pack(row_major(b.data(), w.extent[0], w.extent[1]));
      return pack(row_major(h.data(), w.extent[0], w.extent[1]));
    }
    case 3: return pack(quantise_nf4(on_cpu{}, w, {.double_quant = false}));
    case 4: return pack(quantise_nf4(on_cpu{}, w));
    default: return pack(quantise_int8(on_cpu{}, w));
  }
}

TEST_CASE("a product agrees with double precision") {
  for (auto [n, k] : {std::pair{1, 64}, {33, 192}, {70, 320}}) {
    auto const w = normal(index(n) * k, 1);
    for (int kind = 0; kind < 6; ++kind) {
      packed_weight const packed = make(kind, row_major(w.data(), n, k));
      std::vector<float> decoded(w.size());
      for (int r = 0; r < n; ++r) decode_row(packed, r, &decoded[std::size_t(r * k)]);
      for (int m : {0, 1, 2, 3, 4, 5, 17, 200})
        for (arch a : {generic_cpu, host_arch()}) {
          auto const x = normal(index(m) * k, 2);
          std::vector<float> y(std::size_t(m * n) + 1, NAN);
          REQUIRE(gemm(on_cpu{a}, row_major(y.data(), m, n), product(row_major(x.data(), m, k), packed)));
          for (int i = 0; i < m; ++i)
            for (int j = 0; j < n; ++j) {
              double sum = 0, xx = 0, ww = 0;
              for (int l = 0; l < k; ++l) {
                double const u = x[i * k + l], v = decoded[std::size_t(j * k + l)];
                sum += u * v, xx += u * u, ww += v * v;
              }
              INFO("kind " << kind << " (" << m << ", " << n << ", " << k << ") at " << i << ", " << j << " level " << a.level);
              REQUIRE(std::fabs(y[std::size_t(i * n + j)] - sum) <= 6e-8 * std::sqrt(k * xx * ww));
            }
          REQUIRE(std::isnan(y.back()));
        }
    }
  }
}

}  // namespace
}  // namespace smalti
