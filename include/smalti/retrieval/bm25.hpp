#pragma once
// Retrieval by words: BM25 (Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework", eq. 3.15) with the inverse
// document frequency kept positive by a 1 inside the logarithm, as Lucene does.

#include <unordered_map>
#include "index.hpp"
#include "words.hpp"

namespace smalti {

struct bm25_options {
  float k1 = 1.2f;  ///< how soon further occurrences stop counting, ≥ 0
  float b = 0.75f;  ///< how much long texts are held back, 0 … 1
  word_options words = {};
};

/// score(q, d) = Σ over the words t of q of ln(1 + (N − n_t + ½) / (n_t + ½)) · f (k1 + 1) / (f + k1 (1 − b + b |d| / mean |d|)), where
/// f is how often t occurs in d, n_t how many of the N texts hold t. A word said twice in q counts twice. search ∥ search is
/// safe; add and erase need the index to themselves. Errors: index.9 (id known), index.10 (id unknown), index.11 (options).
class bm25_index {
 public:
  explicit bm25_index(bm25_options options = {});

  int size() const { return int(slot_of_.size()); }
  bool contains(int id) const { return slot_of_.contains(id); }

  void add(int id, std::string_view words);
  void erase(int id);

  /// The k best texts that share a word with the query and are kept, best first. Scores are above 0.
  std::vector<hit> search(std::string_view query, int k, id_filter const& keep = {}) const;

 private:
  struct posting { int slot, count; };
  struct text {
    int id = -1, length = 0;                  // words
    std::vector<std::pair<int, int>> terms;   // and how often: what erase has to undo
  };
  int term_of(std::string_view word);

  bm25_options options_;
  std::unordered_map<std::string, int> terms_;
  std::vector<std::vector<posting>> postings_;  // by term
  std::vector<text> texts_;                     // by slot
  std::vector<int> free_;                       // slots of erased texts
  std::unordered_map<int, int> slot_of_;
  long long words_ = 0;                         // of all texts together
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
  #include <algorithm>
  #include <cmath>
  #include <utility>

namespace smalti {

SMALTI_INLINE bm25_index::bm25_index(bm25_options options) : options_(options) {
  if (!(options.k1 >= 0 && options.k1 <= 1e6f && options.b >= 0 && options.b <= 1))
    throw error("index.11", "options of BM25: expected k1 ≥ 0 and b 0 … 1, found k1 " + std::to_string(options.k1) + ", b " + std::to_string(options.b));
}

SMALTI_INLINE void bm25_index::add(int id, std::string_view words) {
  if (id < 0 || contains(id)) detail::known_id(id);
  text made{id, 0, {}};
  std::unordered_map<int, int> counts;
  for_each_word(words, options_.words, [&](std::string_view word, std::size_t, std::size_t) { ++counts[term_of(word)], ++made.length; });
  made.terms.assign(counts.begin(), counts.end());
  int slot = int(texts_.size());
  if (free_.empty()) texts_.emplace_back();
  else slot = free_.back(), free_.pop_back();
  for (auto [term, count] : made.terms) postings_[std::size_t(term)].push_back({slot, count});
  words_ += made.length, slot_of_.emplace(id, slot), texts_[std::size_t(slot)] = std::move(made);
}

SMALTI_INLINE void bm25_index::erase(int id) {
  auto const at = slot_of_.find(id);
  if (at == slot_of_.end()) detail::unknown_id(id);
  int const slot = at->second;
  auto& gone = texts_[std::size_t(slot)];
  for (auto [term, count] : gone.terms) {
    auto& list = postings_[std::size_t(term)];
    auto const place = std::find_if(list.begin(), list.end(), [&](posting const& p) { return p.slot == slot; });
    *place = list.back(), list.pop_back();
  }
  words_ -= gone.length, gone = {}, free_.push_back(slot), slot_of_.erase(at);
}

SMALTI_INLINE std::vector<hit> bm25_index::search(std::string_view query, int k, id_filter const& keep) const {
  std::vector<int> asked;
  for_each_word(query, options_.words, [&](std::string_view word, std::size_t, std::size_t) {
    if (auto const at = terms_.find(std::string(word)); at != terms_.end()) asked.push_back(at->second);
  });
  std::sort(asked.begin(), asked.end());  // the order of summation must not depend on the order of words
  std::vector<float> scores(texts_.size());
  float const mean = slot_of_.empty() ? 1.f : std::max(float(words_) / float(slot_of_.size()), 1e-6f);
  for (int term : asked) {
    auto const& list = postings_[std::size_t(term)];
    float const n = float(list.size()), rarity = std::log(1 + (float(size()) - n + 0.5f) / (n + 0.5f));
    for (posting const& p : list) {
      float const f = float(p.count), length = float(texts_[std::size_t(p.slot)].length);
      scores[std::size_t(p.slot)] += rarity * f * (options_.k1 + 1) / (f + options_.k1 * (1 - options_.b + options_.b * length / mean));
    }
  }
  best_hits best(std::min(k, size()));
  for (std::size_t slot = 0; slot < scores.size(); ++slot)
    if (hit const h{texts_[slot].id, scores[slot]}; h.score > 0 && h.score >= best.bar() && (!keep || keep(h.id))) best.push(h);
  return best.take();
}

SMALTI_INLINE int bm25_index::term_of(std::string_view word) {
  auto const [at, fresh] = terms_.emplace(word, int(postings_.size()));
  if (fresh) postings_.emplace_back();
  return at->second;
}

}  // namespace smalti
#endif
