#pragma once
// Where the time of a pass goes: events between its operations, which then run one after the other (CUDA Runtime API, "Event
// Management"). Their sum is more than the pass takes in a graph, where neighbours overlap.

#include <algorithm>
#include <string>
#include <vector>
#include "device_batch.cuh"

namespace smalti {

/// One kind of operation in the passes that were watched.
struct profile_row {
  std::string name;
  int calls = 0;
  double seconds = 0, bytes = 0, flops = 0;
  /// The least time that its bytes and its arithmetic allow, over the time it took.
  double share(double bytes_per_second, double flops_per_second) const { return seconds > 0 ? std::max(bytes / bytes_per_second, flops / flops_per_second) / seconds : 0; }
};

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
      auto row = std::find_if(all.begin(), all.end(), [&](profile_row const& r) { return r.name == notes_[i].name; });
      if (row == all.end()) row = all.insert(all.end(), profile_row{notes_[i].name});
      ++row->calls, row->seconds += ms * 1e-3, row->bytes += notes_[i].bytes, row->flops += notes_[i].flops;
    }
    std::sort(all.begin(), all.end(), [](profile_row const& a, profile_row const& b) { return a.seconds > b.seconds; });
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

}  // namespace smalti
