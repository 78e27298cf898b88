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
  using tuning = std::conditional_t<Engine == smalti_best, tuned, common>;
  if constexpr (Mask == smalti_causal) return attention<tuning>(where(c), problem<T>(c), causal{c.keys - c.queries});
  else return attention<tuning>(where(c), problem<T>(c), full{});
}

template status run<SMALTI_DTYPE, SMALTI_MASK, SMALTI_ENGINE>(smalti_attention_problem const&);

}  // namespace smalti::c_abi
