// expect: (use of deleted function|deleted)
// Weights are not copied by accident: copy() says so.
#include <smalti/core/buffer.hpp>

smalti::buffer<float> twice(smalti::buffer<float> const& b) { return b; }
