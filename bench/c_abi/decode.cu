// Decode attention behind the C interface: bf16, D 128.

#include "attention.h"
#include "problem.cuh"

#include <smalti/attention/decode.cuh>

namespace smalti::c_abi {
constexpr attention_shape decoded{128, 2};

static decode_options options(smalti_attention_problem const& c) { return {.programmatic = c.launch > 0, .early = c.launch > 1}; }

status decode(smalti_attention_problem const& c) {
  if (c.dtype != smalti_bf16 || c.mask != smalti_full) return {"c_abi", "decode is compiled for bf16 without a mask"};
  return decode_attention_for<decoded>(where(c), problem<bf16>(c), {c.workspace, c.workspace_bytes}, full{}, options(c));
}
}  // namespace smalti::c_abi

size_t smalti_decode_workspace(smalti_attention_problem const* c) {
  using namespace smalti;
  return decode_workspace_bytes(c_abi::where(*c), c_abi::problem<bf16>(*c), c_abi::options(*c));
}
