#pragma once
// Where the time of a pass goes on the host: a clock read between its operations. Its twin for a device is device_profile.cuh.

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>
#include "ops_cpu.hpp"

namespace smalti {

/// One kind of operation in the passes that were watched.
struct profile_row {
  std::string name;
  int calls = 0;
  double seconds = 0, bytes = 0, flops = 0;
  /// The least time that its bytes and its arithmetic allow, over the time it took.
  double share(double bytes_per_second, double flops_per_second) const { return seconds > 0 ? std::max(bytes / bytes_per_second, flops / flops_per_second) / seconds : 0; }
};

namespace detail {
/// Adds one call to the row of its name.
inline void add_to(std::vector<profile_row>& all, char const* name, double seconds, double bytes, double flops) {
  auto row = std::find_if(all.begin(), all.end(), [&](profile_row const& r) { return r.name == name; });
  if (row == all.end()) row = all.insert(all.end(), profile_row{name});
  ++row->calls, row->seconds += seconds, row->bytes += bytes, row->flops += flops;
}
/// By time, longest first.
inline void sort_rows(std::vector<profile_row>& all) {
  std::sort(all.begin(), all.end(), [](profile_row const& a, profile_row const& b) { return a.seconds > b.seconds; });
}
}  // namespace detail

/// Watches a model's passes on the host from here to `rows`; `batch`: decoder::state().
class host_profile {
 public:
  host_profile(on_cpu const&, ragged_batch& batch) : batch_(batch) {
    batch_.before = [this](char const* name, double bytes, double flops) { note(name, bytes, flops); };
  }
  host_profile(host_profile const&) = delete;
  ~host_profile() { batch_.before = {}; }
  /// A pass is over: what follows is not part of its last operation.
  void end() { note("", 0, 0); }
  std::vector<profile_row> rows() {
    end(), detail::sort_rows(all_);
    return all_;
  }

 private:
  using clock = std::chrono::steady_clock;
  void note(char const* name, double bytes, double flops) {
    auto const now = clock::now();
    if (*name_) detail::add_to(all_, name_, std::chrono::duration<double>(now - since_).count(), bytes_, flops_);
    name_ = name, bytes_ = bytes, flops_ = flops, since_ = clock::now();
  }
  ragged_batch& batch_;
  std::vector<profile_row> all_;
  char const* name_ = "";
  double bytes_ = 0, flops_ = 0;
  clock::time_point since_;
};

/// profile_of<Where>::type watches a model's passes on Where.
template <class Where>
struct profile_of;
template <>
struct profile_of<on_cpu> { using type = host_profile; };

}  // namespace smalti
