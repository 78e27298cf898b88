// expect: attn\.16: one set of sinks
// Two sets of attention sinks have no meaning together.
#include <smalti/attention.hpp>

auto both(float const* logits) { return smalti::sinks{logits} & smalti::sinks{logits}; }
