#pragma once
// The common kernel: every device since sm_80 runs it.

#include "sm80_engine.cuh"

#if defined(__CUDACC__)
namespace smalti {

/// The tuning is a type, so one symbol serves every architecture and each pass reads its own row of the table.
/// Grid: (query blocks of the longest sequence, batch × heads).
template <int D, int Dv, class Tuning, class E, attention_variant Variant>
__global__ void __launch_bounds__(32 * Tuning{}(attention_shape{D, sizeof(E), Dv}, this_arch()).warps)
attention_kernel(__grid_constant__ attention_problem<E> const problem, __grid_constant__ Variant const variant) {
#if defined(__CUDA_ARCH__)
  constexpr attention_shape S{D, sizeof(E), Dv};
  constexpr attention_tile T = Tuning{}(S, this_arch());
  if constexpr (fits(T, S, this_arch()) == misfit::none) {
    using engine = detail::sm80_engine<T, D, Dv, E, Variant>;
    extern __shared__ __align__(16) unsigned char smem[];
    // Section by section, whose K and V share the L2 cache; in one, the last blocks (the longest under a causal mask) of every slice first.
    int const blocks = gridDim.x, slices = gridDim.y, i = blockIdx.y * blocks + blockIdx.x;
    index const bytes = max(problem.k.extent[2] * (D + Dv) * index(sizeof(E)), index(1));
    int const section = int(min(max((8 << 20) / bytes, index(1)), index(slices)));
    int const s = i / (section * blocks), rest = i % (section * blocks), width = min(section, slices - s * section);
    auto const args = problem.slice(s * section + rest % width);
    int const first = (blocks - 1 - rest / width) * T.q;
    if (first >= args.seq_q) return;
    engine{args, variant, *reinterpret_cast<typename engine::storage*>(smem), first}.run();
  } else {
    __trap();  // the host refuses such a tile before the launch
  }
#endif
}

}  // namespace smalti
#endif
