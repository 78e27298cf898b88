#pragma once
// What the rungs for Hopper share: the descriptions that the copy engine needs, made on the host.

#include <smalti/cuda/ptx_wgmma.cuh>
#include <smalti/cuda/tensor_map.cuh>
#include "ladder_fragments.cuh"

namespace ladder {

/// How the copy engine (TMA) fetches 64 rows of Q, and Bk rows of K and V: rows of 128 bytes, swizzled, zeros past the end.
struct maps { CUtensorMap q, k, v; };

inline maps describe(on_device const& p, int Bk) {
  maps m;
  auto const array = [&](bf16 const* x) { return smalti::row_major(x, 1, p.H, p.N, D); };
  for (auto const s : {smalti::detail::tensor_map(m.q, array(p.q), 64), smalti::detail::tensor_map(m.k, array(p.k), Bk), smalti::detail::tensor_map(m.v, array(p.v), Bk)})
    if (!s) std::printf("%s: %s\n", s.id, s.why), std::exit(1);
  return m;
}

/// S (64, Bk) = Q_i K_jᵀ of a warpgroup, both in shared memory; begins it.
template <int T>
SMALTI_D void start_scores(float (&s)[T][4], bf16 const* q, bf16 const* k) {
  ptx::pin(s);
  ptx::wgmma_fence();
  SMALTI_UNROLL for (int d = 0; d < D / 16; ++d)
    ptx::wgmma<bf16>(s, ptx::wgmma_advance(ptx::wgmma_operand(q), 32 * d), ptx::wgmma_advance(ptx::wgmma_operand(k), 32 * d), d > 0);
  ptx::wgmma_commit();
}
/// O (64, D) += P V_j, P in registers; begins it.
template <int T>
SMALTI_D void start_output(float (&o)[D / 8][4], uint32_t (&w)[T][4], bf16 const* v) {
  ptx::pin(o), ptx::pin(w);
  ptx::wgmma_fence();
  SMALTI_UNROLL for (int j = 0; j < T; ++j) ptx::wgmma_across<bf16>(o, w[j], ptx::wgmma_advance(ptx::wgmma_operand(v), 16 * 128 * j), true);
  ptx::wgmma_commit();
}

}  // namespace ladder
