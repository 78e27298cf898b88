#pragma once
// The integer product on Hopper: wgmma of 8-bit operands, exact 32-bit sums. One thread copies, two warpgroups of 64 tokens each multiply, blocks are
// persistent (CUTLASS 3.x, "Efficient GEMM"). The ring is deep enough for one warpgroup to multiply while the other is on its way out. The outlier
// columns come as one more stage of a tile, in 16 bits.
// Floor: 2·M·N·K over 1979 TOP/s, less what power allows.

#include "../cuda/tensor_map.cuh"
#include "int8_finish.cuh"

#if defined(__CUDACC__)
namespace smalti {
namespace detail {

template <class X, class Y>
struct int8_wide_plan {
  CUtensorMap x, w, x_out, w_out;
  int8_problem<X, Y> problem;
  int8_order order;
};

/// Shared memory: a ring of stages, 128 bytes of x's tokens and W's rows each, its barriers, and W's scales for the way out: of a warpgroup, of this tile and the next.
template <int Columns>
struct int8_ring {
  static constexpr int tokens = 128, x = tokens * 128, w = Columns * 128, stage = x + w, rest = 128 + 4 * Columns * 4, stages = min(8, ((227 << 10) - rest) / stage), bytes = stages * stage + rest;
};

/// For the copy engine: `rows` rows of 128 bytes at a time, swizzled; beyond the matrix zeros.
inline status int8_map(CUtensorMap& map, int8_t const* at, int n, int k, index row, int rows) {
  cuuint64_t const extent[] = {cuuint64_t(k), cuuint64_t(n), 1, 1}, stride[] = {cuuint64_t(row), cuuint64_t(row) * cuuint64_t(n), cuuint64_t(row) * cuuint64_t(n)};
  cuuint32_t const box[] = {128, cuuint32_t(rows), 1, 1}, step[] = {1, 1, 1, 1};
  if (!tensor_map_encoder()) return {"cuda", "the driver has no cuTensorMapEncodeTiled"};
  CUresult const r = tensor_map_encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 4, const_cast<int8_t*>(at), extent, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                          CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return r == CUDA_SUCCESS ? status{} : status{"cuda", "cuTensorMapEncodeTiled refused the codes"};
}

}  // namespace detail

/// Columns: rows of W of a tile, 64 or 128. Grid: as many blocks as run at a time.
template <int Columns, class X, class Y, epilogue Out>
__global__ void __launch_bounds__(384, 1) int8_wide_kernel(__grid_constant__ detail::int8_wide_plan<X, Y> const plan, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using ring = detail::int8_ring<Columns>;
  constexpr int stages = ring::stages;
  extern __shared__ __align__(1024) unsigned char smem[];
  uint64_t* const full = reinterpret_cast<uint64_t*>(smem + stages * ring::stage);
  uint64_t* const empty = full + stages;
  auto const& p = plan.problem;
  int const tiles = plan.order.rows * plan.order.columns, steps = ceil_div(p.k, 128);
  ptx::launch_dependents();
  if (threadIdx.x == 0) {
    for (int i = 0; i < stages; ++i) ptx::mbarrier_init(&full[i], 1), ptx::mbarrier_init(&empty[i], 8);
    ptx::mbarrier_init_fence();
  }
  ptx::sync_block();
  ptx::wait_for_previous();                                                   // which writes the codes of x
  int const group = ptx::warpgroup() - 1, outliers = p.room.columns[0];
  int stage = 0, lap = 0;
  auto const advance = [&] { if (++stage == stages) stage = 0, lap ^= 1; };
  if (group < 0) {
    ptx::registers_lower_to<24>();
    if (threadIdx.x == 0)
      for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        auto const at = plan.order(tile);
        auto const fetch = [&](CUtensorMap const& x, CUtensorMap const& w, int column) {
          unsigned char* const to = smem + stage * ring::stage;
          ptx::mbarrier_wait(&empty[stage], lap ^ 1);
          ptx::mbarrier_arrive_expecting(&full[stage], ring::stage);
          ptx::tma_load(to, &x, &full[stage], column, at.column * ring::tokens, 0, 0);
          ptx::tma_load(to + ring::x, &w, &full[stage], column, at.row * Columns, 0, 0);
          advance();
        };
        for (int i = 0; i < steps; ++i) fetch(plan.x, plan.w, 128 * i);
        if (outliers) fetch(plan.x_out, plan.w_out, 0);
      }
  } else {
    ptx::registers_raise_to<240>();
    int const w = ptx::uniform(ptx::warp() % 4), thread = threadIdx.x % 128;
    float* scales = reinterpret_cast<float*>(smem + stages * ring::stage + 128) + group * 2 * Columns;
    int turn = 0;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, turn ^= 1) {
      auto const at = plan.order(tile);
      int const token = at.column * ring::tokens + 64 * group + 16 * w, row = at.row * Columns;
      // On their way while products run: nothing is done with them before.
      float const upper = detail::int8_row_scale(p, token, 0), lower = detail::int8_row_scale(p, token, 1);
      float const own = p.w_scale[min(row + thread % Columns, p.n - 1)];
      auto const release = [&](int of) { ptx::mbarrier_arrive_if(ptx::lane() == 0, &empty[of]); };
      int acc[Columns / 8][4];
      int last = 0;
      for (int i = 0; i < steps; ++i) {
        ptx::mbarrier_wait(&full[stage], lap);
        unsigned char const* const x = smem + stage * ring::stage;
        uint64_t const a = ptx::wgmma_operand(x + group * (ring::x / 2)), b = ptx::wgmma_operand(x + ring::x);
        ptx::pin(acc);
        ptx::wgmma_fence();
        SMALTI_UNROLL for (int k = 0; k < 4; ++k) ptx::wgmma_s8(acc, ptx::wgmma_advance(a, 32 * k), ptx::wgmma_advance(b, 32 * k), i > 0 || k > 0);
        ptx::wgmma_commit();
        ptx::wgmma_wait<1>();                                                 // step i − 1 is done
        if (i > 0) release(last);
        last = stage, advance();
      }
      ptx::wgmma_wait<0>(), ptx::pin(acc);
      release(last);
      float* const of_tile = scales + turn * Columns;
      of_tile[thread % Columns] = own * p.scale;
      ptx::barrier_sync(1 + group, 128);
      unsigned char const* const x = smem + stage * ring::stage;
      if (outliers) ptx::mbarrier_wait(&full[stage], lap);
      detail::int8_finish(acc, p, out, token, row, {{upper * int8_step, lower * int8_step}, of_tile, outliers, x + group * (ring::x / 2), x + ring::x, 16 * w, 0});
      if (outliers) release(stage), advance();
    }
  }
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture: never a silent nothing
#endif
}

/// Errors: cuda.
template <int Columns, class X, class Y, epilogue Out>
status int8_wide_launch(on_cuda const& where, int8_problem<X, Y> const& p, int processors, Out const& out) {
  using ring = detail::int8_ring<Columns>;
  detail::int8_wide_plan<X, Y> plan{{}, {}, {}, {}, p, {ceil_div(p.n, Columns), ceil_div(p.m, ring::tokens)}};
  auto const outliers = [](X* at, int rows) { return view<X, 4>{at, {1, 1, rows, detail::int8_gathered}, {0, 0, detail::int8_gathered, 1}}; };
  if (auto s = detail::int8_map(plan.x, p.room.code, p.m, int(p.room.row), p.room.row, ring::tokens); !s) return s;
  if (auto s = detail::int8_map(plan.w, p.w, p.n, p.k, p.k, Columns); !s) return s;
  if (auto s = detail::tensor_map(plan.x_out, outliers(p.room.x_out, p.m), ring::tokens); !s) return s;
  if (auto s = detail::tensor_map(plan.w_out, outliers(p.room.w_out, p.n), Columns); !s) return s;
  int const grid = min(plan.order.rows * plan.order.columns, processors);
  return detail::launch(where, {.programmatic = true}, int8_wide_kernel<Columns, X, Y, Out>, dim3(unsigned(grid)), 384, std::size_t(ring::bytes), plan, out);
}

}  // namespace smalti
#endif
