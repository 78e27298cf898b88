#pragma once
// A double-precision oracle of NF4 products.

#include <smalti/gemm/cuda.cuh>
#include "arrays.cuh"

namespace smalti::test {

/// Random NF4 in the file's order: arbitrary codes, an arbitrary map, positive scales.
inline nf4_data random_nf4(int n, int k, int block, bool nested, unsigned seed) {
  std::mt19937 g(seed);
  std::uniform_real_distribution<float> uniform(0.f, 1.f);
  nf4_data w{.n = n, .k = k, .block = block};
  w.code = buffer<uint8_t>(std::size_t(index(n) * k / 2));
  for (auto& c : w.code) c = uint8_t(g() >> 7);
  auto const blocks = std::size_t(w.blocks());
  if (!nested) {
    w.absmax = buffer<float>(blocks);
    for (auto& a : w.absmax) a = 0.02f * (1 + uniform(g));
    return w;
  }
  w.absmax_code = buffer<uint8_t>(blocks), w.nested_map = buffer<float>(256), w.nested_absmax = buffer<float>((blocks + 255) / 256), w.nested_offset = 0.05f;
  for (auto& c : w.absmax_code) c = uint8_t(g() >> 7);
  for (auto& v : w.nested_map) v = uniform(g) - 0.5f;
  for (auto& v : w.nested_absmax) v = 0.02f * (1 + 4 * uniform(g));
  return w;
}

struct levels { double at[16]; };

/// How a product's kernel makes a weight of a level and a scale.
enum class decoding {
  levels,  ///< the level rounded to X, times the scale
  split,   ///< fma(level, high, level · low) in X; the scale is high + low
  whole    ///< level · scale, rounded to X once: bitsandbytes' value
};
/// v rounded to X once: to odd on the way through float.
template <class X>
__device__ double round_once(double v) {
  float f = __double2float_rz(v);
  if (double(f) != v) f = __uint_as_float(__float_as_uint(f) | 1);
  return double(float(X(f)));
}
template <class X>
__device__ double decoded(decoding how, double rounded, double exact, float scale) {
  if (how == decoding::levels) return rounded * scale;
  if (how == decoding::whole) return double(float(X(float(exact) * scale)));
  float const high = float(X(scale)), low = float(X(scale - high));
  return round_once<X>(rounded * high + round_once<X>(rounded * low));
}

/// One thread an output. exact: with the levels as they are; same: with the weights the kernel multiplies by; size: Σ |terms|.
template <class X>
__global__ void oracle_kernel(decoding how, uint8_t const* code, float const* scale, int block, X const* x, index row_x, X const* t, X const* b, int rank, double s, levels exact,
                              levels rounded, int n, int k, double* out) {
  int const j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y;
  if (j >= n) return;
  double e = 0, r = 0, size = 0;
  for (int c = 0; c < k; ++c) {
    index const at = index(j) * k + c;
    int const l = c % 2 ? code[at / 2] & 15 : code[at / 2] >> 4;
    double const v = double(float(x[i * row_x + c])), w = scale[at / block] * exact.at[l];
    e += v * w, r += v * decoded<X>(how, rounded.at[l], exact.at[l], scale[at / block]), size += fabs(v * w);
  }
  for (int c = 0; c < rank; ++c) {
    double const v = s * double(float(t[i * rank + c])) * double(float(b[index(j) * rank + c]));
    e += v, r += v, size += fabs(v);
  }
  double* const to = out + 3 * (index(i) * n + j);
  to[0] = e, to[1] = r, to[2] = size;
}

struct oracle_result {
  std::vector<double> at;  ///< (m, n, 3)
  int n;
  double exact(int i, int j) const { return at[3 * (std::size_t(i) * n + j)]; }
  double same(int i, int j) const { return at[3 * (std::size_t(i) * n + j) + 1]; }
  double size(int i, int j) const { return at[3 * (std::size_t(i) * n + j) + 2]; }
};

/// From what a file holds, never from the packed form.
template <class X>
oracle_result oracle(nf4_data const& w, X const* x, index row_x, int m, std::type_identity_t<X const*> t = nullptr, std::type_identity_t<X const*> b = nullptr, int rank = 0, double s = 0, decoding how = decoding::levels) {
  levels exact, rounded;
  for (int i = 0; i < 16; ++i) exact.at[i] = nf4_level[i], rounded.at[i] = float(X(nf4_level[i]));
  std::vector<float> scale(std::size_t(w.blocks()));
  for (index i = 0; i < w.blocks(); ++i) scale[std::size_t(i)] = w.scale(i);
  device_array<uint8_t> code(std::vector<uint8_t>(w.code.begin(), w.code.end()));
  device_array<float> scales(scale);
  device_array<double> out(std::size_t(m) * w.n * 3);
  oracle_kernel<<<dim3((w.n + 127) / 128, m), 128>>>(how, code.at, scales.at, w.block, x, row_x, t, b, rank, s, exact, rounded, w.n, w.k, out.at);
  require_cuda(cudaDeviceSynchronize());
  return {out.host(), w.n};
}

}  // namespace smalti::test
