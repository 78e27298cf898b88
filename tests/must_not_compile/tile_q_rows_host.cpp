// expect: attn\.1: 
// More rows than the host engine keeps statistics for.
#include <smalti/attention/tile.hpp>

using namespace smalti;
static_assert(require_fit<attention_tile{.q = 512, .kv = 64}, attention_shape{.head_dim = 64, .elem_bytes = 4}, avx2>::ok);
