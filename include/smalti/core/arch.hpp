#pragma once
// What an instruction set can do, as a value: tunings are ordered by it, features are asked of it.

#include "config.hpp"

namespace smalti {

/// Features are not ordered: sm_100 has no wgmma.
enum class feature : unsigned { cp_async = 1, mma_bf16 = 2, tma = 4, wgmma = 8, fma = 16, f16c = 32, vnni = 64 };

/// An instruction-set level. Compare levels (`a >= sm_90a`); ask for features (`a.has(feature::wgmma)`).
struct arch {
  enum class family { cpu, cuda } of;
  int level;          ///< cpu: bytes of a vector · cuda: compute capability × 10
  int smem;           ///< fast memory one block may claim, bytes (cpu: L1d)
  unsigned features;  ///< or of `feature`

  SMALTI_HD constexpr bool has(feature f) const { return features & unsigned(f); }
  friend constexpr bool operator==(arch const&, arch const&) = default;
  friend SMALTI_HD constexpr bool operator>=(arch a, arch b) { return a.of == b.of && a.level >= b.level; }
};

inline constexpr arch generic_cpu{arch::family::cpu, 16, 32 << 10, 0};
inline constexpr arch avx2       {arch::family::cpu, 32, 32 << 10, 16 | 32};
inline constexpr arch avx512     {arch::family::cpu, 64, 48 << 10, 16 | 32 | 64};
inline constexpr arch sm_80      {arch::family::cuda, 80, 163 << 10, 1 | 2};
inline constexpr arch sm_86      {arch::family::cuda, 86,  99 << 10, 1 | 2};
inline constexpr arch sm_89      {arch::family::cuda, 89,  99 << 10, 1 | 2};
inline constexpr arch sm_90a     {arch::family::cuda, 90, 227 << 10, 1 | 2 | 4 | 8};

/// The architecture that this translation pass compiles device code for; on the host pass, a host one.
SMALTI_HD constexpr arch this_arch() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  return sm_90a;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 890
  return sm_89;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 860
  return sm_86;
#elif defined(__CUDA_ARCH__)
  return sm_80;
#else
  return generic_cpu;
#endif
}

/// The best host instruction set that both this processor and the library know. Asked once.
inline arch host_arch() {
#if defined(__x86_64__) && !defined(__CUDA_ARCH__)
  static arch const found = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni"))
      return avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2;  // every such processor has F16C
    return generic_cpu;
  }();
  return found;
#else
  return generic_cpu;
#endif
}

}  // namespace smalti
