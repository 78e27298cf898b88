// The bodies of text/, for programs that define SMALTI_COMPILED.
#define SMALTI_SOURCE_TEXT
#include <smalti/text/chat.hpp>
#include <smalti/text/chunk.hpp>
#include <smalti/text/tokenizer.hpp>
