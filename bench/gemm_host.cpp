// Products on the host, beside the limits of the machine measured in the same run.
//   gemm_host [--threads 2] [--n 4096] [--k 4096] [--m 0]     one line per weight and batch: ms, Gweights/s, GFLOP/s, share of the
//   nearer limit; --m: this batch alone
// Working sets are larger than a cache: weights rotate through copies of 256 MiB in all.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>
#include <smalti/gemm.hpp>
#include <smalti/simd/lanes.hpp>

// The two limits, per instruction set: fused multiply-adds in registers, and reading memory once.
#define LIMITS                                                                                       \
  inline void multiply(float* to, smalti::index count) {                                             \
    f32x16 s[accumulators];                                                                          \
    for (auto& v : s) v = broadcast(to[0]);                                                          \
    f32x16 const a = broadcast(0.9999f), b = broadcast(1e-4f);                                       \
    for (smalti::index i = 0; i < count; ++i)                                                        \
      _Pragma("GCC unroll 24") for (int j = 0; j < accumulators; ++j) s[j] = fma(s[j], a, b);        \
    for (auto& v : s) to[0] += sum(v);                                                               \
  }                                                                                                  \
  inline void read(float const* from, smalti::index count, float* to) {                              \
    f32x16 s[4] = {zero(), zero(), zero(), zero()};                                                  \
    for (smalti::index i = 0; i < count; i += 64)                                                    \
      for (int j = 0; j < 4; ++j) s[j] = max(s[j], load(from + i + 16 * j));                         \
    *to = sum(s[0] + s[1] + s[2] + s[3]);                                                            \
  }                                                                                                  \
  inline int live() { return accumulators; }

#include <smalti/simd/begin_generic.inc>
LIMITS
#include <smalti/simd/end_generic.inc>
#if defined(__x86_64__)
  #include <smalti/simd/begin_avx2.inc>
  LIMITS
  #include <smalti/simd/end_avx2.inc>
  #include <smalti/simd/begin_avx512.inc>
  LIMITS
  #include <smalti/simd/end_avx512.inc>
#endif

namespace smalti {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// The best of some runs, seconds; at least 5 of them and 0.4 s. The best, for the machine may be shared.
template <class F>
double measure(F&& f) {
  f(0);
  std::vector<double> t;
  for (double const start = now(); t.size() < 5 || now() - start < 0.4;) {
    double const before = now();
    f(int(t.size()) + 1);
    t.push_back(now() - before);
  }
  return *std::min_element(t.begin(), t.end());
}

struct limits { double gflops, gbytes; };

limits measure_limits(on_cpu const& where) {
  arch const a = where.device;
  auto* const multiply = pick(a, &simd_generic::multiply, &simd_avx2::multiply, &simd_avx512::multiply);
  auto* const read = pick(a, &simd_generic::read, &simd_avx2::read, &simd_avx512::read);
  int const live = pick(a, &simd_generic::live, &simd_avx2::live, &simd_avx512::live)();
  int const threads = where.size();
  index const steps = 1 << 21, floats = index(1) << 27;
  buffer<float> memory(std::size_t(floats), 1.f);
  std::vector<float> to(std::size_t(threads) * 64, 1.f);
  double const compute = measure([&](int) { parallel_for(where, threads, [&](index i) { multiply(&to[std::size_t(i * 64)], steps); }); });
  index const share = floats / threads / 64 * 64;
  double const stream = measure([&](int) { parallel_for(where, threads, [&](index i) { read(memory.data() + i * share, share, &to[std::size_t(i * 64)]); }); });
  return {2e-9 * 16 * double(live) * double(steps) * threads / compute, 4e-9 * double(share * threads) / stream};
}

void run(on_cpu const& where, int n, int k, int only) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  buffer<float> w(std::size_t(index(n) * k)), x(std::size_t(index(256) * k)), y(std::size_t(index(256) * n));
  for (float& v : w) v = 0.02f * normal(random);
  for (float& v : x) v = normal(random);
  limits const most = measure_limits(where);
  std::printf("threads %d  (%d, %d)  limits: %.1f GFLOP/s fp32, %.1f GB/s\n", where.size(), n, k, most.gflops, most.gbytes);
  std::printf("weight       M        ms  Gweights/s   GFLOP/s     GB/s   of the nearer limit\n");
  auto const plain = row_major(static_cast<float const*>(w.data()), n, k);
  auto const narrow = [&]<class T>(T) {
    buffer<T> b(w.size());
    for (std::size_t i = 0; i < w.size(); ++i) b[i] = T(w[i]);
    return packed_weight(pack(row_major(static_cast<T const*>(b.data()), n, k)));
  };
  char const* const names[] = {"nf4", "nf4 nested", "int8", "bf16", "f16", "f32"};
  for (int kind = 0; kind < 6; ++kind) {
    auto const make = [&]() -> packed_weight {
      switch (kind) {
        case 0: return pack(quantise_nf4(where, plain, {.double_quant = false}));
        case 1: return pack(quantise_nf4(where, plain));
        case 2: return pack(quantise_int8(where, plain));
        case 3: return narrow(bf16{});
        case 4: return narrow(f16{});
        default: return pack(plain);
      }
    };
    std::vector<packed_weight> copies;
    copies.push_back(make());
    while (copies.size() * bytes_of(copies[0]) < (std::size_t(1) << 28)) copies.push_back(make());
    for (int m : {1, 2, 4, 8, 64, 256}) {
      if (only && m != only) continue;
      double const seconds = measure([&](int i) {
        require(gemm(where, row_major(y.data(), m, n), product(row_major(x.data(), m, k), copies[std::size_t(i) % copies.size()])));
      });
      double const weights = double(n) * k / seconds * 1e-9, flops = 2 * weights * m, bytes = double(bytes_of(copies[0])) / seconds * 1e-9;
      std::printf("%-10s %3d %9.3f %11.2f %9.1f %8.2f   %4.0f %%\n", names[kind], m, seconds * 1e3, weights, flops, bytes,
                  100 * std::max(flops / most.gflops, bytes / most.gbytes));
      std::fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace smalti

int main(int count, char** argument) {
  auto const option = [&](char const* name, int otherwise) {
    for (int i = 1; i + 1 < count; ++i)
      if (!std::strcmp(argument[i], name)) return std::atoi(argument[i + 1]);
    return otherwise;
  };
  smalti::thread_pool threads(option("--threads", 2));
  smalti::run(threads, option("--n", 4096), option("--k", 4096), option("--m", 0));
}
