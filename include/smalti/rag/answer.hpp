#pragma once
// From a question and its passages to a reply that says what it rests on, how sure it is and where the time went; or that
// declines.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include "../io/json_fwd.hpp"
#include "citations.hpp"
#include "prompt.hpp"

namespace smalti {

/// What a model made of a prompt.
struct generated_text {
  std::string text = {};
  std::optional<float> log_probability = {};  ///< mean over its tokens, ≤ 0, under the model's own distribution
  int prompt_tokens = 0, tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
};
/// Whatever turns a prompt into text: a model of this library, one behind a URL, a canned answer in a test.
template <class G>
concept text_generator = requires(G g, rag_prompt const& p) { { g(p) } -> std::convertible_to<generated_text>; };

struct rag_timings {
  double embed = 0, search = 0, prefill = 0, decode = 0;  ///< seconds
  int prompt_tokens = 0, tokens = 0;
  double prefill_rate() const { return prefill > 0 ? prompt_tokens / prefill : 0; }  ///< tokens/s
  double decode_rate() const { return decode > 0 ? tokens / decode : 0; }
};

/// The parts of a confidence, each 0 … 1.
struct confidence_parts {
  float retrieval = 0;  ///< the best similarity among the cited passages (all, where none is cited), from `low` to `high`
  float support = 0;    ///< share of the answer's words that these passages or the question hold
  float certainty = 1;  ///< e^(mean log-probability of the tokens), where the model gives it
  /// The geometric mean: one part at 0 leaves no confidence.
  float together() const { return std::cbrt(retrieval * support * certainty); }
};

struct answer_options {
  prompt_options prompt = {};
  float abstain_below = 0.3f;        ///< of the best similarity: below, the model is not asked; see docs/decisions.d/retrieval.md
  float low = 0.2f, high = 0.6f;     ///< similarities that count as none and as full
  std::string refusal = "The passages do not say.";
  std::vector<std::string> refusals = {"the passages do not", "the passages don't", "i do not know", "i don't know", "cannot be answered"};  ///< beginnings in lower case
};

struct rag_reply {
  std::string question, answer;
  std::vector<passage> passages;  ///< those in the prompt
  citation_list citations;
  bool abstained = false;
  float confidence = 0;           ///< 0 … 1; 0 where it abstained
  confidence_parts parts;
  rag_timings timings;
};

/// Whether an answer declines: it begins with one of the refusals, whatever the case.
bool is_refusal(std::string_view answer, answer_options const& o);

confidence_parts confidence_of(rag_reply const& r, std::optional<float> log_probability, answer_options const& o);

/// Asks the generator, unless no passage is near the question. Errors: rag.5, and the generator's own.
template <text_generator G>
rag_reply answer(G&& generate, std::string question, std::span<passage const> passages, answer_options const& o = {}, retrieval_seconds spent = {}) {
  rag_reply r{std::move(question), {}, {}, {}, false, 0, {}, {.embed = spent.embed, .search = spent.search}};
  float best = -1;
  for (auto const& p : passages) best = std::max(best, p.similarity);
  if (best < o.abstain_below) {
    r.passages.assign(passages.begin(), passages.end()), r.answer = o.refusal, r.abstained = true;
    return r;
  }
  auto const prompt = build_prompt(r.question, passages, o.prompt);
  generated_text made = generate(prompt);
  r.passages = prompt.passages, r.answer = std::move(made.text);
  r.timings.prefill = made.prefill_seconds, r.timings.decode = made.decode_seconds, r.timings.prompt_tokens = made.prompt_tokens, r.timings.tokens = made.tokens;
  r.abstained = is_refusal(r.answer, o);
  if (r.abstained) return r;
  r.citations = parse_citations(r.answer, r.passages);
  r.parts = confidence_of(r, made.log_probability, o), r.confidence = r.parts.together();
  return r;
}

/// The reply as one JSON object, with the keys question, answer, passages, citations, confidence, abstained, timings.
json json_of(rag_reply const& r);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RAG)
  #include "../io/json.hpp"

namespace smalti {

SMALTI_INLINE bool is_refusal(std::string_view answer, answer_options const& o) {
  std::string low = detail::folded(answer.substr(std::min(answer.find_first_not_of(" \t\r\n"), answer.size())));
  return low.empty() || std::any_of(o.refusals.begin(), o.refusals.end(), [&](auto const& r) { return low.starts_with(r); });
}

SMALTI_INLINE confidence_parts confidence_of(rag_reply const& r, std::optional<float> log_probability, answer_options const& o) {
  std::vector<passage const*> rests_on;
  for (auto const& c : r.citations.all) rests_on.push_back(&r.passages[c.passage]);
  if (rests_on.empty())
    for (auto const& p : r.passages) rests_on.push_back(&p);
  float best = -1;
  auto known = detail::words_of(r.question);
  for (auto const* p : rests_on) best = std::max(best, p->similarity), known.merge(detail::words_of(p->title + "\n" + p->text));
  float const span = std::max(o.high - o.low, 1e-6f);
  return {std::clamp((best - o.low) / span, 0.f, 1.f), detail::coverage(detail::words_of(detail::without_marks(r.answer)), known),
          log_probability ? std::exp(std::min(*log_probability, 0.f)) : 1.f};
}

SMALTI_INLINE json json_of(rag_reply const& r) {
  auto const seconds = [](double s) { return std::round(s * 1e6) / 1e6; };
  auto const span = [](text_span s) { return json::array({s.begin, s.end}); };
  json passages = json::array(), citations = json::array();
  for (auto const& p : r.passages)
    passages.push_back({{"id", p.document}, {"title", p.title}, {"score", p.score}, {"similarity", p.similarity}, {"text", p.text}, {"span", span(p.span)}});
  for (auto const& c : r.citations.all)
    citations.push_back({{"number", c.number}, {"id", r.passages[c.passage].document}, {"mark", span(c.mark)}, {"claim", span(c.claim)}, {"evidence", span(c.evidence)}, {"support", c.support}});
  auto const& t = r.timings;
  return {{"question", r.question}, {"answer", r.answer}, {"passages", passages}, {"citations", citations}, {"confidence", r.confidence}, {"abstained", r.abstained},
          {"timings", {{"embed_seconds", seconds(t.embed)}, {"search_seconds", seconds(t.search)}, {"prefill_seconds", seconds(t.prefill)}, {"decode_seconds", seconds(t.decode)},
                       {"prompt_tokens", t.prompt_tokens}, {"tokens", t.tokens}, {"prefill_tokens_per_second", std::round(t.prefill_rate())}, {"decode_tokens_per_second", std::round(t.decode_rate() * 10) / 10}}}};
}

}  // namespace smalti
#endif
