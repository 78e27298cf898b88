#pragma once
// What an answer says it rests on: the marks [1], [2, 3] in it, the sentence each belongs to, and the sentence of the passage that
// supports it best.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>
#include "retrieve.hpp"

namespace smalti {

struct citation {
  int number = 0;          ///< as in the text, from 1
  std::size_t passage = 0; ///< its place in the list of passages
  text_span mark;          ///< bytes of the answer: "[1]"
  text_span claim;         ///< bytes of the answer: the sentence before or around the mark
  text_span evidence;      ///< bytes of the passage's text: its sentence that shares most with the claim; empty where none does
  float support = 0;       ///< share of the claim's words that the passage holds, 0 … 1
};
struct citation_list {
  std::vector<citation> all;
  std::vector<int> unknown;  ///< numbers that no passage has
};

/// The citations of an answer, in order. A mark at the start of a sentence belongs to the one before: "It is 8 %. [1] So …".
citation_list parse_citations(std::string_view answer, std::span<passage const> passages);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RAG)
  #include <algorithm>
  #include <string>
  #include <unordered_set>

namespace smalti {

namespace detail {
using word_set = std::unordered_set<std::string>;

inline word_set words_of(std::string_view text) {
  word_set all;
  for_each_word(text, {}, [&](std::string_view w, std::size_t, std::size_t) { all.emplace(w); });
  return all;
}
/// The text without its marks, which are no words of it.
inline std::string without_marks(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t j = i;
    if (text[i] == '[')
      for (++j; j < text.size() && (text[j] == ',' || text[j] == ' ' || (text[j] >= '0' && text[j] <= '9'));) ++j;
    if (j > i + 1 && j < text.size() && text[j] == ']') { i = j + 1; continue; }
    out += text[i++];
  }
  return out;
}
/// Share of a's words that b holds too; 0 for no words.
inline float coverage(word_set const& a, word_set const& b) {
  if (a.empty()) return 0;
  std::size_t common = 0;
  for (auto const& w : a) common += b.contains(w);
  return float(common) / float(a.size());
}

/// The sentence that shares most words with the claim, by F1, so that a long one does not win by length.
inline text_span best_sentence(std::string_view text, word_set const& claim) {
  text_span best;
  float most = 0;
  for (chunk const& s : split_sentences(text)) {
    auto const words = words_of(text.substr(s.begin, s.end - s.begin));
    float const p = coverage(words, claim), r = coverage(claim, words);
    if (float const f1 = p + r > 0 ? 2 * p * r / (p + r) : 0; f1 > most) most = f1, best = {s.begin, s.end};
  }
  return best;
}
}  // namespace detail

SMALTI_INLINE citation_list parse_citations(std::string_view answer, std::span<passage const> passages) {
  citation_list found;
  auto const sentences = split_sentences(answer);
  auto claim_at = [&](std::size_t mark) -> text_span {
    std::size_t s = 0;
    while (s + 1 < sentences.size() && sentences[s + 1].begin <= mark) ++s;
    if (sentences.empty()) return {};
    // Everything before the mark within its sentence is marks: it is the tail of an earlier one.
    while (s > 0 && detail::words_of(detail::without_marks(answer.substr(sentences[s].begin, mark - sentences[s].begin))).empty()) --s;
    return {sentences[s].begin, sentences[s].end};
  };
  for (std::size_t at = 0; (at = answer.find('[', at)) != std::string_view::npos; ++at) {
    auto const end = answer.find(']', at);
    if (end == std::string_view::npos) break;
    auto const inside = answer.substr(at + 1, end - at - 1);
    if (inside.empty() || inside.size() > 40 || inside.find_first_not_of("0123456789, ") != std::string_view::npos) continue;
    for (std::size_t i = 0; i < inside.size();) {
      if (inside[i] < '0' || inside[i] > '9') { ++i; continue; }
      long number = 0;
      for (; i < inside.size() && inside[i] >= '0' && inside[i] <= '9'; ++i) number = std::min(number * 10 + (inside[i] - '0'), 1000000L);
      if (number < 1 || std::size_t(number) > passages.size()) { found.unknown.push_back(int(number)); continue; }
      citation c{int(number), std::size_t(number - 1), {at, end + 1}, claim_at(at), {}, 0};
      auto const claim = detail::words_of(detail::without_marks(answer.substr(c.claim.begin, c.claim.end - c.claim.begin)));
      auto const& text = passages[c.passage].text;
      c.evidence = detail::best_sentence(text, claim), c.support = detail::coverage(claim, detail::words_of(passages[c.passage].title + "\n" + text));
      found.all.push_back(c);
    }
  }
  return found;
}

}  // namespace smalti
#endif
