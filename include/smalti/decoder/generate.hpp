#pragma once
// Text from a prompt: prefill in chunks, then one token at a time until a stop token, a stop string, a limit, or the
// caller says so. The same loop serves every backend: it asks a model only for logits.

#include <algorithm>
#include <chrono>
#include <concepts>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include "../core/error.hpp"
#include "../math/sampling.hpp"
#include "../text/tokenizer.hpp"
#include "ops_cpu.hpp"

namespace smalti {

struct generate_options {
  int max_tokens = 256;              ///< new tokens at most
  sampling_options sampling = {};    ///< temperature 0 = greedy
  std::vector<std::string> stop = {};  ///< strings that end the text; they are not part of it
  int prefill_chunk = 512;           ///< tokens of the prompt in one forward pass: bounds the activations' memory
  bool ignore_stop_ids = false;      ///< go on to max_tokens whatever the model says (for timing)
};

enum class finish { stop_token, stop_text, length, cancelled };

struct generation {
  std::string text;
  std::vector<int> ids;              ///< the new tokens, without the stop token
  std::vector<float> log_probability;///< of each of them under the model's own distribution (temperature 1)
  finish why = finish::length;
  int prompt_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
};

/// Called with each new piece of whole UTF-8 text; return false to stop there.
using piece_callback = std::function<bool(std::string_view)>;

namespace detail {
/// Holds back text that may turn out to be the beginning of a stop string.
class stop_filter {
 public:
  explicit stop_filter(std::vector<std::string> const& stops) : stops_(stops) {}

  /// Takes more text; returns what is certain to be wanted. `stopped()` afterwards says whether a stop string was met.
  std::string push(std::string_view more);
  std::string finish() { return stopped_ ? std::string() : std::exchange(held_, {}); }
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> const& stops_;
  std::string held_;
  bool stopped_ = false;
};

/// log softmax(logits)[id], in double: vocabularies are large and the differences small.
float log_probability(std::span<float const> logits, int id);
}  // namespace detail

/// What generation needs of a model with its cache: `advance(tokens)` appends tokens to the one sequence that it holds and
/// returns the logits (vocabulary) after the last of them; `room()` says how many more tokens the cache takes.
template <class S>
concept sequence_model = requires(S s, std::span<int const> tokens, S const c) {
  { s.advance(tokens) } -> std::convertible_to<std::span<float>>;
  { c.room() } -> std::convertible_to<int>;
  { c.is_stop(1) } -> std::convertible_to<bool>;
};

/// A sequence that draws tokens beside its model, without bringing logits to the host: `draws(options)` says whether it can do what
/// is asked; then each `draw()` gives the next token and goes on with it.
template <class S>
concept drawing_model = sequence_model<S> && requires(S s, sampling_options const& o) {
  { s.draws(o) } -> std::convertible_to<bool>;
  { s.draw() } -> std::same_as<chosen_token>;
};

/// Generates from `prompt` (not empty). Throws model.20 (empty prompt), model.21 (it does not fit), and what the model throws.
template <sequence_model Sequence>
generation generate(Sequence& sequence, tokenizer const& text, std::span<int const> prompt, generate_options const& options = {},
                    piece_callback const& on_piece = {}) {
  using clock = std::chrono::steady_clock;
  auto const seconds_since = [](clock::time_point t) { return std::chrono::duration<double>(clock::now() - t).count(); };
  if (prompt.empty()) throw error("model.20", "the prompt is empty; expected at least one token");
  if (int(prompt.size()) > sequence.room())
    throw error("model.21", "the prompt has " + std::to_string(prompt.size()) + " tokens; the cache has room for " + std::to_string(sequence.room()));
  if (options.prefill_chunk < 1) throw error("model.22", "prefill_chunk is " + std::to_string(options.prefill_chunk) + "; expected at least 1");

  generation out;
  out.prompt_tokens = int(prompt.size());
  auto begin = clock::now();
  std::span<float> logits;
  for (std::size_t at = 0; at < prompt.size(); at += options.prefill_chunk)
    logits = sequence.advance(prompt.subspan(at, std::min<std::size_t>(options.prefill_chunk, prompt.size() - at)));
  out.prefill_seconds = seconds_since(begin);

  begin = clock::now();
  sampler pick(options.sampling);
  std::vector<int> history(prompt.begin(), prompt.end());  // what the repetition penalty looks at
  token_stream stream(text);
  detail::stop_filter filter(options.stop);
  auto const emit = [&](std::string const& piece) {
    out.text += piece;
    if (!piece.empty() && on_piece && !on_piece(piece)) out.why = finish::cancelled;
  };
  bool drawn = false;
  if constexpr (drawing_model<Sequence>) drawn = sequence.draws(options.sampling);
  auto const next = [&]() -> chosen_token {
    if constexpr (drawing_model<Sequence>)
      if (drawn) return sequence.draw();
    std::vector<float> scores(logits.begin(), logits.end());  // sampling rewrites them
    int const id = pick(scores, history);
    return {id, detail::log_probability(logits, id)};
  };
  while (int(out.ids.size()) < options.max_tokens) {
    auto const [id, log_probability] = next();
    if (!options.ignore_stop_ids && sequence.is_stop(id)) { out.why = finish::stop_token; break; }
    out.ids.push_back(id), history.push_back(id);
    out.log_probability.push_back(log_probability);
    emit(filter.push(stream.push(id)));
    if (filter.stopped()) out.why = finish::stop_text;
    if (out.why != finish::length) break;
    if (int(out.ids.size()) == options.max_tokens || sequence.room() < 1) break;
    if (!drawn) logits = sequence.advance(std::span(&history.back(), 1));
  }
  if (out.why != finish::stop_text && out.why != finish::cancelled) {
    emit(filter.push(stream.finish()));
    if (filter.stopped()) out.why = finish::stop_text;
    else emit(filter.finish());
  }
  out.decode_seconds = seconds_since(begin);
  return out;
}

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER)
  #include <cmath>
  #include <limits>

namespace smalti {

namespace detail {
SMALTI_INLINE std::string stop_filter::push(std::string_view more) {
  held_ += more;
  std::size_t cut = std::string::npos;
  for (auto const& s : stops_)
    if (!s.empty()) cut = std::min(cut, held_.find(s));
  if (cut != std::string::npos) return stopped_ = true, held_.substr(0, cut);
  std::size_t keep = 0;  // the longest end of the text that begins some stop string
  for (auto const& s : stops_)
    for (std::size_t n = std::min(s.empty() ? 0 : s.size() - 1, held_.size()); n > keep; --n)
      if (held_.ends_with(std::string_view(s).substr(0, n))) keep = n;
  std::string sure = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return sure;
}

SMALTI_INLINE float log_probability(std::span<float const> logits, int id) {
  double top = -std::numeric_limits<double>::infinity(), sum = 0;
  for (float v : logits) top = std::max(top, double(v));
  for (float v : logits) sum += std::exp(v - top);
  return float(logits[id] - top - std::log(sum));
}
}  // namespace detail

}  // namespace smalti
#endif
