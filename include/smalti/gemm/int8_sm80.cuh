#pragma once
// The integer product with mma.sync (PTX ISA 9.0, §9.7.14), exact 32-bit sums, for every board and for rows of W that the copy engine cannot
// express: tiles of 128 tokens × 128 rows of W, three stages of 128 columns by cp.async.

#include "int8_finish.cuh"

#if defined(__CUDACC__)
namespace smalti {
namespace detail {

struct int8_block {
  static constexpr int side = 128, stage = 2 * side * 128, stages = 3, threads = 256, bytes = stages * stage;
};

/// 128 rows × 128 columns from (row, column) on into shared memory; beyond the matrix zeros. whole: rows begin at, and are, multiples of 16 bytes.
SMALTI_D void int8_fetch(unsigned char* to, int8_t const* from, index pitch, int rows, int columns, int row, int column, bool whole) {
  SMALTI_UNROLL for (int i = 0; i < int8_block::side * 8 / int8_block::threads; ++i) {
    int const item = ptx::thread() + i * int8_block::threads, r = item / 8, c = column + item % 8 * 16;
    int8_t const* const at = from + index(min(row + r, rows - 1)) * pitch;
    unsigned char* const here = to + int8_at(r, item % 8);
    if (whole) {
      ptx::cp_async_16(here, at + min(c, columns - 16), row + r < rows && c < columns);
      continue;
    }
    uint32_t word[4] = {};
    SMALTI_UNROLL for (int j = 0; j < 16; ++j)
      if (row + r < rows && c + j < columns) word[j / 4] |= uint32_t(uint8_t(at[c + j])) << j % 4 * 8;
    *reinterpret_cast<uint4*>(here) = {word[0], word[1], word[2], word[3]};
  }
}

}  // namespace detail

/// Grid: one block a tile. A warp has 64 tokens × 32 rows of W.
template <class X, class Y, epilogue Out>
__global__ void __launch_bounds__(detail::int8_block::threads, 2) int8_block_kernel(__grid_constant__ int8_problem<X, Y> const p, detail::int8_order const order, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH__)
  using block = detail::int8_block;
  extern __shared__ __align__(1024) unsigned char smem[];
  ptx::launch_dependents();
  ptx::wait_for_previous();
  auto const tile = order(int(blockIdx.x));
  int const token = tile.column * block::side, row = tile.row * block::side, steps = ceil_div(p.k, 128), lane = ptx::lane();
  int const of_x = ptx::warp() % 2 * 64, of_w = ptx::warp() / 2 * 32;
  bool const whole = p.k % 16 == 0 && reinterpret_cast<uint64_t>(p.w) % 16 == 0;
  auto const fetch = [&](int step) {
    if (step < steps) {
      unsigned char* const to = smem + step % block::stages * block::stage;
      detail::int8_fetch(to, p.room.code, p.room.row, p.m, int(p.room.row), token, 128 * step, true);
      detail::int8_fetch(to + block::side * 128, p.w, p.k, p.n, p.k, row, 128 * step, whole);
    }
    ptx::cp_async_commit();
  };
  int acc[4][4][4] = {};
  SMALTI_UNROLL for (int i = 0; i < block::stages - 1; ++i) fetch(i);
  for (int step = 0; step < steps; ++step) {
    ptx::cp_async_wait<block::stages - 2>();
    ptx::sync_block();                                                        // step is there for all, and all have done with the one before
    fetch(step + block::stages - 1);
    unsigned char const *const x = smem + step % block::stages * block::stage, *const w = x + block::side * 128;
    SMALTI_UNROLL for (int k = 0; k < 4; ++k) {
      uint32_t a[4][4], b[2][4];
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) ptx::ldmatrix_x4(a[i], x + detail::int8_at(of_x + 16 * i + lane % 16, 2 * k + lane / 16));
      SMALTI_UNROLL for (int i = 0; i < 2; ++i) ptx::ldmatrix_x4(b[i], w + detail::int8_at(of_w + 16 * i + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
      SMALTI_UNROLL for (int i = 0; i < 4; ++i)
        SMALTI_UNROLL for (int j = 0; j < 4; ++j) ptx::mma_s8(acc[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }
  ptx::sync_block();                                                          // the ring is done with
  detail::int8_luggage with{{}, reinterpret_cast<float const*>(smem + block::stage) + of_w, p.room.columns[0], smem, smem + block::side * 128, 0, of_w};
  if (with.outliers) {
    detail::int8_fetch(smem, reinterpret_cast<int8_t const*>(p.room.x_out), 128, p.m, 128, token, 0, true);
    detail::int8_fetch(smem + block::side * 128, reinterpret_cast<int8_t const*>(p.room.w_out), 128, p.n, 128, row, 0, true);
    ptx::cp_async_commit(), ptx::cp_async_wait<0>();
  }
  if (ptx::thread() < block::side) reinterpret_cast<float*>(smem + block::stage)[ptx::thread()] = p.w_scale[min(row + ptx::thread(), p.n - 1)] * p.scale;
  ptx::sync_block();
  SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
    with.x_row = of_x + 16 * i;
    SMALTI_UNROLL for (int half = 0; half < 2; ++half) with.scale[half] = detail::int8_row_scale(p, token + with.x_row, half) * int8_step;
    detail::int8_finish(acc[i], p, out, token + with.x_row, row + of_w, with);
  }
#endif
}

/// Errors: cuda.
template <class X, class Y, epilogue Out>
status int8_block_launch(on_cuda const& where, int8_problem<X, Y> const& p, Out const& out) {
  using block = detail::int8_block;
  detail::int8_order const order{ceil_div(p.n, block::side), ceil_div(p.m, block::side)};
  return detail::launch(where, {.programmatic = true}, int8_block_kernel<X, Y, Out>, dim3(unsigned(order.rows) * unsigned(order.columns)), block::threads, std::size_t(block::bytes), p, order, out);
}

}  // namespace smalti
#endif
