// expect: attn\.5: 
// Accumulators that no thread has registers for.
#include <smalti/attention/tile.hpp>

using namespace smalti;
static_assert(require_fit<attention_tile{.q = 64, .kv = 512, .stages = 1, .warps = 4}, attention_shape{.head_dim = 128, .elem_bytes = 2}, sm_80>::ok);
