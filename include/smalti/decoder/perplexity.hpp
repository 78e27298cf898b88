#pragma once
// How well a model predicts a text: the exponential of the mean negative log-likelihood of its tokens, by a sliding window.

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>
#include "../core/error.hpp"

namespace smalti {

/// A window of `window` tokens is moved by `stride`; each token is scored once, with at least window − stride tokens of
/// context wherever the text has them. stride = window scores separate pieces (cheap, pessimistic); the first token of the
/// text is never scored. These conventions change the number: state them with it.
struct perplexity_options {
  int window = 1024;  ///< tokens, at least 2
  int stride = 512;   ///< tokens, 1 … window − 1 gives context to all
};

struct perplexity_result {
  double nll = 0;        ///< Σ −ln p over the scored tokens, nats
  long long tokens = 0;  ///< how many were scored
  double perplexity() const { return tokens ? std::exp(nll / double(tokens)) : 1; }
};

/// `score(tokens)` starts from an empty context and returns the logits after each token, row-major (tokens, vocabulary).
template <class Score>
perplexity_result perplexity(Score&& score, int vocabulary, std::span<int const> ids, perplexity_options options = {}) {
  if (options.window < 2 || options.stride < 1 || options.stride > options.window)
    throw error("model.23", "perplexity: window " + std::to_string(options.window) + " and stride " + std::to_string(options.stride) +
                                "; expected a window of at least 2 and a stride from 1 to the window");
  perplexity_result out;
  for (std::size_t begin = 0, scored = 1; scored < ids.size(); begin += options.stride) {
    std::size_t const end = std::min(ids.size(), begin + options.window);
    std::span<float const> const logits = score(ids.subspan(begin, end - begin));  //                     (end − begin, vocabulary)
    for (std::size_t t = std::max(scored, begin + 1); t < end; ++t, ++out.tokens) {
      auto const row = logits.subspan((t - 1 - begin) * vocabulary, vocabulary);
      double top = row[0], sum = 0;
      for (float v : row) top = std::max(top, double(v));
      for (float v : row) sum += std::exp(v - top);
      out.nll += top + std::log(sum) - row[ids[t]];
    }
    scored = std::max(scored, end);
  }
  return out;
}

}  // namespace smalti
