#pragma once
// What every vector index offers, exact or approximate: ids in, the best ids out, by inner product.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <functional>
#include <span>
#include <string>
#include <vector>
#include "../core/error.hpp"
#include "../core/view.hpp"
#include "../core/where.hpp"

namespace smalti {

/// One result of a search: larger scores are better, whatever they measure.
struct hit {
  int id = 0;
  float score = 0;
  friend bool operator==(hit const&, hit const&) = default;
};

/// Which ids a search may return; empty: all. Called from several threads when the search has several.
using id_filter = std::function<bool(int id)>;

/// The order of results: by score, and equal scores by id, so that a result never depends on threads or insertion order.
struct better {
  bool operator()(hit const& a, hit const& b) const { return a.score > b.score || (a.score == b.score && a.id < b.id); }
};

/// The k best of the hits pushed so far, in O(log k) each.
class best_hits {
 public:
  explicit best_hits(int k) : k_(std::size_t(std::max(k, 0))) {}
  bool full() const { return heap_.size() >= k_; }
  /// A hit that does not beat this score cannot enter. −inf while there is room.
  float bar() const { return heap_.empty() || !full() ? -INFINITY : heap_.front().score; }
  void push(hit h);
  /// Best first. Leaves nothing.
  std::vector<hit> take();

 private:
  std::size_t k_;
  std::vector<hit> heap_;  // the worst in front
};

/// A set of vectors of one dimension under ids of the caller's choosing (0 … 2³¹ − 1), searched by inner product (cosine, for unit vectors).
/// search ∥ search is safe; add and erase need the index to themselves.
template <class Index>
concept vector_index = requires(Index index, Index const fixed, on_cpu where, int id, int k, std::span<float const> v, id_filter const& keep) {
  { fixed.dimension() } -> std::same_as<int>;
  { fixed.size() } -> std::same_as<int>;
  { fixed.contains(id) } -> std::same_as<bool>;
  { fixed.vector(id) } -> std::same_as<std::span<float const>>;
  index.add(id, v);
  index.erase(id);
  { fixed.search(where, v, k, keep) } -> std::same_as<std::vector<hit>>;
};

namespace detail {
/// Refuses what would poison every later comparison: one NaN, and no order is an order any more. The bound keeps every inner
/// product finite: 65536 · (10¹⁶)² < 3.4·10³⁸.
void check_vector(std::span<float const> v, int dimension, char const* what);
void check_dimension(int dimension);
[[noreturn]] void unknown_id(int id);
[[noreturn]] void known_id(int id);
}  // namespace detail

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)

namespace smalti {

SMALTI_INLINE void best_hits::push(hit h) {
  if (!full()) return heap_.push_back(h), std::push_heap(heap_.begin(), heap_.end(), better{});
  if (k_ == 0 || !better{}(h, heap_.front())) return;
  std::pop_heap(heap_.begin(), heap_.end(), better{});
  heap_.back() = h, std::push_heap(heap_.begin(), heap_.end(), better{});
}
SMALTI_INLINE std::vector<hit> best_hits::take() { return std::sort(heap_.begin(), heap_.end(), better{}), std::move(heap_); }

namespace detail {
SMALTI_INLINE void check_vector(std::span<float const> v, int dimension, char const* what) {
  if (v.size() != std::size_t(dimension))
    throw error("index.7", std::string(what) + ": expected " + std::to_string(dimension) + " numbers, found " + std::to_string(v.size()));
  for (std::size_t i = 0; i < v.size(); ++i)
    if (!(std::fabs(v[i]) <= 1e16f))
      throw error("index.8", std::string(what) + ": expected numbers within ±1e16, found " + std::to_string(v[i]) + " at place " + std::to_string(i));
}

SMALTI_INLINE void check_dimension(int dimension) {
  constexpr int most = 1 << 16;
  if (dimension < 1 || dimension > most)
    throw error("index.7", "the dimension: expected 1 … " + std::to_string(most) + ", found " + std::to_string(dimension));
}
SMALTI_INLINE void unknown_id(int id) { throw error("index.10", "id " + std::to_string(id) + ": expected one of the index, found none"); }

SMALTI_INLINE void known_id(int id) {
  throw error("index.9", "id " + std::to_string(id) + ": expected a new one of 0 … 2147483647, found " + (id < 0 ? "a negative one" : "it in the index already"));
}
}  // namespace detail

}  // namespace smalti
#endif
