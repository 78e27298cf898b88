#pragma once
// The functions of cuda/ptx.cuh over host threads: one std::thread a lane, one std::barrier a warp. Semantics from
// the PTX ISA (ldmatrix, mma.m16n8k16, cp.async, mbarrier). Half the threads' copies land only when waited for, the others' at once: a missing wait is a
// wrong answer, and so is a buffer used again too early.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>
#include <smalti/core/dtype.hpp>

namespace smalti::ptx {

struct warp_state {
  std::barrier<> sync{32};
  void const* row[32];
  float f[32];
  uint32_t a[32][4], b[32][2];
};
struct lane_state {
  int thread = 0;
  warp_state* warp = nullptr;
  std::barrier<>* block = nullptr;
  std::deque<std::vector<std::function<void()>>> groups{{}};
};
inline thread_local lane_state me;
inline std::atomic<long> bank_conflicts = 0;

struct emulated_barrier {
  int arrivals = 0, pending = 0, phase = 0;
  long bytes = 0;                               // expected and not yet there
  std::vector<std::function<void()>> copies, landing;  // of this phase · of the phase that has completed, not yet seen by anybody
};
struct emulated_block {
  std::mutex lock;
  std::condition_variable changed;
  std::map<uint64_t*, emulated_barrier> barriers;
  struct { int here = 0, phase = 0; } named[16];
  char* memory = nullptr;
};
inline thread_local emulated_block* block = nullptr;
inline thread_local std::vector<emulated_block*> cluster;  // all blocks of this one's, itself too

inline int thread() { return me.thread; }
inline int lane() { return me.thread % 32; }
inline int warp() { return me.thread / 32; }
inline void sync_block() { me.block->arrive_and_wait(); }

inline float shfl_xor(float v, int mask) {
  me.warp->f[lane()] = v, me.warp->sync.arrive_and_wait();
  float const r = me.warp->f[lane() ^ mask];
  me.warp->sync.arrive_and_wait();
  return r;
}
inline void sync_warp() { me.warp->sync.arrive_and_wait(); }
inline bool any(bool x) {
  me.warp->f[lane()] = x, sync_warp();
  bool const r = std::any_of(me.warp->f, me.warp->f + 32, [](float f) { return f != 0; });
  sync_warp();
  return r;
}
inline float exp2_approx(float x) {
  float const y = std::exp2(x);
  return y < 0x1p-126f ? 0.f : y;  // ex2.ftz
}
inline float divide_approx(float a, float b) { return a / b; }
inline void copy_16(void* to, void const* from) { std::memcpy(to, from, 16); }
inline void cp_async_16(void* to, void const* from, bool valid) {
  auto const copy = [=] { valid ? std::memcpy(to, from, 16) : std::memset(to, 0, 16); };
  if (me.thread % 2) copy();
  else me.groups.back().push_back(copy);
}
inline void cp_async_commit() { me.groups.emplace_back(); }
template <int Pending>
void cp_async_wait() {
  for (; int(me.groups.size()) - 1 > Pending; me.groups.pop_front())
    for (auto& copy : me.groups.front()) copy();
}
inline void complete_if_due(emulated_barrier& b, emulated_block* of = block) {
  if (b.pending > 0 || b.bytes != 0) return;
  for (auto& copy : b.landing) copy();
  b.landing = std::exchange(b.copies, {}), b.pending = b.arrivals, ++b.phase;
  of->changed.notify_all();
}
inline void mbarrier_init(uint64_t* bar, int arrivals) {
  std::lock_guard hold(block->lock);
  block->barriers[bar] = {arrivals, arrivals, 0, 0, {}, {}};
}
inline void mbarrier_arrive_expecting(uint64_t* bar, int bytes) {
  std::lock_guard hold(block->lock);
  auto& b = block->barriers.at(bar);
  --b.pending, b.bytes += bytes, complete_if_due(b);
}
inline void mbarrier_arrive(uint64_t* bar) { mbarrier_arrive_expecting(bar, 0); }
inline void mbarrier_wait(uint64_t* bar, int parity) {
  std::unique_lock hold(block->lock);
  auto& b = block->barriers.at(bar);
  block->changed.wait(hold, [&] { return (b.phase & 1) != parity; });
  for (auto& copy : std::exchange(b.landing, {})) copy();
}
/// What this thread has requested lands, at the earliest, when the phase that it arrives in completes.
inline void cp_async_arrive(uint64_t* bar) {
  std::lock_guard hold(block->lock);
  auto& b = block->barriers.at(bar);
  for (auto& copy : me.groups.back()) b.copies.push_back(std::move(copy));
  me.groups.back().clear();
  --b.pending, complete_if_due(b);
}
template <bool Trans>
void ldmatrix(uint32_t (&r)[4], void const* row) {
  me.warp->row[lane()] = row, me.warp->sync.arrive_and_wait();
  unsigned banks = 0;  // eight 16-byte rows read together: all 32 banks, or a conflict
  for (int i = 0; i < 8; ++i) banks |= 1u << uintptr_t(me.warp->row[lane() / 8 * 8 + i]) / 16 % 8;
  if (banks != 0xff) ++bank_conflicts;
  for (int m = 0; m < 4; ++m)
    for (int h = 0; h < 2; ++h) {
      int const i = lane() / 4, j = 2 * (lane() % 4) + h;
      auto at = [&](int r, int c) { return static_cast<uint16_t const*>(me.warp->row[8 * m + r])[c]; };
      reinterpret_cast<uint16_t*>(&r[m])[h] = Trans ? at(j, i) : at(i, j);
    }
  me.warp->sync.arrive_and_wait();
}
inline void ldmatrix_x4(uint32_t (&r)[4], void const* row) { ldmatrix<false>(r, row); }
inline void ldmatrix_x4_trans(uint32_t (&r)[4], void const* row) { ldmatrix<true>(r, row); }

template <class T>
float half_of(uint32_t v, int h) {
  T x;
  x.bits = uint16_t(h ? v >> 16 : v & 0xffff);
  return float(x);
}
template <class T>
uint32_t pack(float lo, float hi) { return T(lo).bits | uint32_t(T(hi).bits) << 16; }
template <class T>
void mma_m16n8k16(float (&c)[4], uint32_t const (&a)[4], uint32_t b0, uint32_t b1) {
  auto& w = *me.warp;
  std::memcpy(w.a[lane()], a, 16), w.b[lane()][0] = b0, w.b[lane()][1] = b1, w.sync.arrive_and_wait();
  for (int i = 0; i < 4; ++i) {
    int const row = lane() / 4 + 8 * (i / 2), col = 2 * (lane() % 4) + i % 2;
    for (int k = 0; k < 16; ++k) {
      int const t = k % 8 / 2, hi = k / 8;
      c[i] += half_of<T>(w.a[4 * (row % 8) + t][row / 8 + 2 * hi], k % 2) * half_of<T>(w.b[4 * col + t][hi], k % 2);
    }
  }
  w.sync.arrive_and_wait();
}

/// Runs body once per thread of one block.
inline void run_block(int warps, std::function<void()> body) {
  std::vector<std::unique_ptr<warp_state>> state;
  for (int w = 0; w < warps; ++w) state.push_back(std::make_unique<warp_state>());
  std::barrier<> all(32 * warps);
  emulated_block now;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 32 * warps; ++t)
    threads.emplace_back([&, t] { block = &now, me.thread = t, me.warp = state[t / 32].get(), me.block = &all, body(); });
}

}  // namespace smalti::ptx
