// expect: error: .*(nodiscard|ignoring)
// A refusal may not go unread.
#include <smalti/core/status.hpp>

#pragma GCC diagnostic error "-Wunused-result"
smalti::status kernel();
void caller() { kernel(); }
