#pragma once
// A checkpoint directory turned into NF4 or INT8 on disk, tensor by tensor: the linear layers are quantised in bitsandbytes'
// layout, everything else is copied; peak memory is one tensor in f32. (docs/guide.md, "Weights")

#include <cstddef>
#include <functional>
#include <string>
#include "weights.hpp"

namespace smalti {

struct quantise_options {
  weight_kind kind = weight_kind::nf4;  ///< nf4 or int8
  nf4_options nf4 = {};
  std::function<void(int done, int total, std::string const& tensor)> progress = {};
};

struct quantise_report {
  std::size_t bytes_before = 0, bytes_after = 0;  ///< of tensor data
  int quantised = 0, copied = 0;                  ///< tensors
};

/// Reads the directory `from`, writes the directory `to` (created; files replaced atomically, config.json last, so that an
/// interrupted run leaves no directory that loads). Tokenizer and other small files are copied. Throws io.*, quant.*, and
/// model.9 (the same directory twice, block and shape disagree, or it is quantised already).
quantise_report quantise(on_cpu const& where, std::string const& from, std::string const& to, quantise_options const& o = {});

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER)
  #include <filesystem>
  #include "../io/json.hpp"
  #include "../io/safetensors_writer.hpp"
  #include "config.hpp"

namespace smalti {

namespace detail {
/// The layers' projections: what bitsandbytes quantises too. Embedding, norms, biases and head stay.
inline bool is_projection(std::string const& name) { return name.starts_with("model.layers.") && name.ends_with("_proj.weight"); }

inline constexpr int state_bytes = 256;  // what the JSON of a weight's state is padded to: at most 190 with all fields at their longest

inline std::string quant_state_json(nf4_data const& w, char const* stored) {
  json state = {{"quant_type", "nf4"}, {"blocksize", w.block}, {"dtype", stored}, {"shape", {w.n, w.k}}};
  if (w.nested()) state.update({{"nested_blocksize", w.nested_block}, {"nested_dtype", "float32"}, {"nested_offset", w.nested_offset}});
  std::string text = state.dump();
  text.resize(state_bytes, ' ');  // the layout of the file is fixed before the offset is known
  return text;
}

inline char const* torch_name(dtype t) { return t == dtype::bf16 ? "bfloat16" : t == dtype::f16 ? "float16" : "float32"; }

/// The keys that one projection becomes. Sizes follow from the shape, so the file can be laid out before anything is computed.
inline void declare(std::vector<declaration>& to, tensor const& t, quantise_options const& o) {
  index const n = t.shape[0], k = t.shape[1];
  if (o.kind == weight_kind::int8) {
    std::string const module = t.name.substr(0, t.name.size() - std::string_view("weight").size());
    to.insert(to.end(), {{t.name, dtype::i8, {n, k}}, {module + "SCB", dtype::f32, {n}}, {module + "weight_format", dtype::u8, {}}});
    return;
  }
  index const blocks = n * k / o.nf4.block;
  nf4_data shape{.n = int(n), .k = int(k), .block = o.nf4.block};
  to.insert(to.end(), {{t.name, dtype::u8, {n * k / 2, 1}}, {t.name + ".quant_map", dtype::f32, {16}},
                       {t.name + ".absmax", o.nf4.double_quant ? dtype::u8 : dtype::f32, {blocks}},
                       {t.name + ".quant_state.bitsandbytes__nf4", dtype::u8, {state_bytes}}});
  if (o.nf4.double_quant)
    to.insert(to.end(), {{t.name + ".nested_absmax", dtype::f32, {ceil_div(blocks, index(shape.nested_block))}}, {t.name + ".nested_quant_map", dtype::f32, {256}}});
}

inline void write_nf4(safetensors_writer& to, std::string const& name, nf4_data const& w, dtype stored) {
  std::string const state = quant_state_json(w, torch_name(stored));
  to.write(name + ".quant_state.bitsandbytes__nf4", std::span<char const>(state));
  to.write(name, w.code), to.write(name + ".quant_map", std::span<float const>(nf4_level));
  if (!w.nested()) return to.write(name + ".absmax", w.absmax);
  to.write(name + ".absmax", w.absmax_code), to.write(name + ".nested_absmax", w.nested_absmax), to.write(name + ".nested_quant_map", w.nested_map);
}

inline void write_int8(safetensors_writer& to, std::string const& name, int8_data const& w) {
  std::string const module = name.substr(0, name.size() - std::string_view("weight").size());
  uint8_t const row_major_format[] = {0};
  to.write(name, w.code), to.write(module + "SCB", w.scale), to.write(module + "weight_format", std::span<uint8_t const>(row_major_format));
}

/// What transformers wants to see in config.json before it takes the weights for bitsandbytes'.
inline json quantization_config(quantise_options const& o) {
  bool const four = o.kind == weight_kind::nf4;
  json q = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", four}, {"load_in_8bit", !four}, {"llm_int8_threshold", 6.0}, {"llm_int8_skip_modules", {"lm_head"}}};
  if (four) q.update({{"bnb_4bit_quant_type", "nf4"}, {"bnb_4bit_use_double_quant", o.nf4.double_quant}, {"bnb_4bit_compute_dtype", "bfloat16"}, {"bnb_4bit_quant_storage", "uint8"}});
  return q;
}
}  // namespace detail

SMALTI_INLINE quantise_report quantise(on_cpu const& where, std::string const& from, std::string const& to, quantise_options const& o) {
  namespace fs = std::filesystem;
  decoder_config const config = load_decoder_config(from);
  if (config.format != stored_format::dense) throw error("model.9", from + ": expected 16- or 32-bit weights, found a checkpoint that is quantised already");
  if (o.kind != weight_kind::nf4 && o.kind != weight_kind::int8) throw error("model.9", std::string("expected nf4 or int8, found ") + name_of(o.kind));
  fs::create_directories(to);
  if (fs::equivalent(from, to)) throw error("model.9", to + ": expected another directory than the one that is read");
  fs::remove(fs::path(to) / "config.json");

  checkpoint const in(from);
  std::vector<declaration> plan;
  quantise_report report;
  auto const names = in.names();
  for (auto const& name : names) {
    tensor const& t = in.at(name);
    report.bytes_before += t.bytes.size();
    if (!detail::is_projection(name) || t.shape.size() != 2) { plan.push_back({name, t.type, t.shape}), ++report.copied; continue; }
    if (o.kind == weight_kind::nf4 && t.shape[1] % o.nf4.block != 0)
      throw error("model.9", t.file + ": tensor \"" + name + "\": expected columns in whole blocks of " + std::to_string(o.nf4.block) + ", found " + std::to_string(t.shape[1]));
    detail::declare(plan, t, o), ++report.quantised;
  }
  safetensors_writer out((fs::path(to) / "model.safetensors").string(), plan);
  int done = 0;
  for (auto const& name : names) {
    tensor const& t = in.at(name);
    if (!detail::is_projection(name) || t.shape.size() != 2) out.write(name, t.bytes);
    else {
      auto const dense = to_float(t, t.shape);
      auto const w = row_major(dense.data(), t.shape[0], t.shape[1]);                                      // (n, k)
      if (o.kind == weight_kind::int8) detail::write_int8(out, name, quantise_int8(where, w));
      else detail::write_nf4(out, name, quantise_nf4(where, w, o.nf4), t.type);
    }
    if (o.progress) o.progress(++done, int(names.size()), name);
  }
  out.commit();
  for (auto const& d : plan) report.bytes_after += std::size_t(*detail::bytes_for(d.type, d.shape));

  for (auto const& e : fs::directory_iterator(from)) {
    std::string const file = e.path().filename().string();
    bool const weights = file.ends_with(".safetensors") || file.ends_with(".safetensors.index.json") || file.ends_with(".bin");
    if (e.is_regular_file() && !weights && file != "config.json") fs::copy_file(e.path(), fs::path(to) / file, fs::copy_options::overwrite_existing);
  }
  json about = read_json((fs::path(from) / "config.json").string());
  about["quantization_config"] = detail::quantization_config(o);
  write_file((fs::path(to) / "config.json").string(), about.dump(2) + "\n");
  return report;
}

}  // namespace smalti
#endif
