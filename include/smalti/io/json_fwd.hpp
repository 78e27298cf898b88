#pragma once
// The JSON value by name, for signatures: whoever makes one or looks inside includes json.hpp, which takes seconds to compile.

#include <nlohmann/json_fwd.hpp>

namespace smalti {

using json = nlohmann::json;

}  // namespace smalti
