#pragma once
// One answer judged by its question: the score of its kind, and whether it counts as right.

#include <string>
#include <vector>
#include "code.hpp"
#include "questions.hpp"

namespace evaluation {

/// What a run recorded of one question; enough to score it again.
struct reply {
  std::string id, answer;
  bool abstained = false;
  bool asked = true;                         ///< false: the passages were too far from the question, and the model was not asked
  std::vector<std::string> cited, passages;  ///< document ids: of each mark ("" for a number that no passage has), of each passage in the prompt
  double confidence = 0;                     ///< 0 … 1
  int prompt_tokens = 0, tokens = 0;
  double embed = 0, search = 0, prefill = 0, decode = 0;  ///< seconds
};
inline json json_of(reply const& r) {
  return {{"id", r.id}, {"answer", r.answer}, {"abstained", r.abstained}, {"asked", r.asked}, {"cited", r.cited}, {"passages", r.passages}, {"confidence", r.confidence},
          {"prompt_tokens", r.prompt_tokens}, {"tokens", r.tokens}, {"seconds", {r.embed, r.search, r.prefill, r.decode}}};
}
inline reply reply_of(json const& j, std::string const& file) {
  auto const strings = [&](char const* name) { return smalti::field<std::vector<std::string>>(j, file, name); };
  auto const seconds = smalti::field<std::vector<double>>(j, file, "seconds");
  if (seconds.size() != 4) throw std::runtime_error(file + ": seconds: expected four numbers, found " + std::to_string(seconds.size()));
  return {smalti::field<std::string>(j, file, "id"), smalti::field<std::string>(j, file, "answer"), smalti::field<bool>(j, file, "abstained"), smalti::field<bool>(j, file, "asked"),
          strings("cited"), strings("passages"), smalti::field<double>(j, file, "confidence"), smalti::field<int>(j, file, "prompt_tokens"), smalti::field<int>(j, file, "tokens"),
          seconds[0], seconds[1], seconds[2], seconds[3]};
}

/// A question and its answer with all scores; those of other kinds stay 0. An answer that declines gets 0 for a question with an answer.
struct scored {
  question const* asked = nullptr;
  reply got;
  double score = 0;      ///< 0 … 1: text: token F1; numeric, code, unanswerable: right or not
  bool correct = false;  ///< text: an accepted answer stands in it word for word, or F1 ≥ ½; the others as the score
  double f1 = 0, rouge = 0, bleu = 0;
  bool exact = false;
  numeric_match number;
  code_result code;
  citation_score citations;

  char const* kind() const { return asked->answerable() ? asked->kind.c_str() : "unanswerable"; }
};

inline scored score(question const& q, reply r, containment const& limits = {}) {
  scored s;
  s.asked = &q, s.got = std::move(r);
  if (!q.answerable()) return s.correct = s.got.abstained, s.score = s.correct, s;
  s.citations = score_citations(s.got.cited, {q.documents.begin(), q.documents.end()});
  if (s.got.abstained) return s.code.why = "declined", s;
  auto const accepted = q.accepted();
  auto const plain = without_citations(s.got.answer);
  if (q.kind == "numeric") {
    s.number = match_number(plain, q.number, q.tolerance, q.unit);
    s.correct = s.number.concluded, s.score = s.correct;
  } else if (q.kind == "code") {
    auto const code = code_of(s.got.answer);
    s.code = q.language == "sql" ? check_sql(q.setup, code, q.expected, limits) : check_python(code, q.tests, limits);
    s.correct = s.code.passed, s.score = s.correct;
  } else {
    s.exact = exact_match(plain, accepted), s.f1 = token_f1(plain, accepted), s.rouge = rouge_l(plain, accepted);
    bleu_counts counts;
    counts.add(plain, accepted), s.bleu = bleu(counts);
    s.score = s.f1, s.correct = s.f1 >= 0.5 || holds_reference(plain, accepted);
  }
  return s;
}

}  // namespace evaluation
