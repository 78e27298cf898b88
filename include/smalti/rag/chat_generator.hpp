#pragma once
// A language model of this library as what answers a prompt of passages.

#include <numeric>
#include "../decoder/language_model.hpp"
#include "../text/chat.hpp"
#include "answer.hpp"

namespace smalti {

/// A text_generator: renders the two turns in the model's own layout and generates. Borrows the model.
template <class Where>
struct chat_generator {
  language_model<Where>& model;
  chat_template layout;
  generate_options options = {};
  piece_callback on_piece = {};   ///< called with the answer while it grows

  generated_text operator()(rag_prompt const& p) const {
    message const turns[] = {{"system", p.system}, {"user", p.user}};
    auto const prompt = layout.render(model.text, turns, true);
    generation const g = generate(model, prompt, options, on_piece);
    generated_text out{g.text, {}, g.prompt_tokens, int(g.ids.size()), g.prefill_seconds, g.decode_seconds};
    if (!g.log_probability.empty())
      out.log_probability = std::accumulate(g.log_probability.begin(), g.log_probability.end(), 0.f) / float(g.log_probability.size());
    return out;
  }
  /// Tokens of a text, for a prompt's budget.
  int count(std::string_view text) const { return int(model.text.encode(text, {.special_tokens = false}).size()); }
};

}  // namespace smalti
