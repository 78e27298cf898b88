#pragma once
// What the rungs of the CUDA ladder share: one problem in device memory, the oracle, the clock, the printed line. Causal attention,
// H heads of N queries and keys, 64 columns, bf16, row-major (H, N, 64). Every rung changes one thing of the rung before it.

#include <cuda_runtime.h>
#include <smalti/core/config.hpp>
#include <smalti/core/dtype.hpp>
#include "ladder_attention.hpp"

namespace ladder {

using smalti::bf16;

constexpr int D = 64;
constexpr float log2e = 1.4426950408889634f;

/// A problem whose arrays are device memory.
struct on_device {
  int H, N;
  float scale;
  bf16 const *q, *k, *v;  // (H, N, D)
  bf16* o;                // (H, N, D)
};

inline void require(cudaError_t e) {
  if (e == cudaSuccess) return;
  std::printf("CUDA: %s\n", cudaGetErrorString(e));
  std::exit(1);
}

/// Host arrays, rounded to bf16, and their copies. o is NaN until a kernel writes it.
struct device_problem {
  problem host;
  on_device at{};

  explicit device_problem(int heads, int n) : host(heads, n, D) {
    at = {heads, n, host.scale, upload(host.q), upload(host.k), upload(host.v), nullptr};
    require(cudaMalloc(&at.o, host.o.size() * sizeof(bf16)));
    require(cudaMemset(at.o, 0xff, host.o.size() * sizeof(bf16)));
  }
  ~device_problem() {
    for (auto* x : {at.q, at.k, at.v, static_cast<bf16 const*>(at.o)}) cudaFree(const_cast<bf16*>(x));
  }
  device_problem(device_problem const&) = delete;

  void download() {
    std::vector<bf16> x(host.o.size());
    require(cudaMemcpy(x.data(), at.o, x.size() * sizeof(bf16), cudaMemcpyDeviceToHost));
    for (std::size_t i = 0; i < x.size(); ++i) host.o[i] = float(x[i]);
  }

 private:
  static bf16 const* upload(std::vector<float>& x) {
    std::vector<bf16> rounded(x.begin(), x.end());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(rounded[i]);
    bf16* to = nullptr;
    require(cudaMalloc(&to, x.size() * sizeof(bf16)));
    require(cudaMemcpy(to, rounded.data(), x.size() * sizeof(bf16), cudaMemcpyHostToDevice));
    return to;
  }
};

/// Checks a small problem of odd sizes, then times a large one (with --quick a small one) at the clock that the power limit settles
/// on, and prints one line. Exit code 1: an output is wrong; 77: there is no board for it.
template <class F>
int climb_cuda(int argc, char** argv, char const* rung, int needs, F attention) {
  int boards = 0, major = 0;
  if (cudaGetDeviceCount(&boards) != cudaSuccess || boards == 0 || cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess || major < needs || (needs > 8 && major > needs))
    return std::printf("%s: needs a board of compute capability %d\n", rung, needs), 77;
  bool const quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
  double e = 0;
  for (int n : {1, 131, 200}) {
    device_problem small(3, n);
    attention(small.at);
    require(cudaGetLastError()), require(cudaDeviceSynchronize());
    small.download();
    e = std::max(e, error(small.host));
  }
  bool const ok = e < 0.02;  // P and O are rounded to bf16: 2⁻⁸ of values up to 4
  device_problem large(quick ? 2 : 32, quick ? 300 : 4096);
  cudaEvent_t begin, end;
  require(cudaEventCreate(&begin)), require(cudaEventCreate(&end));
  std::vector<float> ms;
  for (float spent = 0; ms.size() < 5 || (!quick && spent < 600); spent += ms.back()) {
    require(cudaEventRecord(begin));
    attention(large.at);
    require(cudaEventRecord(end)), require(cudaEventSynchronize(end));
    ms.push_back(0);
    require(cudaEventElapsedTime(&ms.back(), begin, end));
  }
  ms.erase(ms.begin(), ms.begin() + std::ptrdiff_t(ms.size() / 2));  // the first half: until the clock has settled
  std::nth_element(ms.begin(), ms.begin() + std::ptrdiff_t(ms.size() / 2), ms.end());
  std::printf("%-58s %7.2f TFLOP/s   max error %.1e %s\n", rung, large.host.flops() / ms[ms.size() / 2] * 1e-9, e, ok ? "ok" : "WRONG");
  return ok ? 0 : 1;
}

}  // namespace ladder
