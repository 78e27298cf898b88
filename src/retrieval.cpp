// The bodies of retrieval/, for programs that define SMALTI_COMPILED.
#define SMALTI_SOURCE_RETRIEVAL
#include <smalti/retrieval.hpp>
