// expect: attn\.4: 
// Legal on sm_80, too much shared memory for sm_86.
#include <smalti/attention/tile.hpp>

using namespace smalti;
static_assert(require_fit<attention_tile{.q = 128, .kv = 64, .stages = 3, .warps = 8}, attention_shape{.head_dim = 128, .elem_bytes = 2}, sm_86>::ok);
