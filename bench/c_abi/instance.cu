// One dtype, mask and engine of the C interface: compiled with -DSMALTI_DTYPE=… -DSMALTI_MASK=… -DSMALTI_ENGINE=… (values of attention.h).

#include "attention.h"
#include "problem.cuh"

#include <smalti/attention.cuh>

namespace smalti::c_abi {

/// The tuned table under another name, which is how a caller asks for the common engine.
struct common : tuned {};

template <int Dtype, int Mask, int Engine>
status run(smalti_attention_problem const& c) {
  using T = std::conditional_t<Dtype == smalti_bf16, bf16, f16>;
  using variant = std::conditional_t<Mask == smalti_causal, causal, full>;
  variant v;
  if constexpr (Mask == smalti_causal) v.offset = c.keys - c.queries;
  if constexpr (Engine == smalti_common) return attention<common>(where(c), problem<T>(c), v);
  status result{"attn.10", "the C interface is compiled for head dimensions 64, 128 and 256"};
  if (c.head_dim == c.value_dim) dispatch<64, 128, 256>(c.head_dim, [&]<int D> { result = attention<tuned_heads<D>>(where(c), problem<T>(c), v); });
  return result;
}

template status run<SMALTI_DTYPE, SMALTI_MASK, SMALTI_ENGINE>(smalti_attention_problem const&);

}  // namespace smalti::c_abi
