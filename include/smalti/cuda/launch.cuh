#pragma once
// One launch with what the library asks of every launch: a stream, a status, and programmatic dependence where the board has it.
// CUDA C++ Programming Guide 13, §4.5.

#include <type_traits>
#include "where.cuh"

namespace smalti {

/// How a launch stands to the one before it in its stream.
struct launch_order {
  bool programmatic = false;  ///< it may start while that one drains (sm_90a; elsewhere nothing changes). Results are ordered all
                              ///< the same: only weights, which no kernel writes, are read before that one has ended
};

namespace detail {

#if defined(__CUDACC__)
/// Blocks of x in clusters of `cluster` (sm_90a). Errors: cuda; nothing has run then.
template <class... P>
status launch_clusters(on_cuda const& where, launch_order order, int cluster, void (*kernel)(P...), dim3 grid, int threads, std::size_t smem, std::type_identity_t<P>... given) {
  if (smem > 48 << 10)
    if (auto s = explain(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(smem))); !s) return (void)cudaGetLastError(), s;
  cudaLaunchAttribute attribute[2] = {};
  unsigned attributes = 0;
  if (cluster > 1) attribute[attributes].id = cudaLaunchAttributeClusterDimension, attribute[attributes++].val.clusterDim = {unsigned(cluster), 1, 1};
  if (order.programmatic && where.device >= sm_90a)
    attribute[attributes].id = cudaLaunchAttributeProgrammaticStreamSerialization, attribute[attributes++].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t how = {};
  how.gridDim = grid, how.blockDim = dim3(unsigned(threads)), how.dynamicSmemBytes = smem, how.stream = where.stream;
  how.attrs = attribute, how.numAttrs = attributes;
  cudaError_t const e = cudaLaunchKernelEx(&how, kernel, given...);
  if (e != cudaSuccess) (void)cudaGetLastError();
  return explain(e);
}
template <class... P>
status launch(on_cuda const& where, launch_order order, void (*kernel)(P...), dim3 grid, int threads, std::size_t smem, std::type_identity_t<P>... given) {
  return launch_clusters(where, order, 1, kernel, grid, threads, smem, given...);
}
#endif

/// Multiprocessors of the current device.
inline int multiprocessors() {
  int device = 0, count = 0;
  if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess) return 132;
  return count;
}

}  // namespace detail
}  // namespace smalti
