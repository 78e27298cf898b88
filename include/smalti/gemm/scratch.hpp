#pragma once
// Working memory of the products: one arena per thread, which grows to the largest call and is then reused.

#include <vector>
#include "../core/buffer.hpp"

namespace smalti {

/// A stack of arrays. Pieces stay where they are until the mark below them is released; nothing is ever given back to the
/// system before the thread ends.
class scratch {
 public:
  /// n elements, 64-byte aligned, not initialised.
  template <class T>
  T* take(std::size_t n) {
    std::size_t const bytes = round_up(n * sizeof(T), std::size_t(64));
    for (; block_ < blocks_.size(); ++block_, used_ = 0)
      if (blocks_[block_].size() - used_ >= bytes) return reinterpret_cast<T*>(blocks_[block_].data() + std::exchange(used_, used_ + bytes));
    blocks_.emplace_back(max(bytes, std::size_t(1) << 16));
    used_ = bytes;
    return reinterpret_cast<T*>(blocks_.back().data());
  }

  /// Releases, when it goes out of scope, what was taken since.
  class mark {
   public:
    explicit mark(scratch& s) : of_(s), block_(s.block_), used_(s.used_) {}
    mark(mark const&) = delete;
    ~mark() { of_.block_ = block_, of_.used_ = used_; }

   private:
    scratch& of_;
    std::size_t block_, used_;
  };

 private:
  std::vector<buffer<unsigned char>> blocks_;
  std::size_t block_ = 0, used_ = 0;  // where the next piece is looked for
};

/// The calling thread's arena. A call to gemm takes M·K floats (at most 192 rows at a time) from it, and each worker 80 KiB.
inline scratch& thread_scratch() {
  thread_local scratch arena;
  return arena;
}

}  // namespace smalti
