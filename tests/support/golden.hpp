#pragma once
// What tests of decoders share: recorded sequences, and how far logits are from recorded ones.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>
#include <smalti/decoder/model.hpp>

namespace smalti::test {

inline std::vector<int> ids_of(tensor const& t) {
  std::vector<int> ids;
  for (index i = 0; i < t.count(); ++i) {
    int64_t id;
    std::memcpy(&id, t.bytes.data() + 8 * i, 8);
    ids.push_back(int(id));
  }
  return ids;
}

/// Largest |got − want| over largest |want|; NaN and a difference in size are infinitely wrong.
template <class A, class B>
double relative_error(A const& got, B const& want) {
  if (std::size(got) != std::size(want)) return INFINITY;
  double worst = 0, top = 0;
  for (std::size_t i = 0; i < std::size(want); ++i) {
    double const off = std::abs(double(got[i]) - double(want[i]));
    if (!(off <= worst)) worst = std::isnan(off) ? INFINITY : off;
    top = std::max(top, std::abs(double(want[i])));
  }
  return worst / top;
}

struct recorded {
  std::vector<int> ids;
  buffer<float> logits;  ///< (ids, vocabulary)
};

/// ids.i and `what`.i of a file of expectations, i = 0, 1, …
inline std::vector<recorded> recordings(std::string const& path, int vocabulary, std::string const& what = "logits") {
  safetensors const file(path);
  std::vector<recorded> all;
  for (int i = 0; file.contains("ids." + std::to_string(i)) && file.contains(what + "." + std::to_string(i)); ++i) {
    auto ids = ids_of(file.at("ids." + std::to_string(i)));
    auto logits = to_float(file.at(what + "." + std::to_string(i)), {index(ids.size()), vocabulary});
    all.push_back({std::move(ids), std::move(logits)});
  }
  return all;
}

/// Logits of one sequence from an empty context, a pass over all of it.
inline std::vector<float> logits_of(decoder<on_cpu>& m, std::span<int const> ids, int adapter = batch_entry::active) {
  auto cache = kv_cache<>::contiguous(m.config(), 1, int(ids.size()));
  batch_entry const one[] = {{cache.open(), ids, adapter}};
  auto const all = m.forward(cache, one, logits::all);
  return {all.at, all.at + all.size()};
}

/// The worst of all recorded sequences.
inline double worst_error(decoder<on_cpu>& m, std::string const& path, std::string const& what = "logits") {
  auto const all = recordings(path, m.config().vocabulary, what);
  double worst = all.empty() ? INFINITY : 0;
  for (auto const& r : all) worst = std::max(worst, relative_error(logits_of(m, r.ids), r.logits));
  return worst;
}

}  // namespace smalti::test
