// expect: (no viable conversion|could not convert|conversion from)
// A view of constants does not become one that may be written through.
#include <smalti/core/view.hpp>

smalti::view<float, 2> write_through(smalti::view<float const, 2> m) { return m; }
