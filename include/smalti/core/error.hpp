#pragma once
// How files, models and tokenizers report: an exception whose message names the file, the thing, the expected and the found.

#include <stdexcept>
#include <string>
#include "status.hpp"

namespace smalti {

/// Thrown by everything that reads or writes files. `id` has an entry in docs/errors.md.
struct error : std::runtime_error {
  std::string id;  ///< e.g. "io.3"
  error(std::string id, std::string const& message) : std::runtime_error(id + ": " + message), id(std::move(id)) {}
};

/// Turns a kernel's refusal into an exception, for callers that cannot go on.
inline void require(status s) {
  if (!s) throw error(s.id, s.why);
}

}  // namespace smalti
