// Attention on a device under Google Benchmark, at the settled clock (300 ms of the same work before every case).
//   bench_attention_cuda                                                      the table of bench/peers.py at S 4096
//   bench_attention_cuda bf16,causal,sm_90a,4,16,16,4096,4096,128             dtype, mask, engine, B, H, Hkv, queries, keys, D
//   bench_attention_cuda … --benchmark_format=json                            and Google Benchmark's own options
// Operands are contiguous (B, H, S, D); bench/peers.py has a model's (B, S, H, D), so the two differ by a few percent.

#include <attention.h>
#include <benchmark/benchmark.h>
#include "device.hpp"

#include <cmath>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

namespace {
using namespace smalti;

struct attention_case {
  std::string name;
  smalti_attention_problem p{};
  std::size_t elements(int heads, int rows) const { return std::size_t(p.batch) * heads * rows * p.head_dim; }
  double flops() const {  // two products, over the keys that a causal mask aligned to the end leaves
    double const seen = p.mask == smalti_causal && p.keys >= p.queries ? p.keys - (p.queries - 1) / 2.0 : p.keys;
    return 4.0 * p.batch * p.heads * p.queries * seen * p.head_dim;
  }
};

/// False when the words are not a case.
bool parse(std::string const& text, attention_case& c) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) words.push_back(word);
  if (words.size() != 9) return false;
  auto& p = c.p;
  int* const numbers[] = {&p.batch, &p.heads, &p.heads_kv, &p.queries, &p.keys, &p.head_dim};
  for (int i = 0; i < 6; ++i)
    if (std::sscanf(words[3 + i].c_str(), "%d", numbers[i]) != 1 || *numbers[i] < 1) return false;
  p.dtype = words[0] == "bf16" ? smalti_bf16 : words[0] == "f16" ? smalti_f16 : -1;
  p.mask = words[1] == "full" ? smalti_full : words[1] == "causal" ? smalti_causal : -1;
  p.engine = words[2] == "sm_90a" ? smalti_best : words[2] == "sm_80" ? smalti_common : -1;
  p.value_dim = p.head_dim, p.scale = 1 / std::sqrt(float(p.head_dim));
  c.name = text;
  return p.dtype >= 0 && p.mask >= 0 && p.engine >= 0;
}

template <class T>
void run(benchmark::State& state, attention_case const& c) {
  auto p = c.p;
  bench::device_array<T> const q(c.elements(p.heads, p.queries), 1), k(c.elements(p.heads_kv, p.keys), 2), v(c.elements(p.heads_kv, p.keys), 3),
      o(c.elements(p.heads, p.queries));
  unsigned* ticket = nullptr;
  if (!q.at || !k.at || !v.at || !o.at || cudaMalloc(&ticket, 4) != cudaSuccess || cudaMemset(ticket, 0, 4) != cudaSuccess) return state.SkipWithError("no device memory");
  p.q = q.at, p.k = k.at, p.v = v.at, p.o = o.at, p.ticket = ticket;
  auto rows = [&](long long (&stride)[3], int heads, int n) { stride[2] = p.head_dim, stride[1] = stride[2] * n, stride[0] = stride[1] * heads; };
  rows(p.stride_q, p.heads, p.queries), rows(p.stride_o, p.heads, p.queries), rows(p.stride_k, p.heads_kv, p.keys), rows(p.stride_v, p.heads_kv, p.keys);
  char const* refusal = nullptr;
  auto const launch = [&] {
    if (!refusal) refusal = smalti_attention(&p);
  };
  double const settled = bench::settled_seconds(launch);
  bench::stopwatch watch;
  for (auto _ : state) state.SetIterationTime(watch(8, launch));
  if (refusal || settled < 0) state.SkipWithError(refusal ? refusal : cudaGetErrorString(cudaGetLastError()));
  state.counters["TFLOP/s"] = benchmark::Counter(c.flops() * 1e-12, benchmark::Counter::kIsIterationInvariantRate);
  cudaFree(ticket);
}
}  // namespace

int main(int n, char** arg) {
  benchmark::Initialize(&n, arg);  // takes its own options away
  std::vector<std::string> texts(arg + 1, arg + n);
  if (texts.empty())
    for (int d : {64, 128, 256})
      for (auto mask : {"full", "causal"})
        for (auto engine : {"sm_90a", "sm_80"}) {
          auto const heads = std::to_string(2048 / d);
          texts.push_back(std::string("bf16,") + mask + "," + engine + ",4," + heads + "," + heads + ",4096,4096," + std::to_string(d));
        }
  for (auto const& text : texts) {
    attention_case c;
    if (!parse(text, c)) return std::fprintf(stderr, "%s: not dtype,mask,engine,B,H,Hkv,queries,keys,D\n", text.c_str()), 2;
    benchmark::RegisterBenchmark(text.c_str(), [c](benchmark::State& s) { c.p.dtype == smalti_bf16 ? run<bf16>(s, c) : run<f16>(s, c); })->UseManualTime()->Unit(benchmark::kMicrosecond);
  }
  benchmark::RunSpecifiedBenchmarks();
}
