#pragma once
// Sentences to unit vectors: BERT with LayerNorm after each half (Devlin et al. 2018), pooled and normalised as Sentence-BERT
// does (Reimers & Gurevych 2019). Sentences of a batch lie one behind the other without padding.

#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "../core/buffer.hpp"
#include "../core/view.hpp"
#include "../core/where.hpp"
#include "../text/tokenizer.hpp"
#include "weights.hpp"

namespace smalti {

struct encoder_options {
  encoder_weights weights = encoder_weights::f32;
  int max_tokens = 0;          ///< longer texts are cut; 0: as the model's files say (256 for all-MiniLM-L6-v2)
  int batch_tokens = 768;      ///< tokens computed at once: about 14 KB of activations each
  bool parse_special = false;  ///< "[SEP]" in a text means the token, as in sentence-transformers; not for texts of strangers
};

/// An encoder of the MiniLM/BERT family. Immutable once loaded: encode() may run in several threads.
class sentence_encoder {
 public:
  sentence_encoder();  ///< without a model: to be assigned to
  sentence_encoder(sentence_encoder&&) noexcept;
  sentence_encoder& operator=(sentence_encoder&&) noexcept;
  ~sentence_encoder();
  /// From a directory: config.json, model.safetensors (or shards), tokenizer.json, and what sentence-transformers adds.
  /// Errors: io.*, text.*, encoder.1 … encoder.3.
  static sentence_encoder load(std::string const& directory, encoder_options options = {});

  int dimension() const { return config_.hidden; }
  int max_tokens() const { return config_.max_tokens; }
  encoder_config const& config() const { return config_; }
  /// Names the model by shape and content, for the header of an index: two models never share it, a moved one keeps it.
  std::string identity() const;
  /// How many tokens a text takes, special ones included, before it is cut.
  int count_tokens(std::string_view text) const;

  /// One unit vector per sentence: (sentences, dimension). An empty sentence is one of special tokens alone. The result of a
  /// sentence does not depend on its neighbours or on the number of threads. Errors: those of the kernels, as exceptions.
  buffer<float> encode(on_cpu const& where, std::span<std::string const> sentences) const;
  /// One sentence: (dimension).
  buffer<float> encode(on_cpu const& where, std::string const& sentence) const;

 private:
  struct activations_of;  // of one batch

  std::vector<int> tokenise(std::string_view text) const;
  // The last token is the separator, which a cut text keeps.
  std::vector<int> cut(std::vector<int> ids) const;

  void run_batch(on_cpu const& where, std::vector<std::vector<int>> const& ids, std::span<std::size_t const> batch, activations_of& room, float* out) const;

  // x = norm(x + out(attention(x))); x = norm(x + down(gelu(up(x)))).
  void run_layer(on_cpu const& where, encoder_layer const& w, std::vector<int> const& starts, view<float, 2> x, activations_of& room) const;

  // Rows first … last − 1 of x to one unit vector.
  void pool(view<float, 2> x, int first, int last, float* to) const;

  encoder_config config_;
  tokenizer tokens_;
  encoder_tensors weights_;
  int batch_tokens_ = 0;
  bool parse_special_ = false;
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_ENCODER)
  #include <algorithm>
  #include <cmath>
  #include <cstdio>
  #include <numeric>
  #include <utility>
  #include "../attention.hpp"
  #include "../gemm.hpp"
  #include "../math/activations.hpp"
  #include "../math/norm.hpp"

namespace smalti {

SMALTI_INLINE sentence_encoder::sentence_encoder() = default;
SMALTI_INLINE sentence_encoder::sentence_encoder(sentence_encoder&&) noexcept = default;
SMALTI_INLINE sentence_encoder& sentence_encoder::operator=(sentence_encoder&&) noexcept = default;
SMALTI_INLINE sentence_encoder::~sentence_encoder() = default;

SMALTI_INLINE sentence_encoder sentence_encoder::load(std::string const& directory, encoder_options options) {
  sentence_encoder e;
  e.config_ = read_encoder_config(directory);
  e.tokens_ = tokenizer::load(directory);
  if (e.tokens_.vocabulary_size() > e.config_.vocabulary)
    throw error("encoder.3", directory + ": expected a tokenizer of at most " + std::to_string(e.config_.vocabulary) + " tokens (config.json), found " + std::to_string(e.tokens_.vocabulary_size()));
  e.weights_ = load_encoder_tensors(checkpoint(directory), e.config_, options.weights);
  if (options.max_tokens > 0) e.config_.max_tokens = std::clamp(options.max_tokens, 2, e.config_.positions);
  e.batch_tokens_ = std::max(options.batch_tokens, 1), e.parse_special_ = options.parse_special;
  return e;
}

SMALTI_INLINE std::string sentence_encoder::identity() const {
  char print[16];
  std::snprintf(print, sizeof print, "%08x", unsigned(weights_.fingerprint));
  return "bert-" + std::to_string(config_.layers) + "x" + std::to_string(config_.hidden) + "-" + print;
}
SMALTI_INLINE int sentence_encoder::count_tokens(std::string_view text) const { return int(tokenise(text).size()); }

struct sentence_encoder::activations_of {  // of one batch; grows with the longest
  buffer<float> x, qkv, mixed, wide;  // (tokens, hidden), (tokens, 3·hidden), (tokens, hidden), (tokens, ffn)
  void fit(std::size_t tokens, std::size_t hidden, std::size_t ffn) {
    if (x.size() >= tokens * hidden) return;
    x = buffer<float>(tokens * hidden), qkv = buffer<float>(tokens * 3 * hidden), mixed = buffer<float>(tokens * hidden), wide = buffer<float>(tokens * ffn);
  }
};

SMALTI_INLINE buffer<float> sentence_encoder::encode(on_cpu const& where, std::span<std::string const> sentences) const {
  std::vector<std::vector<int>> ids(sentences.size());
  parallel_for(where, index(sentences.size()), [&](index i) { ids[std::size_t(i)] = cut(tokenise(sentences[std::size_t(i)])); });
  std::vector<std::size_t> order(sentences.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  // Neighbours of one length share the work of attention evenly.
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return std::pair(ids[a].size(), a) < std::pair(ids[b].size(), b); });
  buffer<float> out(sentences.size() * std::size_t(dimension()));  // (sentences, dimension)
  activations_of room;
  for (std::size_t first = 0, last; first < order.size(); first = last) {
    std::size_t tokens = 0;
    for (last = first; last < order.size() && (last == first || tokens + ids[order[last]].size() <= std::size_t(batch_tokens_)); ++last) tokens += ids[order[last]].size();
    run_batch(where, ids, std::span(order).subspan(first, last - first), room, out.data());
  }
  return out;
}
SMALTI_INLINE buffer<float> sentence_encoder::encode(on_cpu const& where, std::string const& sentence) const { return encode(where, std::span(&sentence, 1)); }
SMALTI_INLINE std::vector<int> sentence_encoder::tokenise(std::string_view text) const { return tokens_.encode(text, {.parse_special = parse_special_}); }

SMALTI_INLINE std::vector<int> sentence_encoder::cut(std::vector<int> ids) const {
  std::size_t const most = std::size_t(config_.max_tokens);
  if (ids.size() > most) ids[most - 1] = ids.back(), ids.resize(most);
  return ids;
}

SMALTI_INLINE void sentence_encoder::run_batch(on_cpu const& where, std::vector<std::vector<int>> const& ids, std::span<std::size_t const> batch, activations_of& room, float* out) const {
  index const h = config_.hidden;
  std::vector<int> starts{0};  // (sentences + 1)
  for (std::size_t s : batch) starts.push_back(starts.back() + int(ids[s].size()));
  index const m = starts.back();
  room.fit(std::size_t(m), std::size_t(h), std::size_t(config_.ffn));
  auto const x = row_major(room.x.data(), m, h);  // (tokens, hidden)
  for (std::size_t b = 0; b < batch.size(); ++b)
    for (index p = 0; p < index(ids[batch[b]].size()); ++p) {
      float const *word = weights_.words.data() + ids[batch[b]][std::size_t(p)] * h, *place = weights_.places.data() + p * h;
      for (index i = 0; i < h; ++i) x(starts[b] + p, i) = word[i] + place[i];
    }
  require(layer_norm(where, x, x, weights_.scale, weights_.shift, config_.norm_eps));
  for (auto const& layer : weights_.layers) run_layer(where, layer, starts, x, room);
  parallel_for(where, index(batch.size()), [&](index b) { pool(x, starts[std::size_t(b)], starts[std::size_t(b) + 1], out + index(batch[std::size_t(b)]) * h); });
}

SMALTI_INLINE void sentence_encoder::run_layer(on_cpu const& where, encoder_layer const& w, std::vector<int> const& starts, view<float, 2> x, activations_of& room) const {
  index const m = x.extent[0], h = config_.hidden, heads = config_.heads, d = config_.head_dim();
  auto const qkv = row_major(room.qkv.data(), m, 3 * h);                      // (tokens, 3·hidden)
  auto const mixed = row_major(room.mixed.data(), m, h);                      // (tokens, hidden)
  auto const wide = row_major(room.wide.data(), m, index(config_.ffn));       // (tokens, ffn)
  require(gemm(where, qkv, product(x, w.qkv), bias{w.qkv_bias.data()}));
  auto const part = [&](index i) { return view<float const, 4>{qkv.at + i * h, {1, heads, m, d}, {0, d, 3 * h, 1}}; };  // (1, heads, tokens, head_dim)
  attention_lengths const lengths{.count = int(starts.size()) - 1, .q_starts = starts.data(), .kv_starts = starts.data()};
  require(attention(where, attention_problem<float>{.q = part(0), .k = part(1), .v = part(2), .o = {mixed.at, {1, heads, m, d}, {0, d, h, 1}}, .lse = {},
                                                    .scale = 1.f / std::sqrt(float(d)), .lengths = lengths}));
  require(gemm(where, x, product(mixed, w.out), bias{w.out_bias.data()} | residual{x}));
  require(layer_norm(where, x, x, w.attention_scale, w.attention_shift, config_.norm_eps));
  require(gemm(where, wide, product(x, w.up), bias{w.up_bias.data()}));
  require(apply_gelu(where, wide, wide));
  require(gemm(where, x, product(wide, w.down), bias{w.down_bias.data()} | residual{x}));
  require(layer_norm(where, x, x, w.output_scale, w.output_shift, config_.norm_eps));
}

SMALTI_INLINE void sentence_encoder::pool(view<float, 2> x, int first, int last, float* to) const {
  index const h = config_.hidden;
  if (config_.pool == pooling::cls || first == last) last = std::min(first + 1, last);
  std::fill(to, to + h, 0.f);
  for (int r = first; r < last; ++r)
    for (index i = 0; i < h; ++i) to[i] += x(r, i);
  double square = 0;  // the mean's divisor goes with the length
  for (index i = 0; i < h; ++i) square += double(to[i]) * to[i];
  float const scale = square > 0 ? float(1 / std::sqrt(square)) : 0.f;
  for (index i = 0; i < h; ++i) to[i] *= scale;
}

}  // namespace smalti
#endif
