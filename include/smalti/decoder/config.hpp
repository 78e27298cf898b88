#pragma once
// What a decoder-only checkpoint says of itself: one set of scalars covers Llama, Mistral, Granite and Qwen
// (fields of Hugging Face's config.json and generation_config.json; the file decides, no constant here does).

#include <optional>
#include <string>
#include <vector>
#include "../io/json_fwd.hpp"
#include "../math/rope.hpp"

namespace smalti {

/// How the file's linear weights are stored.
enum class stored_format { dense, nf4, int8 };

struct decoder_config {
  std::string architecture;       ///< e.g. "LlamaForCausalLM"
  int layers = 0, hidden = 0, ffn = 0, heads = 0, kv_heads = 0, head_dim = 0, vocabulary = 0;
  int max_positions = 0;          ///< tokens the model was made for
  float norm_eps = 1e-6f;
  float rope_theta = 10000;       ///< base of the rotation frequencies
  int rope_dim = 0;               ///< columns of a head that rotate
  rope_scaling rope;
  bool tied = false;              ///< the head is the embedding
  bool qkv_bias = false, out_bias = false, mlp_bias = false;
  bool qk_norm = false;           ///< RMSNorm over head_dim on q and k before RoPE (Qwen3)
  float embedding_multiplier = 1, residual_multiplier = 1, logits_divisor = 1;  // Granite
  float softmax_scale = 0;        ///< replaces 1/√d where a family says so (Granite's attention multiplier)
  std::vector<int> window;        ///< per layer: keys a query may look back on, itself included; 0 = all
  std::vector<int> stop_ids;      ///< eos of config.json and generation_config.json together
  std::optional<int> bos;
  stored_format format = stored_format::dense;

  int q_width() const { return heads * head_dim; }
  int kv_width() const { return kv_heads * head_dim; }
};

/// From parsed JSON; `file` only names it in messages. Throws model.1–7: what is missing, malformed or not known.
decoder_config read_decoder_config(json const& object, std::string const& file);

/// config.json of a checkpoint directory, with the stop tokens of generation_config.json where there is one.
decoder_config load_decoder_config(std::string const& directory);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER)
  #include <cmath>
  #include <filesystem>
  #include <limits>
  #include "../core/error.hpp"
  #include "../io/json.hpp"

namespace smalti {

namespace detail {
/// Reads fields of one JSON object and says, when it can't, which file and field and what was there.
class config_reader {
 public:
  config_reader(json const& object, std::string file) : object_(object), file_(std::move(file)) {
    if (!object.is_object()) throw error("model.1", file_ + ": expected a JSON object, found " + object.type_name());
  }
  bool has(char const* name) const { return object_.contains(name) && !object_[name].is_null(); }
  json const& operator[](char const* name) const { return object_[name]; }
  std::string const& file() const { return file_; }

  /// A whole number in [least, most]; `otherwise` where the file has none.
  int integer(char const* name, std::optional<int> otherwise = {}, int least = 1, int most = 1 << 28) const {
    if (!has(name)) return otherwise ? *otherwise : throw missing(name, "an integer");
    json const& v = object_[name];
    if (!v.is_number_integer()) throw unexpected(name, "an integer");
    // Compared as the type it has: 2^64 − 1 must not wrap into the range.
    bool const fits = v.is_number_unsigned() ? v.get<uint64_t>() <= uint64_t(most) && v.get<uint64_t>() >= uint64_t(least < 0 ? 0 : least)
                                             : v.get<int64_t>() >= least && v.get<int64_t>() <= most;
    if (!fits) throw unexpected(name, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
    return v.get<int>();
  }
  float number(char const* name, std::optional<float> otherwise = {}) const {
    if (!has(name)) return otherwise ? *otherwise : throw missing(name, "a number");
    json const& v = object_[name];
    if (!v.is_number() || !std::isfinite(float(v.get<double>()))) throw unexpected(name, "a finite number");
    return float(v.get<double>());
  }
  bool flag(char const* name, bool otherwise) const {
    if (!has(name)) return otherwise;
    if (!object_[name].is_boolean()) throw unexpected(name, "true or false");
    return object_[name].get<bool>();
  }
  std::string text(char const* name, std::string const& otherwise) const {
    if (!has(name)) return otherwise;
    if (!object_[name].is_string()) throw unexpected(name, "a string");
    return object_[name].get<std::string>();
  }
  error missing(char const* name, std::string const& what) const {
    return error("model.2", file_ + ": field '" + name + "' is missing; expected " + what);
  }
  error unexpected(char const* name, std::string const& what) const {
    std::string found = object_[name].dump(-1, ' ', true, json::error_handler_t::replace);
    if (found.size() > 60) found = found.substr(0, 60) + "…";
    return error("model.3", file_ + ": field '" + name + "': expected " + what + ", found " + found);
  }

 private:
  json const& object_;
  std::string file_;
};

/// eos_token_id is an integer, a list, or absent; the ids are added to `to` once each.
inline void add_stop_ids(config_reader const& c, std::vector<int>& to) {
  if (!c.has("eos_token_id")) return;
  json const& v = c["eos_token_id"];
  auto const add = [&](json const& id) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > std::numeric_limits<int>::max())
      throw c.unexpected("eos_token_id", "a token id or a list of them");
    for (int known : to)
      if (known == id.get<int>()) return;
    to.push_back(id.get<int>());
  };
  if (v.is_array())
    for (auto const& id : v) add(id);
  else add(v);
}

/// rope_parameters (newer), or rope_theta with rope_scaling (older): the same facts in two places.
inline void read_rope(config_reader const& c, decoder_config& k) {
  using enum rope_scaling::kind;
  char const* const where = c.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  k.rope_theta = c.number("rope_theta", 10000.f);
  float partial = c.number("partial_rotary_factor", 1.f);
  json const nothing = json::object();
  config_reader const r(c.has(where) ? c[where] : nothing, c.file() + ": " + where);
  k.rope_theta = r.number("rope_theta", k.rope_theta), partial = r.number("partial_rotary_factor", partial);
  k.rope_dim = int(k.head_dim * partial) / 2 * 2;
  if (!(k.rope_theta > 0)) throw c.unexpected("rope_theta", "a number above 0");
  if (!(partial > 0 && partial <= 1)) throw error("model.3", c.file() + ": field 'partial_rotary_factor': expected a number in (0, 1], found " + std::to_string(partial));

  rope_scaling& s = k.rope;
  std::string const type = r.text("rope_type", r.text("type", "default"));
  s.original_positions = r.integer("original_max_position_embeddings", c.integer("original_max_position_embeddings", k.max_positions));
  if (type == "default") return;
  s.factor = r.number("factor");
  if (!(s.factor >= 1)) throw r.unexpected("factor", "a number of at least 1");
  if (type == "linear") s.type = linear;
  else if (type == "dynamic") s.type = dynamic, s.original_positions = k.max_positions;
  else if (type == "llama3") {
    s.type = llama3, s.low_freq_factor = r.number("low_freq_factor"), s.high_freq_factor = r.number("high_freq_factor");
    if (!(s.high_freq_factor > s.low_freq_factor)) throw r.unexpected("high_freq_factor", "more than low_freq_factor");
  } else if (type == "yarn") {
    s.type = yarn, s.beta_fast = r.number("beta_fast", 32.f), s.beta_slow = r.number("beta_slow", 1.f);
    s.attention_factor = r.number("attention_factor", 0.f), s.truncate = r.flag("truncate", true);
    s.mscale = r.number("mscale", 0.f), s.mscale_all_dim = r.number("mscale_all_dim", 0.f);
  } else throw error("model.5", r.file() + ": rope type '" + type + "' is not known; known: default, linear, dynamic, llama3, yarn");
}

inline stored_format read_format(config_reader const& c) {
  if (!c.has("quantization_config")) return stored_format::dense;
  config_reader const q(c["quantization_config"], c.file() + ": quantization_config");
  std::string const method = q.text("quant_method", "bitsandbytes");
  if (method != "bitsandbytes") throw error("model.6", q.file() + ": quant_method '" + method + "' is not known; known: bitsandbytes");
  if (q.flag("load_in_8bit", q.flag("_load_in_8bit", false))) return stored_format::int8;
  if (!q.flag("load_in_4bit", q.flag("_load_in_4bit", false))) return stored_format::dense;
  std::string const kind = q.text("bnb_4bit_quant_type", "fp4");  // bitsandbytes' own default
  if (kind != "nf4") throw error("model.6", q.file() + ": bnb_4bit_quant_type '" + kind + "' is not known; known: nf4");
  return stored_format::nf4;
}

/// Which keys a layer's queries may look back on. Qwen lists layer types or a first windowed layer; Mistral has one window.
inline std::vector<int> read_windows(config_reader const& c, std::string const& architecture, int layers) {
  std::vector<int> window(layers, 0);
  bool const qwen = architecture.starts_with("Qwen");
  if (!c.has("sliding_window") || (qwen && !c.flag("use_sliding_window", false))) return window;
  int const width = c.integer("sliding_window");
  if (c.has("layer_types")) {
    json const& types = c["layer_types"];
    if (!types.is_array() || int(types.size()) != layers) throw c.unexpected("layer_types", "a list of " + std::to_string(layers));
    for (int l = 0; l < layers; ++l) {
      if (types[l] == "sliding_attention") window[l] = width;
      else if (types[l] != "full_attention") throw c.unexpected("layer_types", "full_attention or sliding_attention");
    }
    return window;
  }
  int const first = qwen ? c.integer("max_window_layers", 0, 0) : 0;
  for (int l = first; l < layers; ++l) window[l] = width;
  return window;
}
}  // namespace detail

SMALTI_INLINE decoder_config read_decoder_config(json const& object, std::string const& file) {
  detail::config_reader const c(object, file);
  decoder_config k;
  if (c.has("architectures")) {
    json const& list = c["architectures"];
    if (!list.is_array() || list.size() != 1 || !list[0].is_string()) throw c.unexpected("architectures", "a list of one name");
    k.architecture = list[0].get<std::string>();
  }
  struct family { char const* name; bool qkv_bias, qk_norm, granite; };
  constexpr family families[] = {{"LlamaForCausalLM", false, false, false}, {"MistralForCausalLM", false, false, false},
                                 {"GraniteForCausalLM", false, false, true}, {"Qwen2ForCausalLM", true, false, false},
                                 {"Qwen3ForCausalLM", false, true, false}};
  family const* found = nullptr;
  for (auto const& f : families)
    if (k.architecture == f.name) found = &f;
  if (!found)
    throw error("model.4", file + ": architecture '" + k.architecture + "' is not known; known: LlamaForCausalLM, MistralForCausalLM, "
                "GraniteForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM");

  k.layers = c.integer("num_hidden_layers", {}, 1, 1 << 12), k.hidden = c.integer("hidden_size", {}, 1, 1 << 20);
  k.ffn = c.integer("intermediate_size", {}, 1, 1 << 22), k.heads = c.integer("num_attention_heads", {}, 1, 1 << 12);
  k.kv_heads = c.integer("num_key_value_heads", k.heads, 1, 1 << 12), k.vocabulary = c.integer("vocab_size", {}, 1, 1 << 24);
  k.head_dim = c.integer("head_dim", k.hidden / k.heads, 1, 1 << 12), k.max_positions = c.integer("max_position_embeddings", 2048);
  if (k.head_dim < 1 || k.head_dim % 2) throw c.unexpected("head_dim", "an even number");
  if (k.heads % k.kv_heads) throw c.unexpected("num_key_value_heads", "a divisor of num_attention_heads");
  if (std::string const act = c.text("hidden_act", "silu"); act != "silu" && act != "swish")
    throw error("model.7", file + ": hidden_act '" + act + "' is not known; known: silu");

  k.norm_eps = c.number("rms_norm_eps", 1e-6f);
  k.tied = c.flag("tie_word_embeddings", false);
  k.qkv_bias = found->qkv_bias || c.flag("attention_bias", false);
  k.out_bias = !found->qkv_bias && c.flag("attention_bias", false);  // Qwen2 has biases on q, k, v alone
  k.mlp_bias = c.flag("mlp_bias", false), k.qk_norm = found->qk_norm;
  k.softmax_scale = 1 / std::sqrt(float(k.head_dim));
  if (found->granite) {
    k.embedding_multiplier = c.number("embedding_multiplier", 1.f), k.residual_multiplier = c.number("residual_multiplier", 1.f);
    k.logits_divisor = c.number("logits_scaling", 1.f), k.softmax_scale = c.number("attention_multiplier", 1.f);
    if (k.logits_divisor == 0) throw c.unexpected("logits_scaling", "a number other than 0");
  }
  detail::read_rope(c, k);
  k.window = detail::read_windows(c, k.architecture, k.layers);
  k.format = detail::read_format(c);
  detail::add_stop_ids(c, k.stop_ids);
  if (c.has("bos_token_id")) k.bos = c.integer("bos_token_id", {}, 0);
  return k;
}

SMALTI_INLINE decoder_config load_decoder_config(std::string const& directory) {
  std::filesystem::path const folder = directory, file = folder / "config.json";
  decoder_config k = read_decoder_config(read_json(file.string()), file.string());
  if (auto const more = folder / "generation_config.json"; std::filesystem::exists(more)) {
    json const object = read_json(more.string());
    detail::add_stop_ids(detail::config_reader(object, more.string()), k.stop_ids);
  }
  return k;
}

}  // namespace smalti
#endif
