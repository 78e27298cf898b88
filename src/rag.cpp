// The bodies of rag/, for programs that define SMALTI_COMPILED.
#define SMALTI_SOURCE_RAG
#include <smalti/rag.hpp>
