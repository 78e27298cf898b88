// Ids and text of every kind of tokenizer.json against the huggingface/tokenizers library (tests/golden/tokenizers/README.md).
#include <filesystem>
#include <numeric>
#include <smalti/text/tokenizer.hpp>
#include "lines.hpp"

namespace smalti {
namespace {

struct golden_tokenizer {
  tokenizer tokens;
  json header;
  std::vector<json> lines;
};

std::vector<json> const& strings() {
  static auto const all = golden::read_lines(golden::root + "tokenizers/strings.jsonl");
  return all;
}

golden_tokenizer read(std::string const& name, std::string const& file) {
  auto lines = golden::read_lines(golden::root + "tokenizers/" + name + "/expected.jsonl");
  auto header = lines.front();
  lines.erase(lines.begin());
  REQUIRE(lines.size() == strings().size());
  return {tokenizer::load(file), std::move(header), std::move(lines)};
}

std::vector<int> ids_of(json const& j) { return j.get<std::vector<int>>(); }

std::vector<int> surrounded(golden_tokenizer const& g, std::vector<int> const& ids) {
  auto all = ids_of(g.header["prefix"]);
  all.insert(all.end(), ids.begin(), ids.end());
  auto const after = ids_of(g.header["suffix"]);
  all.insert(all.end(), after.begin(), after.end());
  return all;
}

void compare(std::string const& name, std::string const& file) {
  auto const g = read(name, file);
  CHECK(g.tokens.vocabulary_size() == g.header["vocabulary_size"].get<int>());
  golden::mismatches parsed(name + ": ids, special tokens of the text recognised"), plain(name + ": ids, text stays text"),
      whole(name + ": ids with the post-processor's tokens"), text(name + ": decoded, special tokens skipped"),
      all_text(name + ": decoded, special tokens shown"), streamed(name + ": streamed text = decoded text");
  for (std::size_t n = 0; n < g.lines.size(); ++n) {
    auto const& line = g.lines[n];
    auto const source = strings()[n].get<std::string>();
    auto const ids = ids_of(line["ids"]), full = surrounded(g, ids);
    parsed.compare(source, g.tokens.encode(source, {.special_tokens = false, .parse_special = true}), ids);
    whole.compare(source, g.tokens.encode(source, {.special_tokens = true, .parse_special = true}), full);
    plain.compare(source, g.tokens.encode(source, {.special_tokens = false}), line.contains("plain") ? ids_of(line["plain"]) : ids);
    auto const decoded = g.tokens.decode(full);
    if (!line.contains("text")) text.compare(source, decoded, source);
    else if (!line["text"].is_null()) text.compare(source, decoded, line["text"].get<std::string>());
    if (line.contains("all")) all_text.compare(source, g.tokens.decode(full, {.skip_special = false}), line["all"].get<std::string>());
    if (n % 3 == 0 && full.size() < 200) {  // the stream decodes its context again with every token
      token_stream stream(g.tokens);
      std::string joined;
      for (int id : full) joined += stream.push(id);
      streamed.compare(source, joined + stream.finish(), decoded);
    }
  }
}

TEST_CASE("there are at least 2,000 strings to compare") { CHECK(strings().size() >= 2000); }

TEST_CASE("byte-level BPE tokenizers give the reference's ids and text") {
  auto const name = GENERATE("llama3", "gpt2", "granite", "qwen2");
  compare(name, golden::root + "tokenizers/" + name + "/tokenizer.json");
}

TEST_CASE("metaspace tokenizers with byte fallback give the reference's ids and text") {
  auto const name = GENERATE("mistral", "llama2", "metaspace_split");
  compare(name, golden::root + "tokenizers/" + name);  // a directory will do
}

TEST_CASE("WordPiece tokenizers give the reference's ids and text") { compare("bert", golden::root + "tokenizers/bert"); }

TEST_CASE("the published tokenizer of all-MiniLM-L6-v2 gives the reference's ids and text") {
  std::string const directory = ".cache/models/all-MiniLM-L6-v2";
  if (!std::filesystem::exists(directory + "/tokenizer.json")) {
    WARN("not compared: " + directory + " is fetched by script/demo and script/test");
    return;
  }
  compare("minilm", directory);
}

TEST_CASE("ignore_merges takes a word that no merge reaches") {
  auto const t = tokenizer::load(golden::root + "tokenizers/llama3");
  for (std::string const word : {" qwertyuiop", "zzyzx"}) CHECK(t.encode(word, {.special_tokens = false}).size() == 1);
}

}  // namespace
}  // namespace smalti
