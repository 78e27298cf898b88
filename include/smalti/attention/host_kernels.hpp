#pragma once
// The host's attention kernels: what an engine calls, chosen by instruction set.

#include "../core/arch.hpp"
#include "../core/dtype.hpp"

namespace smalti {

/// The functions of host.inc, as one value per instruction set and element type.
template <class T>
struct attention_kernels {
  void (*widen)(T const* from, float factor, float* to, index n);
  void (*narrow)(float const* from, T* to, index n);
  void (*pack_keys)(T const* const* keys, int n, int d, float* panel);
  void (*pack_values)(T const* v, index row, int n, int dv, float* panel, index strip);
  void (*scores)(float const* q, index row_q, int rows, float const* panels, int n, int d, float* s, index row_s);
  void (*scores_in_place)(float const* q, index row_q, int rows, T const* k, index row_k, int n, int d, float* s, index row_s);
  void (*weigh)(float const* p, index row_p, int rows, float const* v, index row_v, index strip, int n, int dv, float* o, index row_o);
  void (*weigh_in_place)(float const* p, index row_p, int rows, T const* v, index row_v, index strip, int n, int dv, float* o, index row_o);
  float (*row_max)(float const* x, int n);
  float (*row_exponentiate)(float* x, int n, float shift);
  void (*row_scale)(float* x, int n, float factor);
};

/// The kernels for T (f32, bf16, f16) that `device` runs.
template <class T>
attention_kernels<T> const& attention_kernels_for(arch device);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_ATTENTION)
  #include "../simd/lanes.hpp"
  #if defined(__CUDACC__)
    #pragma nv_diagnostic push
    #pragma nv_diag_suppress 1675  // `#pragma GCC unroll`: nvcc hands it to the host compiler, whom it concerns
  #endif
  #include "../simd/begin_generic.inc"
  #include "sums_generic.inc"
  #include "host.inc"
  #include "../simd/end_generic.inc"
  #if defined(__x86_64__)
    #include "../simd/begin_avx2.inc"
    #include "sums_avx2.inc"
    #include "host.inc"
    #include "../simd/end_avx2.inc"
    #include "../simd/begin_avx512.inc"
    #include "sums_generic.inc"
    #include "host.inc"
    #include "../simd/end_avx512.inc"
  #endif
  #if defined(__CUDACC__)
    #pragma nv_diagnostic pop
  #endif

namespace smalti {

template <class T>
attention_kernels<T> const& attention_kernels_for(arch device) {
  return *pick(device, &simd_generic::attention_functions<T>, &simd_avx2::attention_functions<T>, &simd_avx512::attention_functions<T>);
}

}  // namespace smalti
#endif
