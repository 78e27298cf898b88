// The bodies of io/, for programs that define SMALTI_COMPILED.
#define SMALTI_SOURCE_IO
#include <smalti/io/checkpoint.hpp>
#include <smalti/io/json.hpp>
#include <smalti/io/peft.hpp>
