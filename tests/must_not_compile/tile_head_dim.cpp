// expect: attn\.3: 
// A head dimension the tensor cores cannot take.
#include <smalti/attention/tile.hpp>

using namespace smalti;
static_assert(require_fit<attention_tile{.q = 64, .kv = 64, .stages = 2, .warps = 4}, attention_shape{.head_dim = 72, .elem_bytes = 2}, sm_80>::ok);
