#pragma once
// Arrays on the device for tests.

#include <catch2/catch.hpp>
#include <cuda_runtime.h>
#include <smalti/core/dtype.hpp>
#include <smalti/core/status.hpp>
#include <cstring>
#include <random>
#include <vector>

namespace smalti::test {

inline void require_cuda(cudaError_t e) {
  INFO(cudaGetErrorString(e));
  REQUIRE(e == cudaSuccess);
}
inline void require_ok(status s) {
  INFO((s.id ? s.id : "") << ": " << s.why);
  REQUIRE(bool(s));
}

template <class T>
struct device_array {
  T* at = nullptr;
  std::size_t n;
  explicit device_array(std::size_t count) : n(count) { require_cuda(cudaMalloc(&at, (n ? n : 1) * sizeof(T))); }
  device_array(std::vector<T> const& x) : device_array(x.size()) { if (n) require_cuda(cudaMemcpy(at, x.data(), n * sizeof(T), cudaMemcpyHostToDevice)); }
  device_array(device_array const&) = delete;
  ~device_array() { cudaFree(at); }
  void poison() { require_cuda(cudaMemset(at, 0xff, n * sizeof(T))); }  // NaN in every float type
  std::vector<T> host() const {
    std::vector<T> x(n);
    require_cuda(cudaMemcpy(x.data(), at, n * sizeof(T), cudaMemcpyDeviceToHost));
    return x;
  }
};

template <class X>
std::vector<X> random_values(std::size_t count, unsigned seed) {
  std::mt19937 g(seed);
  std::normal_distribution<float> normal;
  std::vector<X> v(count);
  for (auto& x : v) x = X(normal(g));
  return v;
}

}  // namespace smalti::test
