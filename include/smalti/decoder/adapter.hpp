#pragma once
// LoRA adapters of a whole model, by the names of its modules.

#include <map>
#include <string>
#include "../gemm/lora.hpp"

namespace smalti {

/// What a PEFT directory holds, ready to attach: module name ("model.layers.0.self_attn.q_proj") → its pair of matrices.
struct adapter {
  std::string name;
  std::map<std::string, lora> modules;
};

}  // namespace smalti
