#pragma once
// Scores of an answer against the references: exact match, token F1, BLEU, ROUGE-L, numbers (quantity.hpp), citations, abstention; and of
// rankings (ranking.hpp). Where several references are accepted, the best one counts.

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "quantity.hpp"
#include "ranking.hpp"

namespace evaluation {

/// The answer without its citation marks at the ends of sentences, "[1]" or "[2, 3]" behind a space. An index a[1] stays.
inline std::string without_citations(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t j = i;
    if (text[i] == '[' && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\n' || text[i - 1] == ']'))
      for (++j; j < text.size() && (detail::is_digit(text[j]) || text[j] == ',' || text[j] == ' ');) ++j;
    if (j > i + 1 && j < text.size() && text[j] == ']') {
      i = j + 1;
      while (!out.empty() && out.back() == ' ') out.pop_back();
      continue;
    }
    out += text[i++];
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == '\n')) out.pop_back();
  return out;
}

/// Words as SQuAD compares them (Rajpurkar et al. 2016, arXiv:1606.05250, evaluate-v1.1.py): lower case, ASCII punctuation removed, no a, an, the.
inline std::vector<std::string> normalised_words(std::string_view text) {
  std::vector<std::string> words(1);
  for (char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) words.emplace_back();
    else if (!std::ispunct(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80) words.back() += char(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  std::erase_if(words, [](auto const& w) { return w.empty() || w == "a" || w == "an" || w == "the"; });
  return words;
}

inline bool exact_match(std::string_view answer, std::span<std::string const> accepted) {
  auto const words = normalised_words(answer);
  return std::any_of(accepted.begin(), accepted.end(), [&](auto const& r) { return normalised_words(r) == words; });
}

/// Whether an accepted text stands in the answer, word for word.
inline bool holds_reference(std::string_view answer, std::span<std::string const> accepted) {
  auto const words = normalised_words(answer);
  return std::any_of(accepted.begin(), accepted.end(), [&](auto const& r) {
    auto const part = normalised_words(r);
    return !part.empty() && std::search(words.begin(), words.end(), part.begin(), part.end()) != words.end();
  });
}

/// Harmonic mean of the shares of common words, counted with repetition; 1 for two empty texts, 0 for one.
inline double token_f1(std::string_view answer, std::string_view reference) {
  auto const a = normalised_words(answer), r = normalised_words(reference);
  if (a.empty() || r.empty()) return a.empty() && r.empty();
  std::map<std::string, int> left;
  for (auto const& w : r) ++left[w];
  int same = 0;
  for (auto const& w : a)
    if (auto const at = left.find(w); at != left.end() && at->second-- > 0) ++same;
  return 2. * same / double(a.size() + r.size());
}
inline double token_f1(std::string_view answer, std::span<std::string const> accepted) {
  double best = 0;
  for (auto const& r : accepted) best = std::max(best, token_f1(answer, std::string_view(r)));
  return best;
}

/// Words for BLEU and ROUGE: lower case, runs of letters and digits, every other mark on its own.
inline std::vector<std::string> plain_words(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (char c : text) {
    bool const part = detail::is_letter(c) || detail::is_digit(c) || static_cast<unsigned char>(c) >= 0x80;
    if (c == ' ' || (c >= '\t' && c <= '\r')) { inside = false; continue; }
    if (!part || !inside) words.emplace_back();
    words.back() += char(c >= 'A' && c <= 'Z' ? c + 32 : c), inside = part;
  }
  return words;
}

/// What BLEU needs of a set of answers; the counts of several answers are added (Papineni et al. 2002).
struct bleu_counts {
  static constexpr int order = 4;
  long long matched[order] = {}, possible[order] = {}, length = 0, reference_length = 0;

  void add(std::string_view answer, std::span<std::string const> accepted) {
    auto const a = plain_words(answer);
    std::vector<std::vector<std::string>> references;
    for (auto const& r : accepted) references.push_back(plain_words(r));
    for (int n = 1; n <= order; ++n) {
      auto const mine = grams(a, n);
      std::map<std::vector<std::string>, int> most;  // the clip: how often a reference holds it
      for (auto const& r : references)
        for (auto const& [g, count] : grams(r, n)) most[g] = std::max(most[g], count);
      for (auto const& [g, count] : mine) {
        possible[n - 1] += count;
        if (auto const at = most.find(g); at != most.end()) matched[n - 1] += std::min(count, at->second);
      }
    }
    long long nearest = -1;  // the reference of the nearest length; of two, the shorter
    for (auto const& r : references) {
      long long const l = (long long)r.size(), gap = std::abs(l - (long long)a.size()), best = std::abs(nearest - (long long)a.size());
      if (nearest < 0 || gap < best || (gap == best && l < nearest)) nearest = l;
    }
    length += (long long)a.size(), reference_length += std::max(nearest, 0ll);
  }

 private:
  static std::map<std::vector<std::string>, int> grams(std::vector<std::string> const& words, int n) {
    std::map<std::vector<std::string>, int> all;
    for (std::size_t i = 0; i + std::size_t(n) <= words.size(); ++i) ++all[{words.begin() + std::ptrdiff_t(i), words.begin() + std::ptrdiff_t(i) + n}];
    return all;
  }
};

/// BLEU-4, 0 … 1: brevity penalty times the geometric mean of the precisions of 1- to 4-grams. Smoothed: (matched + 1) / (possible + 1) for n > 1
/// (Lin & Och 2004); else 0 where an order has no match.
inline double bleu(bleu_counts const& c, bool smoothed = true) {
  if (c.length == 0 || c.matched[0] == 0) return 0;
  double sum = 0;
  for (int n = 0; n < bleu_counts::order; ++n) {
    double const one = smoothed && n > 0;
    double const matched = double(c.matched[n]) + one, possible = double(c.possible[n]) + one;
    if (matched == 0 || possible == 0) return 0;
    sum += std::log(matched / possible);
  }
  double const brevity = c.length > c.reference_length ? 1 : std::exp(1 - double(c.reference_length) / double(c.length));
  return brevity * std::exp(sum / bleu_counts::order);
}

/// ROUGE-L as an F1 over plain words: the longest common subsequence against both lengths, β = 1 (Lin 2004, eq. 1–3).
inline double rouge_l(std::string_view answer, std::span<std::string const> accepted) {
  auto const a = plain_words(answer);
  double best = 0;
  for (auto const& text : accepted) {
    auto const r = plain_words(text);
    std::vector<int> row(r.size() + 1);  // longest common subsequences of a's first words with each beginning of r
    for (auto const& w : a)
      for (std::size_t j = 1, corner = 0; j <= r.size(); ++j) {
        auto const above = std::size_t(row[j]);
        row[j] = w == r[j - 1] ? int(corner) + 1 : std::max(row[j], row[j - 1]);
        corner = above;
      }
    if (!a.empty() && !r.empty()) best = std::max(best, 2. * row.back() / double(a.size() + r.size()));
  }
  return best;
}

/// Of the marks in an answer, which lead to a document that holds the answer; and of these documents, which are cited. A mark that names no
/// passage is an empty id, and wrong.
struct citation_score {
  double precision = 0, recall = 0;
  bool cites = false;  ///< without a mark, precision is undefined
};
inline citation_score score_citations(std::vector<std::string> const& cited, relevant_set const& relevant) {
  citation_score s{0, 0, !cited.empty()};
  relevant_set reached;
  int right = 0;
  for (auto const& id : cited)
    if (relevant.contains(id)) ++right, reached.insert(id);
  if (s.cites) s.precision = double(right) / double(cited.size());
  if (!relevant.empty()) s.recall = double(reached.size()) / double(relevant.size());
  return s;
}

/// Declining as a decision: positive is "declines", right where the documents do not hold the answer.
struct abstention_counts {
  int declined_rightly = 0, declined_wrongly = 0, answered_rightly = 0, answered_wrongly = 0;
  void add(bool answerable, bool declined) { ++(declined ? (answerable ? declined_wrongly : declined_rightly) : (answerable ? answered_rightly : answered_wrongly)); }
  static double share(int part, int whole) { return whole ? double(part) / whole : 0; }
  double precision() const { return share(declined_rightly, declined_rightly + declined_wrongly); }
  double recall() const { return share(declined_rightly, declined_rightly + answered_wrongly); }
  double f1() const { return share(2 * declined_rightly, 2 * declined_rightly + declined_wrongly + answered_wrongly); }
};

}  // namespace evaluation
