// Question sets that are wrong are refused with file, line and reason, all at once; the set of this repository is read, and its own references
// are right by the scorer.
#include <catch2/catch.hpp>
#include <smalti/io/json.hpp>
#include "../../examples/evaluate/scoring.hpp"

namespace evaluation {
namespace {

std::string const good = R"({"id":"q1","category":"c","question":"Why?","answer":"because","kind":"text","alternatives":["therefore"],"documents":["d"]})";

std::string refusal(std::string const& text) {
  try {
    parse_questions(text, "set.jsonl");
  } catch (std::exception const& e) {
    return e.what();
  }
  return "accepted";
}
bool has(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }
std::string with(std::string const& field, std::string const& value) {
  auto j = json::parse(good);
  value.empty() ? void(j.erase(field)) : void(j[field] = json::parse(value));
  return j.dump();
}

TEST_CASE("a good set, whatever its line ends") {
  auto const all = parse_questions("\xef\xbb\xbf" + good + "\r\n\n  \n" + with("id", R"("q2")"), "set.jsonl");
  REQUIRE(all.size() == 2);
  CHECK(all[0].accepted() == std::vector<std::string>{"because", "therefore"});
  CHECK(all[1].line == 4);
  CHECK(all[0].answerable());
}

TEST_CASE("what is wrong is named with its line") {
  CHECK(refusal("") == "set.jsonl: expected questions, one JSON object a line; found none");
  CHECK(refusal("\n \n") == refusal(""));
  CHECK(has(refusal(good + "\n{\"id\": 1,"), "set.jsonl:2"));
  CHECK(has(refusal("[1, 2]"), "set.jsonl:1"));
  CHECK(has(refusal(std::string(1, '\0')), "set.jsonl:1"));
  CHECK(has(refusal(good + "\n" + good), "set.jsonl:2: expected an id of its own, found \"q1\", which line 1 has too"));
  CHECK(has(refusal(with("answer", "")), "set.jsonl:1: answer: expected a reference, or null"));
  CHECK(has(refusal(with("answer", "null")), "answer: expected a reference, because documents are named"));
  CHECK(has(refusal(with("answer", R"("")")), "answer: expected a reference, found an empty one"));
  CHECK(has(refusal(with("answer", "7")), "answer"));
  CHECK(has(refusal(with("kind", R"("essay")")), "kind: expected numeric, code or text, found \"essay\""));
  CHECK(has(refusal(with("id", R"("")")), "expected an id and a question"));
  CHECK(has(refusal(with("documents", R"("d")")), "documents"));
  CHECK(has(refusal(with("kind", R"("numeric")")), "tolerance"));
  CHECK(has(refusal(R"({"id":"n","category":"c","question":"?","answer":"many","kind":"numeric","tolerance":1,"documents":["d"]})"), "expected a number, found \"many\""));
  CHECK(has(refusal(R"({"id":"n","category":"c","question":"?","answer":"1","kind":"numeric","tolerance":-1,"documents":["d"]})"), "tolerance: expected at least 0"));
  CHECK(has(refusal(with("kind", R"("code")")), "language: expected sql or python"));
  CHECK(has(refusal(R"({"id":"s","category":"c","question":"?","answer":"x","kind":"code","language":"python","documents":["d"]})"), "tests: expected some"));
}

TEST_CASE("all bad lines are told, the first ten in full") {
  std::string text;
  for (int i = 0; i < 13; ++i) text += "{\n";
  auto const why = refusal(text);
  CHECK(has(why, "set.jsonl:10"));
  CHECK_FALSE(has(why, "set.jsonl:11"));
  CHECK(has(why, "\nand 3 more"));
}

TEST_CASE("the repository's questions: every reference answer is right, and the perfect run scores 1") {
  auto const all = read_questions("examples/data/questions.jsonl");
  CHECK(all.size() >= 220);
  for (auto const& q : all) {
    INFO(q.id);
    reply r;
    r.id = q.id, r.answer = q.answer ? *q.answer + (q.unit.empty() ? "" : " " + q.unit) : "The passages do not say.", r.abstained = !q.answer, r.cited = q.documents;
    if (q.kind == "code" && q.answer) r.answer = "```\n" + *q.answer + "\n```";
    auto const s = score(q, r);
    INFO(s.code.why);
    CHECK(s.correct);
    CHECK(s.score == 1);
    r.abstained = !r.abstained;  // the opposite decision is wrong
    CHECK_FALSE(score(q, r).correct);
  }
}

}  // namespace
}  // namespace evaluation
