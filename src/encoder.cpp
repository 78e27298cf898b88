// The bodies of encoder/, for programs that define SMALTI_COMPILED.
#define SMALTI_SOURCE_ENCODER
#include <smalti/encoder.hpp>
