// One dtype and mask of the C interface: compiled with -DSMALTI_DTYPE=… -DSMALTI_MASK=… -DSMALTI_ENGINE=… (values of attention.h).

#include "attention.h"

#include <smalti/attention.cuh>

namespace smalti::c_abi {

/// The tuned table under another name, which is how a caller asks for the common engine.
struct common : tuned {};

/// Of the code that this program has for the board.
inline arch board() {
  static arch const found = [] {
    int device = 0, major = 0;
    cudaGetDevice(&device), cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    return major == 9 ? sm_90a : sm_80;
  }();
  return found;
}

template <int Dtype, int Mask, int Engine>
status run(smalti_attention_problem const& c) {
  using T = std::conditional_t<Dtype == smalti_bf16, bf16, f16>;
  using tuning = std::conditional_t<Engine == smalti_best, tuned, common>;
  auto strided = [](auto* at, int b, int h, int n, int d, long long const (&s)[3]) {
    return view<std::remove_pointer_t<decltype(at)>, 4>{at, {b, h, n, d}, {s[0], s[1], s[2], 1}};
  };
  attention_problem<T> const p{strided(static_cast<T const*>(c.q), c.batch, c.heads, c.queries, c.head_dim, c.stride_q),
                               strided(static_cast<T const*>(c.k), c.batch, c.heads_kv, c.keys, c.head_dim, c.stride_k),
                               strided(static_cast<T const*>(c.v), c.batch, c.heads_kv, c.keys, c.value_dim, c.stride_v),
                               strided(static_cast<T*>(c.o), c.batch, c.heads, c.queries, c.value_dim, c.stride_o),
                               c.lse ? row_major(c.lse, c.batch, c.heads, c.queries) : view<float, 3>{}, c.scale};
  on_cuda const where{static_cast<cudaStream_t>(c.stream), board(), c.ticket};
  if constexpr (Mask == smalti_causal) return attention<tuning>(where, p, causal{c.keys - c.queries});
  else return attention<tuning>(where, p, full{});
}

template status run<SMALTI_DTYPE, SMALTI_MASK, SMALTI_ENGINE>(smalti_attention_problem const&);

}  // namespace smalti::c_abi
