#pragma once
// What a model says where it would decline: with the beginnings of refusals out of the question, so that a comparison of passages does not rest on declining.

#include <algorithm>
#include <limits>
#include <span>
#include <vector>
#include <smalti/rag.hpp>

namespace evaluation {

/// A sequence whose answer begins with none of `refusals`: where all but the last token of one stand, that last one cannot follow.
/// `prompt` is how many tokens come before the answer.
template <smalti::sequence_model Sequence>
struct compelled_sequence {
  Sequence& sequence;
  std::vector<std::vector<int>> const& refusals;
  int prompt;
  std::vector<int> answer = {};

  std::span<float> advance(std::span<int const> tokens) {
    auto const logits = sequence.advance(tokens);
    if (prompt > 0) prompt -= int(tokens.size());
    else answer.insert(answer.end(), tokens.begin(), tokens.end());
    if (prompt > 0) return logits;
    for (auto const& r : refusals)
      if (answer.size() + 1 == r.size() && std::equal(answer.begin(), answer.end(), r.begin())) logits[std::size_t(r.back())] = -std::numeric_limits<float>::infinity();
    return logits;
  }
  int room() const { return sequence.room(); }
  bool is_stop(int id) const { return sequence.is_stop(id); }
};

/// A text_generator like smalti::chat_generator that always answers.
struct compelled_generator {
  smalti::chat_generator<smalti::on_cpu> const& usual;
  std::vector<std::vector<int>> refusals;

  explicit compelled_generator(smalti::chat_generator<smalti::on_cpu> const& g) : usual(g) {
    for (char const* begin : {"The passages", "I do not", "I don't"}) refusals.push_back(g.model.text.encode(begin, {.special_tokens = false}));
    for (int id : g.model.model.config().stop_ids) refusals.push_back({id});
  }
  smalti::generated_text operator()(smalti::rag_prompt const& p) const {
    smalti::message const turns[] = {{"system", p.system}, {"user", p.user}};
    auto& model = usual.model;
    auto const prompt = usual.layout.render(model.text, turns, true);
    smalti::decoder_sequence<smalti::on_cpu> sequence(model.model, model.cache);
    compelled_sequence<decltype(sequence)> forced{sequence, refusals, int(prompt.size())};
    auto const g = smalti::generate(forced, model.text, prompt, usual.options, usual.on_piece);
    return {g.text, {}, g.prompt_tokens, int(g.ids.size()), g.prefill_seconds, g.decode_seconds};
  }
};

}  // namespace evaluation
