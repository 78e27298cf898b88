// Chunks: whole sentences, whole characters, true offsets, bounded size and overlap.
#include <catch2/catch.hpp>
#include "smalti/text/chunk.hpp"
#include "smalti/text/unicode.hpp"

namespace smalti {
namespace {
using Catch::Matchers::Contains;
std::vector<std::string> texts(std::string const& text, std::vector<chunk> const& chunks) {
  std::vector<std::string> all;
  for (auto c : chunks) all.push_back(text.substr(c.begin, c.end - c.begin));
  return all;
}
using list = std::vector<std::string>;
list sentences(std::string const& text) { return texts(text, split_sentences(text)); }
chunk_options of(int limit, int overlap) { return {.limit = limit, .overlap = overlap}; }
}  // namespace

TEST_CASE("sentences end at stops, not at abbreviations, decimals or initials") {
  CHECK(sentences("One. Two! Three? Four") == list{"One.", "Two!", "Three?", "Four"});
  CHECK(sentences("Dr. A. Smith paid 3.14 % of e.g. U.S. debt. It cost $1,000.50 then.") == list{"Dr. A. Smith paid 3.14 % of e.g. U.S. debt.", "It cost $1,000.50 then."});
  CHECK(sentences("He said \"Stop.\" Then he left (at 5 p.m.). The end...  Really?!") == list{"He said \"Stop.\"", "Then he left (at 5 p.m.).", "The end...", "Really?!"});
  CHECK(sentences("See smalti.hpp. Fig. 3 shows it, cf. No. 7. End") == list{"See smalti.hpp.", "Fig. 3 shows it, cf. No. 7.", "End"});
  CHECK(sentences("今日は。元気？はい！") == list{"今日は。", "元気？", "はい！"});
  CHECK(sentences("").empty());
  CHECK(sentences(" \n\t\n ").empty());
  CHECK(sentences("a line\nthat goes on.\n\nNew paragraph") == list{"a line\nthat goes on.", "New paragraph"});
}

TEST_CASE("headings, items and fenced code are units") {
  std::string const text = "# Title. Part 2\nIntro here. More.\n- item one\n- item two. Two b.\n1. first\n```sql\nSELECT 1. FROM t;\n\nSELECT 2;\n```\nAfter.\n~~~\nopen";
  CHECK(sentences(text) == list{"# Title.", "Part 2", "Intro here.", "More.", "- item one", "- item two.", "Two b.", "1. first",
                                "```sql\nSELECT 1. FROM t;\n\nSELECT 2;\n```", "After.", "~~~\nopen"});
}

TEST_CASE("chunks hold whole sentences up to the limit and repeat whole sentences") {
  std::string const text = "Aa bb cc. Dd ee ff. Gg hh ii. Jj kk ll. Mm nn oo.";
  CHECK(texts(text, split(text, of(6, 0))) == list{"Aa bb cc. Dd ee ff.", "Gg hh ii. Jj kk ll.", "Mm nn oo."});
  CHECK(texts(text, split(text, of(6, 3))) == list{"Aa bb cc. Dd ee ff.", "Dd ee ff. Gg hh ii.", "Gg hh ii. Jj kk ll.", "Jj kk ll. Mm nn oo."});
  CHECK(texts(text, split(text, of(7, 2))) == texts(text, split(text, of(7, 0))));
  CHECK(texts(text, split(text, of(100, 50))) == list{text});
  CHECK(split("", of(5, 1)).empty());
}

TEST_CASE("a heading stays with what follows it") {
  std::string const text = "One two three.\n\n# Head\n\nFour five six seven.";
  CHECK(texts(text, split(text, of(6, 0))) == list{"One two three.", "# Head\n\nFour five six seven."});
}

TEST_CASE("a sentence beyond the limit is cut at words, a word beyond it at characters") {
  std::string const text = "one two three four five six seven";
  CHECK(texts(text, split(text, of(3, 0))) == list{"one two three", "four five six", "seven"});
  std::string const code = "```\naaaa bbbb\ncccc dddd\neeee ffff\n```";
  CHECK(texts(code, split(code, of(5, 0))) == list{"```\naaaa bbbb\ncccc dddd", "eeee ffff\n```"});
  std::string wide;
  for (int i = 0; i < 10; ++i) wide += "é中😀";
  chunk_options o = of(7, 0);
  o.count = [](std::string_view s) { return int(s.size()); };
  std::string joined;
  for (auto const& part : texts(wide, split(wide, o))) {
    CHECK(part.size() <= 7);
    CHECK(unicode::is_valid(part));
    joined += part;
  }
  CHECK(joined == wide);
  o.limit = 1;  // a character of more than the limit still makes progress
  CHECK(split(wide, o).size() == 30);
}

TEST_CASE("laws: offsets ascend, nothing visible is lost, limits hold, no character is cut") {
  std::string text;
  uint32_t state = 1;
  constexpr char const* parts[] = {"word ", "Ein Satz. ", "3.5 ", "\n\n", "# Kopf\n", "中文。", "😀", "```\nx = 1\n```\n", "- item\n", "Dr. X ", "…", "\xff\x80", "\t", "verylongword"};
  for (int round = 0; round < 300; ++round) {
    text.clear();
    for (int i = 0; i < round % 60; ++i) state = state * 1664525 + 1013904223, text += parts[(state >> 16) % 14];
    int const limit = 1 + round % 9, overlap = round % limit;
    INFO(text << " limit " << limit << " overlap " << overlap);
    std::size_t covered = 0, before = 0;
    for (auto c : split(text, of(limit, overlap))) {
      REQUIRE(c.begin < c.end);
      REQUIRE(c.end <= text.size());
      REQUIRE(c.end > covered);
      REQUIRE((c.begin > before || before == 0));
      CHECK(detail::count_words(std::string_view(text).substr(c.begin, c.end - c.begin)) <= limit);
      if (c.begin < covered) CHECK(detail::count_words(std::string_view(text).substr(c.begin, covered - c.begin)) <= overlap);
      else CHECK(detail::count_words(std::string_view(text).substr(covered, c.begin - covered)) == 0);
      covered = c.end, before = c.begin;
    }
    CHECK(detail::count_words(std::string_view(text).substr(covered)) == 0);
  }
}

TEST_CASE("options that cannot be met are refused") {
  CHECK_THROWS_WITH(split("a", of(0, 0)), Contains("text.6") && Contains("found 0 and 0"));
  CHECK_THROWS_WITH(split("a", of(5, 5)), Contains("text.6"));
  CHECK_THROWS_WITH(split("a", of(5, -1)), Contains("text.6"));
}
}  // namespace smalti
