#pragma once
// The integer product on Hopper: wgmma of 8-bit operands, exact 32-bit sums. One thread copies, two warpgroups of 64 tokens each multiply, blocks are
// persistent; two blocks of a cluster share their rows of W, of which each fetches half for both (CUTLASS 3.x, "Efficient GEMM").
// Floor: 2·M·N·K over 1979 TOP/s, less what power allows.

#include "../cuda/tensor_map.cuh"
#include "int8_finish.cuh"

#if defined(__CUDACC__)
namespace smalti {
namespace detail {

template <class X, class Y>
struct int8_wide_plan {
  CUtensorMap x, w;
  int8_problem<X, Y> problem;
  int8_order order;
};

/// Shared memory: a ring of stages, 128 columns of K of x's tokens and W's rows each, and its barriers.
template <int Columns>
struct int8_ring {
  static constexpr int tokens = 128, x = tokens * 128, w = Columns * 128, stage = x + w, stages = min(8, ((227 << 10) - 256) / stage), bytes = stages * stage + 256;
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

/// Columns: rows of W of a tile, 64, 128 or 256. Grid: clusters of Cluster blocks, as many as run at a time.
template <int Columns, int Cluster, class X, class Y, epilogue Out>
__global__ void __launch_bounds__(384, 1) int8_wide_kernel(__grid_constant__ detail::int8_wide_plan<X, Y> const plan, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using ring = detail::int8_ring<Columns>;
  constexpr int stages = ring::stages;
  extern __shared__ __align__(1024) unsigned char smem[];
  uint64_t* const full = reinterpret_cast<uint64_t*>(smem + stages * ring::stage);
  uint64_t* const empty = full + stages;
  auto const& p = plan.problem;
  int const rank = Cluster > 1 ? int(blockIdx.x) % Cluster : 0, tiles = plan.order.rows * plan.order.columns, steps = ceil_div(p.k, 128);
  ptx::launch_dependents();
  if (threadIdx.x == 0) {
    for (int i = 0; i < stages; ++i) ptx::mbarrier_init(&full[i], 1), ptx::mbarrier_init(&empty[i], 8 * Cluster);
    ptx::mbarrier_init_fence();
  }
  ptx::sync_block();
  if constexpr (Cluster > 1) ptx::cluster_sync();
  int const group = ptx::warpgroup() - 1;
  int stage = 0, lap = 0;
  auto const advance = [&] { if (++stage == stages) stage = 0, lap ^= 1; };
  if (group < 0) {
    ptx::registers_lower_to<40>();
    if (threadIdx.x == 0) {
      ptx::wait_for_previous();                                               // which writes the codes of x
      for (int tile = blockIdx.x / Cluster; tile < tiles; tile += gridDim.x / Cluster) {
        auto const at = plan.order(tile);
        int const token = (at.column * Cluster + rank) * ring::tokens, row = at.row * Columns + rank * (Columns / Cluster);
        for (int i = 0; i < steps; ++i, advance()) {
          unsigned char *const x = smem + stage * ring::stage, *const w = x + ring::x + rank * (ring::w / Cluster);
          ptx::mbarrier_wait(&empty[stage], lap ^ 1);                         // in both blocks
          ptx::mbarrier_arrive_expecting(&full[stage], ring::stage);
          ptx::tma_load(x, &plan.x, &full[stage], 128 * i, token, 0, 0);
          if constexpr (Cluster > 1) ptx::tma_load_to_all(w, &plan.w, &full[stage], 128 * i, row, 0, 0, uint16_t((1 << Cluster) - 1));
          else ptx::tma_load(w, &plan.w, &full[stage], 128 * i, row, 0, 0);
        }
      }
    }
    ptx::sync_warp();
  } else {
    ptx::registers_raise_to<232>();
    ptx::wait_for_previous();
    int const w = ptx::uniform(ptx::warp() % 4);
    auto const release = [&](int of) {
      if constexpr (Cluster > 1) {
        if (ptx::lane() < Cluster) ptx::mbarrier_arrive_at(&empty[of], ptx::lane());
      } else {
        ptx::mbarrier_arrive_if(ptx::lane() == 0, &empty[of]);
      }
    };
    for (int tile = blockIdx.x / Cluster; tile < tiles; tile += gridDim.x / Cluster) {
      auto const at = plan.order(tile);
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
      detail::int8_finish(acc, p, out, (at.column * Cluster + rank) * ring::tokens + 64 * group + 16 * w, at.row * Columns);
    }
  }
  if constexpr (Cluster > 1) ptx::cluster_sync();                             // nobody leaves while others may still write to it
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture: never a silent nothing
#endif
}

/// Errors: cuda.
template <int Columns, int Cluster, class X, class Y, epilogue Out>
status int8_wide_launch(on_cuda const& where, int8_problem<X, Y> const& p, int processors, Out const& out) {
  using ring = detail::int8_ring<Columns>;
  detail::int8_wide_plan<X, Y> plan{{}, {}, p, {ceil_div(p.n, Columns), ceil_div(p.m, ring::tokens * Cluster)}};
  if (auto s = detail::int8_map(plan.x, p.room.code, p.m, int(p.room.row), p.room.row, ring::tokens); !s) return s;
  if (auto s = detail::int8_map(plan.w, p.w, p.n, p.k, p.k, Columns / Cluster); !s) return s;
  int const grid = min(plan.order.rows * plan.order.columns, processors / Cluster) * Cluster;
  return detail::launch_clusters(where, {.programmatic = true}, Cluster, int8_wide_kernel<Columns, Cluster, X, Y, Out>, dim3(unsigned(grid)), 384, std::size_t(ring::bytes), plan, out);
}

}  // namespace smalti
#endif
