// Attention on the host: decode and causal prefill at the sizes of an 8B model. Compared with a peer by peers_attention_host.py.
//   bench_attention_host --benchmark_filter=decode        GFLOP/s and GB/s (of K and V) are printed as counters

#include <benchmark/benchmark.h>
#include <smalti/attention.hpp>

#include <cmath>
#include <map>
#include <memory>
#include <random>

namespace {
using namespace smalti;

/// One case: shapes, and what a call must at least compute and read.
struct attention_case {
  char const* name;
  int heads, heads_kv, queries, keys, d;
  bool is_causal;
  double flops() const { return 4.0 * heads * queries * double(keys) * d * (is_causal && queries == keys ? 0.5 : 1); }
  double bytes(int element) const { return 2.0 * heads_kv * double(keys) * d * element; }
};
constexpr attention_case cases[] = {
    {"decode", 32, 8, 1, 4096, 128, true},      {"speculative", 32, 8, 4, 4096, 128, true}, {"chunk", 32, 8, 512, 4096, 128, true},
    {"prefill", 32, 8, 2048, 2048, 128, true},  {"prefill_d64", 32, 8, 2048, 2048, 64, true},
    {"small", 12, 12, 128, 128, 32, false},
};

template <class T>
void run(benchmark::State& state, attention_case const& c, int threads) {
  std::size_t const nq = std::size_t(c.heads) * c.queries * c.d, nk = std::size_t(c.heads_kv) * c.keys * c.d;
  std::vector<T> q(nq), k(nk), v(nk), o(nq);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (auto* x : {&q, &k, &v})
    for (auto& e : *x) e = T(normal(random));
  attention_problem<T> const p{row_major<T const>(q.data(), 1, c.heads, c.queries, c.d), row_major<T const>(k.data(), 1, c.heads_kv, c.keys, c.d),
                               row_major<T const>(v.data(), 1, c.heads_kv, c.keys, c.d), row_major(o.data(), 1, c.heads, c.queries, c.d), {},
                               1 / std::sqrt(float(c.d))};
  thread_pool pool(threads);
  for (auto _ : state)
    if (auto s = c.is_causal ? attention(on_cpu{pool}, p, causal{c.keys - c.queries}) : attention(on_cpu{pool}, p); !s) state.SkipWithError(s.why);
  state.counters["GFLOP/s"] = benchmark::Counter(c.flops() * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GB/s"] = benchmark::Counter(c.bytes(sizeof(T)) * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

template <class T>
void add(char const* type) {
  for (auto const& c : cases)
    for (int threads : {1, 2})
      benchmark::RegisterBenchmark((std::string(c.name) + "/" + type + "/" + std::to_string(threads)).c_str(),
                                   [&c, threads](benchmark::State& s) { run<T>(s, c, threads); })
          ->Unit(benchmark::kMicrosecond)->UseRealTime();
}
}  // namespace

int main(int n, char** arg) {
  add<float>("f32"), add<bf16>("bf16");
  benchmark::Initialize(&n, arg);
  benchmark::RunSpecifiedBenchmarks();
}
