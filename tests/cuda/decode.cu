// Decode attention against double precision on the device, and against itself: parts, batches, pages and runs must agree.
// Needs a board with code in this program (sm_80 or sm_90a).

#include <catch2/catch.hpp>
#include <smalti/attention/cuda.cuh>
#include <smalti/attention/decode.cuh>
#include <smalti/math/rope.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>
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
  device_array(std::vector<T> const& x) : device_array(x.size()) { assign(x); }
  ~device_array() { cudaFree(at); }
  device_array(device_array const&) = delete;
  void assign(std::vector<T> const& x) { require_cuda(cudaMemcpy(at, x.data(), x.size() * sizeof(T), cudaMemcpyHostToDevice)); }
  void poison() { require_cuda(cudaMemset(at, 0xff, n * sizeof(T))); }
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
__global__ void fill_normal(T* to, std::size_t n, unsigned seed, float scale) {  // Box-Muller over a hash
  for (std::size_t i = blockIdx.x * std::size_t(blockDim.x) + threadIdx.x; i < n; i += std::size_t(gridDim.x) * blockDim.x) {
    unsigned const at = unsigned(i) * 2 + seed * 2654435761u;
    float const u = (hashed(at) + 1.f) * 2.3283064e-10f, t = hashed(at + 1) * 1.4629180e-9f;  // (0, 1] and [0, 2π)
    to[i] = T(scale * sqrtf(-2.f * logf(u)) * cosf(t));
  }
}
template <class T>
void normal(device_array<T>& a, float scale = 1) {
  static unsigned seed = 1;
  fill_normal<<<64, 256>>>(a.at, a.n, seed++, scale);
}

/// Key j of a sequence, wherever it is kept.
template <class T>
__device__ T const* key_row(attention_problem<T> const& p, view<T const, 4> const& a, int b, int g, int j) {
  if (!p.pages.pages) return &a(p.lengths.kv_starts ? 0 : b, g, p.kv_first(b) + j, 0);
  return &a(p.pages.pages[b * p.pages.max_pages + j / p.pages.page_size], g, j % p.pages.page_size, 0);
}

/// Copies the keys that count into a pool that was NaN all over.
template <class T>
__global__ void place(attention_problem<T> p, T const* k, T const* v, int room) {  // k, v: (B, Hkv, room, ·)
  int const j = blockIdx.x, g = blockIdx.y, b = blockIdx.z, D = int(p.k.extent[3]), Dv = int(p.v.extent[3]);
  if (j >= p.kv_count(b)) return;
  T* const to_k = const_cast<T*>(key_row(p, p.k, b, g, j));
  T* const to_v = const_cast<T*>(key_row(p, p.v, b, g, j));
  index const row = (index(b) * p.heads_kv() + g) * room + j;
  for (int d = threadIdx.x; d < D; d += blockDim.x) to_k[d] = k[row * D + d];
  for (int d = threadIdx.x; d < Dv; d += blockDim.x) to_v[d] = v[row * Dv + d];
}

/// One block a query row, everything in double. o: (B, H, longest, Dv), lse: (B, H, longest).
template <class T, class Variant>
__global__ void reference(attention_problem<T> p, Variant variant, double* o, double* lse, int rows) {
  extern __shared__ double s[];
  __shared__ double red[128];
  int const i = blockIdx.x, h = blockIdx.y, b = blockIdx.z, t = threadIdx.x, g = h / p.group(), n = p.kv_count(b);
  int const D = int(p.q.extent[3]), Dv = int(p.v.extent[3]);
  if (i >= p.q_count(b)) return;
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
  for (int j = t; j < n; j += 128) {
    score_at const at{p.position(b) + i, j, h, b};
    s[j] = -INFINITY;
    if (!variant.keep(at)) continue;
    double x = 0;
    for (int d = 0; d < D; ++d) x += double(float(q[d])) * double(float(key_row(p, p.k, b, g, j)[d]));
    s[j] = leaves_scores<Variant> ? x * p.scale : double(variant.score(float(x * p.scale), at));
    m = fmax(m, s[j]);
  }
  m = reduce(m, [](double x, double y) { return fmax(x, y); });
  if constexpr (has_sink<Variant>) m = fmax(m, double(variant.sink(h)));
  for (int j = t; j < n; j += 128) l += s[j] = m == -INFINITY ? 0 : exp(s[j] - m);
  l = reduce(l, [](double x, double y) { return x + y; });
  if constexpr (has_sink<Variant>) l += exp(variant.sink(h) - m);
  if constexpr (has_weight<Variant>) {
    for (int j = t; j < n; j += 128) s[j] = variant.weight(float(s[j]), {p.position(b) + i, j, h, b});
    __syncthreads();
  }
  index const row = (index(b) * p.heads() + h) * rows + i;
  for (int d = t; d < Dv; d += 128) {
    double x = 0;
    for (int j = 0; j < n; ++j)
      if (s[j] != 0) x += s[j] * double(float(key_row(p, p.v, b, g, j)[d]));
    o[row * Dv + d] = l > 0 ? x / l : 0;
  }
  if (t == 0) lse[row] = l > 0 ? m + log(l) : -INFINITY;
}

bool on_hopper() {
  int device = 0, major = 0;
  return cudaGetDevice(&device) == cudaSuccess && cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major == 9;
}
on_cuda board() { return {nullptr, on_hopper() ? sm_90a : sm_80}; }

struct sizes {
  int H, Hkv, N, D = 128, Dv = 0, page = 0;
  std::vector<int> lengths;      // keys of each sequence
  std::vector<int> queries = {}; // of each sequence, packed; empty: N each
  bool packed_keys = false;
  float scale = 1;               // of the logits
  int ahead = 0;                 // keys after the last query
  int first_page = 0;            // pages before it are not there
};

/// A problem whose unused memory is NaN and whose unused page ids are wild.
template <class T>
struct decode_case {
  sizes n;
  int B, room, rows, Dv, pages;
  device_array<T> q, k, v, o;
  device_array<float> lse;
  device_array<int> used, positions, starts, kv_starts, table;
  attention_problem<T> p;
  std::vector<int> q_starts;

  static int most(std::vector<int> const& x) { return x.empty() ? 0 : *std::max_element(x.begin(), x.end()); }
  int per_sequence() const { return (room + n.page - 1) / n.page; }

  explicit decode_case(sizes s)
      : n(s), B(int(s.lengths.size())), room(std::max(most(s.lengths) + 13, 1)), rows(s.queries.empty() ? s.N * B : std::accumulate(s.queries.begin(), s.queries.end(), 0)),
        Dv(s.Dv ? s.Dv : s.D), pages(s.page ? B * ((room + s.page - 1) / s.page) + 3 : B), q(std::size_t(rows) * s.H * s.D), k(cache_rows() * s.D), v(cache_rows() * Dv),
        o(std::size_t(rows) * s.H * Dv), lse(std::size_t(rows) * s.H), used(std::size_t(B)), positions(std::size_t(B)), starts(std::size_t(B) + 1), kv_starts(std::size_t(B) + 1),
        table(std::size_t(n.page ? B * per_sequence() : 0)) {
    normal(q), k.poison(), v.poison();
    std::vector<int> at, kv_at{0};
    q_starts = {0};
    for (int b = 0; b < B; ++b) {
      int const tokens = n.queries.empty() ? n.N : n.queries[b];
      at.push_back(n.lengths[b] - tokens - n.ahead), q_starts.push_back(q_starts.back() + tokens), kv_at.push_back(kv_at.back() + n.lengths[b]);
    }
    used.assign(n.lengths), positions.assign(at), starts.assign(q_starts), kv_starts.assign(kv_at);
    std::vector<int> ids(table.n, 0x7ffffff0);
    int free_pages = pages;  // handed out from the end, so that neighbours in a sequence lie in falling order
    for (int b = 0; n.page && b < B; ++b)
      for (int j = n.first_page; j * n.page < n.lengths[b]; ++j) ids[std::size_t(b * per_sequence() + j)] = --free_pages;
    table.assign(ids);
    bool const packed = !n.queries.empty();
    auto const queries = [&](auto* x, int columns) {  // strides as of a (tokens, heads, columns) product
      return packed ? view<std::remove_pointer_t<decltype(x)>, 4>{x, {1, n.H, rows, columns}, {0, columns, index(n.H) * columns, 1}}
                    : row_major(x, B, n.H, n.N, columns);
    };
    auto const cache = [&](T const* x, int columns) {
      if (n.page) return row_major(x, pages, n.Hkv, n.page, columns);
      if (n.packed_keys) return row_major(x, 1, n.Hkv, kv_at.back() + 5, columns);
      return row_major(x, B, n.Hkv, room, columns);
    };
    p = {queries(static_cast<T const*>(q.at), n.D), cache(k.at, n.D), cache(v.at, Dv), queries(o.at, Dv), {}, n.scale / std::sqrt(float(n.D))};
    p.lse = packed ? view<float, 3>{lse.at, {1, n.H, rows}, {0, rows, 1}} : row_major(lse.at, B, n.H, n.N);
    p.lengths = {B, packed ? starts.at : nullptr, n.packed_keys ? kv_starts.at : nullptr, n.packed_keys ? nullptr : used.at, positions.at};
    if (n.page) p.pages = {table.at, n.page, per_sequence()};
    device_array<T> new_k(std::size_t(B) * n.Hkv * room * n.D), new_v(std::size_t(B) * n.Hkv * room * Dv);
    normal(new_k), normal(new_v);
    if (n.first_page == 0 && B) place<<<dim3(room, n.Hkv, B), 64>>>(p, new_k.at, new_v.at, room);
    if (n.first_page && B) {  // as before, but those pages
      int const skip = n.first_page * n.page;
      std::vector<T> hk = new_k.host(), hv = new_v.host();
      std::vector<T> ck = k.host(), cv = v.host();
      for (int b = 0; b < B; ++b)
        for (int g = 0; g < n.Hkv; ++g)
          for (int j = skip; j < n.lengths[b]; ++j) {
            std::size_t const to = (std::size_t(ids[std::size_t(b * per_sequence() + j / n.page)]) * n.Hkv + g) * n.page + j % n.page;
            std::size_t const from = (std::size_t(b) * n.Hkv + g) * room + j;
            std::copy_n(&hk[from * n.D], n.D, &ck[to * n.D]), std::copy_n(&hv[from * Dv], Dv, &cv[to * Dv]);
          }
      k.assign(ck), v.assign(cv);
    }
    require_cuda(cudaDeviceSynchronize());
  }
  std::size_t cache_rows() const {
    if (n.page) return std::size_t(pages) * n.Hkv * n.page;
    if (n.packed_keys) return std::size_t(std::accumulate(n.lengths.begin(), n.lengths.end(), 5)) * n.Hkv;
    return std::size_t(B) * n.Hkv * room;
  }
  int longest() const { return n.queries.empty() ? n.N : most(n.queries); }
  /// Row of (sequence, head, token) in o and lse.
  std::size_t o_row(int b, int h, int i) const {
    return n.queries.empty() ? (std::size_t(b) * n.H + h) * n.N + i : std::size_t(q_starts[b] + i) * n.H + h;
  }
  std::size_t lse_row(int b, int h, int i) const {
    return n.queries.empty() ? (std::size_t(b) * n.H + h) * n.N + i : std::size_t(h) * rows + q_starts[b] + i;
  }

  template <class Variant>
  void run(Variant const& variant, decode_options options = {}, decode_append<T> const& append = {}) {
    o.poison(), lse.poison();
    if (!n.queries.empty()) options.queries = longest();
    auto const w = board();
    device_array<char> room_for(decode_workspace_bytes(w, p, options));
    require_cuda(cudaMemset(room_for.at, 0, room_for.n)), require_cuda(cudaMemset(room_for.at + std::min<std::size_t>(65536, room_for.n), 0xff, room_for.n - std::min<std::size_t>(65536, room_for.n)));
    status s = launch(w, {room_for.at, room_for.n}, variant, options, append);
    INFO(s.why);
    REQUIRE(s);
    require_cuda(cudaDeviceSynchronize());
    auto const left = room_for.host();  // the tickets are back at 0
    CHECK(std::all_of(left.begin(), left.begin() + std::min<std::ptrdiff_t>(65536, std::ptrdiff_t(left.size())), [](char c) { return c == 0; }));
  }
  template <class Variant>
  status launch(on_cuda w, decode_workspace space, Variant const& variant, decode_options const& options, decode_append<T> const& append) const {
    if (n.D == 128) return decode_attention_for<attention_shape{128, 2}>(w, p, space, variant, options, append);
    if constexpr (std::is_same_v<Variant, causal> && std::is_same_v<T, bf16>) return decode_attention(w, p, space, variant, options, append);  // other dimensions: causal only
    return {"test", "not compiled"};
  }
  /// Relative error, after the bounds of one rounding of O and one of P are checked.
  template <class Variant>
  void check(char const* name, Variant const& variant) const {
    int const L = std::max(longest(), 1);
    device_array<double> want(std::size_t(B) * n.H * L * Dv), want_lse(std::size_t(B) * n.H * L);
    want.poison(), want_lse.poison();
    if (B && longest()) reference<<<dim3(longest(), n.H, B), 128, (room + 1) / 2 * 16>>>(p, variant, want.at, want_lse.at, L);
    require_cuda(cudaDeviceSynchronize());
    auto const w = want.host(), wl = want_lse.host();
    auto const got = o.host();
    auto const gl = lse.host();
    double worst = 0, err2 = 0, ref2 = 0, lse_err = 0;
    auto compare = [](double& worst, double e) { worst = e <= worst ? worst : std::isnan(e) ? INFINITY : e; };
    for (int b = 0; b < B; ++b)
      for (int h = 0; h < n.H; ++h)
        for (int i = 0; i < q_starts[b + 1] - q_starts[b]; ++i) {
          std::size_t const ref = (std::size_t(b) * n.H + h) * L + i;
          for (int d = 0; d < Dv; ++d) {
            double const e = std::fabs(double(float(got[o_row(b, h, i) * Dv + d])) - w[ref * Dv + d]);
            compare(worst, e), err2 += e * e, ref2 += w[ref * Dv + d] * w[ref * Dv + d];
          }
          float const l = gl[lse_row(b, h, i)];
          compare(lse_err, l == wl[ref] ? 0 : std::fabs(l - wl[ref]) / std::max(1., std::fabs(wl[ref])));
        }
    double const rel = ref2 > 0 ? std::sqrt(err2 / ref2) : std::sqrt(err2);
    std::printf("%-40s B%d H%d/%d N%-2d D%-3d page %-3d rel %.2e max %.2e lse %.1e\n", name, B, n.H, n.Hkv, n.N, n.D, n.page, rel, worst, lse_err);
    INFO(name);
    CHECK(rel < 4e-3);
    CHECK(worst < 4e-2);
    CHECK(lse_err < 2e-5);
  }
};

/// Every source that the board has, parts as the device fills and as fixed; twice each, to the bit.
template <class T, class Variant>
void check(char const* name, sizes n, Variant const& variant) {
  decode_case<T> c(n);
  for (bool copies : {false, true})
    for (int split : {0, 96}) {
      c.run(variant, {.split = split, .copies = copies});
      c.check(name, variant);
      auto const first = c.o.host();
      c.run(variant, {.split = split, .programmatic = true, .copies = copies});
      auto const second = c.o.host();
      CHECK(std::memcmp(first.data(), second.data(), first.size() * sizeof(T)) == 0);
    }
}

TEST_CASE("lengths: none, one, odd, many; each sequence its own") {
  check<bf16>("causal", {.H = 8, .Hkv = 2, .N = 1, .lengths = {0, 1, 2, 31, 32, 33, 127, 500, 1025}}, causal{});
  check<bf16>("full", {.H = 8, .Hkv = 2, .N = 1, .lengths = {3000}}, full{});
  check<bf16>("empty", {.H = 8, .Hkv = 2, .N = 1, .lengths = {0, 0}}, causal{});
  std::vector<int> many;
  for (int b = 0; b < 70; ++b) many.push_back(b * 37 % 200);
  check<bf16>("more blocks than processors", {.H = 8, .Hkv = 2, .N = 1, .lengths = many}, causal{});
  check<bf16>("more queries than keys", {.H = 8, .Hkv = 2, .N = 4, .lengths = {2, 4, 5}}, causal{});
}

TEST_CASE("query heads of a key head, and query tokens, share a tile") {
  for (int H : {1, 4, 8, 32}) check<bf16>("group", {.H = H, .Hkv = 1, .N = 1, .lengths = {77, 300}}, causal{});
  for (int N : {2, 3, 5, 8, 16}) check<bf16>("tokens", {.H = 8, .Hkv = 2, .N = N, .lengths = {40, 301}}, causal{});
  check<bf16>("more rows than a block takes", {.H = 32, .Hkv = 1, .N = 5, .lengths = {16, 301, 900}}, causal{});
}

TEST_CASE("pages") {
  for (int page : {1, 5, 8, 16, 24, 32, 64, 256}) check<bf16>("pages", {.H = 8, .Hkv = 2, .N = 3, .page = page, .lengths = {0, 1, 31, 64, 65, 400}}, causal{});
  for (int page : {8, 64}) {  // long parts: page ids are looked up again and again
    decode_case<bf16> c({.H = 8, .Hkv = 2, .N = 1, .page = page, .lengths = {5000, 3000}});
    c.run(causal{}, {.split = 4096}), c.check("long parts", causal{});
  }
}

TEST_CASE("packed queries and keys") {
  check<bf16>("packed queries", {.H = 8, .Hkv = 2, .N = 0, .lengths = {0, 70, 9, 333}, .queries = {1, 4, 0, 3}}, causal{});
  check<bf16>("packed both", {.H = 8, .Hkv = 2, .N = 0, .lengths = {1, 70, 9, 333}, .queries = {1, 4, 2, 3}, .packed_keys = true}, causal{});
}

TEST_CASE("head dimensions and f16") {
  for (int D : {64, 96, 256}) check<bf16>("head dimension", {.H = 8, .Hkv = 2, .N = 2, .D = D, .page = D == 96 ? 16 : 0, .lengths = {0, 1, 33, 300}}, causal{});
  check<bf16>("192 / 128", {.H = 8, .Hkv = 2, .N = 2, .D = 192, .Dv = 128, .lengths = {0, 1, 33, 300}}, causal{});
  check<f16>("f16", {.H = 8, .Hkv = 2, .N = 2, .D = 128, .page = 16, .lengths = {0, 1, 33, 300}}, causal{});
}

TEST_CASE("variants") {
  device_array<float> const logit(std::vector<float>{-1, 0, 2, 6, 1, 1, -30, 3}), slope(std::vector<float>{.5f, .25f, .1f, .05f, .4f, .3f, .2f, .7f});
  check<bf16>("window", {.H = 8, .Hkv = 2, .N = 3, .lengths = {0, 1, 100, 900}}, causal{} & window{70});
  check<bf16>("window of one", {.H = 8, .Hkv = 2, .N = 1, .lengths = {1, 100, 900}}, causal{} & window{1});
  check<bf16>("window, pages before it given back", {.H = 8, .Hkv = 2, .N = 2, .page = 16, .lengths = {900, 980}, .first_page = 48}, causal{} & window{100});
  check<bf16>("streaming", {.H = 8, .Hkv = 2, .N = 3, .lengths = {1, 100, 900}}, causal{} & streaming(40, 8));
  check<bf16>("sinks", {.H = 8, .Hkv = 2, .N = 3, .lengths = {0, 1, 300}}, causal{} & sinks{logit.at});
  check<bf16>("softcap and ALiBi", {.H = 8, .Hkv = 2, .N = 3, .lengths = {0, 1, 300}}, causal{} & softcap{5.f} & alibi{slope.at});
  check<bf16>("dropout", {.H = 8, .Hkv = 2, .N = 2, .lengths = {1, 300}}, dropout(0.25f, 11));
  check<bf16>("keys after the query", {.H = 8, .Hkv = 2, .N = 2, .lengths = {40, 300}, .ahead = 37}, causal{});
  check<bf16>("huge logits", {.H = 8, .Hkv = 2, .N = 2, .lengths = {1, 40, 700}, .scale = 300}, causal{});
}

TEST_CASE("a sequence's bits do not depend on its batch when parts are fixed") {
  std::vector<int> const lengths{700, 64, 1, 999, 0, 130};
  decode_case<bf16> all({.H = 8, .Hkv = 2, .N = 2, .page = 16, .lengths = lengths});
  for (int b = 0; b < int(lengths.size()); ++b) {
    all.run(causal{}, {.split = 128});
    auto const o = all.o.host();
    decode_case<bf16> alone({.H = 8, .Hkv = 2, .N = 2, .page = 16, .lengths = {lengths[b]}});
    // The same memory, seen as a batch of one.
    alone.p.k = all.p.k, alone.p.v = all.p.v, alone.p.q.at = all.q.at + std::size_t(b) * 8 * 2 * 128;
    alone.p.pages = {all.table.at + b * all.per_sequence(), 16, all.per_sequence()};
    alone.run(causal{}, {.split = 128});
    auto const mine = alone.o.host();
    CHECK(std::memcmp(mine.data(), o.data() + std::size_t(b) * mine.size(), mine.size() * sizeof(bf16)) == 0);
  }
}

TEST_CASE("the sm_80 engine says the same") {
  decode_case<bf16> c({.H = 8, .Hkv = 2, .N = 4, .lengths = {100, 333}});
  c.run(causal{});
  auto const mine = c.o.host();
  c.o.poison();
  require(detail::launch_sm80<128, 128, tuned>(board(), c.p, causal{}));
  require_cuda(cudaDeviceSynchronize());
  auto const theirs = c.o.host();
  float worst = 0;
  for (std::size_t i = 0; i < mine.size(); ++i) worst = std::fmax(worst, std::fabs(float(mine[i]) - float(theirs[i])));
  CHECK(worst < 2e-2f);
}

TEST_CASE("new keys and values are turned, stored and seen") {
  for (int page : {0, 16})
    for (bool copies : {false, true}) {
      int const N = 3, D = 128, Hkv = 2, H = 8;
      decode_case<bf16> c({.H = H, .Hkv = Hkv, .N = N, .page = page, .lengths = {3, 65, 34, 700}});
      auto const table = make_rope_table(64, 1000, 10000.);  // half the columns turn
      device_array<float> const cos(std::vector<float>(table.cos.data(), table.cos.data() + 32000)), sin(std::vector<float>(table.sin.data(), table.sin.data() + 32000));
      device_array<bf16> k(std::size_t(c.B) * Hkv * N * D), v(k.n);
      normal(k), normal(v);
      // What the cache and the queries should be: by the host's own rotation.
      auto hk = k.host(), hq = c.q.host(), hv = v.host(), cache_k = c.k.host(), cache_v = c.v.host();
      auto const ids = c.table.host();
      auto turn = [&](std::vector<bf16>& x, int heads) {  // (B, heads, N, D)
        for (int b = 0; b < c.B; ++b)
          for (int i = 0; i < N; ++i) {
            int const at[] = {c.n.lengths[b] - N + i};
            view<bf16, 3> const rows{&x[(std::size_t(b) * heads * N + i) * D], {1, heads, D}, {0, index(N) * D, 1}};
            REQUIRE(apply_rope(on_cpu{}, rows, at, table));
          }
      };
      turn(hk, Hkv), turn(hq, H);
      for (int b = 0; b < c.B; ++b)
        for (int g = 0; g < Hkv; ++g)
          for (int i = 0; i < N; ++i) {
            int const key = c.n.lengths[b] - N + i, rows = page ? page : c.room, outer = page ? ids[std::size_t(b * c.per_sequence() + key / page)] : b;
            std::size_t const to = (std::size_t(outer) * Hkv + g) * rows + key % rows, from = (std::size_t(b) * Hkv + g) * N + i;
            std::copy_n(&hk[from * D], D, &cache_k[to * D]), std::copy_n(&hv[from * D], D, &cache_v[to * D]);
            require_cuda(cudaMemset(c.k.at + to * D, 0xff, D * 2)), require_cuda(cudaMemset(c.v.at + to * D, 0xff, D * 2));
          }
      auto writable = [](view<bf16 const, 4> a) { return view<bf16, 4>{const_cast<bf16*>(a.at), {a.extent[0], a.extent[1], a.extent[2], a.extent[3]}, {a.stride[0], a.stride[1], a.stride[2], a.stride[3]}}; };
      decode_append<bf16> const append{row_major<bf16 const>(k.at, c.B, Hkv, N, D), row_major<bf16 const>(v.at, c.B, Hkv, N, D), writable(c.p.k), writable(c.p.v),
                                       {cos.at, sin.at, 64, 1000}};
      c.run(causal{}, {.copies = copies}, append);
      auto const got_k = c.k.host(), got_v = c.v.host();
      CHECK(std::memcmp(got_v.data(), cache_v.data(), got_v.size() * 2) == 0);
      float worst = 0;
      for (std::size_t i = 0; i < got_k.size(); ++i) {
        float const a = float(got_k[i]), b = float(cache_k[i]);
        if (std::isnan(a) && std::isnan(b)) continue;
        worst = std::fmax(worst, std::isnan(a) || std::isnan(b) ? INFINITY : std::fabs(a - b));
      }
      CHECK(worst < 0.02f);  // an ulp, where a product was fused
      c.k.assign(cache_k), c.q.assign(hq);
      c.check("append", causal{});
    }
}

TEST_CASE("lengths may change between replays of a graph") {
  decode_case<bf16> c({.H = 8, .Hkv = 2, .N = 1, .page = 16, .lengths = {900, 500}});
  auto w = board();
  require_cuda(cudaStreamCreate(&w.stream));
  for (bool early : {false, true}) {
    decode_options const options{.programmatic = true, .early = early};
    device_array<char> room(decode_workspace_bytes(w, c.p, options));
    require_cuda(cudaMemset(room.at, 0, room.n));
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    require_cuda(cudaStreamBeginCapture(w.stream, cudaStreamCaptureModeGlobal));
    for (int i = 0; i < 3; ++i) REQUIRE(c.launch(w, {room.at, room.n}, causal{}, options, {}));
    require_cuda(cudaStreamEndCapture(w.stream, &graph)), require_cuda(cudaGraphInstantiate(&exec, graph, 0));
    for (std::vector<int> lengths : {std::vector{900, 500}, {1, 499}, {0, 33}}) {
      c.used.assign(lengths), c.positions.assign({lengths[0] - 1, lengths[1] - 1});
      c.o.poison(), c.lse.poison();
      require_cuda(cudaGraphLaunch(exec, w.stream)), require_cuda(cudaStreamSynchronize(w.stream));
      c.check("replayed", causal{});
    }
    require_cuda(cudaGraphExecDestroy(exec)), require_cuda(cudaGraphDestroy(graph));
  }
  require_cuda(cudaStreamDestroy(w.stream));
}

TEST_CASE("refusals") {
  decode_case<bf16> c({.H = 8, .Hkv = 2, .N = 1, .lengths = {900}});
  auto const id = [&](decode_workspace space, decode_options options = {}, decode_append<bf16> append = {}) {
    return std::string(c.launch(board(), space, causal{}, options, append).id);
  };
  CHECK(id({}) == "attn.19");
  device_array<char> room(decode_workspace_bytes(board(), c.p));
  CHECK(id({room.at, room.n - 1}) == "attn.19");
  CHECK(id({room.at + 4, room.n}) == "attn.19");
  CHECK(id({room.at, room.n}, {.split = 33}) == "attn.20");
  decode_append<bf16> elsewhere{c.p.q, c.p.q, {}, {}};
  CHECK(id({room.at, room.n}, {}, elsewhere) == "attn.20");
  elsewhere = {.rope = {reinterpret_cast<float*>(room.at), reinterpret_cast<float*>(room.at), 129, 4}};
  CHECK(id({room.at, room.n}, {}, elsewhere) == "math.1");
  c.p.q.at += 1;
  CHECK(id({room.at, room.n}) == "attn.11");
  c.p.q.at -= 1, c.p.lengths.q_starts = c.starts.at;
  CHECK(id({room.at, room.n}) == "attn.20");
}

}  // namespace smalti::test
