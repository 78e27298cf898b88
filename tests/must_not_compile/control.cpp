// compiles
// Every rule above, kept.
#include <smalti/attention.hpp>
#include <smalti/gemm.hpp>
#include <smalti/nf4.hpp>

using namespace smalti;
float read(view<float, 2> m) { return m(3, 4); }
view<float const, 2> read_only(view<float, 2> m) { return m; }
buffer<float> twice(buffer<float> const& b) { return b.copy(); }
static_assert(require_fit<attention_tile{.q = 128, .kv = 64, .stages = 2, .warps = 8}, attention_shape{.head_dim = 128, .elem_bytes = 2}, sm_80>::ok);
static_assert(require_fit<attention_tile{.q = 256, .kv = 64}, attention_shape{.head_dim = 72, .elem_bytes = 4}, avx2>::ok);
static_assert(attention_candidates<attention_shape{128, 2}, sm_80>.size() > attention_candidates<attention_shape{128, 2}, sm_86>.size());
auto narrow(view<float, 2> x, packed_nf4 const& w) { return product(x, w); }
auto encode(uint8_t* code, float& absmax, float const* x) { return nf4_quantise_block<32>(code, absmax, x); }
auto one(float const* logits) { return sinks{logits} & causal{}; }
