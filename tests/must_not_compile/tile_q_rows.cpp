// expect: attn\.1: 
// A device tile whose rows are not sixteen for each warp.
#include <smalti/attention/tile.hpp>

using namespace smalti;
static_assert(require_fit<attention_tile{.q = 64, .kv = 64, .stages = 2, .warps = 8}, attention_shape{.head_dim = 128, .elem_bytes = 2}, sm_80>::ok);
