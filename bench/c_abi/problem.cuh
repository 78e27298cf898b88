#pragma once
// The C interface's struct as the library's types.

#include "attention.h"

#include <smalti/attention/problem.hpp>
#include <smalti/cuda/where.cuh>

#include <type_traits>

namespace smalti::c_abi {

template <class T>
attention_problem<T> problem(smalti_attention_problem const& c) {
  auto strided = [](auto* at, int b, int h, int n, int d, long long const (&s)[3]) {
    return view<std::remove_pointer_t<decltype(at)>, 4>{at, {b, h, n, d}, {s[0], s[1], s[2], 1}};
  };
  return {strided(static_cast<T const*>(c.q), c.batch, c.heads, c.queries, c.head_dim, c.stride_q),
          strided(static_cast<T const*>(c.k), c.batch, c.heads_kv, c.keys, c.head_dim, c.stride_k),
          strided(static_cast<T const*>(c.v), c.batch, c.heads_kv, c.keys, c.value_dim, c.stride_v),
          strided(static_cast<T*>(c.o), c.batch, c.heads, c.queries, c.value_dim, c.stride_o),
          c.lse ? row_major(c.lse, c.batch, c.heads, c.queries) : view<float, 3>{}, c.scale};
}

/// With the best code that this library has for the board.
inline on_cuda where(smalti_attention_problem const& c) {
  static arch const board = [] {
    int device = 0, major = 0;
    cudaGetDevice(&device), cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    return major == 9 ? sm_90a : sm_80;
  }();
  return {static_cast<cudaStream_t>(c.stream), board, c.ticket};
}

}  // namespace smalti::c_abi
