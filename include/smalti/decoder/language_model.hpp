#pragma once
// A model with its tokenizer and a cache: what a program needs to go from text to text.

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "../text/tokenizer.hpp"
#include "generate.hpp"
#include "model.hpp"
#include "perplexity.hpp"

namespace smalti {

/// One sequence of a model's cache while it grows; gives its place back at the end. (A `sequence_model` for `generate`.)
template <class Where, class Cache = typename backend<Where>::cache>
class decoder_sequence {
 public:
  decoder_sequence(decoder<Where>& model, Cache& cache, int adapter = batch_entry::active)
      : model_(model), cache_(cache), number_(cache.open()), adapter_(adapter) {}
  decoder_sequence(decoder_sequence const&) = delete;
  ~decoder_sequence() { cache_.close(number_); }

  /// Appends tokens; the logits after the last of them, (vocabulary), until the model's next pass. Throws model.25, model.27.
  std::span<float> advance(std::span<int const> tokens) {
    batch_entry const one[] = {{number_, tokens, adapter_}};
    return model_.read(model_.forward(cache_, one));
  }
  /// The logits after each of the tokens, row-major (tokens, vocabulary).
  std::span<float> advance_all(std::span<int const> tokens) {
    batch_entry const one[] = {{number_, tokens, adapter_}};
    return model_.read(model_.forward(cache_, one, logits::all));
  }
  int room() const { return cache_.room(number_); }
  int length() const { return cache_.length(number_); }
  void truncate(int length) { cache_.truncate(number_, length); }
  bool is_stop(int id) const {
    auto const& ids = model_.config().stop_ids;
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  }

 private:
  decoder<Where>& model_;
  Cache& cache_;
  int number_, adapter_;
};

template <class Where>
struct language_model {
  decoder<Where> model;
  tokenizer text;
  typename backend<Where>::cache cache;  ///< one sequence of `context` tokens
  std::string directory;

  int attach(adapter a) { return model.attach(std::move(a)); }
  /// A text's tokens as a prompt that begins as the family's prompts begin (BOS).
  std::vector<int> encode(std::string_view prompt) const { return text.encode(prompt); }
};

/// Loads a Hugging Face directory: config.json, generation_config.json, tokenizer.json, model.safetensors or shards. `context`
/// is how many tokens prompt and answer may have together; 0: what the model was made for, at most 4096.
/// Throws io.*, text.*, model.*, quant.1, gemm.5.
template <class Where = on_cpu>
language_model<Where> load_decoder(std::string const& directory, load_options const& options = {}, Where const& where = {}, int context = 0) {
  backend<Where>::check_room(where, load_decoder_config(directory), options, context);
  auto model = decoder<Where>::load(directory, where, options);
  auto text = tokenizer::load(directory);
  auto const& c = model.config();
  if (text.vocabulary_size() > c.vocabulary)
    throw error("model.28", directory + ": the tokenizer has " + std::to_string(text.vocabulary_size()) + " tokens; the model has room for " + std::to_string(c.vocabulary));
  auto cache = backend<Where>::make_cache(c, 1, context > 0 ? context : min(c.max_positions, 4096));
  return {std::move(model), std::move(text), std::move(cache), directory};
}

/// Text from a prompt of tokens. `on_piece` is called with each piece of whole UTF-8 text; return false to stop. Throws model.20–25.
template <class Where>
generation generate(language_model<Where>& m, std::span<int const> prompt, generate_options const& options = {}, piece_callback const& on_piece = {}) {
  decoder_sequence<Where> sequence(m.model, m.cache);
  return generate(sequence, m.text, prompt, options, on_piece);
}
template <class Where>
generation generate(language_model<Where>& m, std::string_view prompt, generate_options const& options = {}, piece_callback const& on_piece = {}) {
  return generate(m, m.encode(prompt), options, on_piece);
}

/// Perplexity of a text under the conventions of perplexity_options; BOS, where the tokenizer adds one, is context and not scored.
template <class Where>
perplexity_result perplexity(language_model<Where>& m, std::string_view text, perplexity_options const& options = {}) {
  decoder_sequence<Where> sequence(m.model, m.cache);
  auto const score = [&](std::span<int const> ids) { return sequence.truncate(0), sequence.advance_all(ids); };
  return perplexity(score, m.model.config().vocabulary, m.encode(text), options);
}

#if !SMALTI_HEADER_ONLY
extern template language_model<on_cpu> load_decoder(std::string const&, load_options const&, on_cpu const&, int);
extern template generation generate(decoder_sequence<on_cpu>&, tokenizer const&, std::span<int const>, generate_options const&, piece_callback const&);
extern template generation generate(language_model<on_cpu>&, std::span<int const>, generate_options const&, piece_callback const&);
extern template generation generate(language_model<on_cpu>&, std::string_view, generate_options const&, piece_callback const&);
extern template perplexity_result perplexity(language_model<on_cpu>&, std::string_view, perplexity_options const&);
#endif

}  // namespace smalti
