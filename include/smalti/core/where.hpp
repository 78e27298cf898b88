#pragma once
// Where to run is the first argument of every operation: `on_cpu{}` is the calling thread, `on_cpu{threads}` a pool that
// the caller owns. The library starts no thread of its own accord.

#include <atomic>
#include <exception>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>
#include "arch.hpp"

namespace smalti {

/// A fork-join pool: the calling thread works too, so `thread_pool threads{2}` starts one more. One job at a time, from one
/// caller at a time; a job may not start another on the same pool.
class thread_pool {
 public:
  explicit thread_pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this](std::stop_token stop) { serve(stop); });
  }
  thread_pool(thread_pool const&) = delete;
  ~thread_pool() {
    for (auto& w : workers_) w.request_stop();
    announce();
  }
  int size() const { return int(workers_.size()) + 1; }

  /// Calls f(i) for i = 0 … count − 1, in any order, and returns when all have. The first exception is rethrown here.
  template <class F>
  void run(index count, F&& f) {
    if (count <= 0) return;
    if (workers_.empty() || count == 1) {
      for (index i = 0; i < count; ++i) f(i);
      return;
    }
    call_ = [](void* f, index i) { (*static_cast<std::remove_reference_t<F>*>(f))(i); };
    context_ = const_cast<void*>(static_cast<void const*>(&f)), count_ = count;
    next_.store(0, std::memory_order_relaxed);
    inside_.store(open, std::memory_order_release);
    announce();
    drain();
    // Whoever has not come by now need not: on a busy machine a worker may wait for its core longer than all of the job takes.
    inside_.fetch_and(~open, std::memory_order_acq_rel);
    // A decode step forks hundreds of times, microseconds apart: spin before sleeping.
    for (unsigned spins = 0, left; (left = inside_.load(std::memory_order_acquire)) != 0; ++spins)
      if (spins > spin_limit) inside_.wait(left, std::memory_order_acquire);
    if (failure_) failed_.clear(), std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  static constexpr unsigned spin_limit = 1 << 14, open = 1u << 31;

  void announce() { epoch_.fetch_add(1, std::memory_order_release), epoch_.notify_all(); }
  void drain() {
    try {
      for (index i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) call_(context_, i);
    } catch (...) {
      next_.store(count_, std::memory_order_relaxed);
      if (!failed_.test_and_set()) failure_ = std::current_exception();
    }
  }
  // True once this worker counts as inside a job that is still open.
  bool enter() {
    unsigned now = inside_.load(std::memory_order_relaxed);
    while (now & open)
      if (inside_.compare_exchange_weak(now, now + 1, std::memory_order_acquire, std::memory_order_relaxed)) return true;
    return false;
  }
  void serve(std::stop_token stop) {
    for (unsigned seen = 0;;) {
      unsigned now;
      for (unsigned spins = 0; (now = epoch_.load(std::memory_order_acquire)) == seen; ++spins)
        if (spins > spin_limit) epoch_.wait(seen, std::memory_order_acquire);
      if (stop.stop_requested()) return;
      seen = now;
      if (!enter()) continue;
      drain();
      if (inside_.fetch_sub(1, std::memory_order_acq_rel) == 1) inside_.notify_one();
    }
  }

  std::atomic<unsigned> epoch_ = 0;  // jobs announced so far
  std::atomic<index> next_ = 0;      // first item not yet taken
  std::atomic<unsigned> inside_ = 0; // workers in the job, and `open` while more may come
  index count_ = 0;
  void (*call_)(void*, index) = nullptr;
  void* context_ = nullptr;
  std::atomic_flag failed_;
  std::exception_ptr failure_;
  std::vector<std::jthread> workers_;  // last: joined before anything above goes
};

/// The host: whose threads, and which instruction set.
struct on_cpu {
  thread_pool* threads = nullptr;  ///< null: the calling thread alone
  arch device = host_arch();       ///< lower it to test or compare another instruction set

  on_cpu() = default;
  on_cpu(thread_pool& pool, arch a = host_arch()) : threads(&pool), device(a) {}
  explicit on_cpu(arch a) : device(a) {}
  int size() const { return threads ? threads->size() : 1; }
};

/// f(i) for i = 0 … count − 1 on the threads of `where`.
template <class F>
void parallel_for(on_cpu const& where, index count, F&& f) {
  if (where.threads) return where.threads->run(count, f);
  for (index i = 0; i < count; ++i) f(i);
}

}  // namespace smalti
