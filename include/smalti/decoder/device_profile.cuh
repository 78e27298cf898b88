#pragma once
// Where the time of a pass goes: events between its operations, which then run one after the other (CUDA Runtime API, "Event
// Management"). Their sum is more than the pass takes in a graph, where neighbours overlap.

#include <vector>
#include "device_batch.cuh"
#include "profile.hpp"

namespace smalti {

/// Watches a model's passes from here to `rows`. Passes are then launched kernel by kernel.
class pass_profile {
 public:
  pass_profile(on_cuda const& where, device_batch& batch) : where_(where), batch_(batch) {
    batch_.before = [this](char const* name, double bytes, double flops) { note(name, bytes, flops); };
  }
  pass_profile(pass_profile const&) = delete;
  ~pass_profile() {
    batch_.before = {};
    for (auto& n : notes_) (void)cudaEventDestroy(n.at);
  }
  /// A pass has been asked for and is over: what follows is not part of its last operation.
  void end() { note("", 0, 0); }
  /// By time, longest first. Waits for the stream.
  std::vector<profile_row> rows() {
    end();
    detail::require_cuda(cudaStreamSynchronize(where_.stream), "profile");
    std::vector<profile_row> all;
    for (std::size_t i = 0; i + 1 < notes_.size(); ++i) {
      if (!*notes_[i].name) continue;
      float ms = 0;
      detail::require_cuda(cudaEventElapsedTime(&ms, notes_[i].at, notes_[i + 1].at), "profile");
      detail::add_to(all, notes_[i].name, ms * 1e-3, notes_[i].bytes, notes_[i].flops);
    }
    detail::sort_rows(all);
    return all;
  }

 private:
  struct one { char const* name; double bytes, flops; cudaEvent_t at; };
  void note(char const* name, double bytes, double flops) {
    notes_.push_back({name, bytes, flops, nullptr});
    detail::require_cuda(cudaEventCreate(&notes_.back().at), "profile"), detail::require_cuda(cudaEventRecord(notes_.back().at, where_.stream), "profile");
  }
  on_cuda where_;
  device_batch& batch_;
  std::vector<one> notes_;
};

template <>
struct profile_of<on_cuda> { using type = pass_profile; };

}  // namespace smalti
