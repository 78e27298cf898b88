#pragma once
// Abbreviations that texts define themselves, "net present value (NPV)": the plain case of Schwartz & Hearst 2003, "A simple
// algorithm for identifying abbreviation definitions in biomedical text", where each letter begins one word.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include "words.hpp"

namespace smalti {

/// Which long forms have which abbreviations. search ∥ search (expand) is safe; learn and forget need the table to themselves.
class abbreviation_table {
 public:
  /// What a text defines: two to eight capital letters or digits in brackets, after as many words that begin with them.
  void learn(std::string_view text) { change(text, 1); }
  /// Undoes learn() of the same text. An abbreviation is known as long as one text defines it.
  void forget(std::string_view text) { change(text, -1); }
  std::size_t size() const { return known_.size(); }

  /// The query, and after it the abbreviations of the long forms that stand in it: a text that defines "NPV" once says "NPV" from
  /// then on. Not the other way round: the words of a long form are common ones, and would lead elsewhere.
  std::string expand(std::string_view query) const;

 private:
  void change(std::string_view text, int by);

  std::map<std::string, std::map<std::string, int>, std::less<>> known_;  // long form → abbreviation → how many texts
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
  #include <algorithm>
  #include <utility>
  #include <vector>

namespace smalti {

namespace detail {
inline constexpr std::size_t most_initials = 8;
// Stop words count here: "return on equity" is ROE.
inline constexpr word_options every_word{.plurals = true, .stop_words = false};

struct placed_word {
  std::string text;
  std::size_t end;
};
inline std::vector<placed_word> placed_words(std::string_view text) {
  std::vector<placed_word> words;
  for_each_word(text, every_word, [&](std::string_view w, std::size_t, std::size_t end) { words.push_back({std::string(w), end}); });
  return words;
}

/// The initials in brackets at `open`, in lower case; empty if there are none. "CTEs" counts as CTE.
inline std::string initials_at(std::string_view text, std::size_t open) {
  auto inside = text.substr(open + 1, most_initials + 2);  // eight, a plural s, and the bracket
  auto const close = inside.find(')');
  if (close == std::string_view::npos) return {};
  inside = inside.substr(0, close);
  if (inside.size() > 2 && inside.ends_with('s')) inside.remove_suffix(1);
  std::string out;
  for (char c : inside) {
    if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9')) return {};
    out += c >= 'A' && c <= 'Z' ? char(c + 32) : c;
  }
  return out.size() < 2 || out.size() > most_initials ? std::string() : out;
}
}  // namespace detail

SMALTI_INLINE void abbreviation_table::change(std::string_view text, int by) {
  constexpr std::size_t reach = 160;  // bytes that eight words may take
  for (auto open = text.find('('); open != std::string_view::npos; open = text.find('(', open + 1)) {
    auto const initials = detail::initials_at(text, open);
    if (initials.empty()) continue;
    auto const before = text.substr(open - std::min(open, reach), std::min(open, reach));
    auto const words = detail::placed_words(before);
    if (words.size() < initials.size() || before.find_first_not_of(" \t\n", words.back().end) != std::string_view::npos) continue;
    std::string form;
    bool fits = true;
    for (std::size_t i = 0; i < initials.size(); ++i) {
      auto const& w = words[words.size() - initials.size() + i].text;
      fits &= w[0] == initials[i], form += (i ? " " : "") + w;
    }
    if (!fits) continue;
    auto& texts = known_[form][initials];
    if ((texts += by) > 0) continue;
    auto const at = known_.find(form);
    at->second.erase(initials);
    if (at->second.empty()) known_.erase(at);
  }
}

SMALTI_INLINE std::string abbreviation_table::expand(std::string_view query) const {
  std::string out(query);
  if (known_.empty()) return out;
  auto const words = detail::placed_words(query);
  auto const said = [&](std::string const& a) { return std::any_of(words.begin(), words.end(), [&](auto const& w) { return w.text == a; }); };
  for (std::size_t first = 0; first < words.size(); ++first) {
    std::string form;
    for (std::size_t i = first; i < std::min(words.size(), first + detail::most_initials); ++i) {
      form += (i > first ? " " : "") + words[i].text;
      if (auto const at = known_.find(form); at != known_.end())
        for (auto const& [initials, texts] : at->second)
          if (!said(initials)) out += " " + initials;
    }
  }
  return out;
}

}  // namespace smalti
#endif
