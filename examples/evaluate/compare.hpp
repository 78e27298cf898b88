#pragma once
// Two models on the same text: how far the second's distribution is from the first's, how often both would say the same token, and the
// perplexity of each, under the conventions of smalti::perplexity.

#include <smalti/decoder.hpp>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>
#include "statistics.hpp"

namespace evaluation {

/// Sums over positions; a position is a token that is scored, as perplexity scores it.
struct divergence {
  long long tokens = 0, same_top = 0;
  double kl = 0, nll_a = 0, nll_b = 0;  ///< nats
  std::vector<double> kl_of;            ///< of each position, in order: for quantiles
};

/// KL(a ‖ b) = Σ_v a_v (ln a_v − ln b_v) of two rows of logits, in double; never below 0. Positions of equal tops agree; of equal logits the first is the top.
inline void add_position(divergence& d, std::span<float const> a, std::span<float const> b, int next) {
  auto const top = [](std::span<float const> x) { return std::size_t(std::max_element(x.begin(), x.end()) - x.begin()); };
  auto const log_sum = [](std::span<float const> x, float most) {
    double sum = 0;
    for (float v : x) sum += std::exp(double(v) - most);
    return most + std::log(sum);
  };
  std::size_t const ta = top(a), tb = top(b);
  double const za = log_sum(a, a[ta]), zb = log_sum(b, b[tb]);
  double kl = 0;
  for (std::size_t v = 0; v < a.size(); ++v) {
    double const la = a[v] - za, p = std::exp(la);
    if (p > 0) kl += p * (la - (b[v] - zb));
  }
  kl = std::max(kl, 0.);
  d.kl += kl, d.kl_of.push_back(kl), d.same_top += ta == tb, ++d.tokens;
  d.nll_a += za - a[std::size_t(next)], d.nll_b += zb - b[std::size_t(next)];
}

/// `score_a`, `score_b`: tokens → logits after each, row-major (tokens, vocabulary), from an empty context. The windows are those of
/// smalti::perplexity: `window` tokens moved by `stride`, each token but the first scored once.
template <class A, class B>
void diverge(divergence& d, A&& score_a, B&& score_b, int vocabulary, std::span<int const> ids, smalti::perplexity_options window) {
  auto const width = std::size_t(vocabulary);
  for (std::size_t begin = 0, scored = 1; scored < ids.size(); begin += std::size_t(window.stride)) {
    std::size_t const end = std::min(ids.size(), begin + std::size_t(window.window));
    auto const part = ids.subspan(begin, end - begin);
    std::span<float const> const a = score_a(part), b = score_b(part);  //                                 (end − begin, vocabulary)
    for (std::size_t t = std::max(scored, begin + 1); t < end; ++t) add_position(d, a.subspan((t - 1 - begin) * width, width), b.subspan((t - 1 - begin) * width, width), ids[t]);
    scored = std::max(scored, end);
  }
}

/// Over a set of texts, one after another, none in another's context. Throws std::runtime_error where the two tokenizers or vocabularies disagree:
/// distributions over different tokens cannot be compared.
inline divergence compare_models(smalti::language_model<smalti::on_cpu>& a, smalti::language_model<smalti::on_cpu>& b, std::vector<std::string> const& texts, smalti::perplexity_options window,
                                 std::function<void(long long)> const& progress = {}) {
  int const vocabulary = a.model.config().vocabulary;
  if (b.model.config().vocabulary != vocabulary)
    throw std::runtime_error(b.directory + ": expected the vocabulary of " + a.directory + ", " + std::to_string(vocabulary) + " tokens, found " + std::to_string(b.model.config().vocabulary));
  divergence d;
  for (auto const& text : texts) {
    auto const ids = a.encode(text);
    if (ids != b.encode(text)) throw std::runtime_error(b.directory + ": expected the tokenizer of " + a.directory + ", found one that cuts a text differently");
    smalti::decoder_sequence<smalti::on_cpu> sa(a.model, a.cache), sb(b.model, b.cache);
    auto const scorer = [&](auto& sequence) {
      return [&](std::span<int const> part) {
        if (progress) progress(d.tokens);
        return sequence.truncate(0), sequence.advance_all(part);
      };
    };
    diverge(d, scorer(sa), scorer(sb), vocabulary, ids, window);
  }
  return d;
}

}  // namespace evaluation
