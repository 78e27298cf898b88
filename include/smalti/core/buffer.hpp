#pragma once
// Owned, cache-line-aligned host memory: what weights, caches and arenas are made of.

#include <cstring>
#include <new>
#include <type_traits>
#include <utility>
#include "config.hpp"

namespace smalti {

/// `size()` elements, aligned to 64 bytes, not initialised unless asked. Movable, not copyable by accident.
template <class T>
class buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  buffer() = default;
  explicit buffer(std::size_t n) : at_(n ? static_cast<T*>(::operator new(bytes_for(n), std::align_val_t{64})) : nullptr), size_(n) {}
  buffer(std::size_t n, T fill) : buffer(n) { for (std::size_t i = 0; i < n; ++i) at_[i] = fill; }
  buffer(buffer&& b) noexcept : at_(std::exchange(b.at_, nullptr)), size_(std::exchange(b.size_, 0)) {}
  buffer& operator=(buffer&& b) noexcept { return std::swap(at_, b.at_), std::swap(size_, b.size_), *this; }
  ~buffer() { ::operator delete(at_, std::align_val_t{64}); }

  buffer copy() const {
    buffer b(size_);
    if (size_) std::memcpy(static_cast<void*>(b.at_), at_, size_ * sizeof(T));
    return b;
  }
  T* data() { return at_; }
  T const* data() const { return at_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](std::size_t i) { return at_[i]; }
  T const& operator[](std::size_t i) const { return at_[i]; }
  T* begin() { return at_; }
  T* end() { return at_ + size_; }
  T const* begin() const { return at_; }
  T const* end() const { return at_ + size_; }

 private:
  static std::size_t bytes_for(std::size_t n) {
    if (n > (std::size_t(-1) >> 1) / sizeof(T)) throw std::bad_array_new_length();
    return n * sizeof(T);
  }
  T* at_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace smalti
