// expect: gemm\.6: x is float, bf16 or f16
// Activations in double precision.
#include <smalti/gemm.hpp>

auto wide(smalti::view<double, 2> x, smalti::packed_nf4 const& w) { return smalti::product(x, w); }
