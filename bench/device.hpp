#pragma once
// What benchmark programs on a device share: random operands, and times at the clock that the power limit settles on after some 300 ms of the
// same work (shorter bursts flatter everybody).

#include <cuda_runtime.h>
#include <smalti/core/dtype.hpp>

#include <algorithm>
#include <random>
#include <vector>

namespace smalti::bench {

/// Device memory of normally distributed elements, a million different ones. Zeros, or few distinct bits, would run faster than
/// real data: they cost less power. `at` is null when there was no room.
template <class T>
struct device_array {
  T* at = nullptr;
  explicit device_array(std::size_t n, unsigned seed = 1) {
    std::vector<T> x(std::min(n, std::size_t(1) << 20));
    std::minstd_rand random(seed);
    std::normal_distribution<float> normal;
    for (auto& e : x) e = T(normal(random));
    if (cudaMalloc(&at, n * sizeof(T)) != cudaSuccess) at = nullptr;
    for (std::size_t i = 0; at && i < n; i += x.size())
      if (cudaMemcpy(at + i, x.data(), std::min(x.size(), n - i) * sizeof(T), cudaMemcpyHostToDevice) != cudaSuccess) cudaFree(at), at = nullptr;
  }
  ~device_array() { cudaFree(at); }
  device_array(device_array const&) = delete;
};

/// Two events around a number of launches.
struct stopwatch {
  cudaEvent_t begin, end;
  stopwatch() { cudaEventCreate(&begin), cudaEventCreate(&end); }
  ~stopwatch() { cudaEventDestroy(begin), cudaEventDestroy(end); }
  stopwatch(stopwatch const&) = delete;

  /// Seconds of one of `launches`; negative after an error on the device.
  template <class F>
  double operator()(int launches, F&& launch) {
    cudaEventRecord(begin);
    for (int i = 0; i < launches; ++i) launch();
    cudaEventRecord(end);
    float ms = 0;
    return cudaEventSynchronize(end) == cudaSuccess && cudaEventElapsedTime(&ms, begin, end) == cudaSuccess ? ms * 1e-3 / launches : -1;
  }
};

/// Median seconds of a launch after `settle` seconds of the same; negative after an error.
template <class F>
double settled_seconds(F&& launch, double settle = 0.3, int turns = 11) {
  stopwatch watch;
  double const first = watch(1, launch);
  if (first < 0) return first;
  int const launches = std::clamp(int(0.005 / std::max(first, 1e-7)), 1, 1000);  // some 5 ms a turn
  for (double spent = 0; spent < settle; spent += launches * watch(launches, launch))
    if (cudaPeekAtLastError() != cudaSuccess) return -1;
  std::vector<double> t(std::size_t(turns), 0.);
  for (auto& e : t) e = watch(launches, launch);
  std::nth_element(t.begin(), t.begin() + turns / 2, t.end());
  return *std::min_element(t.begin(), t.end()) < 0 ? -1 : t[std::size_t(turns / 2)];
}

}  // namespace smalti::bench
