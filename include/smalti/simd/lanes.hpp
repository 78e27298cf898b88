#pragma once
// Sixteen-lane arithmetic once per host instruction set, each in a namespace of its own that is compiled for it whatever
// flags the translation unit has; callers pick one at run time. See docs/guide.md, "Host kernels".
//
// A kernel lives in a guardless `.inc` file that its header includes between begin_<isa>.inc and end_<isa>.inc for each of
// generic and, where __x86_64__ is defined, avx2 and avx512. In it, never instantiate a template from outside the namespace: the linker might keep the copy
// made for the widest instruction set and hand it to code for another.

#include <bit>
#include <cstdint>
#include <cstring>
#include "../core/arch.hpp"
#include "../core/dtype.hpp"
#if defined(__x86_64__)
  #include <immintrin.h>
#endif

#include "begin_generic.inc"
#include "generic.inc"
#include "common.inc"
#include "end_generic.inc"

#if defined(__x86_64__)
  #include "begin_avx2.inc"
  #include "avx2.inc"
  #include "common.inc"
  #include "end_avx2.inc"

  #include "begin_avx512.inc"
  #include "avx512.inc"
  #include "common.inc"
  #include "end_avx512.inc"
#else
namespace smalti {  // the names exist everywhere; elsewhere they mean the common version
namespace simd_avx2 = simd_generic;
namespace simd_avx512 = simd_generic;
}  // namespace smalti
#endif

namespace smalti {

/// The version of a kernel that `device` runs. All versions have one type: pick(a, &simd_generic::f, &simd_avx2::f, …).
template <class F>
constexpr F* pick(arch device, F* generic, F* with_avx2, F* with_avx512) {
  if (device >= avx512) return with_avx512;
  return device >= avx2 ? with_avx2 : generic;
}

}  // namespace smalti
