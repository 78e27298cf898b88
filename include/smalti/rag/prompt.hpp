#pragma once
// Passages and a question as the two turns that the default model is trained on, within a budget of tokens.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "retrieve.hpp"

namespace smalti {

inline constexpr char const* rag_system = "Answer the question from the passages. Cite them as [1]. If they do not hold the answer, say so.";

struct rag_prompt {
  std::string system, user;
  std::vector<passage> passages;  ///< those in the prompt, [1] first; shortened ones with the text and span that were kept
};

struct prompt_options {
  int budget = 768;                                    ///< tokens of both turns together at most
  std::function<int(std::string_view)> count = {};     ///< tokens of a text; empty: bytes / 3, on the safe side for English
  std::string system = rag_system;
};

/// Packs the passages in their order. One that does not fit is cut after as many whole sentences as fit, and left out where not one
/// does. Errors: rag.5 (the question alone exceeds the budget).
rag_prompt build_prompt(std::string_view question, std::span<passage const> passages, prompt_options const& o = {});

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RAG)
  #include "../core/error.hpp"
  #include "../text/chunk.hpp"

namespace smalti {

namespace detail {
inline std::string render_user(std::span<passage const> passages, std::string_view question) {
  std::string user;
  for (std::size_t i = 0; i < passages.size(); ++i) user += "[" + std::to_string(i + 1) + "] " + passages[i].title + "\n" + passages[i].text + "\n\n";
  return user + "Question: " + std::string(question);
}
/// Keeps the first sentences [0, count) of the passage.
inline passage shortened(passage p, std::span<chunk const> sentences, std::size_t count) {
  p.text.resize(sentences[count - 1].end);
  p.span.end = p.span.begin + p.text.size();
  return p;
}
}  // namespace detail

SMALTI_INLINE rag_prompt build_prompt(std::string_view question, std::span<passage const> passages, prompt_options const& o) {
  auto const count = [&](std::string_view text) { return o.count ? o.count(text) : int(text.size() / 3) + 1; };
  rag_prompt p{o.system, {}, {}};
  auto const size = [&] { return count(p.system) + count(detail::render_user(p.passages, question)); };
  if (int const alone = size(); alone > o.budget)
    throw error("rag.5", "prompt: expected a question within " + std::to_string(o.budget) + " tokens, found " + std::to_string(alone) + " with the instructions");
  for (auto const& whole : passages) {
    p.passages.push_back(whole);
    if (size() <= o.budget) continue;
    auto const sentences = split_sentences(whole.text);
    std::size_t low = 0, high = sentences.size();  // the most sentences that fit: sizes grow with them
    while (low + 1 < high) {
      std::size_t const middle = (low + high) / 2;
      p.passages.back() = detail::shortened(whole, sentences, middle);
      (size() <= o.budget ? low : high) = middle;
    }
    if (low) p.passages.back() = detail::shortened(whole, sentences, low);
    else p.passages.pop_back();
  }
  p.user = detail::render_user(p.passages, question);
  return p;
}

}  // namespace smalti
#endif
