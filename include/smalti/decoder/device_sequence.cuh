#pragma once
// One sequence on a device while it grows. Greedy tokens are drawn there, and the next step is on its way before the host has read
// the last token: the host reads one step behind.

#include "device_attention.cuh"
#include "device_products.cuh"
#include "language_model.hpp"

namespace smalti {

/// As the host's, and a `drawing_model`: greedy without a penalty is drawn on the device, all else from logits on the host.
template <>
class decoder_sequence<on_cuda, backend<on_cuda>::cache> {
 public:
  using cache_type = backend<on_cuda>::cache;
  decoder_sequence(decoder<on_cuda>& model, cache_type& cache, int adapter = batch_entry::active)
      : model_(model), cache_(cache), number_(cache.open()), adapter_(adapter) {}
  decoder_sequence(decoder_sequence const&) = delete;
  ~decoder_sequence() {
    cache_.close(number_);
    for (auto e : ready_)
      if (e) (void)cudaEventDestroy(e);
  }

  std::span<float> advance(std::span<int const> tokens) {
    batch_entry const one[] = {{number_, tokens, adapter_}};
    return last_ = model_.read(model_.forward(cache_, one));
  }
  std::span<float> advance_all(std::span<int const> tokens) {
    batch_entry const one[] = {{number_, tokens, adapter_}};
    return model_.read(model_.forward(cache_, one, logits::all));
  }
  int room() const { return cache_.room(number_) + int(ahead_); }
  int length() const { return cache_.length(number_) - int(ahead_); }
  void truncate(int length) { cache_.truncate(number_, length), ahead_ = false; }
  bool is_stop(int id) const {
    auto const& ids = model_.config().stop_ids;
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  }

  bool draws(sampling_options const& o) const { return o.temperature <= 0 && o.repetition_penalty == 1; }
  /// The token after what was last advanced or drawn. Throws model.25 and what a pass throws.
  chosen_token draw();

 private:
  void step(bool first, int id);

  decoder<on_cuda>& model_;
  cache_type& cache_;
  int number_, adapter_;
  std::span<float> last_;            // logits of the last advance; empty once a token was drawn from them
  bool ahead_ = false;               // a step is on its way whose token nobody has asked for
  device_buffer<chosen_token> chosen_;
  pinned_memory read_;               // (2), in turn
  cudaEvent_t ready_[2] = {};
  int turn_ = 0;
};

}  // namespace smalti

#if defined(__CUDACC__) && (SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER_CUDA))
namespace smalti {

/// A step of the model, the choice after it, and that choice on its way to the host. The first goes on from a token of the host's.
SMALTI_INLINE void decoder_sequence<on_cuda, backend<on_cuda>::cache>::step(bool first, int id) {
  auto const after = [this](on_cuda const& on, view<float, 2> logits, device_batch& batch) { require(choose_greedy(on, logits, batch, chosen_.data())); };
  if (first) {
    batch_entry const one[] = {{number_, std::span(&id, 1), adapter_}};
    model_.forward(cache_, one, logits::last, chosen_.data(), after);
  } else {
    model_.repeat(cache_, std::span(&number_, 1), chosen_.data(), after);
  }
  auto const stream = model_.where().stream;
  turn_ ^= 1, ahead_ = true;
  detail::require_cuda(cudaMemcpyAsync(read_.as<chosen_token>() + turn_, chosen_.data(), sizeof(chosen_token), cudaMemcpyDeviceToHost, stream), "read a token");
  detail::require_cuda(cudaEventRecord(ready_[turn_], stream), "read a token");
}

SMALTI_INLINE chosen_token decoder_sequence<on_cuda, backend<on_cuda>::cache>::draw() {
  if (chosen_.empty()) {
    chosen_ = device_buffer<chosen_token>(1), read_ = pinned_memory(2 * sizeof(chosen_token));
    for (auto& e : ready_) detail::require_cuda(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "read a token");
  }
  if (!last_.empty()) {
    int const id = greedy(last_);
    chosen_token const token{id, detail::log_probability(last_, id)};
    last_ = {};
    if (cache_.room(number_) > 0) step(true, id);
    return token;
  }
  if (!ahead_) throw error("model.25", "sequence " + std::to_string(number_) + " has no room for the token that was drawn last");
  int const mine = turn_;
  ahead_ = false;
  if (cache_.room(number_) > 0) step(false, 0);
  detail::require_cuda(cudaEventSynchronize(ready_[mine]), "a pass of the model");
  return read_.as<chosen_token>()[mine];
}

}  // namespace smalti
#endif
