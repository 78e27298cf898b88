#pragma once
// What a sentence-transformers directory says of its encoder: config.json (BERT), sentence_bert_config.json, modules.json and
// the pooling's config.json. What this library cannot do is refused by name, never computed wrongly.

#include <string>
#include "../core/config.hpp"

namespace smalti {

/// How the vectors of tokens become the vector of a sentence.
enum class pooling { mean, cls };

struct encoder_config {
  int layers = 0, hidden = 0, heads = 0, ffn = 0;
  int vocabulary = 0, positions = 0, types = 0;
  int max_tokens = 0;     ///< longer texts are cut, special tokens included
  float norm_eps = 1e-12f;
  pooling pool = pooling::mean;
  int head_dim() const { return hidden / heads; }
};

/// From a directory. Errors: io.1, io.3, io.4, encoder.1 (architecture or a value out of range), encoder.2 (pooling, modules).
encoder_config read_encoder_config(std::string const& directory);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_ENCODER)
  #include <algorithm>
  #include "../core/error.hpp"
  #include "../io/file.hpp"
  #include "../io/json.hpp"

namespace smalti {

namespace detail {
inline int bounded_field(json const& j, std::string const& file, char const* name, int most) {
  int const v = field<int>(j, file, name);
  if (v < 1 || v > most) throw error("encoder.1", file + ": field \"" + name + "\": expected 1 … " + std::to_string(most) + ", found " + std::to_string(v));
  return v;
}
inline void expect_field(json const& j, std::string const& file, char const* name, std::string const& expected) {
  auto const found = field<std::string>(j, file, name, expected);
  if (found != expected) throw error("encoder.1", file + ": field \"" + name + "\": expected \"" + expected + "\", found \"" + found + "\"");
}

inline pooling read_pooling(std::string const& file, int hidden) {
  auto const j = read_json(file);
  // Older files have one flag for each way, newer ones a name.
  std::string mode = field<std::string>(j, file, "pooling_mode", "");
  if (mode.empty())
    for (auto const& [key, value] : j.items())
      if (key.starts_with("pooling_mode_") && value == json(true)) mode += (mode.empty() ? "" : " + ") + key.substr(13);
  if (int const n = field<int>(j, file, j.contains("embedding_dimension") ? "embedding_dimension" : "word_embedding_dimension", hidden); n != hidden)
    throw error("encoder.2", file + ": expected vectors of " + std::to_string(hidden) + ", found " + std::to_string(n));
  if (mode == "mean" || mode == "mean_tokens") return pooling::mean;
  if (mode == "cls" || mode == "cls_token") return pooling::cls;
  throw error("encoder.2", file + ": expected pooling by mean_tokens or cls_token, found \"" + mode + "\"");
}

/// The pooling that modules.json names; mean, where there is no such file.
inline pooling read_modules(std::string const& directory, int hidden) {
  auto const file = directory + "/modules.json";
  if (!is_file(file)) return pooling::mean;
  pooling found = pooling::mean;
  auto const modules = read_json(file);
  if (!modules.is_array()) throw error("io.4", file + ": expected an array of modules, found " + shown(modules));
  for (auto const& m : modules) {
    auto type = field<std::string>(m, file, "type");
    type = type.substr(type.rfind('.') + 1);
    auto const path = field<std::string>(m, file, "path");
    if (type == "Pooling") {
      if (path.find("..") != std::string::npos || path.starts_with('/')) throw error("encoder.2", file + ": expected a folder of this directory, found \"" + path + "\"");
      found = read_pooling(directory + "/" + path + "/config.json", hidden);
    } else if (type != "Transformer" && type != "Normalize")
      throw error("encoder.2", file + ": expected Transformer, Pooling and Normalize, found \"" + type + "\"");
  }
  return found;
}
}  // namespace detail

SMALTI_INLINE encoder_config read_encoder_config(std::string const& directory) {
  auto const file = directory + "/config.json";
  auto const j = read_json(file);
  detail::expect_field(j, file, "model_type", "bert");
  detail::expect_field(j, file, "hidden_act", "gelu");
  detail::expect_field(j, file, "position_embedding_type", "absolute");
  auto const number = [&](char const* name, int most) { return detail::bounded_field(j, file, name, most); };
  encoder_config c{number("num_hidden_layers", 256), number("hidden_size", 1 << 14), number("num_attention_heads", 1 << 10),
                   number("intermediate_size", 1 << 16), number("vocab_size", 1 << 22), number("max_position_embeddings", 1 << 20),
                   number("type_vocab_size", 1 << 10)};
  if (c.hidden % c.heads != 0)
    throw error("encoder.1", file + ": expected hidden_size as a multiple of num_attention_heads, found " + std::to_string(c.hidden) + " and " + std::to_string(c.heads));
  c.norm_eps = field<float>(j, file, "layer_norm_eps", 1e-12f);
  auto const sentence = directory + "/sentence_bert_config.json";
  c.max_tokens = detail::is_file(sentence) ? field<int>(read_json(sentence), sentence, "max_seq_length", 256) : 256;
  c.max_tokens = std::clamp(c.max_tokens, 2, c.positions);
  c.pool = detail::read_modules(directory, c.hidden);
  return c;
}

}  // namespace smalti
#endif
