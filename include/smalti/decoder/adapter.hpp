#pragma once
// LoRA adapters of a whole model, by the names of its modules; read from and written to PEFT directories.

#include <map>
#include <string>
#include "../gemm/lora.hpp"

namespace smalti {

/// What a PEFT directory holds, ready to attach: module name ("model.layers.0.self_attn.q_proj") → its pair of matrices.
struct adapter {
  std::string name;
  std::map<std::string, lora> modules;
};

/// Reads a PEFT directory. Throws io.* (files, keys, shapes, features that mean another formula).
adapter load_adapter(std::string const& directory);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER)
  #include <filesystem>
  #include "../io/peft.hpp"

namespace smalti {

SMALTI_INLINE adapter load_adapter(std::string const& directory) {
  adapter_file const file = read_adapter(directory);
  adapter a{std::filesystem::path(directory).lexically_normal().filename().string(), {}};
  for (auto const& e : file.entries) {
    lora l{int(e.a.shape[0]), e.scale, to_float(e.a, e.a.shape), to_float(e.b, e.b.shape)};                // (r, in), (out, r)
    a.modules.emplace(e.module, std::move(l));
  }
  return a;
}

}  // namespace smalti
#endif
