#pragma once
// A plain weight on the device: rows as files have them, so that one table serves as embedding and as head (Press & Wolf 2017).

#include "../cuda/device_buffer.cuh"
#include "../math/embedding.cuh"

namespace smalti {

/// W (n, k), rows contiguous, one after the other. T: float, bf16 or f16.
template <class T>
struct device_dense {
  int n = 0, k = 0;
  device_buffer<T> at = {};  ///< (n, k)

  view<T const, 2> rows() const { return row_major<T const>(at.data(), n, k); }
  view<T, 2> rows() { return row_major(at.data(), n, k); }
};

/// Bytes of memory that a product with this weight reads.
template <class T>
std::size_t bytes_of(device_dense<T> const& w) { return w.at.bytes(); }

/// The table that `embed` reads, borrowed.
template <class T>
device_embedding embedding(device_dense<T> const& w) { return embedding(w.rows()); }

/// Room for a weight (n, k), not initialised. Throws gemm.4 (shape), quant.5, cuda.
template <class T>
device_dense<T> make_device_dense(index n, index k) {
  if (n < 1 || k < 1 || n > INT32_MAX || k > INT32_MAX)
    throw error("gemm.4", "a weight of (" + std::to_string(n) + ", " + std::to_string(k) + "), expected at least one row and column, at most 2^31 - 1");
  return {int(n), int(k), device_buffer<T>(std::size_t(n * k))};
}

/// W (n, k) on the host, rows of the type it is kept in, contiguous → the device. Asynchronous: `w` must stay until the stream has come to
/// it. Throws gemm.4, gemm.11 (rows with gaps), quant.5, cuda.
template <class T>
device_dense<T> upload(on_cuda const& where, view<T const, 2> w) {
  auto to = make_device_dense<T>(w.extent[0], w.extent[1]);
  if (w.stride[1] != 1 && w.extent[1] > 1) throw error("gemm.11", "a weight to upload must have contiguous columns");
  auto const row = std::size_t(to.k) * sizeof(T), pitch = std::size_t(max(w.stride[0], index(to.k))) * sizeof(T);
  detail::require_cuda(row == pitch || to.n == 1 ? cudaMemcpyAsync(to.at.data(), w.at, to.at.bytes(), cudaMemcpyHostToDevice, where.stream)
                                                 : cudaMemcpy2DAsync(to.at.data(), row, w.at, pitch, row, std::size_t(to.n), cudaMemcpyHostToDevice, where.stream),
                       "copy to the device");
  return to;
}
template <class T>
device_dense<T> upload(on_cuda const& where, view<T, 2> w) requires(!std::is_const_v<T>) { return upload(where, view<T const, 2>(w)); }

}  // namespace smalti
