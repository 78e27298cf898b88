#pragma once
// NF4 panels → a plain 16-bit weight, at the speed of a copy (Dettmers et al. 2023, "QLoRA", eq. 5): what a product with many rows
// may put before a dense one.

#include "../cuda/ptx_sm90.cuh"
#include "device_nf4.cuh"

#if defined(__CUDACC__)
namespace smalti {
namespace detail {

/// absmax of a row's 64 columns from the packed scales, rounded as the host rounds it.
SMALTI_D float nf4_scale(nf4_panels<plain_scales> const& w, index row, index column) {
  return __ldg(w.scales.absmax + nf4_panel::scale_at(row, column, w.k));
}
SMALTI_D float nf4_scale(nf4_panels<nested_scales> const& w, index row, index column) {
  auto const& s = w.scales;
  index const r = min(row, index(w.n - 1)), c = min(column, index(w.k - 1));
  return __fadd_rn(__fmul_rn(__ldg(s.map + __ldg(s.code + nf4_panel::scale_at(row, column, w.k))), __ldg(s.nested + ((r * w.k + c) >> s.span))), s.offset);
}

/// A warp: a step of a panel (32 rows, 128 columns). A lane's codes are the pairs 2q of eight groups of columns; four lanes exchange
/// them so that each has eight columns in a row.
template <class T, class Scales>
__global__ void __launch_bounds__(256) nf4_dequantise_panels_kernel(nf4_panels<Scales> const w, T* out, index row_out) {
#if defined(__CUDA_ARCH__)
  __shared__ float level[16];
  nf4_levels(level, std::make_integer_sequence<int, 16>{});
  __syncthreads();
  int const steps = nf4_panel::steps(w.k), lane = ptx::lane(), g = lane / 4, q = lane % 4;
  index const all = index(nf4_panel::panels(w.n)) * steps;
  for (index at = blockIdx.x * index(8) + ptx::warp(); at < all; at += gridDim.x * index(8)) {
    index const row0 = at / steps * nf4_panel::rows, column0 = at % steps * nf4_panel::step;
    uint4 codes[4];                                                           // [half of the step][tile of the panel]
    float scale[4][2];
    SMALTI_UNROLL for (int part = 0; part < 4; ++part) codes[part] = ptx::load_once_16(w.code + at * nf4_panel::code_bytes + 512 * part + 16 * lane);
    SMALTI_UNROLL for (int i = 0; i < 8; ++i) scale[i / 2][i % 2] = nf4_scale(w, row0 + 16 * (i / 2 % 2) + 8 * (i % 2) + g, column0 + nf4_panel::half * (i / 4));
    SMALTI_UNROLL for (int part = 0; part < 4; ++part) {
      int const half = part / 2, tile = part % 2;
      uint32_t const words[4] = {codes[part].x, codes[part].y, codes[part].z, codes[part].w};
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
        index const row = row0 + 16 * tile + 8 * r + g;
        float const s = scale[part][r];
        SMALTI_UNROLL for (int p = 0; p < 2; ++p) {
          uint32_t x[4];                                                      // groups of columns 4p … 4p + 3
          SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
            uint32_t const byte = words[2 * p + i / 2] >> 8 * (r + i % 2 * 2) & 0xff;
            x[i] = ptx::pack<T>(level[byte >> 4] * s, level[byte & 15] * s);
          }
          ptx::transpose_quad(x);
          index const column = column0 + nf4_panel::half * half + 32 * p + 8 * q;
          if (row < w.n && column < w.k) *reinterpret_cast<uint4*>(out + row * row_out + column) = {x[0], x[1], x[2], x[3]};
        }
      }
    }
  }
#endif
}

}  // namespace detail

/// Ŵ (n, k) → out on the device, T bf16 or f16, each value rounded once: the bits of dequantise(device_nf4_data). Rows of `out` are
/// contiguous and begin at multiples of 16 bytes. Asynchronous. Errors: quant.4 (shape), gemm.3 (null), gemm.11 (alignment), cuda.
template <class T>
status dequantise(on_cuda const& where, device_nf4 const& w, view<T, 2> out) {
  static_assert(sizeof(T) == 2, "gemm.6: out is bf16 or f16");
  if (out.extent[0] != w.n || out.extent[1] != w.k) return {"quant.4", "the output must have the shape of the weight"};
  if (!out.at || !w.code.data()) return {"gemm.3", "an operand is null"};
  if (reinterpret_cast<std::uintptr_t>(out.at) % 16 || out.stride[1] != 1 || (w.n > 1 && (out.stride[0] % 8 || out.stride[0] < w.k)))
    return {"gemm.11", "rows of a dequantised weight must be contiguous and begin at multiples of 16 bytes"};
  unsigned const grid = unsigned(min(index(1056), ceil_div(index(nf4_panel::panels(w.n)) * nf4_panel::steps(w.k), index(8))));
  if (w.nested()) detail::nf4_dequantise_panels_kernel<<<grid, 256, 0, where.stream>>>(detail::panels_of<nested_scales>(w), out.at, out.stride[0]);
  else detail::nf4_dequantise_panels_kernel<<<grid, 256, 0, where.stream>>>(detail::panels_of<plain_scales>(w), out.at, out.stride[0]);
  return explain(cudaGetLastError());
}

}  // namespace smalti
#endif
