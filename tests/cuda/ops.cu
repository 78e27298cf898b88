// The row operations of a decoder on a device, against those of the host, and sampling against the host's sampler.
//   test_cuda_ops_cuda            needs a board with code in this program (sm_80 or sm_90a)
//   test_cuda_ops_cuda "[small]"  the cases for a sanitizer

#include <smalti/attention/rotate_append.cuh>
#include <smalti/math/activations.cuh>
#include <smalti/math/embedding.cuh>
#include <smalti/math/norm.cuh>
#include <smalti/math/norm.hpp>
#include <smalti/math/sampling.cuh>

#include "arrays.cuh"

#include <cmath>

namespace smalti::test {
namespace {

on_cuda const gpu = [] {
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  return on_cuda{nullptr, major == 9 ? sm_90a : sm_80};
}();
launch_order const early{.programmatic = true};

void refused(char const* id, status s) { CHECK(std::string(s.id ? s.id : "accepted") == id); }

/// |a − b| in units of what T keeps of |b| + 1.
template <class T>
double off(T a, double b) {
  double const d = std::fabs(double(float(a)) - b) / ((std::fabs(b) + 1e-3) * (sizeof(T) == 4 ? 4e-6 : std::is_same_v<T, bf16> ? 1. / 250 : 1. / 2000));
  return std::isnan(d) ? 1e9 : d;
}

template <class Y, class X>
void check_norm(int m, int n, int gap) {
  INFO("rows " << m << " columns " << n << " gap " << gap);
  auto const x = random_values<X>(std::size_t(m) * (n + gap), 1);
  auto const d = random_values<Y>(std::size_t(m) * n, 2);
  auto const w = random_values<float>(std::size_t(n), 3);
  device_array<X> xs(x);
  device_array<Y> const ds(d);
  device_array<float> const ws(w);
  device_array<Y> y(std::size_t(m) * (n + gap));
  view<X, 2> const from{xs.at, {m, n}, {n + gap, 1}};
  view<Y, 2> const to{y.at, {m, n}, {n + gap, 1}};
  for (bool add : {false, true}) {
    y.poison();
    if (add) require_ok(add_rms_norm(gpu, to, from, row_major(ds.at, m, n), 0.5f, ws.at, 1e-5f, early));
    else require_ok(rms_norm(gpu, to, from, ws.at, 1e-5f, early));
    require_cuda(cudaDeviceSynchronize());
    auto const got = y.host();
    auto const sum = xs.host();
    double worst = 0;
    for (int i = 0; i < m; ++i) {
      double squares = 0;
      std::vector<double> v(std::size_t(n), 0.);
      for (int j = 0; j < n; ++j) {
        double const old = float(x[std::size_t(i) * (n + gap) + j]), now = float(sum[std::size_t(i) * (n + gap) + j]);
        double const want = add ? old + 0.5 * float(d[std::size_t(i) * n + j]) : old;
        worst = std::max(worst, off(X(float(now)), want)), v[std::size_t(j)] = now, squares += now * now;
      }
      for (int j = 0; j < n; ++j) worst = std::max(worst, off(got[std::size_t(i) * (n + gap) + j], v[std::size_t(j)] * w[std::size_t(j)] / std::sqrt(squares / n + 1e-5)));
      for (int j = n; j < n + gap; ++j) {
        unsigned char bytes[sizeof(Y)];
        std::memcpy(bytes, &got[std::size_t(i) * (n + gap) + j], sizeof(Y));
        REQUIRE(bytes[0] == 0xff);
      }
    }
    CHECK(worst < 1);
  }
}

TEST_CASE("device RMSNorm, with and without a residual", "[small]") {
  check_norm<bf16, float>(3, 4096, 0), check_norm<bf16, float>(1, 4096, 8), check_norm<bf16, float>(2, 77, 3), check_norm<bf16, float>(5, 14336, 0);
  check_norm<bf16, bf16>(7, 576, 8), check_norm<bf16, bf16>(2, 1, 0), check_norm<bf16, bf16>(300, 64, 0);
  check_norm<f16, f16>(4, 2048, 0), check_norm<f16, f16>(3, 33, 1);
  check_norm<float, float>(2, 260, 4);
  device_array<bf16> y(64);
  device_array<float> const w(std::vector<float>(8, 1.f));
  auto const v = row_major(y.at, 8, 8);
  refused("math.3", rms_norm(gpu, v, row_major(y.at, 8, 4), w.at, 0.f));
  refused("math.4", rms_norm(gpu, v, v, nullptr, 0.f));
  refused("math.4", rms_norm(gpu, v, row_major(static_cast<bf16*>(nullptr), 8, 8), w.at, 0.f));
  require_ok(rms_norm(gpu, row_major(y.at, 0, 8), row_major(y.at, 0, 8), w.at, 0.f));
}

template <class T>
void check_rotate(int m, int h, int d, int turned) {
  INFO("rows " << m << " heads " << h << " columns " << d << " of which turn " << turned);
  rope_table const table = make_rope_table(turned, 100, 10000.);
  auto const there = upload(gpu, table);
  auto x = random_values<T>(std::size_t(m) * h * d, 1);
  std::vector<int> at(std::size_t(m), 0);
  for (int i = 0; i < m; ++i) at[std::size_t(i)] = i * 37 % 100;
  device_array<T> xs(x);
  device_array<int> const positions(at);
  require_ok(rotate(gpu, row_major(xs.at, m, h, d), positions.at, there, early));
  require_ok(apply_rope(on_cpu{}, row_major(x.data(), m, h, d), at, table));
  auto const got = xs.host();
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, off(got[i], float(x[i])));
  CHECK(worst < 1);
}

TEST_CASE("device RoPE turns as the host's", "[small]") {
  check_rotate<bf16>(5, 4, 128, 128), check_rotate<bf16>(3, 3, 80, 20), check_rotate<f16>(2, 1, 64, 64), check_rotate<float>(9, 2, 6, 2), check_rotate<bf16>(1, 32, 128, 0);
  device_array<bf16> x(64);
  auto const there = upload(gpu, make_rope_table(16, 4, 10000.));
  refused("math.1", rotate(gpu, row_major(x.at, 2, 4, 8), nullptr, there));
  refused("math.4", rotate(gpu, row_major(x.at, 2, 2, 16), nullptr, there));
}

TEST_CASE("device rotate_append: queries and keys turn, pages fill", "[small]") {
  using T = bf16;
  int const m = 7, h = 4, g = 2, d = 32, pages = 6, size = 4, most = 3, count = 2;
  rope_table const table = make_rope_table(d, 16, 10000.);
  auto const there = upload(gpu, table);
  for (bool normed : {false, true}) {
    auto const qkv = random_values<T>(std::size_t(m) * (h + 2 * g) * d, 4);
    auto const weight = random_values<float>(std::size_t(2) * d, 5);
    std::vector<int> const position{0, 1, 5, -1, 11, 12, 3}, sequence{0, 0, 0, 0, 1, 1, 1}, page{4, 2, 9, 1, 0, 5};  // 9 and position 12: nowhere
    device_array<T> x(qkv), k(std::size_t(pages) * g * size * d), v(std::size_t(pages) * g * size * d);
    device_array<int> const positions(position), sequences(sequence), table_of(page);
    device_array<float> const weights(weight);
    k.poison(), v.poison();
    auto const heads = [&](int first, int n) { return view<T, 3>{x.at + first * d, {m, n, d}, {(h + 2 * g) * d, d, 1}}; };
    paged_rows<T> const to{row_major(k.at, pages, g, size, d), row_major(v.at, pages, g, size, d), {table_of.at, size, most}, count, sequences.at};
    head_norms const norms = normed ? head_norms{weights.at, weights.at + d, 1e-6f} : head_norms{};
    require_ok(rotate_append(gpu, heads(0, h), heads(h, g), heads(h + g, g), positions.at, there, to, norms, early));
    auto const got = x.host(), keys = k.host(), values = v.host();
    std::vector<bool> written(keys.size(), false);
    double worst = 0;
    for (int r = 0; r < m; ++r)
      for (int head = 0; head < h + 2 * g; ++head) {
        std::size_t const from = (std::size_t(r) * (h + 2 * g) + head) * d;
        std::vector<float> row(std::size_t(d), 0.f);
        for (int i = 0; i < d; ++i) row[std::size_t(i)] = float(qkv[from + i]);
        std::vector<float> const w(weight.begin() + (head < h ? 0 : d), weight.begin() + (head < h ? d : 2 * d));
        auto const one = row_major(row.data(), 1, d);
        int const at[] = {std::max(position[std::size_t(r)], 0)};
        if (head < h + g && normed) require_ok(rms_norm(on_cpu{}, one, view<float const, 2>(one), w, 1e-6f));
        if (head < h + g) require_ok(apply_rope(on_cpu{}, row_major(row.data(), 1, 1, d), at, table));
        for (int i = 0; i < d; ++i) worst = std::max(worst, off(got[from + i], row[std::size_t(i)]));
        int const p = position[std::size_t(r)];
        if (head < h || p < 0 || p / size >= most) continue;
        int const into = page[std::size_t(sequence[std::size_t(r)] * most + p / size)];
        if (into >= pages) continue;
        bool const key = head < h + g;
        for (int i = 0; i < d; ++i) {
          std::size_t const slot = ((std::size_t(into) * g + (head - h) % g) * size + p % size) * d + i;
          worst = std::max(worst, off((key ? keys : values)[slot], row[std::size_t(i)])), written[slot] = true;
        }
      }
    CHECK(worst < 1);
    for (std::size_t i = 0; i < keys.size(); ++i)
      if (!written[i]) REQUIRE((keys[i].bits == 0xffff && values[i].bits == 0xffff));
  }
}

TEST_CASE("device SwiGLU, embedding and chosen rows", "[small]") {
  for (int f : {8, 77, 14336}) {
    int const m = 3;
    auto const x = random_values<bf16>(std::size_t(m) * 2 * f, 1);
    device_array<bf16> const xs(x);
    device_array<bf16> y(std::size_t(m) * f);
    y.poison();
    view<bf16 const, 2> const gate{xs.at, {m, f}, {2 * f, 1}}, up{xs.at + f, {m, f}, {2 * f, 1}};
    require_ok(swiglu(gpu, row_major(y.at, m, f), gate, up, early));
    auto const got = y.host();
    double worst = 0;
    for (int i = 0; i < m * f; ++i) {
      double const a = float(x[std::size_t(i / f * 2 * f + i % f)]), b = float(x[std::size_t(i / f * 2 * f + f + i % f)]);
      worst = std::max(worst, off(got[std::size_t(i)], a / (1 + std::exp(-a)) * b));
    }
    CHECK(worst < 1);
  }
  for (int n : {64, 33}) {
    int const rows = 11;
    auto const table = random_values<bf16>(std::size_t(rows) * n, 2);
    device_array<bf16> const there(table);
    std::vector<int> const id{3, 10, -1, 0, 11, 3};
    device_array<int> const ids(id);
    device_array<float> x(id.size() * std::size_t(n));
    device_array<bf16> same(id.size() * std::size_t(n));
    x.poison(), same.poison();
    require_ok(embed(gpu, row_major(x.at, int(id.size()), n), embedding(row_major(there.at, rows, n)), ids.at, 12.f, early));
    require_ok(gather_rows(gpu, row_major(same.at, int(id.size()), n), row_major(there.at, rows, n), ids.at, early));
    auto const got = x.host();
    auto const rows_got = same.host();
    for (std::size_t r = 0; r < id.size(); ++r)
      for (int j = 0; j < n; ++j) {
        bool const is = id[r] >= 0 && id[r] < rows;
        bf16 const want = is ? table[std::size_t(id[r] * n + j)] : bf16(0.f);
        REQUIRE(got[r * n + j] == 12.f * float(want));
        REQUIRE(rows_got[r * n + j].bits == want.bits);
      }
  }
}

/// Logits as a model's: near normal, three wide, on a grid of bf16 so that there are ties.
std::vector<float> logits_like(int rows, int n, unsigned seed, float wide) {
  auto v = random_values<float>(std::size_t(rows) * n, seed);
  for (auto& x : v) x = float(bf16(x * wide));
  return v;
}

TEST_CASE("device argmax is the host's greedy", "[small]") {
  float const nan = std::nanf(""), inf = INFINITY;
  for (int n : {1, 7, 1000, 128256}) {
    int const rows = 5;
    auto v = logits_like(rows, n, 3, 0.01f);
    v[0] = nan, v[std::size_t(n) + n - 1] = inf, v[std::size_t(2 * n) + n / 2] = nan;
    for (int i = 0; i < n; ++i) v[std::size_t(3 * n + i)] = -inf, v[std::size_t(4 * n + i)] = i % 2 ? 0.f : -0.f;
    device_array<float> const there(v);
    device_array<int> ids{std::size_t(rows)};
    sampling_workspace work(gpu, rows, n);
    for (int again = 0; again < 2; ++again) {
      ids.poison();
      require_ok(argmax(gpu, ids.at, row_major(there.at, rows, n), work, early));
      auto const got = ids.host();
      for (int r = 0; r < rows; ++r) CHECK(got[std::size_t(r)] == greedy(std::span<float const>(v.data() + std::size_t(r) * n, std::size_t(n))));
    }
    refused("math.5", argmax(gpu, ids.at, row_major(there.at, rows + 1, n), work));
    refused("math.4", argmax(gpu, nullptr, row_major(there.at, rows, n), work));
  }
}

struct draw_case { int n; float wide; sampling_options o; };

/// A draw that falls within the last bits of a sum may go to the neighbour.
void check_draws(std::vector<draw_case> const& cases) {
  int wrong = 0, all = 0;
  for (draw_case const& c : cases) {
    int const rows = 3, draws = 4, seen_most = 20;
    INFO("vocabulary " << c.n << " seed " << c.o.seed);
    auto const base = logits_like(rows, c.n, unsigned(c.o.seed), c.wide);
    std::vector<int> seen(std::size_t(rows * seen_most), 0), count{seen_most, 0, 7};
    for (std::size_t i = 0; i < seen.size(); ++i) seen[i] = int(i * 37 % std::size_t(c.n + 2)) - 1;  // some outside
    device_array<float> there(base);
    device_array<int> ids{std::size_t(rows)};
    device_array<int> const seen_there(seen), count_there(count);
    std::vector<sampling_state> state(std::size_t(rows), {c.o, 0});
    for (int r = 0; r < rows; ++r) state[std::size_t(r)].options.seed += unsigned(r);
    device_array<sampling_state> states(state);
    sampling_workspace work(gpu, rows, c.n);
    std::vector<sampler> host;
    for (auto const& s : state) host.emplace_back(s.options);
    for (int i = 0; i < draws; ++i) {
      require_cuda(cudaMemcpy(there.at, base.data(), base.size() * 4, cudaMemcpyHostToDevice));
      ids.poison();
      require_ok(sample(gpu, ids.at, row_major(there.at, rows, c.n), states.at, work, {seen_there.at, count_there.at, seen_most}, early));
      auto const got = ids.host();
      for (int r = 0; r < rows; ++r) {
        std::vector<float> row(base.begin() + std::ptrdiff_t(r) * c.n, base.begin() + std::ptrdiff_t(r + 1) * c.n);
        int const want = host[std::size_t(r)](row, std::span<int const>(seen.data() + r * seen_most, std::size_t(count[std::size_t(r)])));
        CHECK((got[std::size_t(r)] >= 0 && got[std::size_t(r)] < c.n));
        ++all, wrong += got[std::size_t(r)] != want;
        if (got[std::size_t(r)] != want) WARN("draw " << i << " row " << r << ": " << got[std::size_t(r)] << ", the host's " << want << " (vocabulary " << c.n << ", seed " << c.o.seed << ")");
      }
    }
    auto const after = states.host();
    for (auto const& s : after) CHECK(s.draws == unsigned(draws));
  }
  CHECK(wrong * 40 <= all);
}

TEST_CASE("device sampling draws what the host draws: small vocabularies", "[small]") {
  check_draws({{1000, 3.f, {.temperature = 1.f, .seed = 1}}, {5000, 0.f, {.temperature = 1.f, .seed = 6}}, {777, 4.f, {.temperature = 0.8f, .min_p = 0.1f, .repetition_penalty = 1.3f, .seed = 8}},
               {777, 4.f, {.temperature = 0.f, .top_k = 5, .repetition_penalty = 1.3f, .seed = 9}}, {3, 1.f, {.temperature = 1.f, .top_k = 10, .seed = 10}},
               {6001, 2.f, {.temperature = 1.f, .top_k = 40, .top_p = 0.8f, .min_p = 0.02f, .seed = 13}}, {1, 1.f, {.temperature = 1.f, .seed = 12}}});
}

TEST_CASE("device sampling draws what the host draws") {
  check_draws({{128256, 2.5f, {.temperature = 0.7f, .seed = 2}}, {128256, 2.5f, {.temperature = 0.7f, .top_p = 0.9f, .seed = 3}}, {128256, 1.f, {.temperature = 1.5f, .top_k = 50, .seed = 4}},
               {128256, 2.f, {.temperature = 1.f, .top_k = 40, .top_p = 0.8f, .min_p = 0.05f, .seed = 5}}, {50000, 0.1f, {.temperature = 2.f, .top_p = 0.97f, .seed = 7}},
               {128256, 0.01f, {.temperature = 1.f, .top_k = 3000, .seed = 11}}, {128256, 0.5f, {.temperature = 1.f, .seed = 14}}});
}

TEST_CASE("device sampling: NaN, infinities and nothing at all", "[small]") {
  float const nan = std::nanf(""), inf = INFINITY;
  int const n = 40, rows = 5;
  std::vector<float> v(std::size_t(rows) * n, 1.f);
  v[0] = nan;
  for (int i = 0; i < n; ++i) v[std::size_t(n + i)] = -inf, v[std::size_t(2 * n + i)] = nan, v[std::size_t(4 * n + i)] = i == 13 ? 2.f : nan;
  v[std::size_t(3 * n + 17)] = inf;
  device_array<float> there(v);
  device_array<int> ids{std::size_t(rows)};
  device_array<sampling_state> states(std::vector<sampling_state>(std::size_t(rows), {{.temperature = 1.f, .top_p = 0.9f, .min_p = 0.01f, .seed = 4}, 0}));
  sampling_workspace work(gpu, rows, n);
  require_ok(sample(gpu, ids.at, row_major(there.at, rows, n), states.at, work));
  auto const got = ids.host();
  CHECK(got == std::vector<int>{0, 0, 0, 17, 0});  // NaN in front, as on the host
  refused("math.4", sample(gpu, ids.at, row_major(there.at, rows, n), nullptr, work));
}

}  // namespace
}  // namespace smalti::test
