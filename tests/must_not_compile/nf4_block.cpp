// expect: quant\.2: an NF4 block is a power of two
// A block size that bitsandbytes does not have either.
#include <smalti/nf4.hpp>

auto encode(uint8_t* code, float& absmax, float const* x) { return smalti::nf4_quantise_block<48>(code, absmax, x); }
