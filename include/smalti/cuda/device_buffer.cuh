#pragma once
// Owned device memory: what weights, caches and arenas on a device are made of. CUDA Runtime API, "Memory Management".

#include <string>
#include <utility>
#include "../core/buffer.hpp"
#include "../core/error.hpp"
#include "where.cuh"

namespace smalti {

namespace detail {
/// Throws `cuda` with what was being done.
inline void require_cuda(cudaError_t e, char const* what) {
  if (e != cudaSuccess) throw error("cuda", std::string(what) + ": " + cudaGetErrorString(e));
}
}  // namespace detail

/// `size()` elements on the current device, aligned to 256 bytes, not initialised. Movable, not copyable by accident; freed when
/// it goes, after the device has finished with it (cudaFree waits).
/// Throws quant.5 when the device has not that much left, with both numbers.
template <class T>
class device_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  device_buffer() = default;
  explicit device_buffer(std::size_t n) : size_(n) {
    if (n == 0) return;
    if (n <= (std::size_t(-1) >> 1) / sizeof(T) && cudaMalloc(&at_, n * sizeof(T)) == cudaSuccess) return;
    (void)cudaGetLastError();  // an allocation that failed must not fail the next launch
    std::size_t left = 0, all = 0;
    (void)cudaMemGetInfo(&left, &all);
    throw error("quant.5", "device memory for " + std::to_string(n) + " elements of " + std::to_string(sizeof(T)) + " bytes: " +
                               std::to_string(left) + " of " + std::to_string(all) + " bytes are free");
  }
  device_buffer(device_buffer&& b) noexcept : at_(std::exchange(b.at_, nullptr)), size_(std::exchange(b.size_, 0)) {}
  device_buffer& operator=(device_buffer&& b) noexcept { return std::swap(at_, b.at_), std::swap(size_, b.size_), *this; }
  ~device_buffer() {
    if (at_) (void)cudaFree(at_);  // not even of nothing while a stream is captured
  }

  T* data() { return at_; }
  T const* data() const { return at_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  bool empty() const { return size_ == 0; }

 private:
  T* at_ = nullptr;
  std::size_t size_ = 0;
};

/// from (count) on the host → a new buffer on the device, when the stream comes to it. The host memory must stay until then.
template <class T>
device_buffer<T> upload(on_cuda const& where, T const* from, std::size_t count) {
  device_buffer<T> to(count);
  if (count) detail::require_cuda(cudaMemcpyAsync(to.data(), from, to.bytes(), cudaMemcpyHostToDevice, where.stream), "copy to the device");
  return to;
}
template <class T>
device_buffer<T> upload(on_cuda const& where, buffer<T> const& from) { return upload(where, from.data(), from.size()); }

/// The contents, on the host; waits for the stream.
template <class T>
buffer<T> download(on_cuda const& where, device_buffer<T> const& from) {
  buffer<T> to(from.size());
  if (from.size()) detail::require_cuda(cudaMemcpyAsync(to.data(), from.data(), from.bytes(), cudaMemcpyDeviceToHost, where.stream), "copy to the host");
  detail::require_cuda(cudaStreamSynchronize(where.stream), "copy to the host");
  return to;
}

/// The same contents in new memory on the device, when the stream comes to it.
template <class T>
device_buffer<T> copy(on_cuda const& where, device_buffer<T> const& from) {
  device_buffer<T> to(from.size());
  if (from.size()) detail::require_cuda(cudaMemcpyAsync(to.data(), from.data(), from.bytes(), cudaMemcpyDeviceToDevice, where.stream), "copy on the device");
  return to;
}

}  // namespace smalti
