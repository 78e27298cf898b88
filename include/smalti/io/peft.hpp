#pragma once
// LoRA adapter directories as PEFT writes them (huggingface.co/docs/peft): adapter_config.json and adapter_model.safetensors with
// keys base_model.model.<module>.lora_A.weight (r, in) and .lora_B.weight (out, r). Only tensors and configuration.

#include "../core/view.hpp"
#include "json_fwd.hpp"
#include "safetensors_writer.hpp"

namespace smalti {

/// What of adapter_config.json changes the result of W·x + scale · B·(A·x).
struct adapter_config {
  int rank = 8;
  float alpha = 8;
  bool rslora = false;                         ///< scale by α/√r instead of α/r (Kalajdzievski 2023, arXiv 2312.03732)
  std::vector<std::string> target_modules = {};     ///< last parts of module names, e.g. "q_proj"; or one regular expression
  std::map<std::string, int> rank_pattern = {};     ///< exceptions: the end of a module name, or ^ and a whole one
  std::map<std::string, float> alpha_pattern = {};
  std::string base_model = {};                      ///< may be empty

  /// The scale of one module whose A has `r` rows.
  float scale_of(std::string const& module, int r) const;
  int rank_of(std::string const& module) const;
};

struct adapter_entry {
  std::string module;  ///< e.g. "model.layers.0.self_attn.q_proj"
  tensor a, b;         ///< (r, in), (out, r)
  float scale;         ///< α/r or α/√r, exceptions included
};

/// An adapter as read; the entries point into the file's map, which moves along.
struct adapter_file {
  adapter_config config;
  std::vector<adapter_entry> entries;  ///< sorted by module
  safetensors data;
};

/// What write_adapter takes: matrices that the caller keeps.
struct adapter_matrices {
  std::string module;
  view<float const, 2> a, b;  ///< (r, in), (out, r)
};

namespace detail {
adapter_config parse_adapter_config(json const& j, std::string const& file);
}  // namespace detail

/// Reads an adapter directory. Errors: io.1, io.3 … io.7 (files), io.8 (an A without its B, or the reverse), io.9 (a shape that
/// contradicts the rank), io.12 (not plain LoRA).
adapter_file read_adapter(std::string const& directory);

/// Writes a directory that PEFT loads; `type` is f32, f16 or bf16, one rounding. The weights are replaced before the configuration,
/// each atomically. Errors: io.2, io.11, io.12 (matrices that contradict the configuration).
void write_adapter(std::string const& directory, adapter_config const& config, std::span<adapter_matrices const> modules, dtype type = dtype::f32);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_IO)
  #include <cmath>
  #include <filesystem>
  #include "json.hpp"

namespace smalti {

namespace detail {
template <class T>
T exception(std::map<std::string, T> const& patterns, std::string const& module, T usual) {
  for (auto const& [key, value] : patterns)
    if (key.starts_with('^') ? module == key.substr(1) : module == key || module.ends_with('.' + key)) return value;
  return usual;
}

constexpr char const* adapter_prefix = "base_model.model.";

template <class T>
std::map<std::string, T> parse_pattern(json const& config, std::string const& file, std::string const& name) {
  auto const object = field<json>(config, file, name, json::object());
  if (!object.is_object()) throw error("io.4", file + ": field \"" + name + "\": expected an object, found " + shown(object));
  std::map<std::string, T> all;
  for (auto const& [key, value] : object.items()) {
    // PEFT reads the keys as regular expressions; plain names are what its users write, and all that is understood here.
    if (key.find_first_of("*+?()[]{}|\\$") != std::string::npos)
      throw error("io.12", file + ": field \"" + name + "\": expected plain module names, found the pattern \"" + key + "\"");
    all.emplace(key, field<T>(object, file + ": " + name, key));
  }
  return all;
}

SMALTI_INLINE adapter_config parse_adapter_config(json const& j, std::string const& file) {
  auto const kind = field<std::string>(j, file, "peft_type");
  if (kind != "LORA") throw error("io.12", file + ": field \"peft_type\": expected \"LORA\", found \"" + kind + "\"");
  // Each of these means another formula, or weights beside A and B: better refused than computed wrongly.
  for (auto name : {"use_dora", "use_qalora", "use_bdlora", "lora_bias", "fan_in_fan_out", "modules_to_save", "target_parameters",
                    "layer_replication", "trainable_token_indices", "alora_invocation_tokens"})
    if (auto const at = j.find(name); at != j.end() && !at->is_null() && *at != json(false) && !at->empty())
      throw error("io.12", file + ": field \"" + name + "\": expected none (plain LoRA), found " + shown(*at));
  if (auto const bias = field<std::string>(j, file, "bias", "none"); bias != "none")
    throw error("io.12", file + ": field \"bias\": expected \"none\", found \"" + bias + "\"");
  adapter_config c;
  c.rank = field<int>(j, file, "r"), c.alpha = field<float>(j, file, "lora_alpha");
  if (c.rank < 1) throw error("io.12", file + ": field \"r\": expected a rank of at least 1, found " + std::to_string(c.rank));
  c.rslora = field<bool>(j, file, "use_rslora", false);
  c.rank_pattern = parse_pattern<int>(j, file, "rank_pattern"), c.alpha_pattern = parse_pattern<float>(j, file, "alpha_pattern");
  c.base_model = field<std::string>(j, file, "base_model_name_or_path", "");
  if (auto const at = j.find("target_modules"); at != j.end() && at->is_string()) c.target_modules = {*at};
  else c.target_modules = field<std::vector<std::string>>(j, file, "target_modules", {});
  return c;
}

inline std::vector<adapter_entry> parse_adapter(adapter_config const& config, safetensors const& data, std::string const& file) {
  std::vector<adapter_entry> entries;
  for (auto const& name : data.names()) {
    std::string_view module = name;
    bool const is_b = module.ends_with(".lora_B.weight");
    if (!module.starts_with(adapter_prefix) || (!is_b && !module.ends_with(".lora_A.weight")))
      fail_tensor("io.12", file, name, "expected base_model.model.<module>.lora_A.weight or .lora_B.weight");
    module.remove_prefix(std::string_view(adapter_prefix).size());
    module.remove_suffix(std::string_view(".lora_A.weight").size());
    auto const stem = adapter_prefix + std::string(module);
    auto const &a = data.at(stem + ".lora_A.weight"), &b = data.at(stem + ".lora_B.weight");
    if (is_b) continue;
    auto const rank = index(config.rank_of(std::string(module)));
    if (a.shape.size() != 2 || a.shape[0] != rank)
      fail_tensor("io.9", file, a.name, "expected the shape (" + std::to_string(rank) + ", inputs), found " + name_of(a.shape));
    if (b.shape.size() != 2 || b.shape[1] != rank)
      fail_tensor("io.9", file, b.name, "expected the shape (outputs, " + std::to_string(rank) + "), found " + name_of(b.shape));
    entries.push_back({std::string(module), a, b, config.scale_of(std::string(module), int(rank))});
  }
  return entries;
}

template <class T>
buffer<T> gathered(view<float const, 2> m) {
  buffer<T> out(std::size_t(m.size()));
  for (index i = 0, n = 0; i < m.extent[0]; ++i)
    for (index j = 0; j < m.extent[1]; ++j) out[std::size_t(n++)] = T(m(i, j));
  return out;
}
}  // namespace detail

SMALTI_INLINE float adapter_config::scale_of(std::string const& module, int r) const {
  float const a = detail::exception(alpha_pattern, module, alpha);
  return rslora ? a / std::sqrt(float(r)) : a / float(r);
}
SMALTI_INLINE int adapter_config::rank_of(std::string const& module) const { return detail::exception(rank_pattern, module, rank); }

SMALTI_INLINE adapter_file read_adapter(std::string const& directory) {
  auto const config_path = directory + "/adapter_config.json", data_path = directory + "/adapter_model.safetensors";
  adapter_file adapter{detail::parse_adapter_config(read_json(config_path), config_path), {}, safetensors(data_path)};
  adapter.entries = detail::parse_adapter(adapter.config, adapter.data, data_path);
  return adapter;
}

SMALTI_INLINE void write_adapter(std::string const& directory, adapter_config const& config, std::span<adapter_matrices const> modules, dtype type) {
  if (type != dtype::f32 && type != dtype::f16 && type != dtype::bf16)
    throw error("io.12", directory + ": adapter dtype: expected F32, F16 or BF16, found " + name_of(type));
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) throw error("io.2", directory + ": the directory cannot be made: " + failed.message());
  auto const path = directory + "/adapter_model.safetensors";
  auto const name_of_matrix = [](adapter_matrices const& m, char const* end) { return detail::adapter_prefix + m.module + end; };
  std::vector<declaration> tensors;
  for (auto const& m : modules) {
    if (m.a.extent[0] != config.rank_of(m.module) || m.b.extent[1] != m.a.extent[0])
      detail::fail_tensor("io.12", path, m.module, "expected A and B of rank " + std::to_string(config.rank_of(m.module)) + ", found " +
                                                       std::to_string(m.a.extent[0]) + " and " + std::to_string(m.b.extent[1]));
    tensors.push_back({name_of_matrix(m, ".lora_A.weight"), type, {m.a.extent[0], m.a.extent[1]}});
    tensors.push_back({name_of_matrix(m, ".lora_B.weight"), type, {m.b.extent[0], m.b.extent[1]}});
  }
  safetensors_writer out(path, std::move(tensors));
  auto const stream = [&]<class T>(T) {
    for (auto const& m : modules)
      out.write(name_of_matrix(m, ".lora_A.weight"), detail::gathered<T>(m.a)), out.write(name_of_matrix(m, ".lora_B.weight"), detail::gathered<T>(m.b));
  };
  if (type == dtype::f32) stream(float{});
  else if (type == dtype::f16) stream(f16{});
  else stream(bf16{});
  json j = {{"peft_type", "LORA"}, {"r", config.rank}, {"lora_alpha", config.alpha}, {"use_rslora", config.rslora}, {"bias", "none"},
            {"target_modules", config.target_modules}, {"rank_pattern", config.rank_pattern}, {"alpha_pattern", config.alpha_pattern},
            {"base_model_name_or_path", config.base_model.empty() ? json() : json(config.base_model)}, {"task_type", "CAUSAL_LM"},
            {"inference_mode", true}, {"fan_in_fan_out", false}, {"init_lora_weights", true}, {"lora_dropout", 0.0}};
  out.commit();
  write_file(directory + "/adapter_config.json", j.dump(2) + '\n');
}

}  // namespace smalti
#endif
