#pragma once
// What a pass over a batch needs on the device beside weights and cache: the batch's integers in one block that one copy brings,
// working memory, and the graphs that repeat decode steps (CUDA C++ Programming Guide 13, §4.2, "CUDA Graphs").

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>
#include "../cuda/device_buffer.cuh"
#include "../gemm/terms.hpp"
#include "ops_cpu.hpp"

namespace smalti {

/// y (m, n) = alpha · x · wᵀ + beta · y for many rows, by a library of the caller's (gemm/cublas.cuh); see decoder<on_cuda>::state.
using tall_product = std::function<status(on_cuda const&, activations const& x, weight_view const& w, void* y, dtype type, index row_y, float alpha, float beta)>;

/// Page-locked host memory: what asynchronous copies need. Throws quant.5 when there is none left.
class pinned_memory {
 public:
  pinned_memory() = default;
  explicit pinned_memory(std::size_t bytes) : bytes_(bytes) {
    if (bytes && cudaMallocHost(&at_, bytes) == cudaSuccess) return;
    (void)cudaGetLastError();
    if (bytes) throw error("quant.5", "page-locked host memory: " + std::to_string(bytes) + " bytes are not to be had");
  }
  pinned_memory(pinned_memory&& p) noexcept : at_(std::exchange(p.at_, nullptr)), bytes_(std::exchange(p.bytes_, 0)) {}
  pinned_memory& operator=(pinned_memory&& p) noexcept { return std::swap(at_, p.at_), std::swap(bytes_, p.bytes_), *this; }
  ~pinned_memory() { (void)cudaFreeHost(at_); }
  template <class T>
  T* as() const { return static_cast<T*>(at_); }
  std::size_t size() const { return bytes_; }

 private:
  void* at_ = nullptr;
  std::size_t bytes_ = 0;
};

/// The integers of a batch as kernels read them.
struct batch_integers {
  int *token, *position, *owner, *adapter;  ///< (M) id · position · which sequence of the batch · adapter, −1 none
  int *q_starts, *first, *kv_used, *last;   ///< (B + 1) · (B) · (B) · (B) row of the last token
  int* pages;                               ///< (B, max_pages)
};

/// A captured pass.
class pass_graph {
 public:
  pass_graph() = default;
  pass_graph(pass_graph&& g) noexcept : at_(std::exchange(g.at_, nullptr)) {}
  pass_graph& operator=(pass_graph&& g) noexcept { return std::swap(at_, g.at_), *this; }
  ~pass_graph() {
    if (at_) (void)cudaGraphExecDestroy(at_);
  }
  explicit operator bool() const { return at_; }
  void capture(on_cuda const& where, std::function<void(on_cuda const&)> const& f);
  void launch(on_cuda const& where) const { detail::require_cuda(cudaGraphLaunch(at_, where.stream), "launch a decode step"); }

 private:
  cudaGraphExec_t at_ = nullptr;
};

/// A device's batch, and what its operations lean on.
class device_batch {
 public:
  std::vector<int> kv_used;             ///< as ragged_batch's, for the host
  int rows() const { return rows_; }
  int count() const { return count_; }
  int queries() const { return queries_; }     ///< of one sequence, at most
  int max_pages() const { return max_pages_; }
  float int8_outliers() const { return int8_outliers_; }  ///< as in load_options
  bool per_row() const { return per_row_; }
  batch_integers const& at() const { return at_; }

  void begin(on_cuda const& where, ragged_batch from);
  /// Every sequence has one token more, which the device knows; new pages, if any, are brought.
  void go_on(on_cuda const& where, std::vector<int> pages);
  /// Calls f, or repeats what it launched under the same key when every sequence has one token.
  void run(on_cuda const& where, std::span<void const* const> key, std::function<void(on_cuda const&)> const& f);
  /// What graphs hold has moved: weights or adapters.
  void forget() { graphs_.clear(); }
  std::span<float> read(on_cuda const& where, view<float, 2> logits);
  /// Working memory, by purpose; grows, and then graphs are forgotten.
  enum purpose { terms, splits, weights, second, choice, scores, purposes };
  template <class T>
  T* lend(purpose p, std::size_t count) { return static_cast<T*>(lend_bytes(p, count * sizeof(T))); }
  std::size_t bytes() const;

  tall_product tall;          ///< empty: the library's own kernels, 64 rows at a time
  bool graphs = true;         ///< false: every pass is launched kernel by kernel
  std::function<void(char const* name, double bytes, double flops)> before = {};  ///< profiling: called before each operation of an eager pass

 private:
  void* lend_bytes(purpose p, std::size_t bytes);

  std::vector<int> pages_;    // (B, max_pages), as the device has them
  int rows_ = 0, count_ = 0, queries_ = 0, max_pages_ = 0;
  bool per_row_ = false;
  float int8_outliers_ = -1;
  batch_integers at_ = {};
  device_buffer<int> block_;
  struct slot {
    pinned_memory memory;
    cudaEvent_t sent = nullptr;
    slot() = default;
    slot(slot&& s) noexcept : memory(std::move(s.memory)), sent(std::exchange(s.sent, nullptr)) {}
    slot& operator=(slot&& s) noexcept { return std::swap(memory, s.memory), std::swap(sent, s.sent), *this; }
    ~slot() { if (sent) (void)cudaEventDestroy(sent); }
  };
  slot& next_slot(std::size_t bytes);
  std::array<slot, 2> slots_;
  int turn_ = 0;
  pinned_memory logits_;
  std::array<device_buffer<uint8_t>, purposes> lent_;
  struct recorded { pass_graph graph; int seen = 0; };
  std::map<std::vector<void const*>, recorded> graphs_;
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER_CUDA)
namespace smalti {

/// Captured on a stream of its own: the caller's may be the default stream, which cannot be captured.
SMALTI_INLINE void pass_graph::capture(on_cuda const& where, std::function<void(on_cuda const&)> const& f) {
  on_cuda on = where;
  detail::require_cuda(cudaStreamCreateWithFlags(&on.stream, cudaStreamNonBlocking), "capture a decode step");
  struct closing {
    cudaStream_t stream;
    cudaGraph_t graph = nullptr;
    ~closing() {
      if (graph) (void)cudaGraphDestroy(graph);
      (void)cudaStreamDestroy(stream);
    }
  } both{on.stream};
  detail::require_cuda(cudaStreamBeginCapture(on.stream, cudaStreamCaptureModeThreadLocal), "capture a decode step");
  try {
    f(on);
  } catch (...) {
    (void)cudaStreamEndCapture(on.stream, &both.graph), (void)cudaGetLastError();
    throw;
  }
  detail::require_cuda(cudaStreamEndCapture(on.stream, &both.graph), "capture a decode step");
  cudaGraphExec_t made = nullptr;
  detail::require_cuda(cudaGraphInstantiate(&made, both.graph, 0), "capture a decode step");
  if (at_) (void)cudaGraphExecDestroy(at_);
  at_ = made;
}

SMALTI_INLINE void device_batch::begin(on_cuda const& where, ragged_batch from) {
  rows_ = from.rows(), count_ = from.count(), per_row_ = !from.adapter.empty(), kv_used = from.kv_used, queries_ = 0, int8_outliers_ = from.int8_outliers;
  max_pages_ = int(from.pages.size()) / count_;
  std::vector<int> owner, last;
  for (int b = 0; b < count_; ++b) {
    int const n = from.q_starts[std::size_t(b) + 1] - from.q_starts[std::size_t(b)];
    owner.insert(owner.end(), std::size_t(n), b), last.push_back(from.q_starts[std::size_t(b) + 1] - 1), queries_ = max(queries_, n);
  }
  pages_ = from.pages;
  if (from.adapter.empty()) from.adapter.assign(std::size_t(rows_), -1);
  std::vector<int> const* const parts[] = {&from.token, &from.position, &owner, &from.adapter, &from.q_starts, &from.first, &from.kv_used, &last, &from.pages};
  std::size_t total = 0;
  for (auto const* p : parts) total += round_up(p->size(), std::size_t(4));
  if (block_.size() < total) graphs_.clear(), block_ = {}, block_ = device_buffer<int>(total * 2);
  slot& s = next_slot(total * 4);
  int* to = s.memory.as<int>();
  int** const fields[] = {&at_.token, &at_.position, &at_.owner, &at_.adapter, &at_.q_starts, &at_.first, &at_.kv_used, &at_.last, &at_.pages};
  std::size_t at = 0;
  for (int i = 0; i < 9; ++i) {
    std::memcpy(to + at, parts[i]->data(), parts[i]->size() * 4);
    *fields[i] = block_.data() + at, at += round_up(parts[i]->size(), std::size_t(4));
  }
  detail::require_cuda(cudaMemcpyAsync(block_.data(), to, total * 4, cudaMemcpyHostToDevice, where.stream), "send a batch");
  detail::require_cuda(cudaEventRecord(s.sent, where.stream), "send a batch");
}

SMALTI_INLINE device_batch::slot& device_batch::next_slot(std::size_t bytes) {
  slot& s = slots_[std::size_t(turn_ ^= 1)];
  if (s.sent) detail::require_cuda(cudaEventSynchronize(s.sent), "send a batch");
  else detail::require_cuda(cudaEventCreateWithFlags(&s.sent, cudaEventDisableTiming), "send a batch");
  if (s.memory.size() < bytes) s.memory = {}, s.memory = pinned_memory(bytes * 2);
  return s;
}

SMALTI_INLINE void device_batch::go_on(on_cuda const& where, std::vector<int> pages) {
  for (int& n : kv_used) ++n;
  if (pages == pages_) return;
  pages_ = std::move(pages);
  slot& s = next_slot(pages_.size() * 4);
  std::memcpy(s.memory.as<int>(), pages_.data(), pages_.size() * 4);
  detail::require_cuda(cudaMemcpyAsync(at_.pages, s.memory.as<int>(), pages_.size() * 4, cudaMemcpyHostToDevice, where.stream), "send pages");
  detail::require_cuda(cudaEventRecord(s.sent, where.stream), "send pages");
}

SMALTI_INLINE void device_batch::run(on_cuda const& where, std::span<void const* const> key, std::function<void(on_cuda const&)> const& f) {
  if (!graphs || queries_ != 1 || before) return f(where);
  std::vector<void const*> full(key.begin(), key.end());
  for (int n : {count_, max_pages_, int(per_row_)}) full.push_back(reinterpret_cast<void const*>(std::uintptr_t(n)));
  if (graphs_.size() > 64) graphs_.clear();
  if (graphs_[full].seen++ == 0) return f(where);  // what is used once is not worth a graph, and lends itself its memory
  if (auto const& r = graphs_[full]; r.graph) return r.graph.launch(where);
  pass_graph made;
  made.capture(where, f), made.launch(where);
  graphs_[full].graph = std::move(made);
}

SMALTI_INLINE std::span<float> device_batch::read(on_cuda const& where, view<float, 2> logits) {
  std::size_t const n = std::size_t(logits.size());
  if (logits_.size() < n * 4) logits_ = {}, logits_ = pinned_memory(n * 4);
  if (n) detail::require_cuda(cudaMemcpyAsync(logits_.as<float>(), logits.at, n * 4, cudaMemcpyDeviceToHost, where.stream), "read logits");
  detail::require_cuda(cudaStreamSynchronize(where.stream), "a pass of the model");
  return {logits_.as<float>(), n};
}

SMALTI_INLINE void* device_batch::lend_bytes(purpose p, std::size_t bytes) {
  auto& b = lent_[p];
  if (b.size() < bytes) {
    graphs_.clear(), b = {}, b = device_buffer<uint8_t>(bytes);
    if (p == splits || p == choice) detail::require_cuda(cudaMemset(b.data(), 0, bytes), "working memory"), detail::require_cuda(cudaDeviceSynchronize(), "working memory");
  }
  return b.data();
}
SMALTI_INLINE std::size_t device_batch::bytes() const {
  std::size_t n = block_.bytes();
  for (auto const& b : lent_) n += b.bytes();
  return n;
}

}  // namespace smalti
#endif
