#pragma once
// How good a ranking of documents is (Manning, Raghavan & Schütze 2008, "Introduction to Information Retrieval", chapter 8). Relevance is yes
// or no; a document counts once, at its first place.

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace evaluation {

using ranking_list = std::vector<std::string>;  ///< document ids, best first
using relevant_set = std::set<std::string>;

/// The ranking without repetitions: several passages of one document are one result.
inline ranking_list distinct(ranking_list const& ranked) {
  ranking_list out;
  std::set<std::string> seen;
  for (auto const& id : ranked)
    if (seen.insert(id).second) out.push_back(id);
  return out;
}
inline int found_within(ranking_list const& ranked, relevant_set const& relevant, int k) {
  auto const n = std::min<std::ptrdiff_t>(std::max(k, 0), std::ptrdiff_t(ranked.size()));
  return int(std::count_if(ranked.begin(), ranked.begin() + n, [&](auto const& id) { return relevant.contains(id); }));
}
/// Share of the relevant documents among the first k; 0 where none is relevant.
inline double recall_at(ranking_list const& ranked, relevant_set const& relevant, int k) {
  return relevant.empty() ? 0 : double(found_within(distinct(ranked), relevant, k)) / double(relevant.size());
}
/// Whether one of them is among the first k: enough where each holds the answer alone.
inline bool hit_at(ranking_list const& ranked, relevant_set const& relevant, int k) { return found_within(distinct(ranked), relevant, k) > 0; }

/// 1 / the place of the first relevant document, from 1; 0 without one. Its mean over questions is the MRR.
inline double reciprocal_rank(ranking_list const& ranked, relevant_set const& relevant) {
  auto const all = distinct(ranked);
  for (std::size_t i = 0; i < all.size(); ++i)
    if (relevant.contains(all[i])) return 1. / double(i + 1);
  return 0;
}

/// DCG / ideal DCG over the first k, gain 1, discount 1 / log2(place + 1) (Järvelin & Kekäläinen 2002); 0 where none is relevant.
inline double ndcg_at(ranking_list const& ranked, relevant_set const& relevant, int k) {
  auto const all = distinct(ranked);
  double gained = 0, ideal = 0;
  for (int i = 0; i < k; ++i) {
    double const discount = 1 / std::log2(double(i) + 2);
    if (i < int(all.size()) && relevant.contains(all[std::size_t(i)])) gained += discount;
    if (i < int(relevant.size())) ideal += discount;
  }
  return ideal > 0 ? gained / ideal : 0;
}

}  // namespace evaluation
