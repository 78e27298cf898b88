#pragma once
// What the tests of products share: seeded numbers, a weight of every kind, and the oracle in double precision.

#include <cmath>
#include <limits>
#include <random>
#include <vector>
#include <smalti/gemm.hpp>

namespace smalti::test {

inline float const nan = std::numeric_limits<float>::quiet_NaN();

inline std::vector<float> normal(index n, unsigned seed, float size = 1) {
  std::mt19937 g(seed);
  std::normal_distribution<float> d(0, size);
  std::vector<float> v(std::size_t(n), 0.f);
  for (float& x : v) x = d(g);
  return v;
}
template <class T>
buffer<T> narrowed(std::vector<float> const& v) {
  buffer<T> b(v.size());
  for (std::size_t i = 0; i < v.size(); ++i) b[i] = T(v[i]);
  return b;
}

inline constexpr char const* kinds[] = {"f32", "bf16", "f16", "int8", "nf4", "nf4 nested", "nf4 of 32", "nf4 of 128, nested"};

/// W (n, k) as kind i of `kinds`; the last four need k to be a multiple of the block.
inline packed_weight make(int kind, std::vector<float> const& w, int n, int k) {
  auto const plain = row_major(w.data(), n, k);
  switch (kind) {
    case 0: return pack(plain);
    case 1: { auto const b = narrowed<bf16>(w); return pack(row_major(b.data(), n, k)); }
    case 2: { auto const b = narrowed<f16>(w); return pack(row_major(b.data(), n, k)); }
    case 3: return pack(quantise_int8(on_cpu{}, plain));
    case 4: return pack(quantise_nf4(on_cpu{}, plain, {.double_quant = false}));
    case 5: return pack(quantise_nf4(on_cpu{}, plain));
    case 6: return pack(quantise_nf4(on_cpu{}, plain, {.block = 32, .double_quant = false}));
    default: return pack(quantise_nf4(on_cpu{}, plain, {.block = 128}));
  }
}
/// Ŵ (n, k), by the slow way.
inline std::vector<float> decoded(packed_weight const& w) {
  std::vector<float> all(std::size_t(index(rows_of(w)) * columns_of(w)));
  for (int r = 0; r < rows_of(w); ++r) decode_row(w, r, all.data() + index(r) * columns_of(w));
  return all;
}

/// x · wᵀ of one output in double precision, and how far fp32 may be from it: ε · √K · |x||w|, and three roundings
/// for the scales.
struct expectation { double value, tolerance; };
inline expectation dot(float const* x, float const* w, index k) {
  double sum = 0, xx = 0, ww = 0;
  for (index l = 0; l < k; ++l) sum += double(x[l]) * w[l], xx += double(x[l]) * x[l], ww += double(w[l]) * w[l];
  return {sum, (std::sqrt(double(k)) + 3) * std::sqrt(xx * ww) * 6e-8};
}

}  // namespace smalti::test
