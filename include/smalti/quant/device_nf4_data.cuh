#pragma once
// NF4 weights on the device in the order in which files hold them (Dettmers et al. 2023, "QLoRA", §3): quantised there, or
// brought there, with the bytes that the host would produce.

#include <cub/block/block_reduce.cuh>
#include "../cuda/device_buffer.cuh"
#include "nf4_data.hpp"

namespace smalti {

/// nf4_data, on the device.
struct device_nf4_data {
  int n = 0, k = 0;
  int block = 64;
  device_buffer<uint8_t> code = {};         ///< (n·k / 2)
  device_buffer<float> absmax = {};         ///< (n·k / block); empty when nested
  device_buffer<uint8_t> absmax_code = {};  ///< (n·k / block)
  device_buffer<float> nested_absmax = {};  ///< (⌈n·k / block / nested_block⌉)
  device_buffer<float> nested_map = {};     ///< (256)
  float nested_offset = 0;
  int nested_block = 256;

  bool nested() const { return !absmax_code.empty(); }
  index blocks() const { return index(n) * k / block; }
};

/// Asynchronous: `w` must stay until the stream has come to it. Throws quant.5.
inline device_nf4_data upload(on_cuda const& where, nf4_data const& w) {
  return {w.n, w.k, w.block, upload(where, w.code), upload(where, w.absmax), upload(where, w.absmax_code), upload(where, w.nested_absmax),
          upload(where, w.nested_map), w.nested_offset, w.nested_block};
}
/// Waits for the stream.
inline nf4_data download(on_cuda const& where, device_nf4_data const& w) {
  return {w.n, w.k, w.block, download(where, w.code), download(where, w.absmax), download(where, w.absmax_code), download(where, w.nested_absmax),
          download(where, w.nested_map), w.nested_offset, w.nested_block};
}

namespace detail {

template <int I> inline constexpr float nf4_level_at = nf4_level[I];

/// level[i] for i = 0 … 15 in shared memory, by the first 16 threads; the caller synchronises.
template <int... I>
SMALTI_D void nf4_levels(float (&to)[16], std::integer_sequence<int, I...>) { ((threadIdx.x == I ? void(to[I] = nf4_level_at<I>) : void()), ...); }

inline constexpr int quantise_threads = 256;
/// What quantise writes beside its outputs.
struct quantise_notes {
  double total;  ///< Σ absmax
  int poison;    ///< a value was NaN or infinite
};

/// One warp: a block of W, or two of 32. Grid: as many as there are, in strides. partial (blocks of the grid): Σ absmax.
template <int Block, class T>
__global__ void __launch_bounds__(quantise_threads)
nf4_quantise_kernel(view<T const, 2> w, index blocks, uint8_t* code, float* absmax, double* partial, quantise_notes* notes) {
#if defined(__CUDA_ARCH__)
  constexpr int lanes = Block / 2 < 32 ? Block / 2 : 32, pairs = Block / 2 / lanes;  // of a block · of a lane
  index const first = (blockIdx.x * index(quantise_threads) + threadIdx.x) / lanes, all = index(gridDim.x) * quantise_threads / lanes;
  int const lane = threadIdx.x % lanes;
  index const k = w.extent[1];
  double sum = 0;
  bool poison = false;
  for (index b = first; b - first < round_up(blocks, all); b += all) {  // the same count for every lane: they shuffle
    bool const here = b < blocks;
    auto const at = [&](index i) { return here ? float(w(i / k, i % k)) : 0.f; };
    float largest = 0;
    for (int j = 0; j < pairs; ++j)
      for (int e = 0; e < 2; ++e) {
        float const v = at(b * Block + 2 * (j * lanes + lane) + e);
        largest = fmaxf(largest, fabsf(v));
        poison |= !(fabsf(v) <= 3.402823466e38f);
      }
    SMALTI_UNROLL for (int d = lanes / 2; d; d /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, d));
    float const reciprocal = largest > 0 ? 1.f / largest : 0.f;
    bool const tiny = reciprocal > 3.4e38f;  // as nf4_quantise_block: 1 / absmax would overflow
    auto const encode = [&](float v) { return nf4_encode(tiny ? v / largest : __fmul_rn(v, reciprocal)); };
    if (!here) continue;
    for (int j = 0; j < pairs; ++j) {
      index const i = b * Block + 2 * (j * lanes + lane);
      int const high = encode(at(i)), low = encode(at(i + 1));
      code[i / 2] = uint8_t(high << 4 | low);
    }
    if (lane == 0) absmax[b] = largest, sum += largest;
  }
  if (poison) notes->poison = 1;
  using reduce = cub::BlockReduce<double, quantise_threads>;
  __shared__ typename reduce::TempStorage memory;
  sum = reduce(memory).Sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
#endif
}

/// notes.total = Σ partial, in a fixed order: the same from run to run. One block.
template <int Threads>
__global__ void __launch_bounds__(Threads) sum_kernel(double const* partial, int count, quantise_notes* notes) {
#if defined(__CUDA_ARCH__)
  using reduce = cub::BlockReduce<double, Threads>;
  __shared__ typename reduce::TempStorage memory;
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += Threads) sum += partial[i];
  sum = reduce(memory).Sum(sum);
  if (threadIdx.x == 0) notes->total = sum;
#endif
}

/// quantise_dynamic with encode_nearest, one nested block (of 256 scales) to each block of threads.
template <int Threads>
__global__ void __launch_bounds__(Threads)
nest_kernel(float const* absmax, index count, quantise_notes const* notes, float const* map, uint8_t* code, float* nested) {
#if defined(__CUDA_ARCH__)
  __shared__ float values[256];
  static_assert(Threads == 256);
  using reduce = cub::BlockReduce<float, Threads>;
  __shared__ typename reduce::TempStorage memory;
  __shared__ float of_all;
  values[threadIdx.x] = map[threadIdx.x];
  index const i = blockIdx.x * index(Threads) + threadIdx.x;
  float const v = i < count ? __fadd_rn(absmax[i], -float(notes->total / double(count))) : 0.f;
  float const largest = reduce(memory).Reduce(fabsf(v), [](float a, float b) { return fmaxf(a, b); });
  if (threadIdx.x == 0) of_all = largest, nested[blockIdx.x] = largest;
  __syncthreads();
  if (i >= count) return;
  float const x = __fmul_rn(v, of_all > 0 ? 1.f / of_all : 0.f);
  int above = 0;  // the first entry beyond x
  SMALTI_UNROLL for (int step = 128; step; step /= 2)
    if (values[above + step - 1] <= x) above += step;
  if (above == 255 && values[255] <= x) above = 256;
  if (above == 0) code[i] = 0;
  else if (above == 256) code[i] = 255;
  else code[i] = uint8_t(fabsf(values[above] - x) < fabsf(x - values[above - 1]) ? above : above - 1);
#endif
}

template <class T>
__global__ void nf4_dequantise_kernel(uint8_t const* code, float const* absmax, uint8_t const* absmax_code, float const* nested_absmax, float const* map,
                                      float offset, int block, int nested_block, view<T, 2> out) {
#if defined(__CUDA_ARCH__)
  __shared__ float level[16];
  nf4_levels(level, std::make_integer_sequence<int, 16>{});
  __syncthreads();
  index const k = out.extent[1], bytes = out.extent[0] * k / 2;
  for (index i = blockIdx.x * index(blockDim.x) + threadIdx.x; i < bytes; i += index(gridDim.x) * blockDim.x) {
    index const b = 2 * i / block;
    float const scale = absmax ? absmax[b] : __fadd_rn(__fmul_rn(map[absmax_code[b]], nested_absmax[b / nested_block]), offset);
    int const c = code[i];
    out(2 * i / k, 2 * i % k) = T(__fmul_rn(level[c >> 4], scale));
    out((2 * i + 1) / k, (2 * i + 1) % k) = T(__fmul_rn(level[c & 15], scale));
  }
#endif
}

}  // namespace detail

/// W (n, k) on the device, T float, bf16 or f16, any strides → NF4 there, byte for byte what quantise_nf4 gives on the host. (The
/// mean of the scales is summed in double in another order; were the two sums on either side of a float's rounding, about
/// one tensor in a million, the offset would differ in its last bit.) Waits for the stream; needs 16 KiB of device memory beside
/// the result, and 4 bytes for each block while it nests. Throws quant.1 (NaN or infinity), quant.2, quant.3 (shape), quant.5, cuda.
template <class T>
device_nf4_data quantise_nf4(on_cuda const& where, view<T, 2> w, nf4_options const& options = {}) {
  detail::check_nf4_shape(w.extent[0], w.extent[1], options.block);
  device_nf4_data q{.n = int(w.extent[0]), .k = int(w.extent[1]), .block = options.block};
  index const blocks = q.blocks();
  q.code = device_buffer<uint8_t>(std::size_t(blocks * q.block / 2)), q.absmax = device_buffer<float>(std::size_t(blocks));
  constexpr int most = 1056;  // eight blocks for each of 132 processors
  device_buffer<double> partial(most);
  device_buffer<detail::quantise_notes> notes(1);
  detail::require_cuda(cudaMemsetAsync(notes.data(), 0, notes.bytes(), where.stream), "quantise NF4");
  view<std::remove_const_t<T> const, 2> const from = w;
  detail::with_block(q.block, [&]<int Block> {
    int const grid = int(min(index(most), ceil_div(blocks * min(Block / 2, 32), index(detail::quantise_threads))));
    detail::nf4_quantise_kernel<Block><<<unsigned(grid), detail::quantise_threads, 0, where.stream>>>(from, blocks, q.code.data(), q.absmax.data(), partial.data(), notes.data());
    detail::sum_kernel<detail::quantise_threads><<<1, detail::quantise_threads, 0, where.stream>>>(partial.data(), grid, notes.data());
  });
  detail::require_cuda(cudaGetLastError(), "quantise NF4");
  auto const read = download(where, notes);
  if (read[0].poison) throw error("quant.1", "NF4 weight (" + std::to_string(q.n) + ", " + std::to_string(q.k) + ") holds NaN or infinity");
  if (!options.double_quant) return q;

  q.nested_offset = float(read[0].total / double(blocks));
  q.nested_map = upload(where, signed_dynamic_map().data(), 256);
  q.absmax_code = device_buffer<uint8_t>(std::size_t(blocks));
  q.nested_absmax = device_buffer<float>(std::size_t(ceil_div(blocks, index(q.nested_block))));
  detail::nest_kernel<256><<<unsigned(q.nested_absmax.size()), detail::quantise_threads, 0, where.stream>>>(
      q.absmax.data(), blocks, notes.data(), q.nested_map.data(), q.absmax_code.data(), q.nested_absmax.data());
  detail::require_cuda(cudaGetLastError(), "nest the scales");
  detail::require_cuda(cudaStreamSynchronize(where.stream), "nest the scales");
  q.absmax = {};
  return q;
}

/// Ŵ (n, k) → out on the device, T float, bf16 or f16, any strides, rounded once: the bits that the host gives. Asynchronous.
/// Errors: quant.4 when `out` has another shape, cuda; nothing is written then.
template <class T>
status dequantise(on_cuda const& where, device_nf4_data const& w, view<T, 2> out) {
  if (out.extent[0] != w.n || out.extent[1] != w.k) return {"quant.4", "the output must have the shape of the weight"};
  unsigned const grid = unsigned(min(index(4096), ceil_div(index(w.n) * w.k / 2, index(256))));
  detail::nf4_dequantise_kernel<<<grid, 256, 0, where.stream>>>(w.code.data(), w.nested() ? nullptr : w.absmax.data(), w.absmax_code.data(), w.nested_absmax.data(),
                                                                 w.nested_map.data(), w.nested_offset, w.block, w.nested_block, out);
  return explain(cudaGetLastError());
}

}  // namespace smalti
