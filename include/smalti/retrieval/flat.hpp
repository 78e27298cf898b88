#pragma once
// The exact index: every vector is compared with every query. The fastest choice up to about 10⁴ … 10⁵ vectors, and the truth
// that approximate indexes are measured against.

#include <unordered_map>
#include "../core/buffer.hpp"
#include "index.hpp"

namespace smalti {

/// Vectors as rows of one block of memory. Models vector_index; erase moves the last row into the gap, so no memory is lost.
/// Errors: index.7 (dimension), index.8 (NaN, infinity), index.9 (id known already), index.10 (unknown id).
class flat_index {
 public:
  explicit flat_index(int dimension);

  int dimension() const { return dimension_; }
  int size() const { return int(ids_.size()); }
  bool contains(int id) const { return row_of_.contains(id); }
  std::span<int const> ids() const { return ids_; }  ///< of the rows, in order
  /// The vector under an id, (dimension); valid until the next add or erase.
  std::span<float const> vector(int id) const;

  void reserve(int count) { grow(std::size_t(std::max(count, 0))); }
  void add(int id, std::span<float const> v);
  void erase(int id);

  /// The k best of every query, best first, fewer where fewer are kept. queries: (count, dimension), rows anywhere in memory.
  std::vector<std::vector<hit>> search(on_cpu const& where, view<float const, 2> queries, int k, id_filter const& keep = {}) const;
  std::vector<hit> search(on_cpu const& where, std::span<float const> query, int k, id_filter const& keep = {}) const;

 private:
  static constexpr int rows_per_block = 128;  // 192 KB at dimension 384: stays in L2 for all groups of four queries

  index stride() const { return round_up(index(dimension_), index(16)); }  // every row on a cache line of its own
  float const* row(int r) const { return rows_.data() + r * stride(); }

  void scan(arch device, int first, int last, float const* queries, int count, id_filter const& keep, std::vector<best_hits>& best) const;
  void grow(std::size_t capacity);

  int dimension_;
  std::size_t capacity_ = 0;  // rows
  buffer<float> rows_;        // (capacity, stride)
  std::vector<int> ids_;      // by row
  std::unordered_map<int, int> row_of_;
};
static_assert(vector_index<flat_index>);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
  #include <cstring>
  #include "scores.hpp"

namespace smalti {

SMALTI_INLINE flat_index::flat_index(int dimension) : dimension_(dimension) { detail::check_dimension(dimension); }

SMALTI_INLINE std::span<float const> flat_index::vector(int id) const {
  auto const at = row_of_.find(id);
  if (at == row_of_.end()) detail::unknown_id(id);
  return {row(at->second), std::size_t(dimension_)};
}

SMALTI_INLINE void flat_index::add(int id, std::span<float const> v) {
  detail::check_vector(v, dimension_, "a vector to add");
  if (id < 0 || contains(id)) detail::known_id(id);
  if (ids_.size() == capacity_) grow(std::max<std::size_t>(16, capacity_ * 2));
  float* const to = rows_.data() + ids_.size() * std::size_t(stride());
  std::memcpy(to, v.data(), v.size_bytes());
  row_of_.emplace(id, size()), ids_.push_back(id);
}

SMALTI_INLINE void flat_index::erase(int id) {
  auto const at = row_of_.find(id);
  if (at == row_of_.end()) detail::unknown_id(id);
  int const gap = at->second, last = size() - 1;
  if (gap != last) {
    std::memcpy(rows_.data() + gap * stride(), row(last), sizeof(float) * std::size_t(dimension_));
    ids_[std::size_t(gap)] = ids_[std::size_t(last)], row_of_[ids_[std::size_t(gap)]] = gap;
  }
  row_of_.erase(id), ids_.pop_back();
}

SMALTI_INLINE std::vector<std::vector<hit>> flat_index::search(on_cpu const& where, view<float const, 2> queries, int k, id_filter const& keep) const {
  int const count = int(queries.extent[0]), n = dimension_;
  buffer<float> packed(std::size_t(count) * std::size_t(n));  // (count, dimension)
  for (int q = 0; q < count; ++q) {
    if (queries.extent[1] != n) detail::check_vector({queries.at, std::size_t(queries.extent[1])}, n, "a query");
    for (int i = 0; i < n; ++i) packed[std::size_t(q) * std::size_t(n) + std::size_t(i)] = queries(q, i);
    detail::check_vector({packed.data() + std::size_t(q) * std::size_t(n), std::size_t(n)}, n, "a query");
  }
  // A task is a part of the rows for all queries; parts are as many as the threads can share evenly.
  int const parts = std::max(1, std::min(where.size() * 4, size() / rows_per_block));
  std::vector<std::vector<best_hits>> found(std::size_t(parts), std::vector<best_hits>(std::size_t(count), best_hits(std::min(k, size()))));
  parallel_for(where, parts, [&](index part) {
    int const first = int(size() * part / parts), last = int(size() * (part + 1) / parts);
    scan(where.device, first, last, packed.data(), count, keep, found[std::size_t(part)]);
  });
  std::vector<std::vector<hit>> all;
  for (int q = 0; q < count; ++q) {
    best_hits best(std::min(k, size()));
    for (auto& part : found)
      for (hit h : part[std::size_t(q)].take()) best.push(h);
    all.push_back(best.take());
  }
  return all;
}

SMALTI_INLINE std::vector<hit> flat_index::search(on_cpu const& where, std::span<float const> query, int k, id_filter const& keep) const {
  detail::check_vector(query, dimension_, "a query");
  return std::move(search(where, row_major(query.data(), 1, dimension_), k, keep)[0]);
}

SMALTI_INLINE void flat_index::scan(arch device, int first, int last, float const* queries, int count, id_filter const& keep, std::vector<best_hits>& best) const {
  float scores[4 * rows_per_block];
  for (int r = first; r < last; r += rows_per_block) {
    int const rows = std::min(rows_per_block, last - r);
    for (int q = 0; q < count;) {
      int const group = count - q >= 4 ? 4 : 1;
      (group == 4 ? detail::row_products4(device) : detail::row_products(device))(row(r), stride(), rows, queries + index(q) * dimension_, dimension_, scores);
      for (int j = 0; j < group; ++j, ++q)
        for (int i = 0; i < rows; ++i) {
          hit const h{ids_[std::size_t(r + i)], scores[j * rows + i]};
          auto& top = best[std::size_t(q)];
          if (h.score >= top.bar() && (!keep || keep(h.id))) top.push(h);
        }
    }
  }
}

SMALTI_INLINE void flat_index::grow(std::size_t capacity) {
  if (capacity <= capacity_) return;
  buffer<float> larger(capacity * std::size_t(stride()));
  if (!ids_.empty()) std::memcpy(larger.data(), rows_.data(), ids_.size() * std::size_t(stride()) * sizeof(float));
  rows_ = std::move(larger), capacity_ = capacity;
}

}  // namespace smalti
#endif
