#pragma once
// The functions of cuda/ptx_sm90.cuh and ptx_wgmma.cuh over host threads, beside ptx_emulator.hpp: one std::thread for each lane that
// does anything. Semantics from the PTX ISA (mbarrier, cp.async.bulk.tensor, wgmma, bar). What is asynchronous happens as late as it
// may: a copy lands when somebody waits for its barrier, a product when somebody waits for its group, a store when its shared memory is
// to be used again. So a missing wait is a wrong answer. What cannot be seen this way: fences, the sharing of registers, timing.

#include <cmath>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>
#include "ptx_emulator.hpp"

struct emulated_index { unsigned x = 0; };
inline thread_local emulated_index threadIdx, blockIdx;
inline emulated_index gridDim;
inline unsigned atomicAdd(unsigned* at, unsigned n) { return std::atomic_ref(*at).fetch_add(n); }
inline unsigned atomicExch(unsigned* at, unsigned n) { return std::atomic_ref(*at).exchange(n); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __log2f(float x) { return std::log2(x); }

/// Boxes of `rows` × 128 bytes of a (B, H, N, D) array of elements of `bytes`.
struct CUtensorMap {
  char* at = nullptr;
  long long extent[4] = {}, stride[4] = {};  // inner dimension first: D, N, H, B
  int rows = 0, bytes = 2;
};

namespace smalti::ptx {

/// Where two bytes lie under the 128-byte swizzle: bits 4-6 of the address are exchanged by bits 7-9.
inline std::uintptr_t swizzled(std::uintptr_t at) { return at ^ (at >> 7 & 7) << 4; }

inline thread_local std::deque<std::vector<std::function<void()>>> products{{}};
inline thread_local std::deque<std::vector<std::function<void()>>> stores{{}};

inline uint32_t smem_address(void const* p) { return uint32_t(static_cast<char const*>(p) - block->memory); }
inline int warpgroup() { return me.thread / 128; }
template <int> void registers_raise_to() {}
template <int> void registers_lower_to() {}

template <class T>
T from_lane(T x, int lane_of) {  // every lane names its own
  static_assert(sizeof(T) == 4);
  std::memcpy(&me.warp->f[lane()], &x, 4), sync_warp();
  std::memcpy(&x, &me.warp->f[lane_of], 4), sync_warp();
  return x;
}
inline int uniform(int x) { return from_lane(x, 0); }

// ---------------------------------------------------------------- barriers

inline void named_barrier(int id, int threads, bool wait) {
  std::unique_lock hold(block->lock);
  auto& b = block->named[id];
  int const phase = b.phase;
  if (++b.here == threads) b.here = 0, ++b.phase, block->changed.notify_all();
  else if (wait) block->changed.wait(hold, [&] { return b.phase != phase; });
}
inline void barrier_sync(int id, int threads) { named_barrier(id, threads, true); }
inline void barrier_arrive(int id, int threads) { named_barrier(id, threads, false); }

inline void mbarrier_init_fence() {}
inline void mbarrier_arrive_if(bool on, uint64_t* bar) {
  if (on) mbarrier_arrive(bar);
}

// ---------------------------------------------------------------- clusters

inline int cluster_rank() { return int(std::ranges::find(cluster, block) - cluster.begin()); }
/// Where block `rank` has what is here at p.
template <class T>
T* of_block(T* p, int rank) {
  auto const at = reinterpret_cast<char const*>(p) - block->memory;
  return reinterpret_cast<T*>(cluster[std::size_t(rank)]->memory + at);
}
/// f(barrier) at block `rank`.
template <class F>
void at_block(uint64_t* bar, int rank, F f) {
  auto* const there = cluster[std::size_t(rank)];
  std::lock_guard hold(there->lock);
  auto& b = there->barriers.at(of_block(bar, rank));
  f(b), complete_if_due(b, there);
}
inline void mbarrier_arrive_if(bool on, uint64_t* bar, int rank) {
  if (on) at_block(bar, rank, [](emulated_barrier& b) { --b.pending; });
}
inline void mbarrier_send(int* to, int x, uint64_t* bar, int rank) {
  at_block(bar, rank, [=, to = of_block(to, rank)](emulated_barrier& b) { b.copies.push_back([=] { *to = x; }), b.bytes -= 4; });
}

// ---------------------------------------------------------------- the tensor copy engine

inline void tma_prefetch(CUtensorMap const*, int = 0, int = 0, int = 0, int = 0) {}
/// f(shared address, element or null outside of the array) for every element of the box, in a block whose memory begins at `memory`.
template <class F>
void for_box(CUtensorMap const* m, char* memory, char* smem, int c, int r, int h, int b, F f) {
  for (int i = 0; i < m->rows; ++i)
    for (int j = 0; j < 128 / m->bytes; ++j) {
      bool const in = c + j < m->extent[0] && r + i >= 0 && r + i < m->extent[1] && h < m->extent[2] && b < m->extent[3];
      char* const at = memory + swizzled(std::uintptr_t(smem + 128 * i + m->bytes * j - memory));
      f(at, in ? m->at + m->bytes * ((c + j) * m->stride[0] + (r + i) * m->stride[1] + h * m->stride[2] + b * m->stride[3]) : nullptr);
    }
}
inline void tma_load_multicast(void* smem, CUtensorMap const* map, uint64_t* bar, int c, int r, int h, int b, unsigned mask) {
  for (int rank = 0; rank < int(cluster.size()); ++rank)
    if (mask >> rank & 1)
      at_block(bar, rank, [=, memory = cluster[std::size_t(rank)]->memory, to = of_block(static_cast<char*>(smem), rank)](emulated_barrier& at) {
        at.copies.push_back([=] {
          for_box(map, memory, to, c, r, h, b, [=](char* to, char const* from) { from ? std::memcpy(to, from, std::size_t(map->bytes)) : std::memset(to, 0, std::size_t(map->bytes)); });
        });
        at.bytes -= 128 * map->rows;
      });
}
inline void tma_load(void* smem, CUtensorMap const* map, uint64_t* bar, int c, int r, int h, int b) {
  tma_load_multicast(smem, map, bar, c, r, h, b, 1u << cluster_rank());
}
inline void tma_store_if(bool on, CUtensorMap const* map, void const* smem, int c, int r, int h, int b) {
  if (!on) return;
  stores.back().push_back([=] {
    for_box(map, block->memory, const_cast<char*>(static_cast<char const*>(smem)), c, r, h, b, [=](char const* from, char* to) { if (to) std::memcpy(to, from, std::size_t(map->bytes)); });
  });
}
inline void tma_store_commit() { stores.emplace_back(); }
template <int Pending = 0>
void tma_store_wait_read() {
  for (; int(stores.size()) > Pending + 1; stores.pop_front())
    for (auto& store : stores.front()) store();
}
inline void fence_async_proxy() {}

inline void store_if(bool on, float* to, float x) {
  if (on) *to = x;
}
struct alignas(16) words { uint32_t x, y, z, w; };
inline void store_16_if(bool on, void* to, words x) {
  if (on) std::memcpy(to, &x, 16);
}
inline void stmatrix_x4(void* row, uint32_t const (&r)[4]) {
  auto& w = *me.warp;
  std::memcpy(w.a[lane()], r, 16), w.row[lane()] = row, sync_warp();
  auto* const to = static_cast<uint16_t*>(row);  // row lane % 8 of matrix lane / 8
  for (int c = 0; c < 8; ++c) to[c] = uint16_t(w.a[4 * (lane() % 8) + c / 2][lane() / 8] >> 16 * (c % 2));
  sync_warp();
}
inline void transpose_quad(uint32_t (&x)[4]) {
  auto& w = *me.warp;
  std::memcpy(w.a[lane()], x, 16), sync_warp();
  for (int i = 0; i < 4; ++i) x[i] = w.a[lane() / 4 * 4 + i][lane() % 4];
  sync_warp();
}
inline void know(float) {}
inline void hold(void*, float) {}

// ---------------------------------------------------------------- warpgroup matrix multiply

template <bool = true>
uint64_t wgmma_operand(void const* smem, int panel = 16) {
  if (smem_address(smem) % 1024) std::abort();  // the hardware wants the base so, and this arithmetic too
  return uint64_t(smem_address(smem) >> 4) | uint64_t(panel >> 4) << 32;
}
inline uint64_t wgmma_advance(uint64_t operand, int bytes) { return operand + uint64_t(bytes >> 4); }
inline void wgmma_fence() {}
inline void wgmma_commit() { products.emplace_back(); }
template <int Pending>
void wgmma_wait() {
  for (; int(products.size()) - 1 > Pending; products.pop_front())
    for (auto& product : products.front()) product();
  sync_warp();  // .aligned: what a lane does next, another has its products too
}
inline int pin(int x) { return x; }
template <class T, int N>
void pin(T (&)[N][4]) {}

template <class E>
float element(std::uintptr_t offset) {
  E x;
  std::memcpy(&x.bits, block->memory + swizzled(offset), 2);
  return float(x);
}
template <class E>
float element_along(uint64_t operand, int row, int k) { return element<E>((operand & 0xffffffff) * 16 + row / 8 * 1024 + row % 8 * 128 + 2 * k); }
template <class E>
float element_across(uint64_t operand, int n, int k) { return element<E>((operand & 0xffffffff) * 16 + (n / 64) * (operand >> 32) * 16 + k * 128 + n % 64 * 2); }

/// d of a lane: rows g and g + 8 of its warp's 16, columns 8n + 2(lane % 4) + {0, 1}. a(r, k): that lane's row r; b(column, k).
template <int K = 16, int N, class A, class B>
void multiply(float (&d)[N][4], bool accumulate, A a, B b) {
  float left[2][K];
  for (int r = 0; r < 2; ++r)
    for (int k = 0; k < K; ++k) left[r][k] = a(r, k);
  for (int n = 0; n < N; ++n)
    for (int c = 0; c < 2; ++c) {
      float sum[2] = {};
      for (int k = 0; k < K; ++k) {
        float const right = b(8 * n + 2 * (lane() % 4) + c, k);
        sum[0] += left[0][k] * right, sum[1] += left[1][k] * right;
      }
      for (int r = 0; r < 2; ++r) d[n][2 * r + c] = (accumulate ? d[n][2 * r + c] : 0) + sum[r];
    }
}
template <class E, int N>
void wgmma(float (&d)[N][4], uint64_t a, uint64_t b, bool accumulate) {
  products.back().push_back([=, &d] {
    int const row = me.thread / 32 % 4 * 16 + lane() / 4;
    multiply(d, accumulate, [=](int r, int k) { return element_along<E>(a, row + 8 * r, k); }, [=](int n, int k) { return element_along<E>(b, n, k); });
  });
}
template <class E, int N, class B>
void from_registers(float (&d)[N][4], uint32_t const (&a)[4], bool accumulate, B b) {
  products.back().push_back([=, &d, &a] {  // registers are read when the product runs, as the hardware does
    auto& w = *me.warp;
    std::memcpy(w.a[lane()], a, 16), sync_warp();
    uint32_t rows[4][4];  // of the four lanes that share this lane's two rows
    for (int i = 0; i < 4; ++i) std::memcpy(rows[i], w.a[lane() / 4 * 4 + i], 16);
    sync_warp();
    multiply(d, accumulate, [&](int r, int k) { return half_of<E>(rows[k % 8 / 2][r + 2 * (k / 8)], k % 2); }, b);
  });
}
template <class E, int N>
void wgmma(float (&d)[N][4], uint32_t const (&a)[4], uint64_t b, bool accumulate) {
  from_registers<E>(d, a, accumulate, [=](int n, int k) { return element_along<E>(b, n, k); });
}
template <class E, int N>
void wgmma_across(float (&d)[N][4], uint32_t const (&a)[4], uint64_t b, bool accumulate) {
  from_registers<E>(d, a, accumulate, [=](int n, int k) { return element_across<E>(b, n, k); });
}

// In 8 bits: 32 terms an instruction, both operands with k contiguous. (The hardware's sums keep fewer bits; these do not.)
inline uint32_t pack_e4m3(float x0, float x1, float x2, float x3) {
  return e4m3(x0).bits | uint32_t(e4m3(x1).bits) << 8 | uint32_t(e4m3(x2).bits) << 16 | uint32_t(e4m3(x3).bits) << 24;
}
inline float e4m3_of(uint32_t bits) {
  e4m3 x;
  x.bits = uint8_t(bits);
  return float(x);
}
inline float byte_along(uint64_t operand, int row, int k) {
  return e4m3_of(uint8_t(block->memory[swizzled((operand & 0xffffffff) * 16 + std::uintptr_t(row / 8 * 1024 + row % 8 * 128 + k))]));
}
template <int N>
void wgmma_e4m3(float (&d)[N][4], uint64_t a, uint64_t b, bool accumulate) {
  products.back().push_back([=, &d] {
    int const row = me.thread / 32 % 4 * 16 + lane() / 4;
    multiply<32>(d, accumulate, [=](int r, int k) { return byte_along(a, row + 8 * r, k); }, [=](int n, int k) { return byte_along(b, n, k); });
  });
}
template <int N>
void wgmma_e4m3(float (&d)[N][4], uint32_t const (&a)[4], uint64_t b, bool accumulate) {
  products.back().push_back([=, &d, &a] {
    auto& w = *me.warp;
    std::memcpy(w.a[lane()], a, 16), sync_warp();
    uint32_t rows[4][4];
    for (int i = 0; i < 4; ++i) std::memcpy(rows[i], w.a[lane() / 4 * 4 + i], 16);
    sync_warp();
    multiply<32>(d, accumulate, [&](int r, int k) { return e4m3_of(rows[k % 16 / 4][r + 2 * (k / 16)] >> 8 * (k % 4) & 0xff); }, [=](int n, int k) { return byte_along(b, n, k); });
  });
}

/// Runs blocks `first` … of a grid of `blocks` together, a cluster: on each `copying` on one thread and `computing` on `warps` warps (threads
/// from 128 on), over its shared memory, poisoned, 1024-byte aligned. `prepare` runs first. All three get the block's memory.
inline void run_specialised(int warps, unsigned first, unsigned blocks, std::vector<char*> const& memory, std::function<void(char*)> prepare, std::function<void(char*)> copying,
                            std::function<void(char*)> computing) {
  std::deque<emulated_block> here(memory.size());
  std::vector<emulated_block*> all;
  for (std::size_t i = 0; i < memory.size(); ++i) here[i].memory = memory[i], all.push_back(&here[i]);
  gridDim.x = blocks;
  std::vector<std::unique_ptr<warp_state>> state;
  for (std::size_t w = 0; w < memory.size() * std::size_t(warps); ++w) state.push_back(std::make_unique<warp_state>());
  for (auto* one : all) block = one, prepare(one->memory);
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < memory.size(); ++i) {
    auto const enter = [&, i](int thread) {
      block = all[i], cluster = all, me.thread = thread, threadIdx.x = unsigned(thread), blockIdx.x = first + unsigned(i);
    };
    threads.emplace_back([&, enter, i] { enter(0), copying(memory[i]); });
    for (int t = 0; t < 32 * warps; ++t)
      threads.emplace_back([&, enter, i, t] { enter(128 + t), me.warp = state[i * std::size_t(warps) + std::size_t(t / 32)].get(), computing(memory[i]), tma_store_wait_read(); });
  }
}

}  // namespace smalti::ptx

using uint4 = smalti::ptx::words;
