// libFuzzer entry: a tokenizer.json, a zero byte, a text. The text is also given to fixed tokenizers, so that it is fuzzed even
// while the file is no tokenizer yet.
#include <cstdlib>
#include "smalti/text/chunk.hpp"
#include "smalti/text/tokenizer.hpp"
#include <smalti/io/json.hpp>
#include "smalti/io/json.hpp"
#include "smalti/text/unicode.hpp"

namespace {
using namespace smalti;

void exercise(tokenizer const& t, std::string_view text) {
  for (bool special : {false, true}) {
    auto const ids = t.encode(text, {.parse_special = special});
    auto const decoded = t.decode(ids);
    if (!unicode::is_valid(decoded)) std::abort();
    token_stream stream(t);
    std::string all;
    for (int id : ids) {
      auto const fresh = stream.push(id);
      if (!unicode::is_valid(fresh)) std::abort();
      all += fresh;
    }
    all += stream.finish();
    if (decoded.find("\xef\xbf\xbd") == std::string::npos && all != decoded) std::abort();
  }
}

std::vector<tokenizer> const& fixed() {
  static std::vector<tokenizer> const all = [] {
    auto const added = R"("added_tokens":[{"id":9,"content":"<s>","special":true,"lstrip":true,"rstrip":true},{"id":10,"content":"ab","single_word":true}])";
    std::string const vocabulary = R"("vocab":{"a":0,"b":1,"##b":2,"Ġ":3,"▁":4,"<0xC3>":5,"ba":6,"▁b":7,"[UNK]":8})";
    std::vector<tokenizer> made;
    for (std::string const file : {
             R"({"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","merges":["b a"],"unk_token":"[UNK]",)" + vocabulary + "}",
             R"({"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"},"decoder":{"type":"WordPiece"},"model":{"type":"WordPiece",)" + vocabulary + "}",
             R"({"normalizer":{"type":"NFKD"},"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"},"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"}]},"model":{"type":"BPE","byte_fallback":true,"fuse_unk":true,"unk_token":"[UNK]","merges":["▁ b"],)" + vocabulary + "}"})
      made.emplace_back(parse_json(file + "," + added + "}", "fixed"), "fixed");
    return made;
  }();
  return all;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  std::string_view const all(reinterpret_cast<char const*>(data), size);
  auto const zero = std::min(all.find('\0'), all.size());
  auto const text = all.substr(std::min(zero + 1, all.size()));
  for (auto const& t : fixed()) exercise(t, text.substr(0, 64));  // streams decode again and again
  std::size_t covered = 0;
  for (auto c : split(text, {.limit = 3, .overlap = 1})) {
    if (c.begin >= c.end || c.end > text.size() || c.end <= covered) std::abort();
    covered = c.end;
  }
  try {
    tokenizer const t(parse_json(all.substr(0, zero), "fuzz"), "fuzz");
    (void)t.decode(std::vector<int>{0, 1, 2, t.vocabulary_size() - 1});
    (void)t.encode(text);
    (void)t.encode(text, {.parse_special = true});
  } catch (error const&) {
  }
  return 0;
}
