#pragma once
// The approximate index: a hierarchical navigable small world graph (Malkov & Yashunin 2018, arXiv:1603.09320), built by
// hnswlib. The search over its graph is written here: hnswlib 0.6.2 has no filter, and its marks for deletion can leave a new
// vector without a neighbour. An erased vector stays in the graph as a stepping stone and is never returned.

#include <memory>
#include <unordered_map>
#include "hnsw_graph.hpp"
#include "index.hpp"

namespace smalti {

struct hnsw_options {
  int m = 16;                 ///< neighbours per slot and level, 2 … 128; level 0 has twice as many
  int ef_construction = 200;  ///< candidates kept while inserting, 1 … 4096: time to build against recall
  int ef = 64;                ///< candidates kept while searching, at least k: time to search against recall
  int capacity = 0;           ///< slots to set aside at once; the graph grows when it must
};

/// Models vector_index. search ∥ search is safe; add and erase need the index to themselves, though one add of many vectors
/// uses all threads it is given. Errors: index.7 … index.10 as flat_index; index.11 (options out of range).
class hnsw_index {
 public:
  explicit hnsw_index(int dimension, hnsw_options options = {});
  /// From arrays that a file held. ids: (slots), −1 for an erased one; vectors: (slots, dimension). Errors: index.5, index.8.
  hnsw_index(int dimension, hnsw_options options, hnsw_graph const& arrays, std::span<int const> ids, std::span<float const> vectors);

  hnsw_index(hnsw_index&&) noexcept;
  hnsw_index& operator=(hnsw_index&&) noexcept;
  ~hnsw_index();

  int dimension() const { return dimension_; }
  int size() const { return int(slot_of_.size()); }
  int slots() const { return int(ids_.size()); }  ///< with erased ones; rebuild the index when they are too many
  bool contains(int id) const { return slot_of_.contains(id); }
  std::span<int const> ids() const { return ids_; }  ///< by slot, −1 for an erased one
  hnsw_options const& options() const { return options_; }
  void set_ef(int ef) { options_.ef = std::max(ef, 1); }
  std::span<float const> vector(int id) const;
  std::span<float const> slot_vector(int slot) const;
  hnsw_graph arrays() const;

  void add(int id, std::span<float const> v);
  /// Many at once, on the threads of `where`: (count) ids, (count, dimension) vectors in contiguous rows. All or none are added
  /// where the input is at fault. With one thread the graph depends on the input alone; with several, also on their timing.
  void add(on_cpu const& where, std::span<int const> ids, view<float const, 2> vectors);
  void erase(int id);

  /// The k best that the graph leads to, best first. One query runs on one thread.
  std::vector<hit> search(on_cpu const&, std::span<float const> query, int k, id_filter const& keep = {}) const;
  /// Many queries at once, shared out to the threads of `where`: (count, dimension), contiguous rows.
  std::vector<std::vector<hit>> search(on_cpu const& where, view<float const, 2> queries, int k, id_filter const& keep = {}) const;

 private:
  struct space;  // what hnswlib asks for the distance of two vectors

  static hnsw_options checked(int dimension, hnsw_options options, hnsw_graph const& arrays, std::span<int const> ids, std::span<float const> vectors);
  float const* at(uint32_t slot) const;
  float distance(float const* query, uint32_t slot) const;

  // Algorithm 5, lines 4–6: greedily towards the query, from the top level down to level 1.
  uint32_t descend(float const* query) const;

  // Algorithm 2 on level 0. A slot that is erased or filtered out is walked through but not collected.
  std::vector<hit> search_base(float const* query, uint32_t start, int k, id_filter const& keep) const;

  int dimension_;
  hnsw_options options_;
  std::unique_ptr<space> space_;  // hnswlib keeps a pointer to the dimension inside
  std::unique_ptr<detail::hnswlib_graph> graph_;
  std::vector<int> ids_;  // by slot; −1: erased
  std::unordered_map<int, int> slot_of_;
};
static_assert(vector_index<hnsw_index>);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
  #include <algorithm>
  #include <queue>
  #include <utility>
  #include "scores.hpp"

namespace smalti {

struct hnsw_index::space final : hnswlib::SpaceInterface<float> {
  explicit space(int n) : dimension(std::size_t(n)) {}
  std::size_t get_data_size() override { return dimension * sizeof(float); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return detail::inner_product_distance(host_arch()); }
  void* get_dist_func_param() override { return &dimension; }
  std::size_t dimension;
};

SMALTI_INLINE hnsw_index::hnsw_index(int dimension, hnsw_options options) : dimension_(dimension), options_(options) {
  detail::check_dimension(dimension);
  bool const good = options.m >= 2 && options.m <= hnsw_graph::most_m && options.ef_construction >= 1 &&
                    options.ef_construction <= hnsw_graph::most_ef && options.ef >= 1 && options.capacity >= 0;
  if (!good)
    throw error("index.11", "options of an HNSW index: expected m 2 … 128, ef_construction 1 … 4096, ef ≥ 1, capacity ≥ 0; found m " +
                                std::to_string(options.m) + ", ef_construction " + std::to_string(options.ef_construction) + ", ef " + std::to_string(options.ef));
  space_ = std::make_unique<space>(dimension);
  graph_ = std::make_unique<detail::hnswlib_graph>(space_.get(), std::size_t(std::max(options.capacity, 16)), std::size_t(options.m), std::size_t(options.ef_construction));
}

SMALTI_INLINE hnsw_index::hnsw_index(int dimension, hnsw_options options, hnsw_graph const& arrays, std::span<int const> ids, std::span<float const> vectors)
    : hnsw_index(dimension, checked(dimension, options, arrays, ids, vectors)) {
  detail::fill(*graph_, arrays, vectors.data());
  ids_.assign(ids.begin(), ids.end());
  for (int slot = 0; slot < slots(); ++slot)
    if (ids_[std::size_t(slot)] >= 0 && !slot_of_.emplace(ids_[std::size_t(slot)], slot).second) detail::known_id(ids_[std::size_t(slot)]);
}

SMALTI_INLINE hnsw_index::hnsw_index(hnsw_index&&) noexcept = default;
SMALTI_INLINE hnsw_index& hnsw_index::operator=(hnsw_index&&) noexcept = default;
SMALTI_INLINE hnsw_index::~hnsw_index() = default;

SMALTI_INLINE std::span<float const> hnsw_index::vector(int id) const {
  auto const at = slot_of_.find(id);
  if (at == slot_of_.end()) detail::unknown_id(id);
  return slot_vector(at->second);
}
SMALTI_INLINE std::span<float const> hnsw_index::slot_vector(int slot) const { return {at(uint32_t(slot)), std::size_t(dimension_)}; }
SMALTI_INLINE hnsw_graph hnsw_index::arrays() const { return detail::arrays_of(*graph_); }
SMALTI_INLINE void hnsw_index::add(int id, std::span<float const> v) { add(on_cpu{}, std::span<int const>(&id, 1), row_major(v.data(), 1, index(v.size()))); }

SMALTI_INLINE void hnsw_index::add(on_cpu const& where, std::span<int const> ids, view<float const, 2> vectors) {
  auto row = [&](index i) { return std::span(vectors.at + i * vectors.stride[0], std::size_t(vectors.extent[1])); };
  if (vectors.extent[0] != index(ids.size())) throw error("index.7", "vectors to add: expected " + std::to_string(ids.size()) + ", found " + std::to_string(vectors.extent[0]));
  if (ids.empty()) return;
  for (index i = 0; i < index(ids.size()); ++i) detail::check_vector(row(i), dimension_, "a vector to add");
  std::size_t placed = 0;
  for (; placed < ids.size() && ids[placed] >= 0 && slot_of_.emplace(ids[placed], -1).second; ++placed) {}
  if (placed < ids.size()) {
    for (std::size_t i = 0; i < placed; ++i) slot_of_.erase(ids[i]);
    detail::known_id(ids[placed]);
  }
  std::size_t const first = ids_.size(), needed = first + ids.size();
  if (needed > graph_->max_elements_) graph_->resizeIndex(std::max(needed, graph_->max_elements_ * 2));
  ids_.resize(needed, -1);
  auto insert = [&](index i) { ids_[graph_->addPoint(row(i).data(), first + std::size_t(i), -1)] = ids[std::size_t(i)]; };
  insert(0);  // alone, so that an empty graph has its entry
  parallel_for(where, index(ids.size()) - 1, [&](index i) { insert(i + 1); });
  for (std::size_t slot = first; slot < needed; ++slot) slot_of_[ids_[slot]] = int(slot);
}

SMALTI_INLINE void hnsw_index::erase(int id) {
  auto const at = slot_of_.find(id);
  if (at == slot_of_.end()) detail::unknown_id(id);
  ids_[std::size_t(at->second)] = -1, slot_of_.erase(at);
}

SMALTI_INLINE std::vector<hit> hnsw_index::search(on_cpu const&, std::span<float const> query, int k, id_filter const& keep) const {
  detail::check_vector(query, dimension_, "a query");
  return slot_of_.empty() || k <= 0 ? std::vector<hit>{} : search_base(query.data(), descend(query.data()), k, keep);
}

SMALTI_INLINE std::vector<std::vector<hit>> hnsw_index::search(on_cpu const& where, view<float const, 2> queries, int k, id_filter const& keep) const {
  std::vector<std::vector<hit>> all(std::size_t(queries.extent[0]));
  parallel_for(where, queries.extent[0], [&](index q) {
    all[std::size_t(q)] = search(where, std::span(queries.at + q * queries.stride[0], std::size_t(queries.extent[1])), k, keep);
  });
  return all;
}

SMALTI_INLINE hnsw_options hnsw_index::checked(int dimension, hnsw_options options, hnsw_graph const& arrays, std::span<int const> ids, std::span<float const> vectors) {
  detail::check_dimension(dimension);
  std::string fault = detail::fault_of(arrays, ids.size());
  if (fault.empty() && vectors.size() != ids.size() * std::size_t(dimension)) fault = "vectors: expected " + std::to_string(ids.size()) + " of dimension " + std::to_string(dimension);
  if (!fault.empty()) throw error("index.5", "HNSW graph: " + fault);
  for (std::size_t i = 0; i < ids.size(); ++i) detail::check_vector(vectors.subspan(i * std::size_t(dimension), std::size_t(dimension)), dimension, "a stored vector");
  return {arrays.m, arrays.ef_construction, options.ef, int(std::max(ids.size(), std::size_t(std::max(options.capacity, 0))))};
}
SMALTI_INLINE float const* hnsw_index::at(uint32_t slot) const { return reinterpret_cast<float const*>(graph_->getDataByInternalId(slot)); }
SMALTI_INLINE float hnsw_index::distance(float const* query, uint32_t slot) const { return graph_->fstdistfunc_(query, at(slot), &space_->dimension); }

SMALTI_INLINE uint32_t hnsw_index::descend(float const* query) const {
  uint32_t best = graph_->enterpoint_node_;
  float nearest = distance(query, best);
  for (int level = graph_->maxlevel_; level > 0; --level)
    for (bool moved = true; moved;) {
      moved = false;
      for (uint32_t slot : detail::neighbours(*graph_, best, level))
        if (float const d = distance(query, slot); d < nearest) nearest = d, best = slot, moved = true;
    }
  return best;
}

SMALTI_INLINE std::vector<hit> hnsw_index::search_base(float const* query, uint32_t start, int k, id_filter const& keep) const {
  auto& pool = *graph_->visited_list_pool_;
  struct borrowed {
    hnswlib::VisitedListPool& pool;
    hnswlib::VisitedList* list;
    ~borrowed() { pool.releaseVisitedList(list); }
  } const visited{pool, pool.getFreeVisitedList()};
  auto* const mark = visited.list->mass;
  auto const seen = visited.list->curV;

  struct step {
    float distance;
    uint32_t slot;
    bool operator<(step const& s) const { return distance > s.distance; }  // the nearest on top of the queue
  };
  std::priority_queue<step> open;
  best_hits found(std::max(k, options_.ef));
  auto meet = [&](uint32_t slot) {
    mark[slot] = seen;
    float const d = distance(query, slot), score = 1 - d;
    if (found.full() && !(score > found.bar())) return;
    open.push({d, slot});
    int const id = ids_[slot];
    if (id >= 0 && (!keep || keep(id))) found.push({id, score});
  };
  meet(start);
  while (!open.empty()) {
    step const next = open.top();
    if (found.full() && 1 - next.distance < found.bar()) break;
    open.pop();
    auto const list = detail::neighbours(*graph_, next.slot, 0);
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i + 1 < list.size()) __builtin_prefetch(at(list[i + 1])), __builtin_prefetch(at(list[i + 1]) + 16);
      if (mark[list[i]] != seen) meet(list[i]);
    }
  }
  auto all = found.take();
  if (all.size() > std::size_t(k)) all.resize(std::size_t(k));
  return all;
}

}  // namespace smalti
#endif
