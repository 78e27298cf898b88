#pragma once
// Several rankings made one (reciprocal rank fusion; Cormack, Clarke & Büttcher 2009), and a ranking made varied (maximal
// marginal relevance; Carbonell & Goldstein 1998).

#include <initializer_list>
#include "index.hpp"

namespace smalti {

struct rrf {
  float constant = 60;  ///< ranks count from 1: the first of a list adds 1/61
};

/// score(id) = Σ over the rankings that hold it of weight / (constant + rank). Only ranks count, so scores of different kinds
/// may meet. At most `limit` hits, best first. weights: one for each ranking, or none (all 1).
std::vector<hit> fuse(std::span<std::vector<hit> const> rankings, int limit, rrf how = {}, std::span<float const> weights = {});
inline std::vector<hit> fuse(std::initializer_list<std::vector<hit>> rankings, int limit, rrf how = {}) {
  return fuse(std::span(rankings.begin(), rankings.size()), limit, how);
}

/// Picks k of the hits one by one, each time the one with the largest λ·relevance − (1 − λ)·(its likeness to the most alike of
/// those picked). Relevance is the hit's score brought to 0 … 1 over the list; likeness(id, id) is a similarity, 1 for equals.
/// λ = 1 keeps the order. The hits keep their scores. O(k · n) likenesses.
template <class Likeness>
std::vector<hit> mmr(std::span<hit const> hits, int k, float lambda, Likeness&& likeness) {
  std::size_t const n = hits.size(), wanted = std::min(n, std::size_t(std::max(k, 0)));
  float low = INFINITY, high = -INFINITY;
  for (hit h : hits) low = std::min(low, h.score), high = std::max(high, h.score);
  auto relevance = [&](hit h) { return high > low ? (h.score - low) / (high - low) : 1.f; };
  std::vector<float> nearest(n, 0.f);  // likeness to the most alike of those picked; none picked yet
  std::vector<bool> taken(n);
  std::vector<hit> picked;
  while (picked.size() < wanted) {
    std::size_t best = n;
    float most = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (taken[i]) continue;
      float const value = lambda * relevance(hits[i]) - (1 - lambda) * nearest[i];
      if (best == n || value > most) best = i, most = value;  // of equals, the earlier
    }
    taken[best] = true, picked.push_back(hits[best]);
    for (std::size_t i = 0; i < n; ++i)
      if (!taken[i]) nearest[i] = std::max(nearest[i], float(likeness(hits[i].id, hits[best].id)));
  }
  return picked;
}

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
  #include <unordered_map>

namespace smalti {

SMALTI_INLINE std::vector<hit> fuse(std::span<std::vector<hit> const> rankings, int limit, rrf how, std::span<float const> weights) {
  std::unordered_map<int, float> sums;
  for (std::size_t r = 0; r < rankings.size(); ++r)
    for (std::size_t rank = 1; rank <= rankings[r].size(); ++rank)
      sums[rankings[r][rank - 1].id] += (r < weights.size() ? weights[r] : 1.f) / (how.constant + float(rank));
  best_hits best(std::min(limit, int(sums.size())));
  for (auto [id, score] : sums) best.push({id, score});
  return best.take();
}

}  // namespace smalti
#endif
