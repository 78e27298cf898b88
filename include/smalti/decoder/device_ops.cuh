#pragma once
// The operations a decoder is made of, on a device: ops_cpu.hpp's, with on_cuda first. Each is one launch or two, and every launch
// may begin while the one before it drains (CUDA C++ Programming Guide 13, §4.5).

#include "cache.hpp"
#include "device_room.cuh"
#include "device_weights.cuh"

namespace smalti {

/// As the host's; see cache.hpp. Waits for the device: sequences are forked rarely.
template <class T>
void copy_within(device_buffer<T>& array, std::size_t from, std::size_t to, std::size_t count) {
  detail::require_cuda(cudaDeviceSynchronize(), "copy a page");
  detail::require_cuda(cudaMemcpy(array.data() + to, array.data() + from, count * sizeof(T), cudaMemcpyDeviceToDevice), "copy a page");
}

template <>
struct backend<on_cuda> {
  using element = bf16;
  using residual = float;
  using weight = device_weight;
  using linear = device_linear;
  using vector = device_buffer<float>;
  using rope = device_rope_table;
  using batch = device_batch;
  using cache = kv_cache<bf16, device_buffer>;
  template <class T>
  using array = device_buffer<T>;
  static constexpr int least_positions = 1 << 30;  // the whole cache at once: a table that grows would move, and graphs know where it was
  static constexpr int page = 128;                 ///< tokens of a page where the program does not choose: a tile of keys

  static cache make_cache(decoder_config const& c, int sequences, int tokens) {
    int const pages = ceil_div(tokens, page);
    return cache::paged(c, pages * sequences, page, sequences, tokens);
  }
  template <class Options>
  static void check_room(on_cuda const&, decoder_config const& c, Options const& o, int context) { check_device_room(c, o, context); }
  static rope make_rope(on_cuda const& where, rope_table const& t) {
    auto to = upload(where, t);
    detail::require_cuda(cudaStreamSynchronize(where.stream), "upload a table");
    return to;
  }
  static void begin(on_cuda const& where, batch& to, ragged_batch from) { to.begin(where, std::move(from)); }
  static void go_on(on_cuda const& where, batch& b, std::vector<int> pages) { b.go_on(where, std::move(pages)); }
  static void forget(batch& b) { b.forget(); }
  template <class F>
  static void run(on_cuda const& where, batch& b, std::span<void const* const> key, F&& f) { b.run(where, key, f); }
  static std::span<float> read(on_cuda const& where, batch& b, view<float, 2> logits) { return b.read(where, logits); }
};

/// One matrix, (M, H·D | Hkv·D | Hkv·D).
inline query_key_value<bf16> projections_of(on_cuda const&, bf16* at, int m, decoder_config const& c) {
  index const q = c.q_width(), kv = c.kv_width(), row = q + 2 * kv;
  return {{at, {m, q}, {row, 1}}, {at + q, {m, kv}, {row, 1}}, {at + q + kv, {m, kv}, {row, 1}}};
}

status embed(on_cuda const& where, view<float, 2> y, device_weight const& table, device_batch& batch, float scale);
status normalise(on_cuda const& where, view<bf16, 2> y, view<float const, 2> x, device_buffer<float> const& weight, float eps, device_batch& batch);
status normalise_heads(on_cuda const& where, view<bf16, 2> x, int head_dim, device_buffer<float> const& weight, float eps, device_batch& batch);
status last_rows(on_cuda const& where, view<float, 2> y, view<float const, 2> x, device_batch& batch);
status project_head(on_cuda const& where, view<float, 2> y, view<bf16 const, 2> x, device_weight const& w, device_batch& batch, float scale);
status project_head(on_cuda const& where, view<float, 2> y, normalised_input<on_cuda> const& x, device_weight const& w, device_batch& batch, float scale);
status project(on_cuda const& where, query_key_value<bf16> const& y, view<bf16 const, 2> x, device_linear const& g, device_batch& batch);
/// For few rows and NF4 weights without adapters the norm is part of the product's launch.
status project(on_cuda const& where, query_key_value<bf16> const& y, normalised_input<on_cuda> const& x, device_linear const& g, device_batch& batch);
status swiglu(on_cuda const& where, view<bf16, 2> y, normalised_input<on_cuda> const& x, device_linear const& gate_up, device_batch& batch);
status add_linear(on_cuda const& where, view<float, 2> y, view<bf16 const, 2> x, device_linear const& g, device_batch& batch, float scale);
status swiglu(on_cuda const& where, view<bf16, 2> y, view<bf16 const, 2> x, device_linear const& gate_up, device_batch& batch);
status attend(on_cuda const& where, view<bf16, 2> o, query_key_value<bf16> const& x, kv_cache<bf16, device_buffer>& cache, int layer, device_batch& batch,
              device_rope_table const& rope, attend_options const& how);
/// After a decode step: the most probable token of each row of logits (B, vocabulary) and its log-probability, (B) on the device;
/// the batch then stands one token further, ready for the next step.
status choose_greedy(on_cuda const& where, view<float, 2> logits, device_batch& batch, chosen_token* chosen);

}  // namespace smalti
