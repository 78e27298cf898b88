// What no recorded tokenizer shows: special tokens in text, merge options, streams, long words, and malformed files.
#include <catch2/catch.hpp>
#include <chrono>
#include "smalti/text/chat.hpp"
#include <smalti/io/json.hpp>
#include "smalti/io/json.hpp"
#include "smalti/text/unicode.hpp"

namespace smalti {
namespace {
using Catch::Matchers::Contains;
using ids = std::vector<int>;

// "l", "o", "w", "lo", "low" and specials; changes are laid over it as a JSON merge patch.
tokenizer made(char const* changes = "{}") {
  auto j = parse_json(R"({"added_tokens": [{"id": 5, "content": "<s>", "special": true, "normalized": false}], "normalizer": null, "pre_tokenizer": null,
    "post_processor": null, "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "unk_token": "?", "vocab": {"l": 0, "o": 1, "w": 2, "lo": 3, "low": 4, "<s>": 5, "?": 6, "<": 7, "s": 8, ">": 9},
              "merges": ["l o", ["lo", "w"]]}})", "tokenizer.json");
  j.merge_patch(json::parse(changes));
  return tokenizer(j, "tokenizer.json");
}
}  // namespace

TEST_CASE("text becomes a special token only when asked") {
  auto const t = made();
  CHECK(t.encode("low<s>l") == ids{4, 7, 8, 9, 0});
  CHECK(t.encode("low<s>l", {.parse_special = true}) == ids{4, 5, 0});
  CHECK(t.decode(ids{4, 5, 0}) == "lowl");
  CHECK(t.decode(ids{4, 5, 0}, {.skip_special = false}) == "low<s>l");
  // Neither a whole word that is in the vocabulary, nor a merge, nor a WordPiece entry may yield it.
  auto const whole = made(R"({"model": {"ignore_merges": true}})");
  CHECK(whole.encode("<s>") == ids{7, 8, 9});
  CHECK(whole.encode("low") == ids{4});
  auto const merged = made(R"({"model": {"vocab": {"<s": 10}, "merges": ["< s", "<s >"]}})");
  CHECK(merged.encode("<s>") == ids{10, 9});
  CHECK(merged.encode("<s>", {.parse_special = true}) == ids{5});
  auto const pieces = made(R"({"model": {"type": "WordPiece", "merges": null, "vocab": {"##s": 10, "##>": 11}}})");
  CHECK(pieces.encode("<s>") == ids{7, 10, 11});
  CHECK(pieces.encode("<s>", {.parse_special = true}) == ids{5});
}

TEST_CASE("the vocabulary answers both ways") {
  auto const t = made();
  CHECK(t.vocabulary_size() == 10);
  CHECK(t.id_of("low") == 4);
  CHECK_FALSE(t.id_of("none"));
  CHECK(t.token(4) == "low");
  CHECK(t.token(-1).empty());
  CHECK(t.token(99).empty());
  CHECK(t.is_special(5));
  CHECK(t.decode(ids{-1, 99, 4, 1 << 30}) == "low");
}

TEST_CASE("unknown characters: one token each, fused, by bytes, or lost") {
  CHECK(made().encode("lxyo") == ids{0, 6, 6, 1});
  CHECK(made(R"({"model": {"fuse_unk": true}})").encode("lxyo") == ids{0, 6, 1});
  CHECK(made(R"({"model": {"unk_token": null}})").encode("lxyo") == ids{3});
  auto const bytes = made(R"({"model": {"byte_fallback": true, "vocab": {"<0xC3>": 10, "<0xA9>": 11}}, "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}})");
  CHECK(bytes.encode("lé") == ids{0, 10, 11});
  CHECK(bytes.encode("lx") == ids{0, 6});
  CHECK(bytes.decode(ids{0, 10, 11}) == "lé");
  CHECK(bytes.decode(ids{10, 0}) == "\xef\xbf\xbdl");
}

TEST_CASE("a stream holds back what is not a whole character") {
  auto const t = made(R"({"model": {"byte_fallback": true, "vocab": {"<0xC3>": 10, "<0xA9>": 11}}, "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}})");
  token_stream s(t);
  CHECK(s.push(0) == "l");
  CHECK(s.push(10).empty());
  CHECK(s.push(5).empty());  // a skipped special token in between changes nothing
  CHECK(s.push(11) == "é");
  CHECK(s.push(10).empty());
  CHECK(s.finish() == "\xef\xbf\xbd");
  CHECK(s.finish().empty());
  CHECK(s.push(4) == "low");
  token_stream stray(t);
  std::string all;
  for (int i = 0; i < 1000; ++i) all += stray.push(10);  // never completed: handed out at last, in bounded time
  all += stray.finish();
  CHECK(all.size() == 3000);
}

TEST_CASE("ill-formed text is read as U+FFFD, one for each maximal subpart") {
  for (auto [bad, good] : {std::pair("a\x80z", "a\xef\xbf\xbdz"), {"\xe4\xb8", "\xef\xbf\xbd"}, {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                           {"\xf0\x9f\x98x", "\xef\xbf\xbdx"}, {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"}, {"\xf5", "\xef\xbf\xbd"}, {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}}) {
    CHECK(unicode::lossy(bad) == good);
    CHECK(made().encode(bad) == made().encode(good));
  }
}

TEST_CASE("a long word takes n log n and not n squared") {
  auto const t = made(R"({"model": {"vocab": {"ll": 10, "llll": 11}, "merges": ["l l", "ll ll"]}})");
  auto const start = std::chrono::steady_clock::now();
  CHECK(t.encode(std::string(400'000, 'l')).size() == 100'000);
  auto const pieces = made(R"({"model": {"type": "WordPiece", "merges": null, "max_input_chars_per_word": 1000000, "vocab": {"##l": 10}}})");
  CHECK(pieces.encode(std::string(400'000, 'l')).size() == 400'000);
  CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < 8);  // quadratic would be hours
}

TEST_CASE("malformed files are refused with the component named") {
  auto const refused = [](char const* changes, char const* a, char const* b) {
    INFO(changes);
    CHECK_THROWS_WITH(made(changes), Contains("tokenizer.json") && Contains(a) && Contains(b));
  };
  refused(R"({"normalizer": {"type": "Precompiled"}})", "text.1", "normalizer: expected Sequence, NFC");
  refused(R"({"normalizer": {"type": "Precompiled"}})", "text.1", "found \"Precompiled\"");
  refused(R"({"pre_tokenizer": {"type": "UnicodeScripts"}})", "text.1", "pre_tokenizer: expected Sequence, Split");
  refused(R"({"decoder": {"type": "CTC"}})", "text.1", "decoder: expected Sequence, ByteLevel");
  refused(R"({"post_processor": {"type": "X"}})", "text.1", "post_processor: expected Sequence, TemplateProcessing");
  refused(R"({"model": {"type": "Unigram"}})", "text.1", "model: expected BPE or WordPiece, found \"Unigram\"");
  refused(R"({"model": null})", "io.4", "\"model\"");
  refused(R"({"model": {"vocab": {"x": -1}}})", "text.2", "\"x\": expected an id of 0");
  refused(R"({"model": {"vocab": {"x": 1099511627776}}})", "text.2", "\"x\": expected an id of 0");
  refused(R"({"model": {"vocab": {"x": 99999999}}})", "text.2", "found 99999999");
  refused(R"({"model": {"merges": ["l x"]}})", "text.2", "merge 0: expected tokens of the vocabulary, found \"l\" and \"x\"");
  refused(R"({"model": {"merges": ["a b c"]}})", "text.2", "expected \"a b\" or [\"a\", \"b\"]");
  refused(R"({"model": {"merges": [[1, 2]]}})", "text.2", "found [1,2]");
  refused(R"({"model": {"merges": 7}})", "io.4", "\"merges\": expected an array, found 7");
  refused(R"({"model": {"unk_token": "none"}})", "text.2", "unk_token: expected a token of the vocabulary, found \"none\"");
  refused(R"({"model": {"continuing_subword_prefix": "long prefix"}})", "text.2", "merge 0");
  refused(R"({"added_tokens": [{"id": -3, "content": "x"}]})", "text.2", "added_tokens: \"x\": expected an id");
  refused(R"({"added_tokens": [{"content": "x"}]})", "io.4", "\"id\"");
  refused(R"({"added_tokens": {"x": 1}})", "io.4", "added_tokens: expected an array");
  refused(R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated"}})", "text.2", "expected a regular expression, found \"((\"");
  refused(R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[a[bc]]"}, "behavior": "Isolated"}})", "text.2", "without nested classes");
  refused(R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[a&&b]"}, "behavior": "Isolated"}})", "text.2", "without nested classes");
  refused(R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Odd"}})", "text.1", "found \"Odd\"");
  refused(R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "ab"}})", "text.2", "replacement: expected one character, found \"ab\"");
  refused(R"({"post_processor": {"type": "BertProcessing", "cls": ["a"], "sep": ["b", 1]}})", "text.2", "cls: expected [token, id]");
  refused(R"({"post_processor": {"type": "TemplateProcessing", "single": []}})", "text.2", "expected the text once, found it 0 times");
  CHECK_THROWS_WITH(tokenizer::load("no/such/tokenizer.json"), Contains("io.1: no/such/tokenizer.json"));
}

TEST_CASE("a pattern that backtracks without end is an error, not a hang") {
  auto const t = made(R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(l+l+)+[xy]"}, "behavior": "Isolated"}})");
  CHECK_THROWS_WITH(t.encode(std::string(5000, 'l')), Contains("text.5") && Contains("pre_tokenizer: Split"));
}

TEST_CASE("templates and tokenizers that do not belong together are refused") {
  auto const t = made();
  std::vector<message> const hello{{"user", "low"}};
  CHECK_THROWS_WITH(chat_template::named("llama3").render(t, hello, true), Contains("text.4") && Contains("\"<|begin_of_text|>\""));
  CHECK_THROWS_WITH(chat_template::named("vicuna"), Contains("text.3") && Contains("found \"vicuna\""));
  CHECK_THROWS_WITH(chat_template::detect(json::object(), "c.json"), Contains("text.3: c.json: chat_template: expected a template, found none"));
  CHECK_THROWS_WITH(chat_template::detect({{"chat_template", "{{ 'USER: ' }}"}}, "c.json"), Contains("text.3: c.json") && Contains("USER: "));
  CHECK_THROWS_WITH(chat_template::load("no/such"), Contains("io.1: no/such/tokenizer_config.json"));
  auto const chat = chat_template::detect({{"chat_template", {{{"name", "default"}, {"template", "{{bos_token}}<|im_start|>"}}}}, {"bos_token", {{"content", "<s>"}}}}, "c.json");
  CHECK(chat.layout == chat_layout::chatml);
  CHECK(chat.begin == "<s>");
}
}  // namespace smalti
