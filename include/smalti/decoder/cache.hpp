#pragma once
// Keys and values of past tokens, in pages that sequences take as they grow (Kwon et al. 2023, "PagedAttention", §4). A
// contiguous cache is the case of one page for each sequence, so attention sees one layout.

#include <algorithm>
#include <span>
#include <string>
#include <vector>
#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "../core/error.hpp"
#include "../core/view.hpp"
#include "config.hpp"

namespace smalti {

/// `count` elements of an array to another place in it; the two do not overlap.
template <class T>
void copy_within(buffer<T>& array, std::size_t from, std::size_t to, std::size_t count) { std::copy_n(array.data() + from, count, array.data() + to); }

/// T: float, bf16 or f16, the storage of keys and values; Array: whose memory (device_buffer: decoder.cuh). Taken once, by the
/// constructor. Pages may be shared by sequences (fork); whoever writes into a shared page gets its own copy first. One thread at a time.
template <class T = float, template <class> class Array = buffer>
class kv_cache {
 public:
  using element = T;

  /// One page of `capacity` tokens for each of `sequences`.
  static kv_cache contiguous(decoder_config const& c, int sequences, int capacity) { return {c, sequences, capacity, sequences, 1}; }
  /// `pages` of `page_size` tokens, shared by at most `sequences`, each at most `capacity` tokens long.
  static kv_cache paged(decoder_config const& c, int pages, int page_size, int sequences, int capacity) {
    return {c, pages, page_size, sequences, page_size > 0 ? ceil_div(capacity, page_size) : 0};
  }

  /// A new, empty sequence. Throws model.24 when all are in use.
  int open();
  void close(int s) { truncate(s, 0), used_[s] = false; }

  /// A new sequence with the same past: whole pages are shared until one of the two writes. Throws model.24, model.25.
  int fork(int s);
  /// Forgets all but the first `length` tokens, and gives their pages back.
  void truncate(int s, int length);

  int length(int s) const { return length_[s]; }                       ///< tokens held
  int capacity() const { return max_pages_ * page_size_; }             ///< tokens a sequence may have
  int room(int s) const {                                              ///< tokens that a sequence can still take
    return std::min(capacity() - length_[s], (held_[s] + int(free_.size())) * page_size_ - length_[s]);
  }
  int free_pages() const { return int(free_.size()); }
  std::size_t bytes() const { return (keys_.size() + values_.size()) * sizeof(T); }

  /// Makes room for `extra` tokens of sequence s, so that writing them cannot fail. Throws model.25 (no page is free, or the
  /// sequence is at its capacity); the sequence is then as before, but for pages that it may hold in reserve.
  void reserve(int s, int extra);
  /// Counts the tokens written since reserve.
  void advance(int s, int count) { length_[s] += count; }

  T* key(int layer, int s, int head, int position) { return keys_.data() + offset(layer, page(s, position / page_size_), head, position % page_size_); }
  T* value(int layer, int s, int head, int position) { return values_.data() + offset(layer, page(s, position / page_size_), head, position % page_size_); }

  /// The pools of a layer, (pages, Hkv, page_size, D), and the pages of sequence s.
  view<T, 4> keys(int layer) { return row_major(keys_.data() + layer * layer_stride(), pages_, heads_, page_size_, dim_); }
  view<T, 4> values(int layer) { return row_major(values_.data() + layer * layer_stride(), pages_, heads_, page_size_, dim_); }
  view<T const, 4> keys(int layer) const { return row_major<T const>(keys_.data() + layer * layer_stride(), pages_, heads_, page_size_, dim_); }
  view<T const, 4> values(int layer) const { return row_major<T const>(values_.data() + layer * layer_stride(), pages_, heads_, page_size_, dim_); }
  std::span<int const> pages_of(int s) const { return {table_.data() + index(s) * max_pages_, std::size_t(max_pages_)}; }
  /// Working memory of the cache's element type; holds until the next call.
  T* lend(std::size_t n) {
    if (lent_.size() < n) lent_ = Array<T>(n);
    return lent_.data();
  }
  int page_size() const { return page_size_; }
  int max_pages() const { return max_pages_; }
  int heads() const { return heads_; }
  int dim() const { return dim_; }

 private:
  kv_cache(decoder_config const& c, int pages, int page_size, int sequences, int max_pages);

  index layer_stride() const { return index(pages_) * heads_ * page_size_ * dim_; }
  index offset(int layer, int page, int head, int row) const {
    return layer * layer_stride() + ((index(page) * heads_ + head) * page_size_ + row) * dim_;
  }
  int& page(int s, int i) { return table_[std::size_t(s) * max_pages_ + i]; }
  int take();
  void release(int p) {
    if (--owners_[p] == 0) free_.push_back(p);
  }
  void own(int s, int i);

  int layers_, heads_, dim_, pages_, page_size_, max_pages_;
  Array<T> keys_, values_;         // (layers, pages, Hkv, page_size, D)
  Array<T> lent_;
  std::vector<int> owners_, free_; // by page · pages that nobody owns
  std::vector<int> table_;         // (sequences, max_pages)
  std::vector<bool> used_;
  std::vector<int> length_, held_; // by sequence: tokens · pages
};

template <class T, template <class> class Array>
int kv_cache<T, Array>::open() {
  for (int s = 0; s < int(used_.size()); ++s)
    if (!used_[s]) return used_[s] = true, length_[s] = 0, held_[s] = 0, s;
  throw error("model.24", "the cache holds " + std::to_string(used_.size()) + " sequences already; close one first");
}

template <class T, template <class> class Array>
int kv_cache<T, Array>::fork(int s) {
  int const f = open();
  for (int p = 0; p < held_[s]; ++p) ++owners_[page(f, p) = page(s, p)];
  return held_[f] = held_[s], length_[f] = length_[s], f;
}

template <class T, template <class> class Array>
void kv_cache<T, Array>::truncate(int s, int length) {
  int const keep = ceil_div(length, page_size_);
  for (; held_[s] > keep; --held_[s]) release(page(s, held_[s] - 1));
  length_[s] = std::min(length_[s], length);
}

template <class T, template <class> class Array>
void kv_cache<T, Array>::reserve(int s, int extra) {
  int const need = ceil_div(length_[s] + extra, page_size_);
  if (need > max_pages_)
    throw error("model.25", "sequence " + std::to_string(s) + " would have " + std::to_string(length_[s] + extra) +
                                " tokens; the cache takes " + std::to_string(capacity()));
  if (int const last = length_[s] / page_size_; extra > 0 && last < held_[s] && owners_[page(s, last)] > 1) own(s, last);
  for (; held_[s] < need; ++held_[s]) page(s, held_[s]) = take();
}

template <class T, template <class> class Array>
kv_cache<T, Array>::kv_cache(decoder_config const& c, int pages, int page_size, int sequences, int max_pages)
    : layers_(c.layers), heads_(c.kv_heads), dim_(c.head_dim), pages_(pages), page_size_(page_size), max_pages_(max_pages) {
  if (pages < 1 || page_size < 1 || sequences < 1 || max_pages < 1 || index(max_pages) * page_size > 0x3fffffff)
    throw error("model.26", "a cache of " + std::to_string(pages) + " pages of " + std::to_string(page_size) + " tokens for " +
                                std::to_string(sequences) + " sequences; expected at least one of each, and fewer than 2^30 tokens a sequence");
  std::size_t const count = std::size_t(layers_) * std::size_t(layer_stride());
  keys_ = Array<T>(count), values_ = Array<T>(count);
  owners_.assign(pages, 0), used_.assign(sequences, false), length_.assign(sequences, 0), held_.assign(sequences, 0);
  table_.assign(std::size_t(sequences) * max_pages, 0);
  for (int p = pages; p-- > 0;) free_.push_back(p);
}

template <class T, template <class> class Array>
int kv_cache<T, Array>::take() {
  if (free_.empty()) throw error("model.25", "all " + std::to_string(pages_) + " pages of the cache are in use; close a sequence first");
  int const p = free_.back();
  return free_.pop_back(), owners_[p] = 1, p;
}

template <class T, template <class> class Array>
void kv_cache<T, Array>::own(int s, int i) {
  int const from = page(s, i), to = take();
  auto const count = std::size_t(heads_) * page_size_ * dim_;
  for (int l = 0; l < layers_; ++l)
    for (auto* pool : {&keys_, &values_}) copy_within(*pool, std::size_t(offset(l, from, 0, 0)), std::size_t(offset(l, to, 0, 0)), count);
  release(from), page(s, i) = to;
}

#if !SMALTI_HEADER_ONLY
extern template class kv_cache<float>;
extern template class kv_cache<bf16>;
extern template class kv_cache<f16>;
#endif

}  // namespace smalti
