// JSON that nobody vouches for: depth, duplicates, types and ranges.
#include <catch2/catch.hpp>
#include "smalti/io/json.hpp"

namespace smalti {
using Catch::Matchers::Contains;

TEST_CASE("values arrive as they are") {
  auto const text = R"({"a": [1, -2, 3.5, true, null, "ä\u00e4"], "b": {"c": 18446744073709551615}})";
  CHECK(parse_json(text, "t") == json::parse(text));
  CHECK(parse_json("3", "t") == 3);
}

TEST_CASE("what is not JSON is named with the byte") {
  for (auto bad : {"", "{", "[1,]", "{\"a\" 1}", "nul", "[1] 2", "\"\x80\"", "1e999", "{\"a\":1}}", "\xef\xbb"})
    CHECK_THROWS_WITH(parse_json(bad, "file.json"), Contains("io.3: file.json: not JSON at byte "));
  CHECK_THROWS_WITH(parse_json("[1,]", "file.json"), Contains("not JSON at byte 4") && Contains("unexpected ']'"));
}

TEST_CASE("duplicate keys are refused at every level") {
  CHECK_THROWS_WITH(parse_json(R"({"a": 1, "b": 2, "a": 1})", "f"), Contains("io.3: f: expected each key once, found \"a\" twice"));
  CHECK_THROWS_WITH(parse_json(R"([{"x": {"k": 1, "\u006b": 2}}])", "f"), Contains("found \"k\" twice"));
  CHECK_NOTHROW(parse_json(R"([{"a": 1}, {"a": {"a": 1}}])", "f"));
}

TEST_CASE("deep nesting is refused, not followed") {
  for (std::string open : {"[", "{\"a\":", "[{\"a\":"}) {
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += open;
    CHECK_THROWS_WITH(parse_json(deep, "f"), Contains("io.3: f: expected at most 256 levels of nesting"));
  }
  CHECK_NOTHROW(parse_json(std::string(256, '[') + std::string(256, ']'), "f"));
  CHECK_THROWS(parse_json(std::string(257, '[') + std::string(257, ']'), "f"));
}

TEST_CASE("fields convert only without loss") {
  auto const j = parse_json(R"({"i": 7, "n": -7, "f": 2.5, "big": 4294967296, "b": true, "s": "x", "v": [1, 2], "e": 1e300, "z": null})", "f");
  CHECK(field<int>(j, "f", "i") == 7);
  CHECK(field<int>(j, "f", "n") == -7);
  CHECK(field<float>(j, "f", "i") == 7.f);
  CHECK(field<double>(j, "f", "f") == 2.5);
  CHECK(field<int64_t>(j, "f", "big") == 4294967296);
  CHECK(field<bool>(j, "f", "b"));
  CHECK(field<std::string>(j, "f", "s") == "x");
  CHECK(field<std::vector<int>>(j, "f", "v") == std::vector{1, 2});
  CHECK(field<int>(j, "f", "none", 9) == 9);
  CHECK(field<int>(j, "f", "z", 9) == 9);
  CHECK_THROWS_WITH(field<int>(j, "c.json", "none"), Contains("io.4: c.json: field \"none\": expected an integer") && Contains("found no such field"));
  CHECK_THROWS_WITH(field<int>(j, "c.json", "f"), Contains("found 2.5"));
  CHECK_THROWS_WITH(field<int>(j, "c.json", "big"), Contains("found 4294967296"));
  CHECK_THROWS_WITH(field<int>(j, "c.json", "big", 1), Contains("found 4294967296"));
  CHECK_THROWS_WITH(field<unsigned>(j, "c.json", "n"), Contains("found -7"));
  CHECK_THROWS_WITH(field<int>(j, "c.json", "b"), Contains("found true"));
  CHECK_THROWS_WITH(field<bool>(j, "c.json", "i"), Contains("expected true or false, found 7"));
  CHECK_THROWS_WITH(field<float>(j, "c.json", "e"), Contains("expected a finite number"));
  CHECK_THROWS_WITH(field<std::string>(j, "c.json", "v"), Contains("expected a string, found [1,2]"));
  CHECK_THROWS_WITH(field<std::vector<std::string>>(j, "c.json", "v"), Contains("expected an array, each element a string"));
  CHECK_THROWS_WITH(field<int>(json::array(), "c.json", "v"), Contains("expected an object with the field \"v\""));
}

TEST_CASE("a file that is missing is io.1") {
  CHECK_THROWS_WITH(read_json("no/such.json"), Contains("io.1: no/such.json") && Contains("No such file"));
}
}  // namespace smalti
