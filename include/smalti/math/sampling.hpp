#pragma once
// From logits to a token, with the options of `transformers`' generate, in its order: repetition penalty (Keskar et al. 2019,
// §4.1), temperature, top-k (Fan et al. 2018), top-p (Holtzman et al. 2020), min-p (Nguyen et al. 2024).

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>
#include "philox.hpp"

namespace smalti {

struct sampling_options {
  float temperature = 0;          ///< 0: greedy, and the fields down to min_p are ignored
  int top_k = 0;                  ///< keep the k largest; 0: all
  float top_p = 1;                ///< keep the smallest set whose probability reaches p
  float min_p = 0;                ///< keep what has at least this share of the largest probability
  float repetition_penalty = 1;   ///< > 1 discourages tokens that occurred
  uint64_t seed = 0;              ///< the same seed gives the same tokens on every machine
};

/// The position of the largest logit; the first of equals. −1 for an empty span.
inline int greedy(std::span<float const> logits) {
  return logits.empty() ? -1 : int(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// Draws tokens one after the other. Holds a list of candidates, sized at the first draw.
class sampler {
 public:
  explicit sampler(sampling_options o = {}) : options_(o) {}

  /// The next token. logits: (vocabulary), changed by the penalty; seen: tokens of the prompt and of the answer so far.
  /// −1 for an empty span.
  int operator()(std::span<float> logits, std::span<int const> seen = {}) {
    penalise(logits, seen);
    ++draws_;
    if (options_.temperature <= 0 || logits.empty()) return greedy(logits);
    keep_top_k(logits);
    weigh(logits);
    keep_top_p();
    keep_min_p();
    return draw();
  }

  uint64_t draws() const { return draws_; }

 private:
  struct candidate {
    int token;
    float weight;  // its logit, then e^(logit − largest)
  };

  void penalise(std::span<float> logits, std::span<int const> seen) {
    float const penalty = options_.repetition_penalty;
    if (penalty == 1) return;
    marked_.assign(logits.size(), false);  // each token once, however often it occurred
    for (int t : seen) {
      if (t < 0 || std::size_t(t) >= logits.size() || marked_[std::size_t(t)]) continue;
      marked_[std::size_t(t)] = true;
      float& x = logits[std::size_t(t)];
      x = x < 0 ? x * penalty : x / penalty;
    }
  }
  void keep_top_k(std::span<float const> logits) {
    kept_.resize(logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i) kept_[i] = {int(i), logits[i]};
    std::size_t const k = std::size_t(std::max(options_.top_k, 0));
    if (k == 0 || k >= kept_.size()) return;
    auto const last = kept_.begin() + std::ptrdiff_t(k) - 1;
    std::nth_element(kept_.begin(), last, kept_.end(), heavier);
    float const least = last->weight;  // what ties with the k-th stays
    std::erase_if(kept_, [least](candidate c) { return c.weight < least; });
  }
  void weigh(std::span<float const> logits) {
    float const largest = logits[std::size_t(greedy(logits))];
    for (auto& c : kept_) c.weight = std::exp((c.weight - largest) / options_.temperature);
    std::erase_if(kept_, [](candidate c) { return !(c.weight > 0); });
    if (kept_.empty()) kept_.push_back({greedy(logits), 1.f});  // NaN, or +inf among the logits
    std::sort(kept_.begin(), kept_.end(), heavier);  // also what makes the draw independent of the selection's order
  }
  double total() const {
    return std::accumulate(kept_.begin(), kept_.end(), 0., [](double s, candidate c) { return s + c.weight; });
  }
  void keep_top_p() {
    if (options_.top_p >= 1) return;
    double const enough = options_.top_p * total();
    double sum = 0;
    std::size_t n = 0;
    while (n < kept_.size() && (n == 0 || sum < enough)) sum += kept_[n++].weight;
    kept_.resize(n);
  }
  void keep_min_p() {
    float const least = options_.min_p * kept_.front().weight;
    while (kept_.size() > 1 && kept_.back().weight < least) kept_.pop_back();
  }
  int draw() const {  // by inversion, heaviest first
    double left = random_unit(options_.seed, draws_) * total();
    for (auto const& c : kept_)
      if ((left -= c.weight) < 0) return c.token;
    return kept_.back().token;
  }
  static bool heavier(candidate a, candidate b) { return a.weight != b.weight ? a.weight > b.weight : a.token < b.token; }

  sampling_options options_;
  std::vector<candidate> kept_;
  std::vector<bool> marked_;
  uint64_t draws_ = 0;
};

}  // namespace smalti
