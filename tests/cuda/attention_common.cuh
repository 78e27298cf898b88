#pragma once
// Device attention against double precision on the device: what the files attention*.cu share. Run them on a board with code in the
// program (sm_80 or sm_90a).

#include <catch2/catch.hpp>
#include <smalti/attention.cuh>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

namespace smalti::test {

inline void require_cuda(cudaError_t e) {
  INFO(cudaGetErrorString(e));
  REQUIRE(e == cudaSuccess);
}

template <class T>
struct device_array {
  T* at = nullptr;
  std::size_t n;
  explicit device_array(std::size_t count) : n(count) { require_cuda(cudaMalloc(&at, std::max(n, std::size_t(1)) * sizeof(T))); }
  device_array(std::vector<T> const& x) : device_array(x.size()) { require_cuda(cudaMemcpy(at, x.data(), n * sizeof(T), cudaMemcpyHostToDevice)); }
  ~device_array() { cudaFree(at); }
  device_array(device_array const&) = delete;
  std::vector<T> host() const {
    std::vector<T> x(n);
    require_cuda(cudaMemcpy(x.data(), at, n * sizeof(T), cudaMemcpyDeviceToHost));
    return x;
  }
  void poison() const { require_cuda(cudaMemset(at, 0xff, n * sizeof(T))); }  // NaN
};

static __device__ unsigned hashed(unsigned x) {
  x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu;
  return x ^ x >> 16;
}
template <class T>
__global__ void fill_normal(T* to, std::size_t n, unsigned seed, float scale = 1) {  // Box-Muller over a hash
  for (std::size_t i = blockIdx.x * std::size_t(blockDim.x) + threadIdx.x; i < n; i += std::size_t(gridDim.x) * blockDim.x) {
    unsigned const at = unsigned(i) * 2 + seed * 2654435761u;
    float const u = (hashed(at) + 1.f) * 2.3283064e-10f, t = hashed(at + 1) * 1.4629180e-9f;  // (0, 1] and [0, 2π)
    to[i] = T(scale * sqrtf(-2.f * logf(u)) * cosf(t));
  }
}

/// One block a query row, everything in double. o: (slices, longest, Dv), lse: (slices, longest).
template <class T, class Variant>
__global__ void reference(attention_problem<T> p, Variant variant, double* o, double* lse, int rows, int D, int Dv) {
  extern __shared__ double s[];
  __shared__ double red[128];
  int const i = blockIdx.x, slice = blockIdx.y, t = threadIdx.x;
  auto const a = p.slice(p.pages.pages ? 0 : slice);  // pages: only its strides are of use
  int const b = slice / p.heads(), h = slice % p.heads(), g = h / p.group(), seq_kv = p.kv_count(b), position = p.position(b);
  if (i >= p.q_count(b)) return;
  auto row_of = [&](view<T const, 4> const& x, int j) {
    if (!p.pages.pages) return &x(p.lengths.kv_starts ? 0 : b, g, p.kv_first(b) + j, 0);
    return &x(p.pages.pages[index(b) * p.pages.max_pages + j / p.pages.page_size], g, j % p.pages.page_size, 0);
  };
  T const* const q = &p.q(p.lengths.q_starts ? 0 : b, h, p.q_first(b) + i, 0);
  auto reduce = [&](double x, auto op) {
    red[t] = x, __syncthreads();
    for (int w = 64; w; w /= 2) {
      if (t < w) red[t] = op(red[t], red[t + w]);
      __syncthreads();
    }
    x = red[0], __syncthreads();
    return x;
  };
  double m = -INFINITY, l = 0;
  for (int j = t; j < seq_kv; j += 128) {
    double x = 0;
    for (int d = 0; d < D; ++d) x += double(float(q[d])) * double(float(row_of(p.k, j)[d]));
    score_at const at{position + i, j, h, b};
    s[j] = variant.keep(at) ? (leaves_scores<Variant> ? x * a.scale : double(variant.score(float(x * a.scale), at))) : -INFINITY;
    m = fmax(m, s[j]);
  }
  m = reduce(m, [](double x, double y) { return fmax(x, y); });
  if constexpr (has_sink<Variant>) m = fmax(m, double(variant.sink(h)));
  for (int j = t; j < seq_kv; j += 128) l += s[j] = m == -INFINITY ? 0 : exp(s[j] - m);
  l = reduce(l, [](double x, double y) { return x + y; });
  if constexpr (has_sink<Variant>) l += exp(variant.sink(h) - m);
  if constexpr (has_weight<Variant>) {
    for (int j = t; j < seq_kv; j += 128) s[j] = variant.weight(float(s[j]), {position + i, j, h, b});
    __syncthreads();
  }
  for (int d = t; d < Dv; d += 128) {
    double x = 0;
    for (int j = 0; j < seq_kv; ++j)
      if (s[j] != 0) x += s[j] * double(float(row_of(p.v, j)[d]));
    o[(std::size_t(slice) * rows + i) * Dv + d] = l > 0 ? x / l : 0;
  }
  if (t == 0) lse[std::size_t(slice) * rows + i] = l > 0 ? m + log(l) : -INFINITY;
}

/// Which engine computes: the entry point's choice, or Hopper's with a tile.
template <class Tuning>
struct entry {
  template <class T, class V>
  static status run(on_cuda const& where, attention_problem<T> const& p, V const& v) { return attention<Tuning>(where, p, v); }
};
template <int D, int Dv = D, class Tuning = tuned_sm90>
struct hopper {
  template <class T, class V>
  static status run(on_cuda const& where, attention_problem<T> const& p, V const& v) { return attention_sm90<D, Dv, Tuning>(where, p, v); }
};

struct sizes {
  int B, H, Hkv, N, M, D, Dv = 0;
};
struct extras {
  attention_lengths lengths = {};
  page_table pages = {};        ///< then B is the pages of the pool, M the rows of one
  float loud = 1;               ///< standard deviation of Q
  bool tokens_first = false;    ///< (B, N, H, D) in memory
  int sequences = 1;            ///< with pages
};

template <class T>
view<T, 4> laid_out(T* at, bool tokens_first, int b, int h, int n, int d) {
  if (!tokens_first) return row_major(at, b, h, n, d);
  return {at, {b, h, n, d}, {index(n) * h * d, d, index(h) * d, 1}};
}

/// The operands of one case, filled with fresh numbers, and the poisoned result.
template <class T>
struct operands {
  sizes n;
  device_array<T> q, k, v, o;
  device_array<float> lse;
  attention_problem<T> p;

  operands(sizes const& s, extras const& x = {})
      : n(with_values(s)), q(std::size_t(queries(x)) * n.H * n.N * n.D), k(std::size_t(keys(x)) * n.Hkv * n.M * n.D), v(k.n / n.D * n.Dv), o(q.n / n.D * n.Dv),
        lse(q.n / n.D) {
    static unsigned seed = 1;
    fill_normal<<<512, 256>>>(q.at, q.n, seed++, x.loud), fill_normal<<<512, 256>>>(k.at, k.n, seed++), fill_normal<<<512, 256>>>(v.at, v.n, seed++);
    bool const t = x.tokens_first;
    p = {laid_out<T const>(q.at, t, queries(x), n.H, n.N, n.D), laid_out<T const>(k.at, t, keys(x), n.Hkv, n.M, n.D),
         laid_out<T const>(v.at, t, keys(x), n.Hkv, n.M, n.Dv), laid_out(o.at, t, queries(x), n.H, n.N, n.Dv),
         row_major(lse.at, queries(x), n.H, n.N), 1 / std::sqrt(float(n.D)), x.lengths, x.pages};
    poison();
  }
  void poison() const { o.poison(), lse.poison(); }

 private:
  static sizes with_values(sizes s) { return s.Dv = s.Dv ? s.Dv : s.D, s; }
  int queries(extras const& x) const { return x.lengths.q_starts ? 1 : x.pages.pages ? x.sequences : n.B; }
  int keys(extras const& x) const { return x.lengths.kv_starts ? 1 : n.B; }
};

/// Three runs, two with a ticket: all the same to the last bit, so a race or a counter left behind shows. The bound: one rounding of
/// O and one of P, to 8 bits each.
template <class Engine, class T, class Variant>
void check(on_cuda where, char const* name, sizes s, Variant const& variant, extras const& x = {}, void (*prepare)(operands<T>&) = nullptr) {
  operands<T> c(s, x);
  if (prepare) prepare(c);
  auto const& [n, p] = std::tie(c.n, c.p);
  int const rows = n.N, keys = x.pages.pages ? x.pages.page_size * x.pages.max_pages : n.M;
  device_array<double> want(std::size_t(p.slices()) * rows * n.Dv), want_lse(std::size_t(p.slices()) * rows);
  want.poison(), want_lse.poison();
  reference<<<dim3(rows, p.slices()), 128, (keys + 1) / 2 * 16>>>(p, variant, want.at, want_lse.at, rows, n.D, n.Dv);
  require_cuda(cudaDeviceSynchronize());
  auto const w = want.host(), wl = want_lse.host();
  std::vector<int> starts(std::size_t(p.batch()) + 1, 0);
  if (x.lengths.q_starts) require_cuda(cudaMemcpy(starts.data(), x.lengths.q_starts, starts.size() * 4, cudaMemcpyDeviceToHost));
  device_array<unsigned> ticket(std::vector<unsigned>{0});
  std::vector<T> first;
  double worst = 0, err2 = 0, ref2 = 0, lse_err = 0;
  for (int repeat = 0; repeat < 3; ++repeat) {
    if (repeat == 1) where.ticket = ticket.at;
    c.poison();
    status const st = Engine::run(where, p, variant);
    INFO(name << ": " << st.why);
    REQUIRE(st);
    require_cuda(cudaDeviceSynchronize());
    auto const got = c.o.host();
    auto const gl = c.lse.host();
    if (repeat > 0) CHECK(std::memcmp(first.data(), got.data(), got.size() * sizeof(T)) == 0);
    else first = got;
    auto compare = [](double& worst, double e) { worst = e <= worst ? worst : std::isnan(e) ? INFINITY : e; };
    for (int slice = 0; slice < p.slices(); ++slice) {
      int const b = slice / n.H, h = slice % n.H, begin = starts[std::size_t(b)], count = x.lengths.q_starts ? starts[std::size_t(b) + 1] - begin : n.N;
      for (int i = 0; i < count; ++i) {
        index const bq = x.lengths.q_starts ? 0 : b;
        std::size_t const at = std::size_t(bq * p.o.stride[0] + h * p.o.stride[1] + (begin + i) * p.o.stride[2]), ref = std::size_t(slice) * rows + i;
        for (int d = 0; d < n.Dv; ++d) {
          double const r = w[ref * n.Dv + d], e = std::fabs(double(float(got[at + d])) - r);
          compare(worst, e), err2 += e * e, ref2 += r * r;
        }
        float const l = gl[(std::size_t(bq) * n.H + h) * n.N + begin + i];
        compare(lse_err, l == wl[ref] ? 0 : std::fabs(l - wl[ref]) / std::max(1.0, std::fabs(wl[ref])));
      }
    }
  }
  double const rel = ref2 > 0 ? std::sqrt(err2 / ref2) : std::sqrt(err2);
  std::printf("%-36s B%d H%d/%d N%-5d M%-5d D%d/%-3d rel %.2e max %.2e lse %.1e\n", name, n.B, n.H, n.Hkv, n.N, n.M, n.D, n.Dv, rel, worst, lse_err);
  INFO(name);
  CHECK(rel < 4e-3);
  CHECK(worst < 4e-2);
  CHECK(lse_err < 2e-5);
}

/// Whether the board is Hopper's; this program then holds code for it.
inline bool on_hopper() {
  int device = 0, major = 0;
  return cudaGetDevice(&device) == cudaSuccess && cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major == 9;
}
inline on_cuda board() { return {nullptr, on_hopper() ? sm_90a : sm_80}; }

}  // namespace smalti::test
