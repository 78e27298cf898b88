// Both device engines against double precision on the device.
//   test_cuda_attention_cuda            correctness; needs a board with code in this program (sm_80 or sm_90a)
//   test_cuda_attention_cuda "[time]"   TFLOP/s of the sm_90a engine, clock settled by 300 ms of the same work

#include <catch2/catch.hpp>
#include <smalti/attention.cuh>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace smalti::test {

void require_cuda(cudaError_t e) {
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
};

__device__ unsigned hashed(unsigned x) {
  x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu;
  return x ^ x >> 16;
}
template <class T>
__global__ void fill_normal(T* to, std::size_t n, unsigned seed) {  // Box-Muller over a hash
  for (std::size_t i = blockIdx.x * std::size_t(blockDim.x) + threadIdx.x; i < n; i += std::size_t(gridDim.x) * blockDim.x) {
    unsigned const at = unsigned(i) * 2 + seed * 2654435761u;
    float const u = (hashed(at) + 1.f) * 2.3283064e-10f, t = hashed(at + 1) * 1.4629180e-9f;  // (0, 1] and [0, 2π)
    to[i] = T(sqrtf(-2.f * logf(u)) * cosf(t));
  }
}

/// One block a query row, everything in double. o: (slices, longest, Dv), lse: (slices, longest).
template <class T, class Variant>
__global__ void reference(attention_problem<T> p, Variant variant, double* o, double* lse, int rows, int D, int Dv) {
  extern __shared__ double s[];
  __shared__ double red[128];
  int const i = blockIdx.x, slice = blockIdx.y, t = threadIdx.x;
  auto const a = p.slice(slice);
  if (i >= a.seq_q) return;
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
  for (int j = t; j < a.seq_kv; j += 128) {
    double x = 0;
    for (int d = 0; d < D; ++d) x += double(float(a.q[i * a.row_q + d])) * double(float(a.k[j * a.row_k + d]));
    score_at const at{a.position + i, j, a.head, a.batch};
    s[j] = variant.keep(at) ? (leaves_scores<Variant> ? x * a.scale : double(variant.score(float(x * a.scale), at))) : -INFINITY;
    m = fmax(m, s[j]);
  }
  m = reduce(m, [](double x, double y) { return fmax(x, y); });
  if constexpr (has_sink<Variant>) m = fmax(m, double(variant.sink(a.head)));
  for (int j = t; j < a.seq_kv; j += 128) l += s[j] = m == -INFINITY ? 0 : exp(s[j] - m);
  l = reduce(l, [](double x, double y) { return x + y; });
  if constexpr (has_sink<Variant>) l += exp(variant.sink(a.head) - m);
  if constexpr (has_weight<Variant>) {
    for (int j = t; j < a.seq_kv; j += 128) s[j] = variant.weight(float(s[j]), {a.position + i, j, a.head, a.batch});
    __syncthreads();
  }
  for (int d = t; d < Dv; d += 128) {
    double x = 0;
    for (int j = 0; j < a.seq_kv; ++j) x += s[j] * double(float(a.v[j * a.row_v + d]));
    o[(std::size_t(slice) * rows + i) * Dv + d] = l > 0 ? x / l : 0;
  }
  if (t == 0) lse[std::size_t(slice) * rows + i] = l > 0 ? m + log(l) : -INFINITY;
}

struct sizes {
  int B, H, Hkv, N, M, D, Dv = 0;
};

/// Three runs, so that a race or a counter left behind shows. The bound: one rounding of O and one of P.
template <class Tuning = tuned, class T, class Variant>
void check(on_cuda where, char const* name, sizes n, Variant const& variant, attention_lengths lengths = {}) {
  int const Dv = n.Dv ? n.Dv : n.D;
  std::size_t const nq = std::size_t(n.B) * n.H * n.N * n.D, nk = std::size_t(n.B) * n.Hkv * n.M, rows = std::size_t(n.B) * n.H * n.N;
  device_array<T> q(nq), k(nk * n.D), v(nk * Dv), o(rows * Dv);
  device_array<float> lse(rows);
  device_array<unsigned> ticket(1);
  static unsigned seed = 1;
  fill_normal<<<512, 256>>>(q.at, nq, seed++), fill_normal<<<512, 256>>>(k.at, k.n, seed++), fill_normal<<<512, 256>>>(v.at, v.n, seed++);
  require_cuda(cudaMemset(ticket.at, 0, 4));
  attention_problem<T> const p{row_major<T const>(q.at, n.B, n.H, n.N, n.D), row_major<T const>(k.at, n.B, n.Hkv, n.M, n.D),
                               row_major<T const>(v.at, n.B, n.Hkv, n.M, Dv), row_major(o.at, n.B, n.H, n.N, Dv),
                               row_major(lse.at, n.B, n.H, n.N), 1 / std::sqrt(float(n.D)), lengths};
  device_array<double> want(std::size_t(p.slices()) * n.N * Dv), want_lse(std::size_t(p.slices()) * n.N);
  require_cuda(cudaMemset(want.at, 0xff, want.n * 8)), require_cuda(cudaMemset(want_lse.at, 0xff, want_lse.n * 8));
  reference<<<dim3(n.N, p.slices()), 128, (n.M + 1) / 2 * 16>>>(p, variant, want.at, want_lse.at, n.N, n.D, Dv);
  require_cuda(cudaDeviceSynchronize());
  auto const w = want.host(), wl = want_lse.host();
  std::vector<int> starts{0, n.N};
  if (lengths.q_starts) {
    starts.resize(std::size_t(lengths.count) + 1);
    require_cuda(cudaMemcpy(starts.data(), lengths.q_starts, starts.size() * 4, cudaMemcpyDeviceToHost));
  }
  double worst = 0, err2 = 0, ref2 = 0, lse_err = 0;
  for (int repeat = 0; repeat < 3; ++repeat) {
    if (repeat == 1) where.ticket = ticket.at;
    require_cuda(cudaMemset(o.at, 0xff, o.n * sizeof(T))), require_cuda(cudaMemset(lse.at, 0xff, rows * 4));
    status const s = attention<Tuning>(where, p, variant);
    INFO(name << ": " << s.why);
    REQUIRE(s);
    require_cuda(cudaDeviceSynchronize());
    auto const got = o.host();
    auto const gl = lse.host();
    auto compare = [](double& worst, double e) { worst = e <= worst ? worst : std::isnan(e) ? INFINITY : e; };
    for (int slice = 0; slice < p.slices(); ++slice) {
      int const b = slice / n.H, h = slice % n.H, first = lengths.q_starts ? starts[std::size_t(b)] : 0;
      int const count = lengths.q_starts ? starts[std::size_t(b) + 1] - first : n.N;
      for (int i = 0; i < count; ++i) {
        std::size_t const row = (std::size_t(lengths.q_starts ? 0 : b) * n.H + h) * n.N + first + i, ref = std::size_t(slice) * n.N + i;
        for (int d = 0; d < Dv; ++d) {
          double const e = std::fabs(double(float(got[row * Dv + d])) - w[ref * Dv + d]);
          compare(worst, e), err2 += e * e, ref2 += w[ref * Dv + d] * w[ref * Dv + d];
        }
        compare(lse_err, gl[row] == wl[ref] ? 0 : std::fabs(gl[row] - wl[ref]));
      }
    }
  }
  double const rel = ref2 > 0 ? std::sqrt(err2 / ref2) : std::sqrt(err2);
  std::printf("%-36s B%d H%d/%d N%-5d M%-5d D%-3d rel %.2e max %.2e lse %.1e\n", name, n.B, n.H, n.Hkv, n.N, n.M, n.D, rel, worst, lse_err);
  INFO(name);
  CHECK(rel < 4e-3);
  CHECK(worst < 4e-2);
  CHECK(lse_err < 2e-5);
}

/// Whether this program holds code of that architecture for the board here.
bool on_hopper() {
  int device = 0, major = 0;
  return cudaGetDevice(&device) == cudaSuccess && cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major == 9;
}
on_cuda board() { return {nullptr, on_hopper() ? sm_90a : sm_80}; }

TEST_CASE("whole sequences: the board's best engine") {
  auto const w = board();
  check<tuned, bf16>(w, "full", {1, 1, 1, 128, 128, 128}, full{});
  check<tuned, bf16>(w, "full", {2, 4, 4, 1024, 1024, 128}, full{});
  check<tuned, bf16>(w, "full, GQA, ragged", {2, 4, 2, 200, 333, 128}, full{});
  check<tuned, bf16>(w, "causal", {2, 3, 3, 1024, 1024, 128}, causal{});
  check<tuned, bf16>(w, "causal, ragged", {1, 40, 8, 777, 777, 128}, causal{});
  check<tuned, bf16>(w, "causal, cache before it", {1, 4, 2, 77, 500, 128}, causal{423});
  check<tuned, bf16>(w, "causal, empty rows", {1, 2, 2, 300, 200, 128}, causal{-130});
  check<tuned, bf16>(w, "causal, empty rows, many items", {2, 100, 50, 300, 200, 128}, causal{-130});
  check<tuned, bf16>(w, "full, many items", {2, 100, 100, 300, 200, 128}, full{});
  check<tuned, bf16>(w, "one query, one key", {1, 2, 1, 1, 1, 128}, full{});
  for (auto [n, m] : {std::pair{113, 203}, {239, 1}, {799, 3}, {1023, 1024}}) check<tuned, bf16>(w, "odd sizes", {1, 2, 1, n, m, 128}, full{});
  check<tuned, bf16>(w, "causal & window", {1, 2, 2, 700, 700, 128}, causal{} & window{130});
  check<tuned, bf16>(w, "causal & window & softcap", {1, 2, 2, 500, 500, 128}, causal{} & window{64} & softcap{5.f});
  check<tuned, bf16>(w, "full", {2, 4, 4, 1024, 1024, 64}, full{});
  check<tuned, bf16>(w, "causal, many items", {2, 100, 20, 500, 600, 64}, causal{100});
}

TEST_CASE("the sm_80 engine, on whatever board") {
  on_cuda const w{nullptr, on_hopper() ? sm_90a : sm_80};
  using small = fixed<attention_tile{.q = 64, .kv = 32, .stages = 2, .warps = 4}>;  // naming a tile chooses the common engine
  check<small, bf16>(w, "causal", {2, 4, 2, 300, 333, 64}, causal{33});
  check<small, bf16>(w, "streaming: tiles skipped in the middle", {1, 2, 2, 500, 500, 64}, causal{} & streaming(40, 8));
  check<tuned, f16>(w, "f16", {2, 4, 2, 300, 333, 128}, causal{33});
  for (int d : {32, 96, 256}) check<tuned, bf16>(w, "head dimensions", {1, 2, 1, 200, 200, d}, causal{});
  check<tuned, bf16>(w, "192 / 128", {1, 2, 1, 200, 200, 192, 128}, causal{});
  device_array<float> const logit(std::vector<float>{-1, 0, 2, 6});
  check<tuned, bf16>(w, "sinks", {2, 4, 2, 130, 200, 64}, causal{70} & sinks{logit.at});
  check<tuned, bf16>(w, "sinks alone", {1, 4, 2, 30, 20, 64}, causal{-15} & sinks{logit.at});
  check<tuned, bf16>(w, "dropout: the host's mask", {2, 4, 2, 130, 200, 64}, dropout(0.25f, 11));
  device_array<int> const qs(std::vector<int>{0, 1, 90, 90, 200}), ks(std::vector<int>{0, 77, 170, 170, 300}), at(std::vector<int>{76, 4, 0, 20});
  check<tuned, bf16>(w, "packed sequences", {1, 4, 2, 200, 300, 64}, causal{} & window{50},
                     {.count = 4, .q_starts = qs.at, .kv_starts = ks.at, .positions = at.at});
}

TEST_CASE("refusals") {
  attention_problem<bf16> p{};
  auto const id = [&] { return std::string(attention(board(), p, causal{}).id); };
  CHECK(id() == "attn.6");
  device_array<bf16> x(4096);
  p = {row_major<bf16 const>(x.at, 1, 2, 4, 48), row_major<bf16 const>(x.at, 1, 2, 4, 48), row_major<bf16 const>(x.at, 1, 2, 4, 48), row_major(x.at, 1, 2, 4, 48), {}, 1.f};
  CHECK(id() == "attn.10");
  p = {row_major<bf16 const>(x.at + 1, 1, 2, 4, 96), row_major<bf16 const>(x.at, 1, 2, 4, 96), row_major<bf16 const>(x.at, 1, 2, 4, 96), row_major(x.at, 1, 2, 4, 96), {}, 1.f};
  CHECK(id() == "attn.11");
  p.q.at = x.at, p.pages = {reinterpret_cast<int const*>(x.at), 4, 1};
  CHECK(id() == "attn.16");
}

template <int D, class Variant>
void time_sm90(Variant variant, bool is_causal) {
  std::printf("D%-3d %-6s", D, is_causal ? "causal" : "full");
  int const H = 2048 / D;
  std::size_t const n = std::size_t(16384) * 2048;
  device_array<bf16> q(n), k(n), v(n), o(n);
  device_array<unsigned> ticket(1);
  fill_normal<<<2048, 256>>>(q.at, n, 11), fill_normal<<<2048, 256>>>(k.at, n, 12), fill_normal<<<2048, 256>>>(v.at, n, 13);
  require_cuda(cudaMemset(ticket.at, 0, 4));
  for (int S : {1024, 4096, 16384}) {
    int const B = 16384 / S;
    attention_problem<bf16> const p{row_major<bf16 const>(q.at, B, H, S, D), row_major<bf16 const>(k.at, B, H, S, D), row_major<bf16 const>(v.at, B, H, S, D),
                                    row_major(o.at, B, H, S, D), {}, 1 / std::sqrt(float(D))};
    cudaEvent_t a, b;
    require_cuda(cudaEventCreate(&a)), require_cuda(cudaEventCreate(&b));
    auto timed = [&](int launches) {
      require_cuda(cudaEventRecord(a));
      for (int i = 0; i < launches; ++i) REQUIRE(attention(on_cuda{nullptr, sm_90a, ticket.at}, p, variant));
      require_cuda(cudaEventRecord(b)), require_cuda(cudaEventSynchronize(b));
      float t;
      require_cuda(cudaEventElapsedTime(&t, a, b));
      return t;
    };
    for (float spent = 0; spent < 300;) spent += timed(10);  // ms: until the power limit has settled the clock
    std::vector<float> ms;
    for (int i = 0; i < 21; ++i) ms.push_back(timed(1));
    std::nth_element(ms.begin(), ms.begin() + 10, ms.end());
    std::printf("  S%-5d %6.1f", S, 4.0 * B * H * double(S) * S * D / (is_causal ? 2 : 1) / ms[10] / 1e9);
  }
  std::printf("  TFLOP/s\n");
}

TEST_CASE("speed of the sm_90a engine", "[.time]") {
  if (!on_hopper()) return;
  time_sm90<128>(full{}, false), time_sm90<128>(causal{}, true), time_sm90<64>(full{}, false), time_sm90<64>(causal{}, true);
}

}  // namespace smalti::test
