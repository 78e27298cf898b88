// Attention in 8 bits against double precision over the same codes, and the device's quantiser against the host's.

#include "attention_common.cuh"

#include <smalti/attention/fp8.cuh>
#include <smalti/quant/e4m3.cuh>

namespace smalti::test {

/// One block a query row, in double. o, size: (slices, rows, D), size = Σ w |v|; lse and `flat` = Σ e^(s − max): (slices, rows).
template <class Out, class Variant>
__global__ void reference_fp8(attention_fp8_problem<Out> p, Variant variant, double* o, double* size, double* lse, double* flat, int rows, int D) {
  extern __shared__ double s[];
  __shared__ double red[128];
  int const i = blockIdx.x, slice = blockIdx.y, t = threadIdx.x, b = slice / p.heads(), h = slice % p.heads(), g = h / p.group(), keys = p.kv_count(b);
  if (i >= p.q_count(b)) return;
  auto reduce = [&](double x, auto op) {
    red[t] = x, __syncthreads();
    for (int w = 64; w; w /= 2) {
      if (t < w) red[t] = op(red[t], red[t + w]);
      __syncthreads();
    }
    x = red[0], __syncthreads();
    return x;
  };
  int const qb = p.lengths.q_starts ? 0 : b, kb = p.lengths.kv_starts ? 0 : b, k0 = p.kv_first(b);
  double m = -INFINITY, l = 0, factor = double(p.scale) * (p.q_scale ? p.q_scale(b, h) : 1.f) * (p.k_scale ? p.k_scale(b, g) : 1.f);
  for (int j = t; j < keys; j += 128) {
    double x = 0;
    for (int d = 0; d < D; ++d) x += double(float(p.q(qb, h, p.q_first(b) + i, d))) * double(float(p.k(kb, g, k0 + j, d)));
    score_at const at{p.position(b) + i, j, h, b};
    s[j] = variant.keep(at) ? (leaves_scores<Variant> ? x * factor : double(variant.score(float(x * factor), at))) : -INFINITY;
    m = fmax(m, s[j]);
  }
  m = reduce(m, [](double x, double y) { return fmax(x, y); });
  for (int j = t; j < keys; j += 128) l += s[j] = m == -INFINITY ? 0 : exp(s[j] - m);
  l = reduce(l, [](double x, double y) { return x + y; });
  std::size_t const at = std::size_t(slice) * rows + i;
  double sunk = l;
  if constexpr (has_sink<Variant>) sunk += exp(variant.sink(h) - m);
  for (int d = t; d < D; d += 128) {
    double x = 0, a = 0, v_scale = p.v_scale ? p.v_scale(b, g) : 1.f;
    for (int j = 0; j < keys; ++j)
      if (s[j] != 0) {
        double const v = v_scale * double(float(p.v(kb, g, d, e4m3_slot(k0 + j))));
        x += s[j] * v, a += s[j] * fabs(v);
      }
    o[at * D + d] = l > 0 ? x / sunk : 0, size[at * D + d] = l > 0 ? a / sunk : 0;
  }
  if (t == 0) lse[at] = l > 0 ? m + log(sunk) : -INFINITY, flat[at] = sunk;
}

struct options8 {
  attention_lengths lengths = {};
  float loud = 1;         ///< standard deviation of Q
  bool unscaled = false;  ///< codes drawn directly, no scales
  bool positive = false;  ///< V ≥ 0: errors of one sign add up
  bool spoiled = false;   ///< NaN behind every sequence's last key
  float growth = 0;       ///< keys that grow along the walk, which is downwards: scores outgrow their maximum
};

static __global__ void grow(bf16* k, std::size_t n, int keys, int D, float by) {
  for (std::size_t i = blockIdx.x * std::size_t(blockDim.x) + threadIdx.x; i < n; i += std::size_t(gridDim.x) * blockDim.x)
    k[i] = bf16(float(k[i]) * (1 + by * float(keys - int(i / D % keys)) / float(keys)));
}
static __global__ void absolute(bf16* x, std::size_t n) {
  for (std::size_t i = blockIdx.x * std::size_t(blockDim.x) + threadIdx.x; i < n; i += std::size_t(gridDim.x) * blockDim.x) x[i].bits &= 0x7fff;
}
static __global__ void spoil_fp8(view<e4m3, 4> k, view<e4m3, 4> v, int from) {
  for (index j = from + threadIdx.x; j < v.extent[3]; j += blockDim.x)
    for (index b = 0; b < v.extent[0]; ++b)
      for (index h = 0; h < v.extent[1]; ++h)
        for (index d = 0; d < v.extent[2]; ++d) {
          v(b, h, d, e4m3_slot(j)).bits = 0x7f;
          if (j < k.extent[2]) k(b, h, j, d).bits = 0x7f;
        }
}

/// Three runs, the last two with a ticket: equal to the last bit. The bound, element by element: a weight is rounded by at most 2^-4 of
/// itself, or by half of e4m3's smallest step, 2^-10 / 2^4 of the row's largest; scores and sums keep 2^-13; O is rounded once.
template <int D, class Out, class Variant>
void check8(char const* name, sizes n, Variant const& variant, options8 const& x = {}) {
  if (!on_hopper()) return;
  on_cuda where{nullptr, sm_90a};
  static unsigned seed = 100;
  index const slots = round_up(e4m3_slots(n.M), index(32)) + 16;
  device_array<bf16> q(std::size_t(n.B) * n.H * n.N * D), k(std::size_t(n.B) * n.Hkv * n.M * D), v(k.n);
  device_array<e4m3> q8(q.n), k8(k.n), v8(std::size_t(n.B) * n.Hkv * D * slots);
  device_array<Out> o(q.n);
  int const sequences = x.lengths.q_starts ? x.lengths.count : n.B;
  device_array<float> qs(std::size_t(sequences) * n.H), ks(std::size_t(sequences) * n.Hkv), vs(ks.n), lse(q.n / D);
  fill_normal<<<512, 256>>>(q.at, q.n, seed++, x.loud), fill_normal<<<512, 256>>>(k.at, k.n, seed++), fill_normal<<<512, 256>>>(v.at, v.n, seed++);
  if (x.growth > 0) grow<<<512, 256>>>(k.at, k.n, n.M, D, x.growth);
  if (x.positive) absolute<<<512, 256>>>(v.at, v.n);
  auto const q8v = row_major(q8.at, n.B, n.H, n.N, D), k8v = row_major(k8.at, n.B, n.Hkv, n.M, D), v8v = row_major(v8.at, n.B, n.Hkv, D, int(slots));
  auto const qsv = row_major(qs.at, n.B, n.H), ksv = row_major(ks.at, n.B, n.Hkv), vsv = row_major(vs.at, n.B, n.Hkv);
  REQUIRE(quantise_e4m3(where, q8v, qsv, row_major<bf16 const>(q.at, n.B, n.H, n.N, D)));
  REQUIRE(quantise_e4m3(where, k8v, ksv, row_major<bf16 const>(k.at, n.B, n.Hkv, n.M, D)));
  REQUIRE(quantise_values_e4m3(where, v8v, vsv, row_major<bf16 const>(v.at, n.B, n.Hkv, n.M, D)));
  attention_fp8_problem<Out> p{q8v, k8v, v8v, row_major(o.at, n.B, n.H, n.N, D), row_major(lse.at, n.B, n.H, n.N), 1 / std::sqrt(float(D)), qsv, ksv, vsv, x.lengths};
  if (x.unscaled) p.q_scale = p.k_scale = p.v_scale = {}, p.scale = 1e-4f;
  else if (x.lengths.q_starts) {  // one scale for all
    for (auto* s : {&p.q_scale, &p.k_scale, &p.v_scale}) s->extent[0] = sequences, s->stride[0] = s->stride[1] = 0;
  }
  if (x.spoiled) spoil_fp8<<<1, 256>>>(k8v, v8v, n.M * 3 / 4);
  std::size_t const cells = std::size_t(p.slices()) * n.N;
  device_array<double> want(cells * D), size(cells * D), want_lse(cells), flat(cells);
  want.poison();
  require_cuda(cudaFuncSetAttribute(reference_fp8<Out, Variant>, cudaFuncAttributeMaxDynamicSharedMemorySize, 160 << 10));
  reference_fp8<<<dim3(n.N, p.slices()), 128, (n.M + 1) * 8>>>(p, variant, want.at, size.at, want_lse.at, flat.at, n.N, D);
  require_cuda(cudaDeviceSynchronize());
  auto const w = want.host(), a = size.host(), wl = want_lse.host(), f = flat.host();
  std::vector<int> starts(std::size_t(sequences) + 1, 0);
  if (x.lengths.q_starts) require_cuda(cudaMemcpy(starts.data(), x.lengths.q_starts, starts.size() * 4, cudaMemcpyDeviceToHost));
  auto const v_scale = vs.host();
  double const largest = 448.0 * (x.unscaled ? 1 : *std::max_element(v_scale.begin(), v_scale.begin() + n.B * n.Hkv));
  double const ulp = std::is_same_v<Out, bf16> ? 1 / 256. : 1 / 2048.;
  device_array<unsigned> ticket(std::vector<unsigned>{0});
  std::vector<Out> first;
  double rel = 0, ref = 0, share = 0, lse_err = 0, along = 0;  // along: what of the error points as O does, as a bias of the sums would
  for (int repeat = 0; repeat < 3; ++repeat) {
    if (repeat) where.ticket = ticket.at;
    o.poison(), lse.poison();
    status const st = attention<tuned_fp8_heads<D>>(where, p, variant);
    INFO(name << ": " << st.why);
    REQUIRE(st);
    require_cuda(cudaDeviceSynchronize());
    auto const got = o.host();
    auto const gl = lse.host();
    if (repeat) CHECK(std::memcmp(first.data(), got.data(), got.size() * sizeof(Out)) == 0);
    else first = got;
    for (int slice = 0; slice < p.slices(); ++slice) {
      int const b = slice / n.H, h = slice % n.H, begin = starts[std::size_t(b)], count = x.lengths.q_starts ? starts[std::size_t(b) + 1] - begin : n.N;
      for (int i = 0; i < count; ++i) {
        std::size_t const at = (std::size_t(x.lengths.q_starts ? 0 : b) * n.H + h) * n.N + begin + i, r = std::size_t(slice) * n.N + i;
        for (int d = 0; d < D; ++d) {
          double const e = std::fabs(double(float(got[at * D + d])) - w[r * D + d]), score = 2e-3 * x.loud * (1 + x.growth);
          double const bound = (1 / 16. + 1 / 512. + 2 * score) * a[r * D + d] + n.M / 16384. * largest / std::max(f[r], 1.0) + ulp * (std::fabs(w[r * D + d]) + 1e-6);
          share = std::isnan(e) ? INFINITY : std::max(share, e == 0 ? 0 : e / bound), rel += e * e, ref += w[r * D + d] * w[r * D + d];
          along += (double(float(got[at * D + d])) - w[r * D + d]) * w[r * D + d];
        }
        double const e = gl[at] == wl[r] ? 0 : std::fabs(gl[at] - wl[r]) / std::max(1.0, std::fabs(wl[r]));
        lse_err = e <= lse_err ? lse_err : std::isnan(e) ? INFINITY : e;
      }
    }
  }
  along = ref > 0 ? along / ref : 0, rel = ref > 0 ? std::sqrt(rel / ref) : std::sqrt(rel);
  std::printf("%-36s B%d H%d/%d N%-5d M%-5d D%-3d rel %.2e along %+.1e of the bound %.2f lse %.1e\n", name, n.B, n.H, n.Hkv, n.N, n.M, D, rel, along, share, lse_err);
  INFO(name);
  CHECK(rel < 3.5e-2);
  CHECK(share <= 1);
  CHECK(lse_err < 2e-3);
  if (x.positive) CHECK(std::fabs(along) < 2e-3);
}

TEST_CASE("8 bits: whole sequences") {
  check8<128, bf16>("one tile", {1, 1, 1, 128, 128, 128}, causal{1 << 20});
  check8<128, bf16>("two tiles", {1, 1, 1, 128, 256, 128}, causal{1 << 20});
  check8<128, bf16>("full", {2, 4, 4, 1024, 1024, 128}, causal{1 << 20});
  check8<128, bf16>("GQA, ragged", {2, 4, 2, 200, 333, 128}, causal{1 << 20});
  check8<128, bf16>("causal", {2, 3, 3, 1024, 1024, 128}, causal{});
  check8<128, bf16>("causal, many items", {1, 40, 8, 777, 777, 128}, causal{});
  check8<128, bf16>("causal, cache before it", {1, 4, 2, 77, 500, 128}, causal{423});
  check8<128, bf16>("causal, empty rows, many items", {2, 100, 50, 300, 200, 128}, causal{-130});
  for (auto [n, m] : {std::pair{1, 1}, {113, 203}, {239, 1}, {799, 3}, {1023, 1024}, {64, 3000}}) check8<128, bf16>("odd sizes", {1, 2, 1, n, m, 128}, causal{1 << 20});
  check8<128, bf16>("long sums of one sign", {1, 2, 1, 64, 16384, 128}, causal{1 << 20}, {.positive = true});
  check8<128, bf16>("unmasked", {1, 3, 1, 500, 1500, 128}, full{});
  check8<64, f16>("D 64, f16", {2, 4, 2, 333, 555, 64}, causal{222});
  check8<128, bf16>("scores rewritten", {1, 2, 1, 200, 300, 128}, causal{100} & softcap{5.f});
  check8<128, bf16>("no scales", {1, 2, 2, 300, 300, 128}, causal{}, {.unscaled = true});
  check8<128, bf16>("loud", {1, 2, 2, 300, 300, 128}, causal{}, {.loud = 20});
  check8<128, bf16>("growing scores", {1, 4, 2, 300, 777, 128}, causal{1 << 20}, {.growth = 10});
  check8<128, bf16>("scores that grow fast", {1, 4, 2, 777, 777, 128}, causal{}, {.growth = 100});
  check8<64, bf16>("D 64, full", {2, 40, 8, 700, 700, 64}, full{});
  check8<64, bf16>("D 64, scores that grow fast", {1, 4, 2, 777, 777, 64}, causal{}, {.growth = 100});
}

TEST_CASE("8 bits: partly filled and packed sequences, NaN behind them") {
  device_array<int> const used(std::vector<int>{50, 150, 1, 0}), at(std::vector<int>{30, 100, 0, 0});
  check8<128, bf16>("partly filled", {4, 2, 1, 100, 200, 128}, causal{}, {.lengths = {.kv_used = used.at, .positions = at.at}, .spoiled = true});
  device_array<int> const qs(std::vector<int>{0, 1, 90, 90, 200}), ks(std::vector<int>{0, 80, 176, 176, 304}), ku(std::vector<int>{77, 93, 0, 125}), ps(std::vector<int>{76, 4, 0, 15});
  check8<128, bf16>("packed", {1, 4, 2, 200, 420, 128}, causal{}, {.lengths = {.count = 4, .q_starts = qs.at, .kv_starts = ks.at, .kv_used = ku.at, .positions = ps.at}, .spoiled = true});
}
TEST_CASE("8 bits: refusals, nothing is written") {
  device_array<e4m3> x(1 << 16);
  device_array<bf16> o(1 << 16);
  o.poison();
  on_cuda where{nullptr, sm_90a};
  attention_fp8_problem<bf16> p{};
  auto const id = [&] {
    auto const s = attention<tuned_fp8_heads<128>>(where, p);
    return std::string(s ? "ok" : s.id);
  };
  auto const of = [&](int d, int slots = 16) {
    auto const v = row_major<e4m3 const>(x.at, 1, 2, 4, d);
    p = {v, v, row_major<e4m3 const>(x.at, 1, 2, d, slots), row_major(o.at, 1, 2, 4, d), {}, 1.f};
  };
  CHECK(id() == "attn.6");
  of(48);
  CHECK(id() == "attn.10");
  of(128), p.v = row_major<e4m3 const>(x.at, 1, 2, 4, 128);  // V as it is in 16 bits
  CHECK(id() == "attn.30");
  of(128, 8);
  CHECK(id() == "attn.30");
  of(128), p.q_scale = row_major(reinterpret_cast<float const*>(x.at), 1, 3);
  CHECK(id() == "attn.31");
  of(128), where.device = sm_80;
  CHECK(id() == "attn.32");
  where.device = sm_90a, of(128), p.scale = 0;
  CHECK(id() == "attn.12");
  if (on_hopper()) {
    of(128), p.k.at += 1;
    CHECK(id() == "attn.11");
    of(128, 24);  // a pitch of 24 bytes
    CHECK(id() == "attn.11");
  }
  require_cuda(cudaDeviceSynchronize());
  for (auto const& y : o.host()) CHECK(y.bits == 0xffff);
}

TEST_CASE("the quantiser: the host's codes and scales") {
  int const B = 2, H = 3, N = 77, D = 80, slots = 96;
  device_array<bf16> x(std::size_t(B * H * N * D));
  fill_normal<<<16, 256>>>(x.at, x.n, 7u, 3.f);
  require_cuda(cudaMemset(x.at, 0, N * D * 2));  // a head of zeros
  auto const xh = x.host();
  for (bool const values : {false, true}) {
    int const rows = values ? D : N, columns = values ? slots : D;
    device_array<e4m3> codes(std::size_t(B * H * rows * columns));
    device_array<float> scale(std::size_t(B * H));
    codes.poison(), scale.poison();
    std::vector<e4m3> want(codes.n);
    std::vector<float> want_scale(scale.n);
    auto const run = [&](auto const& where, e4m3* c, float* s, bf16 const* from) {
      auto const to = row_major(c, B, H, rows, columns);
      return values ? quantise_values_e4m3(where, to, row_major(s, B, H), row_major(from, B, H, N, D)) : quantise_e4m3(where, to, row_major(s, B, H), row_major(from, B, H, N, D));
    };
    REQUIRE(run(on_cpu{}, want.data(), want_scale.data(), xh.data()));
    REQUIRE(run(on_cuda{}, codes.at, scale.at, x.at));
    require_cuda(cudaDeviceSynchronize());
    auto const got = codes.host();
    auto const got_scale = scale.host();
    CHECK(std::memcmp(got.data(), want.data(), want.size()) == 0);
    CHECK(std::memcmp(got_scale.data(), want_scale.data(), want_scale.size() * 4) == 0);
  }
}

}  // namespace smalti::test
