#pragma once
// An NF4 weight on the device, in the order of its kernels: packed there from the file's order and back, lossless.

#include <bit>
#include "../quant/device_nf4_data.cuh"
#include "nf4_panel.hpp"

namespace smalti {

/// W (n, k) in panels. Blocks larger than 64 have their scale repeated for every 64 columns, 1/128 of the codes each.
struct device_nf4 {
  int n = 0, k = 0, block = 64;
  device_buffer<uint8_t> code = {};         ///< (⌈n/32⌉, ⌈k/128⌉, 2048), as nf4_panel has it
  device_buffer<float> absmax = {};         ///< (⌈n/32⌉, ⌈k/128⌉, 64); empty when nested
  device_buffer<uint8_t> absmax_code = {};  ///< likewise
  device_buffer<float> nested_absmax = {};  ///< in the file's order
  device_buffer<float> nested_map = {};     ///< (256)
  float nested_offset = 0;
  int nested_block = 256;

  bool nested() const { return !absmax_code.empty(); }
};

/// Bytes of memory that a product with this weight reads.
inline std::size_t bytes_of(device_nf4 const& w) {
  return w.code.bytes() + w.absmax.bytes() + w.absmax_code.bytes() + w.nested_absmax.bytes() + w.nested_map.bytes();
}

/// A second weight with the same contents.
inline device_nf4 copy(on_cuda const& where, device_nf4 const& w) {
  return {w.n, w.k, w.block, copy(where, w.code), copy(where, w.absmax), copy(where, w.absmax_code), copy(where, w.nested_absmax),
          copy(where, w.nested_map), w.nested_offset, w.nested_block};
}

namespace detail {

/// Codes: bytes from the file's order (n, k/2) to panels, or back. A gather, so that writes are contiguous.
template <bool Back>
__global__ void nf4_pack_codes_kernel(uint8_t* to, uint8_t const* from, int n, int k, index count) {
#if defined(__CUDA_ARCH__)
  for (index i = blockIdx.x * index(blockDim.x) + threadIdx.x; i < count; i += index(gridDim.x) * blockDim.x) {
    if constexpr (Back) to[i] = from[nf4_panel::code_at(2 * i / k, 2 * i % k, k)];
    else {
      auto const p = nf4_panel::of_code(i, k);
      to[i] = p.row < n && p.column < k ? from[(p.row * k + p.column) / 2] : uint8_t(nf4_panel::zero_codes);
    }
  }
#endif
}

/// Scales (n, k / block), fp32 or codes of them, likewise.
template <bool Back, class T>
__global__ void nf4_pack_scales_kernel(T* to, T const* from, int n, int k, int block, index count) {
#if defined(__CUDA_ARCH__)
  index const blocks = k / block;  // of a row
  for (index i = blockIdx.x * index(blockDim.x) + threadIdx.x; i < count; i += index(gridDim.x) * blockDim.x) {
    if constexpr (Back) to[i] = from[nf4_panel::scale_at(i / blocks, i % blocks * block, k)];
    else {
      auto const p = nf4_panel::of_scale(i, k);
      to[i] = p.row < n && p.column < k ? from[p.row * blocks + p.column / block] : T(0);
    }
  }
#endif
}

inline unsigned permute_grid(index count) { return unsigned(min(index(8192), ceil_div(count, index(256)))); }

template <bool Back>
device_buffer<uint8_t> permute_codes(on_cuda const& where, device_buffer<uint8_t> const& from, int n, int k) {
  index const count = Back ? index(n) * k / 2 : nf4_panel::code_count(n, k);
  device_buffer<uint8_t> to{std::size_t(count)};
  nf4_pack_codes_kernel<Back><<<permute_grid(count), 256, 0, where.stream>>>(to.data(), from.data(), n, k, count);
  require_cuda(cudaGetLastError(), "permute NF4 codes");
  return to;
}
template <bool Back, class T>
device_buffer<T> permute_scales(on_cuda const& where, device_buffer<T> const& from, int n, int k, int block) {
  if (from.empty()) return {};
  index const count = Back ? index(n) * (k / block) : nf4_panel::scale_count(n, k);
  device_buffer<T> to{std::size_t(count)};
  nf4_pack_scales_kernel<Back><<<permute_grid(count), 256, 0, where.stream>>>(to.data(), from.data(), n, k, block, count);
  require_cuda(cudaGetLastError(), "permute NF4 scales");
  return to;
}

}  // namespace detail

/// NF4 in the file's order on the device → panels there. Asynchronous; `w` must stay until the stream has come to it.
/// Throws gemm.5 (k is not a multiple of the block), gemm.14 (a block of 32, or one that is no power of two), quant.5 (memory), cuda.
inline device_nf4 pack(on_cuda const& where, device_nf4_data const& w) {
  if (w.block > 0 && w.k % w.block != 0)
    throw error("gemm.5", "NF4 weight has " + std::to_string(w.k) + " columns, expected a multiple of its block, " + std::to_string(w.block));
  auto const power = [](int v) { return v > 0 && (v & (v - 1)) == 0; };
  if (w.n < 1 || w.k < 1 || w.block < nf4_panel::half || !power(w.block) || !power(w.nested_block))
    throw error("gemm.14", "NF4 weight (" + std::to_string(w.n) + ", " + std::to_string(w.k) + ") has blocks of " + std::to_string(w.block) + " and nested ones of " +
                               std::to_string(w.nested_block) + ", expected powers of two, and at least " + std::to_string(nf4_panel::half) + ", on a device");
  return {w.n, w.k, w.block, detail::permute_codes<false>(where, w.code, w.n, w.k), detail::permute_scales<false>(where, w.absmax, w.n, w.k, w.block),
          detail::permute_scales<false>(where, w.absmax_code, w.n, w.k, w.block), copy(where, w.nested_absmax), copy(where, w.nested_map),
          w.nested_offset, w.nested_block};
}

/// pack's inverse, byte for byte. Throws quant.5, cuda.
inline device_nf4_data unpack(on_cuda const& where, device_nf4 const& w) {
  return {w.n, w.k, w.block, detail::permute_codes<true>(where, w.code, w.n, w.k), detail::permute_scales<true>(where, w.absmax, w.n, w.k, w.block),
          detail::permute_scales<true>(where, w.absmax_code, w.n, w.k, w.block), copy(where, w.nested_absmax), copy(where, w.nested_map),
          w.nested_offset, w.nested_block};
}

namespace detail {
/// What kernels read.
template <class Scales>
nf4_panels<Scales> panels_of(device_nf4 const& w) {
  nf4_panels<Scales> to{w.code.data(), {}, w.n, w.k};
  if constexpr (std::is_same_v<Scales, plain_scales>) to.scales = {w.absmax.data()};
  else to.scales = {w.absmax_code.data(), w.nested_map.data(), w.nested_absmax.data(), w.nested_offset, std::countr_zero(unsigned(w.block)) + std::countr_zero(unsigned(w.nested_block))};
  return to;
}
}  // namespace detail

}  // namespace smalti
