#pragma once
// A question set in JSON lines, checked before anything is asked: examples/data/README.md says what a line holds.

#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>
#include <smalti/io/file.hpp>
#include <smalti/io/json.hpp>

namespace evaluation {

using smalti::json;

struct question {
  std::string id, category, kind, text;       ///< kind: "numeric", "code", "text"
  std::optional<std::string> answer;          ///< none: the documents do not hold it, and declining is right
  std::vector<std::string> alternatives, documents;
  double tolerance = 0;                       ///< numeric, in `unit`
  std::string unit;
  double number = 0;                          ///< numeric: the answer
  std::string language, setup, tests;         ///< code
  std::vector<std::string> expected;          ///< code: rows
  int line = 0;

  bool answerable() const { return answer.has_value(); }
  std::vector<std::string> accepted() const {
    std::vector<std::string> all;
    if (answer) all.push_back(*answer);
    all.insert(all.end(), alternatives.begin(), alternatives.end());
    return all;
  }
};

namespace detail {
/// One line. Throws smalti::error or std::runtime_error without the place, which the caller knows.
inline question parse_question(std::string_view text, std::string const& at) {
  json const row = smalti::parse_json(text, at);
  auto const wrong = [&](std::string const& why) { return std::runtime_error(at + ": " + why); };
  auto const list = [&](char const* name) { return smalti::field<std::vector<std::string>>(row, at, name, std::vector<std::string>()); };
  auto const word = [&](char const* name) { return smalti::field<std::string>(row, at, name, std::string()); };
  question q;
  q.id = smalti::field<std::string>(row, at, "id"), q.category = smalti::field<std::string>(row, at, "category"), q.kind = smalti::field<std::string>(row, at, "kind");
  q.text = smalti::field<std::string>(row, at, "question");
  if (q.id.empty() || q.text.empty()) throw wrong("expected an id and a question, found an empty one");
  if (q.kind != "numeric" && q.kind != "code" && q.kind != "text") throw wrong("kind: expected numeric, code or text, found \"" + q.kind + "\"");
  if (!row.contains("answer")) throw wrong("answer: expected a reference, or null where declining is right; found none");
  if (!row["answer"].is_null()) q.answer = smalti::field<std::string>(row, at, "answer");
  q.alternatives = list("alternatives"), q.documents = list("documents");
  q.unit = word("unit"), q.language = word("language"), q.setup = word("setup"), q.tests = word("tests"), q.expected = list("expected");
  if (!q.answer) {
    if (!q.documents.empty()) throw wrong("answer: expected a reference, because documents are named that hold it; found null");
    if (!q.alternatives.empty()) throw wrong("alternatives: expected none without an answer, found some");
    return q;
  }
  if (q.answer->empty()) throw wrong("answer: expected a reference, found an empty one");
  if (q.kind == "numeric") {
    char* end = nullptr;
    q.number = std::strtod(q.answer->c_str(), &end), q.tolerance = smalti::field<double>(row, at, "tolerance");
    if (end != q.answer->c_str() + q.answer->size() || !std::isfinite(q.number)) throw wrong("answer: expected a number, found \"" + *q.answer + "\"");
    if (!(q.tolerance >= 0)) throw wrong("tolerance: expected at least 0, found " + std::to_string(q.tolerance));
  } else if (q.kind == "code") {
    if (q.language != "sql" && q.language != "python") throw wrong("language: expected sql or python, found \"" + q.language + "\"");
    if (q.language == "sql" && !row.contains("expected")) throw wrong("expected: the rows are missing");
    if (q.language == "python" && q.tests.empty()) throw wrong("tests: expected some, found none");
  }
  return q;
}
}  // namespace detail

/// The questions of a text, in order; empty lines are passed over. Throws std::runtime_error that names all bad lines (the first ten) as file:line
/// with reason: malformed, a duplicate id, a question without reference; and one for a set without questions.
inline std::vector<question> parse_questions(std::string_view text, std::string const& file) {
  std::vector<question> all;
  std::map<std::string, int> line_of;
  std::string bad;
  int count = 0, number = 0;
  while (!text.empty()) {
    auto const end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size())), ++number;
    if (number == 1 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    std::string const at = file + ":" + std::to_string(number);
    try {
      auto q = detail::parse_question(line, at);
      q.line = number;
      if (auto const [seen, fresh] = line_of.emplace(q.id, number); !fresh)
        throw std::runtime_error(at + ": expected an id of its own, found \"" + q.id + "\", which line " + std::to_string(seen->second) + " has too");
      all.push_back(std::move(q));
    } catch (std::exception const& e) {
      if (++count <= 10) bad += std::string(bad.empty() ? "" : "\n") + e.what();
    }
  }
  if (count > 10) bad += "\nand " + std::to_string(count - 10) + " more";
  if (count) throw std::runtime_error(bad);
  if (all.empty()) throw std::runtime_error(file + ": expected questions, one JSON object a line; found none");
  return all;
}
inline std::vector<question> read_questions(std::string const& path) {
  smalti::mapped_file const file(path);
  return parse_questions(file.text(), path);
}

}  // namespace evaluation
