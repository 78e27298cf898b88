#pragma once
// The common kernel: every device since sm_80 runs it.

#include "sm80_engine.cuh"

#if defined(__CUDACC__)
namespace smalti {

namespace detail {
template <int D, int Dv, class E, class Variant>
inline constexpr attention_shape sm80_shape{D, sizeof(E), Dv, !keeps_all<Variant>};
}

/// The tuning is a type, so one symbol serves every architecture and each pass reads its own row of the table.
/// Grid: (slices of a section, query blocks of the longest sequence, sections), so that the slices which share the L2 cache run together and, in
/// a section, the last blocks first: under a causal mask they are the longest. A slice is a (sequence, head).
template <int D, int Dv, class Tuning, class E, attention_variant Variant>
__global__ void __launch_bounds__(32 * Tuning{}(detail::sm80_shape<D, Dv, E, Variant>, this_arch()).warps)
attention_kernel(__grid_constant__ attention_problem<E> const problem, __grid_constant__ Variant const variant) {
#if defined(__CUDA_ARCH__)
  constexpr attention_shape S = detail::sm80_shape<D, Dv, E, Variant>;
  constexpr attention_tile T = Tuning{}(S, this_arch());
  if constexpr (fits(T, S, this_arch()) == misfit::none) {
    using engine = detail::sm80_engine<T, D, Dv, E, Variant>;
    extern __shared__ __align__(16) unsigned char smem[];
    int const slice = blockIdx.z * gridDim.x + blockIdx.x, first = int(gridDim.y - 1 - blockIdx.y) * T.q;
    if (slice >= problem.slices()) return;
    auto const args = problem.slice(slice);
    if (first >= args.seq_q) return;
    engine{args, variant, *reinterpret_cast<typename engine::storage*>(smem), first}.run();
  } else {
    __trap();  // the host refuses such a tile before the launch
  }
#endif
}

}  // namespace smalti
#endif
