// expect: attn\.2: 
// Keys come in sixteens.
#include <smalti/attention/tile.hpp>

using namespace smalti;
static_assert(require_fit<attention_tile{.q = 64, .kv = 40, .stages = 2, .warps = 4}, attention_shape{.head_dim = 128, .elem_bytes = 2}, sm_80>::ok);
