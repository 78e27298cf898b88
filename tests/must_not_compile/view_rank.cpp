// expect: view\.1: one index for each dimension
// A matrix read with one index.
#include <smalti/core/view.hpp>

float read(smalti::view<float, 2> m) { return m(3); }
