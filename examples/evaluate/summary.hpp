#pragma once
// Many scores in one JSON object: means with their intervals for all questions, each category and each kind; what failed, and why.

#include <functional>
#include <set>
#include "scoring.hpp"
#include "statistics.hpp"

namespace evaluation {

/// To six places: what is written must not depend on the order of additions in the last bits.
inline double rounded(double x) { return std::round(x * 1e6) / 1e6; }
inline json json_of(estimate const& e) {
  if (e.n == 0) return nullptr;
  return {{"value", rounded(e.value)}, {"low", rounded(e.low)}, {"high", rounded(e.high)}, {"n", e.n}};
}

/// The metrics of some answers. A metric without a question that it applies to is null.
inline json summarise(std::vector<scored const*> const& some, resampling how) {
  using test = std::function<bool(scored const&)>;
  auto const over = [&](test const& applies, std::function<double(scored const&)> const& value) {
    std::vector<double> x;
    for (auto const* s : some)
      if (applies(*s)) x.push_back(value(*s));
    return json_of(bootstrap_mean(x, how));
  };
  auto const all = [](scored const&) { return true; };  // which questions a metric is about

  auto const of_kind = [](std::string kind) { return [kind](scored const& s) { return s.kind() == kind; }; };
  auto const answered = [](scored const& s) { return s.asked->answerable() && !s.got.abstained && !s.asked->documents.empty(); };
  abstention_counts declined;
  int executed = 0, codes = 0;
  for (auto const* s : some) {
    declined.add(s->asked->answerable(), s->got.abstained);
    if (std::string_view(s->kind()) == "code") ++codes, executed += s->code.run || s->got.abstained;
  }
  json out = {{"questions", some.size()},
              {"correct", over(all, [](auto& s) { return s.correct; })},
              {"score", over(all, [](auto& s) { return s.score; })},
              {"exact_match", over(of_kind("text"), [](auto& s) { return s.exact; })},
              {"f1", over(of_kind("text"), [](auto& s) { return s.f1; })},
              {"rouge_l", over(of_kind("text"), [](auto& s) { return s.rouge; })},
              // The mean over answers: over a corpus, long answers would make up for those that decline.
              {"bleu", over(of_kind("text"), [](auto& s) { return s.bleu; })},
              {"numeric", over(of_kind("numeric"), [](auto& s) { return s.number.concluded; })},
              {"numeric_held", over(of_kind("numeric"), [](auto& s) { return s.number.held; })},
              {"execution", executed == codes ? over(of_kind("code"), [](auto& s) { return s.code.passed; }) : json()},
              {"citation_precision", over([&](auto& s) { return answered(s) && s.citations.cites; }, [](auto& s) { return s.citations.precision; })},
              {"citation_recall", over(answered, [](auto& s) { return s.citations.recall; })},
              {"declined", over(all, [](auto& s) { return s.got.abstained; })},
              {"abstention", {{"precision", rounded(declined.precision())}, {"recall", rounded(declined.recall())}, {"f1", rounded(declined.f1())},
                              {"declined_rightly", declined.declined_rightly}, {"declined_wrongly", declined.declined_wrongly},
                              {"answered_rightly", declined.answered_rightly}, {"answered_wrongly", declined.answered_wrongly}}}};
  // A mean over some of the programs would mislead, so there is none.
  if (executed != codes) out["not_executed"] = codes - executed;
  return out;
}

/// Groups by name: "all", then categories, then kinds. Unanswerable questions are a kind, and belong to no category.
inline std::vector<std::pair<std::string, std::vector<scored const*>>> grouped(std::vector<scored> const& all) {
  std::vector<std::pair<std::string, std::vector<scored const*>>> groups{{"all", {}}};
  std::map<std::string, std::vector<scored const*>> categories, kinds;
  for (auto const& s : all) {
    groups[0].second.push_back(&s), kinds[s.kind()].push_back(&s);
    if (s.asked->answerable()) categories[s.asked->category].push_back(&s);
  }
  groups.insert(groups.end(), categories.begin(), categories.end());
  groups.insert(groups.end(), kinds.begin(), kinds.end());
  return groups;
}

/// What was wrong with an answer, in words.
inline std::string reason_of(scored const& s) {
  if (!s.asked->answerable()) return "answered what the documents do not hold";
  if (s.got.abstained) return s.got.asked ? "declined" : "declined: no passage is near the question";
  std::set<std::string> const given(s.got.passages.begin(), s.got.passages.end());
  bool const had = std::any_of(s.asked->documents.begin(), s.asked->documents.end(), [&](auto& d) { return given.contains(d); });
  std::string const lacking = given.empty() || had || s.asked->documents.empty() ? "" : "; the document was not among the passages";
  if (s.asked->kind == "code") return s.code.why + lacking;
  if (s.asked->kind == "numeric") return (s.number.held ? "the number is there, but not the last" : parse_quantities(without_citations(s.got.answer)).empty() ? "no number" : "another number") + lacking;
  char text[32];
  std::snprintf(text, sizeof text, "F1 %.2f", s.f1);
  return text + lacking;
}

/// The whole result: groups, one short line an answer (what compare needs), failures with their texts, and where the time went.
inline json summarise(std::vector<scored> const& all, resampling how) {
  json groups = json::array(), failures = json::array(), answers = json::array();
  for (auto const& [name, some] : grouped(all)) {
    json g = summarise(some, how);
    g["name"] = name, groups.push_back(std::move(g));
  }
  double seconds[4] = {};
  long long prompt = 0, tokens = 0;
  for (auto const& s : all) {
    answers.push_back({{"id", s.asked->id}, {"category", s.asked->category}, {"kind", s.kind()}, {"score", rounded(s.score)}, {"correct", s.correct}, {"abstained", s.got.abstained},
                       {"confidence", rounded(s.got.confidence)}});
    if (!s.correct)
      failures.push_back({{"id", s.asked->id}, {"kind", s.kind()}, {"question", s.asked->text}, {"expected", s.asked->answer ? json(*s.asked->answer) : json()}, {"answer", s.got.answer},
                          {"cited", s.got.cited}, {"documents", s.asked->documents}, {"why", reason_of(s)}});
    double const spent[4] = {s.got.embed, s.got.search, s.got.prefill, s.got.decode};
    for (int i = 0; i < 4; ++i) seconds[i] += spent[i];
    prompt += s.got.prompt_tokens, tokens += s.got.tokens;
  }
  return {{"groups", groups}, {"answers", answers}, {"failures", failures},
          {"timing", {{"embed_seconds", rounded(seconds[0])}, {"search_seconds", rounded(seconds[1])}, {"prefill_seconds", rounded(seconds[2])}, {"decode_seconds", rounded(seconds[3])},
                      {"prompt_tokens", prompt}, {"tokens", tokens}}}};
}

}  // namespace evaluation
