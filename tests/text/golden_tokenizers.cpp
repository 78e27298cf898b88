// Every id and every decoded text of the `tokenizers` library on 2,849 strings, for each recorded tokenizer (tests/golden/tokenizers).
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include "../support/minilm.hpp"
#include "smalti/text/tokenizer.hpp"
#include <smalti/io/json.hpp>
#include "smalti/io/file.hpp"
#include "smalti/io/json.hpp"

namespace smalti {
namespace {
std::vector<json> lines_of(std::string const& path) {
  mapped_file const file(path);
  std::vector<json> all;
  for (auto text = file.text(); !text.empty();) {
    auto const end = std::min(text.find('\n'), text.size());
    all.push_back(parse_json(text.substr(0, end), path));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return all;
}
std::string streamed(tokenizer const& t, std::vector<int> const& ids, bool skip_special) {
  token_stream stream(t, {.skip_special = skip_special});
  std::string text;
  for (int id : ids) text += stream.push(id);
  return text + stream.finish();
}
std::string const folder = "tests/golden/tokenizers/";

void compare(std::string const& name, std::string const& tokenizer_file) {
  auto const t = tokenizer::load(tokenizer_file);
  auto const strings = lines_of(folder + "strings.jsonl"), expected = lines_of(folder + name + "/expected.jsonl");
  REQUIRE(expected.size() == strings.size() + 1);
  REQUIRE(strings.size() >= 2000);
  auto const prefix = expected[0]["prefix"].get<std::vector<int>>(), suffix = expected[0]["suffix"].get<std::vector<int>>();
  CHECK(t.vocabulary_size() == expected[0]["vocabulary_size"].get<int>());
  int different = 0;
  auto const count = [&](bool same, std::size_t n, char const* what) {
    if (!same && ++different <= 5) UNSCOPED_INFO(name << " string " << n << " (" << what << "): " << strings[n].dump(-1, ' ', true));
  };
  for (std::size_t n = 0; n < strings.size(); ++n) {
    auto const text = strings[n].get<std::string>();
    auto const& line = expected[n + 1];
    auto const ids = line["ids"].get<std::vector<int>>();
    auto const plain = line.contains("plain") ? line["plain"].get<std::vector<int>>() : ids;
    count(t.encode(text, {.special_tokens = false, .parse_special = true}) == ids, n, "ids");
    count(t.encode(text, {.special_tokens = false}) == plain, n, "plain");
    auto whole = prefix;
    whole.insert(whole.end(), ids.begin(), ids.end()), whole.insert(whole.end(), suffix.begin(), suffix.end());
    count(t.encode(text, {.parse_special = true}) == whole, n, "with special tokens");
    auto const decoded = t.decode(whole);
    if (!line.contains("text")) count(decoded == text, n, "text as the source");
    else if (line["text"].is_string()) count(decoded == line["text"].get<std::string>(), n, "text");
    if (line.contains("all")) count(t.decode(whole, {.skip_special = false}) == line["all"].get<std::string>(), n, "all");
    if (decoded.find("\xef\xbf\xbd") == std::string::npos) count(streamed(t, whole, true) == decoded, n, "streamed");
  }
  CHECK(different == 0);
}
}  // namespace

TEST_CASE("ids and texts equal those of the reference library") {
  auto const name = GENERATE("llama3", "gpt2", "granite", "qwen2", "mistral", "llama2", "metaspace_split", "bert");
  compare(name, folder + name + "/tokenizer.json");
}

TEST_CASE("ids equal those of the reference library for the published MiniLM tokenizer") {
  if (auto const directory = test::minilm_directory(); !directory.empty()) compare("minilm", directory + "/tokenizer.json");
}
}  // namespace smalti
