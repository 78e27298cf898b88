// Generation: greedy continuations of transformers, stop tokens and strings, streaming, limits; perplexity.
#include <catch2/catch.hpp>
#include <filesystem>
#include <smalti/decoder.hpp>
#include <smalti/io/json.hpp>

namespace smalti {
namespace {

/// Says given tokens, one after another; the text is a byte each.
struct script {
  std::vector<int> says;
  int vocabulary = 300, at = 0, space = 100;
  std::vector<float> logits = {};
  std::vector<int> heard = {};
  std::span<float> advance(std::span<int const> tokens) {
    heard.insert(heard.end(), tokens.begin(), tokens.end());
    space -= int(tokens.size());
    logits.assign(std::size_t(vocabulary), 0.f);
    logits[std::size_t(says[std::size_t(std::min<int>(at, int(says.size()) - 1))])] = 10;
    if (heard.size() >= 3) ++at;  // the prompts below have three tokens
    return logits;
  }
  int room() const { return space; }
  bool is_stop(int id) const { return id == 299; }
};

tokenizer letters() {
  json vocabulary = json::object();
  for (int c = 0; c < 26; ++c) vocabulary[std::string(1, char('a' + c))] = c;
  vocabulary["z9"] = 299;
  return tokenizer({{"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", json::array()}}}, {"decoder", {{"type", "Fuse"}}}}, "letters");
}
std::vector<int> spell(std::string const& s) {
  std::vector<int> ids;
  for (char c : s) ids.push_back(c - 'a');
  return ids;
}

TEST_CASE("generation ends at stop tokens, stop strings, limits and the caller's wish, and streams exactly its text") {
  auto const text = letters();
  int const prompt[] = {1, 2, 3};
  auto const run = [&](std::string const& says, generate_options o, int cancel_after = 1000, bool stop_token = false) {
    script s{spell(says)};
    if (stop_token) s.says.push_back(299);
    std::string streamed;
    auto out = generate(s, text, prompt, o, [&](std::string_view piece) { return streamed += piece, int(streamed.size()) < cancel_after; });
    CHECK(streamed == out.text);
    CHECK(out.log_probability.size() == out.ids.size());
    return out;
  };
  auto a = run("hello", {.max_tokens = 50}, 1000, true);
  CHECK(a.text == "hello");
  CHECK(a.why == finish::stop_token);
  CHECK(a.ids.size() == 5);
  auto b = run("abcabd", {.max_tokens = 50, .stop = {"abd"}});  // "ab" must be held back and then released
  CHECK(b.text == "abc");
  CHECK(b.why == finish::stop_text);
  auto c = run("abcdefgh", {.max_tokens = 4, .stop = {"dx"}});  // held back at the end, then wanted after all
  CHECK(c.text == "abcd");
  CHECK(c.why == finish::length);
  auto d = run("abcdefgh", {.max_tokens = 50}, 3);
  CHECK(d.text == "abc");
  CHECK(d.why == finish::cancelled);
  CHECK(run("xyz", {.max_tokens = 0}).text.empty());
  CHECK(run("aaab", {.max_tokens = 50, .stop = {"", "ab", "b"}}).text == "aa");
}

TEST_CASE("the prompt is prefilled in chunks, whole and in order; what does not fit is refused") {
  auto const text = letters();
  int const prompt[] = {1, 2, 3};
  script s{spell("q")};
  (void)generate(s, text, prompt, {.max_tokens = 1, .prefill_chunk = 2});
  CHECK(s.heard == std::vector<int>{1, 2, 3});
  auto const id_of = [&](std::span<int const> p, generate_options o) -> std::string {
    script t{.says = spell("q"), .space = 2};
    try { (void)generate(t, text, p, o); } catch (error const& e) { return e.id; }
    return "none";
  };
  CHECK(id_of({}, {}) == "model.20");
  CHECK(id_of(prompt, {}) == "model.21");
  CHECK(id_of(std::span(prompt).first(1), {.prefill_chunk = 0}) == "model.22");
  CHECK(id_of(std::span(prompt).first(1), {.max_tokens = 50}) == "none");  // ends when the cache is full
}

TEST_CASE("greedy continuations and losses are those of transformers") {
  for (std::string const name : {"llama", "llama_dynamic", "mistral", "granite", "qwen2", "qwen3"}) {
    auto m = decoder<on_cpu>::load("tests/golden/models/" + name);
    json const facts = read_json("tests/golden/models/" + name + "/expected.json");
    for (auto const& s : facts["sequences"]) {
      auto ids = s["ids"].get<std::vector<int>>();
      auto cache = kv_cache<>::contiguous(m.config(), 2, 64);
      decoder_sequence<on_cpu> sequence(m, cache);
      std::vector<int> said;
      auto row = sequence.advance(ids);
      for (int i = 0; i < 20; ++i) {
        said.push_back(greedy(row));
        row = sequence.advance(std::span(&said.back(), 1));
      }
      CAPTURE(name, ids.size());
      CHECK(said == s["greedy"].get<std::vector<int>>());
      if (!s.contains("loss")) continue;
      decoder_sequence<on_cpu> fresh(m, cache);
      auto const p = perplexity([&](std::span<int const> t) { return fresh.truncate(0), fresh.advance_all(t); }, m.config().vocabulary, ids, {.window = 64, .stride = 32});
      CHECK(p.tokens == int(ids.size()) - 1);
      CHECK(p.nll / double(p.tokens) == Approx(s["loss"].get<double>()).epsilon(1e-5));
    }
  }
}

TEST_CASE("a window scores every token but the first once, with the context it promises") {
  std::vector<int> const ids(100, 0);
  for (auto [window, stride] : {std::pair{10, 5}, {10, 1}, {7, 3}, {200, 100}, {100, 50}}) {
    std::size_t least = 1000;
    std::vector<float> logits;
    auto const p = perplexity([&](std::span<int const> t) { return least = std::min(least, t.size()), logits.assign(t.size() * 2, 0.f), std::span<float const>(logits); },
                              2, ids, {.window = window, .stride = stride});
    CHECK(p.tokens == 99);
    CHECK(p.perplexity() == Approx(2));
    CHECK(int(least) > window - stride - (window > 100));
  }
  CHECK_THROWS_AS(perplexity([](auto) { return std::span<float const>(); }, 2, ids, {.window = 1, .stride = 1}), error);
}

}  // namespace
}  // namespace smalti
