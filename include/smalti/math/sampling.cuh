#pragma once
// From logits to tokens on a device, a batch of rows at once, with the semantics and the random numbers of sampling.hpp.
// Floor: the logits read once, (rows · vocabulary · 4) bytes from L2: 1 to 2 µs for one row of 128256, two launches beside it.

#include "../cuda/device_buffer.cuh"
#include "sampling.hpp"
#include "sampling_kernel.cuh"

namespace smalti {

/// What argmax and sample keep between their launches: made once for the largest batch, used by one stream at a time.
class sampling_workspace {
 public:
  sampling_workspace() = default;
  /// Throws quant.5, cuda.
  sampling_workspace(on_cuda const& where, int rows, int vocabulary)
      : rows_(rows), vocabulary_(vocabulary), best_(std::size_t(rows) * detail::argmax_blocks), ticket_(std::size_t(rows)),
        seen_(std::size_t(rows) * std::size_t(ceil_div(vocabulary, 32))), list_(std::size_t(rows) * detail::sample_blocks * detail::sample_list) {
    if (rows) detail::require_cuda(cudaMemsetAsync(ticket_.data(), 0, ticket_.bytes(), where.stream), "sampling workspace");
    if (rows) detail::require_cuda(cudaMemsetAsync(seen_.data(), 0, seen_.bytes(), where.stream), "sampling workspace");
  }
  int rows() const { return rows_; }
  int vocabulary() const { return vocabulary_; }
  detail::sampling_memory memory() { return {best_.data(), ticket_.data(), seen_.data(), list_.data(), ceil_div(vocabulary_, 32)}; }

 private:
  int rows_ = 0, vocabulary_ = 0;
  device_buffer<uint64_t> best_;    // (rows, argmax_blocks)
  device_buffer<unsigned> ticket_;  // (rows), 0 between calls
  device_buffer<unsigned> seen_;    // (rows, ⌈vocabulary / 32⌉), 0 between calls
  device_buffer<uint64_t> list_;    // (rows, sample_blocks, sample_list)
};

namespace detail {
template <class X>
status check_logits(view<X, 2> const& logits, int const* ids, sampling_workspace const& w) {
  if (logits.extent[0] > w.rows() || logits.extent[0] > 65535 || logits.extent[1] > w.vocabulary() || (logits.extent[1] > 1 && logits.stride[1] != 1))
    return {"math.5", "sampling: more rows or logits than the workspace was made for, or logits that are not contiguous"};
  if (missing(logits) || (!ids && logits.extent[0] > 0)) return {"math.4", "an operand is null"};
  return {};
}
}  // namespace detail

/// ids[r] = the position of the largest logit of row r; the first of equals, as `greedy` on the host: NaN never wins but at position 0;
/// −1 where there are none. logits: (rows, vocabulary), float, bf16 or f16, columns contiguous; ids: (rows). The same from run to run.
/// Asynchronous, allocates nothing, may be captured in a graph. Errors: math.4 (null), math.5 (workspace), cuda; ids are then untouched.
template <class X>
status argmax(on_cuda const& where, int* ids, view<X, 2> logits, sampling_workspace& workspace, launch_order order = {}) {
  using T = std::remove_const_t<X>;
  static_assert(detail::device_element<T>, "gemm.6: logits are float, bf16 or f16");
  if (auto s = detail::check_logits(logits, ids, workspace); !s) return s;
  if (logits.extent[0] == 0) return {};
  return detail::launch(where, order, detail::argmax_kernel<T>, detail::argmax_grid(logits.extent[0], logits.extent[1]), detail::argmax_threads, 0, view<T const, 2>(logits),
                        ids, workspace.memory());
}

/// For each row its options and the draws so far, in device memory: steps change them, a captured graph does not.
struct sampling_state {
  sampling_options options = {};
  uint64_t draws = 0;  ///< counted up by every call
};

/// The tokens that occurred, for the repetition penalty; in device memory.
struct seen_tokens {
  int const* at = nullptr;      ///< (rows, stride): row r begins at r · stride; null: no penalty
  int const* count = nullptr;   ///< (rows): how many of them count
  index stride = 0;
};

/// ids[r] = the next token of row r, drawn from its logits by the options of states[r] as `sampler` does on the host, in the same order:
/// penalty, temperature, top-k, top-p, min-p, inversion with the same random number. The same seed and draws give the host's token, up
/// to the last bits of exponentials and sums. Equal logits are ordered by token. Temperature 0 is argmax. The same from run to run.
/// logits: (rows, vocabulary), float, bf16 or f16, columns contiguous, changed by the penalty; states: (rows). Rows that hold nothing
/// but −inf, or +inf, or NaN in front, give what `greedy` gives; other NaN are left out. Asynchronous, allocates nothing, may be
/// captured in a graph. Errors: math.4 (null), math.5 (workspace), cuda.
template <class X>
status sample(on_cuda const& where, int* ids, view<X, 2> logits, sampling_state* states, sampling_workspace& workspace, seen_tokens seen = {}, launch_order order = {}) {
  static_assert(detail::device_element<X> && !std::is_const_v<X>, "gemm.6: logits are float, bf16 or f16");
  if (auto s = detail::check_logits(logits, ids, workspace); !s) return s;
  if (logits.extent[0] == 0) return {};
  if (!states || (seen.at && !seen.count)) return {"math.4", "an operand is null"};
  unsigned const rows = unsigned(logits.extent[0]);
  if (seen.at)
    if (auto s = detail::launch(where, order, detail::penalise_kernel<X, sampling_state, seen_tokens>, dim3(rows), 256, 0, logits, states, seen, workspace.memory()); !s) return s;
  if (auto s = argmax(where, ids, logits, workspace, order); !s) return s;
  int const blocks = where.device >= sm_90a && logits.extent[1] > 8 * detail::sample_threads ? detail::sample_blocks : 1;
  return detail::launch_clusters(where, order, blocks, detail::sample_kernel<X, sampling_state>, dim3(unsigned(blocks), rows), detail::sample_threads, 0, view<X const, 2>(logits), ids,
                                 states, workspace.memory());
}

}  // namespace smalti
