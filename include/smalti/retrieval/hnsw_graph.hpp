#pragma once
// The graph of an HNSW index (Malkov & Yashunin 2018) as plain arrays, which a file can hold and which can be checked before
// hnswlib sees them: hnswlib's own loader trusts its file.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>
#include "../core/config.hpp"

namespace hnswlib {
template <typename T> class HierarchicalNSW;
}

namespace smalti {

/// Neighbour lists of slots 0 … size − 1. Level 0 holds every slot and up to 2m neighbours, the others up to m.
struct hnsw_graph {
  int m = 0;                       ///< 2 … 128
  int ef_construction = 0;         ///< 1 … 4096
  int entry = -1;                  ///< the slot where searches start: one of the highest level; −1 when empty
  std::vector<uint8_t> level;      ///< of each slot, 0 … 32: (size)
  std::vector<uint32_t> links;     ///< for each slot, for each of its levels from 0: a count, and as many slots
  static constexpr int most_levels = 32, most_m = 128, most_ef = 4096;
};

namespace detail {
/// What is wrong with a graph of `size` slots, or nothing: "expected …, found …". After this nothing in it can point outside.
std::string fault_of(hnsw_graph const& g, std::size_t size);

using hnswlib_graph = hnswlib::HierarchicalNSW<float>;

hnsw_graph arrays_of(hnswlib_graph const& g);
/// Fills an empty hnswlib graph whose capacity is at least the size. `a` must have been checked. vectors: (size, dimension).
void fill(hnswlib_graph& g, hnsw_graph const& a, float const* vectors);
}  // namespace detail

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
  #include <algorithm>
  #include <cstdlib>
  #include <cstring>
  #include <new>
  // hnswlib 0.6.2 puts functions that are not inline into its header unless it may not vectorise by hand; two translation units
  // of one program would then define them twice. The distances are ours anyway.
  #if !defined(NO_MANUAL_VECTORIZATION)
    #define NO_MANUAL_VECTORIZATION
    #include <hnswlib/hnswlib.h>
    #undef NO_MANUAL_VECTORIZATION
  #else
    #include <hnswlib/hnswlib.h>
  #endif

namespace smalti {

namespace detail {
SMALTI_INLINE std::string fault_of(hnsw_graph const& g, std::size_t size) {
  auto text = [](auto v) { return std::to_string(v); };
  if (g.m < 2 || g.m > g.most_m) return "m: expected 2 … " + text(g.most_m) + ", found " + text(g.m);
  if (g.ef_construction < 1 || g.ef_construction > g.most_ef) return "ef_construction: expected 1 … " + text(g.most_ef) + ", found " + text(g.ef_construction);
  if (g.level.size() != size) return "levels: expected " + text(size) + ", found " + text(g.level.size());
  int highest = 0;
  for (uint8_t level : g.level) highest = std::max(highest, int(level));
  if (highest > g.most_levels) return "a level: expected at most " + text(g.most_levels) + ", found " + text(highest);
  if (size == 0) return g.entry == -1 && g.links.empty() ? "" : "an empty graph: expected no entry and no links, found some";
  if (g.entry < 0 || std::size_t(g.entry) >= size || g.level[std::size_t(g.entry)] != highest)
    return "the entry: expected a slot of level " + text(highest) + ", found " + text(g.entry);
  std::size_t at = 0;
  for (std::size_t slot = 0; slot < size; ++slot)
    for (int level = 0; level <= g.level[slot]; ++level) {
      if (at == g.links.size()) return "links of slot " + text(slot) + ": expected a count, found the end";
      std::size_t const count = g.links[at++], most = std::size_t(level ? g.m : 2 * g.m);
      if (count > most) return "links of slot " + text(slot) + ": expected at most " + text(most) + ", found " + text(count);
      if (count > g.links.size() - at) return "links of slot " + text(slot) + ": expected " + text(count) + ", found the end";
      for (std::size_t i = 0; i < count; ++i, ++at) {
        uint32_t const to = g.links[at];
        if (to >= size || to == slot) return "a link of slot " + text(slot) + ": expected another of " + text(size) + " slots, found " + text(to);
        if (g.level[to] < level) return "a link of slot " + text(slot) + ": expected a slot of level " + text(level) + ", found one of " + text(int(g.level[to]));
      }
    }
  if (at != g.links.size()) return "links: expected " + text(at) + " words, found " + text(g.links.size());
  return {};
}

/// The neighbours of a slot on a level.
inline std::span<hnswlib::tableint const> neighbours(hnswlib_graph const& g, uint32_t slot, int level) {
  auto* const list = g.get_linklist_at_level(slot, level);
  return {list + 1, g.getListCount(list)};
}

SMALTI_INLINE hnsw_graph arrays_of(hnswlib_graph const& g) {
  hnsw_graph a{int(g.M_), int(g.ef_construction_), g.cur_element_count ? int(g.enterpoint_node_) : -1, {}, {}};
  for (uint32_t slot = 0; slot < g.cur_element_count; ++slot) {
    a.level.push_back(uint8_t(g.element_levels_[slot]));
    for (int level = 0; level <= g.element_levels_[slot]; ++level) {
      auto const list = neighbours(g, slot, level);
      a.links.push_back(uint32_t(list.size())), a.links.insert(a.links.end(), list.begin(), list.end());
    }
  }
  return a;
}

SMALTI_INLINE void fill(hnswlib_graph& g, hnsw_graph const& a, float const* vectors) {
  std::size_t at = 0;
  for (uint32_t slot = 0; slot < a.level.size(); ++slot) {
    int const level = a.level[slot];
    std::memset(g.data_level0_memory_ + slot * g.size_data_per_element_, 0, g.size_data_per_element_);
    if (level) {
      // calloc, because hnswlib frees it
      g.linkLists_[slot] = static_cast<char*>(std::calloc(g.size_links_per_element_ * std::size_t(level) + 1, 1));
      if (!g.linkLists_[slot]) throw std::bad_alloc();
    }
    g.element_levels_[slot] = level;
    g.cur_element_count = slot + 1;  // from here on its destructor frees the list
    std::memcpy(g.getDataByInternalId(slot), vectors + slot * (g.data_size_ / sizeof(float)), g.data_size_);
    g.setExternalLabel(slot, slot), g.label_lookup_[slot] = slot;
    for (int l = 0; l <= level; ++l) {
      auto* const list = g.get_linklist_at_level(slot, l);
      uint32_t const count = a.links[at++];
      g.setListCount(list, static_cast<unsigned short>(count));
      if (count) std::memcpy(list + 1, a.links.data() + at, count * sizeof(uint32_t));
      at += count;
    }
  }
  if (a.entry >= 0) g.enterpoint_node_ = uint32_t(a.entry), g.maxlevel_ = a.level[std::size_t(a.entry)];
}
}  // namespace detail

}  // namespace smalti
#endif
