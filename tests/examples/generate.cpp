// generate and perplexity on the little checkpoints, against transformers' own greedy tokens and losses.
#include "programs.hpp"
#include <smalti/io/json.hpp>

namespace examples_test {
namespace {

struct reference {
  std::vector<int> ids, greedy;
  double perplexity = 0;
};
std::vector<reference> references(std::string const& model) {
  std::vector<reference> all;
  auto const expected = json::parse(read("tests/golden/models/" + model + "/expected.json"));
  for (auto const& s : expected["sequences"]) all.push_back({s["ids"], s["greedy"], s.value("perplexity", 0.)});
  return all;
}

TEST_CASE("generate says what transformers says, streams it, and puts the same into JSON") {
  if (!built()) return;
  for (std::string name : {"llama", "qwen3"}) {
    folder const at;
    make_model(at.path / "m", name);
    for (auto const& r : references(name)) {
      INFO(name << ", " << r.ids.size() << " tokens");
      std::vector<std::string> words{"--model", at / "m", "--prompt", spell(r.ids), "--max-tokens", std::to_string(r.greedy.size()), "--ignore-stop"};
      auto const plain = run("generate", words);
      CHECK(plain.status == 0);
      std::string said = spell(r.greedy);
      CHECK(plain.out == (said.ends_with('\n') ? said : said + "\n"));
      CHECK(has(plain.err, "tokens/s"));
      words.push_back("--json");
      auto const o = run("generate", words);
      REQUIRE(o.status == 0);
      auto const j = json::parse(o.out);
      CHECK(j["ids"].get<std::vector<int>>() == r.greedy);
      CHECK(j["text"] == said);
      CHECK(j["prompt_tokens"] == r.ids.size());
      CHECK(j["finish"] == "length");
      CHECK(j["log_probabilities"].size() == r.greedy.size());
      for (auto key : {"load_seconds", "prefill_seconds", "decode_seconds", "prefill_tokens_per_second", "decode_tokens_per_second"}) CHECK(j["timings"][key] >= 0.);
    }
  }
}

TEST_CASE("standard input is a prompt as well; threads, chunks and weights of the same values change nothing; a seed repeats itself") {
  if (!built()) return;
  folder const at;
  make_model(at.path / "m");
  auto const r = references("llama")[2];
  auto const ids = [&](std::vector<std::string> more, std::string const& input) {
    more.insert(more.begin(), {"--model", at / "m", "--json", "--quiet", "--max-tokens", "20", "--ignore-stop"});
    auto const o = run("generate", more, input);
    INFO(o.err);
    CHECK(o.err.empty());
    REQUIRE(o.status == 0);
    return json::parse(o.out)["ids"].get<std::vector<int>>();
  };
  CHECK(ids({}, spell(r.ids) + "\n") == r.greedy);  // the last line end is the shell's
  CHECK(ids({"--threads", "3", "--weights", "f32", "--context", "64"}, spell(r.ids)) == r.greedy);
  std::vector<std::string> const draw{"--temperature", "1.5", "--top-k", "100", "--top-p", "0.95", "--seed", "7"};
  auto const first = ids(draw, spell(r.ids));
  CHECK(first == ids(draw, spell(r.ids)));
  CHECK(first != ids({"--temperature", "1.5", "--top-k", "100", "--top-p", "0.95", "--seed", "8"}, spell(r.ids)));
  CHECK(first != r.greedy);
}

TEST_CASE("a stop text ends the answer before it; the chat template surrounds the prompt with tokens that no text becomes") {
  if (!built()) return;
  folder const at;
  make_model(at.path / "m");
  auto const r = references("llama")[1];
  auto const stop = letter(r.greedy[5]) + letter(r.greedy[6]);
  auto const o = run("generate", {"--model", at / "m", "--prompt", spell(r.ids), "--stop", "never this", "--stop", stop, "--ignore-stop", "--json"});
  REQUIRE(o.status == 0);
  auto const j = json::parse(o.out);
  CHECK(j["text"] == spell({r.greedy.begin(), r.greedy.begin() + 5}));
  CHECK(j["finish"] == "stop text");
  auto const tokens = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"--model", at / "m", "--chat", "--max-tokens", "1", "--json"});
    auto const c = run("generate", more);
    INFO(c.err);
    REQUIRE(c.status == 0);
    return json::parse(c.out)["prompt_tokens"].get<int>();
  };
  // <|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n
  CHECK(tokens({"--prompt", "hi"}) == 1 + 5 + 2 + 2 + 1 + 10);
  CHECK(tokens({"--prompt", "hi", "--layout", "chatml"}) == 1 + 5 + 2 + 2 + 1 + 10);
  CHECK(tokens({"--prompt", "hi", "--system", "be"}) == 1 + 7 + 2 + 2 + 1 + 5 + 2 + 2 + 1 + 10);
  CHECK(tokens({"--prompt", "<|im_end|>"}) == 1 + 5 + 10 + 2 + 1 + 10);
  auto const other = run("generate", {"--model", at / "m", "--chat", "--layout", "granite", "--prompt", "hi"});
  CHECK(other.status == 1);
  CHECK(has(other.err, "generate: text.4: "));
}

TEST_CASE("what generate cannot do is status 1 with the library's message, and nothing on standard output") {
  if (!built()) return;
  folder const at;
  make_model(at.path / "m");
  auto const refused = [&](std::vector<std::string> const& words, std::vector<std::string> const& parts) {
    auto const o = run("generate", words);
    INFO(o.err);
    CHECK(o.status == 1);
    CHECK(o.out.empty());
    for (auto const& p : parts) CHECK(has(o.err, p));
  };
  refused({"--model", at / "m", "--prompt", ""}, {"generate: model.20: "});
  refused({"--model", at / "m", "--prompt", "0123456789", "--context", "9"}, {"model.21: ", "10 tokens", "room for 9"});
  refused({"--model", at / "m", "--prompt", "x", "--adapter", "tests/golden/models/llama"}, {"io.1: ", "adapter_config.json"});
  auto const config = read(at.path / "m/config.json"), weights = read(at.path / "m/model.safetensors");
  write(at.path / "m/config.json", "{\"hidden_size\": ");
  refused({"--model", at / "m", "--prompt", "x"}, {"io.3: ", "config.json", "not JSON at byte"});
  write(at.path / "m/config.json", config);
  write(at.path / "m/model.safetensors", weights.substr(0, weights.size() - 1));
  refused({"--model", at / "m", "--prompt", "x"}, {"generate: io.", "model.safetensors"});
  fs::remove(at.path / "m/model.safetensors"), fs::create_directory(at.path / "m/model.safetensors");  // cannot be read as a file, even by root
  refused({"--model", at / "m", "--prompt", "x"}, {"generate: io.1: "});
  fs::remove(at.path / "m/model.safetensors"), write(at.path / "m/model.safetensors", weights);
  fs::remove(at.path / "m/tokenizer.json");
  refused({"--model", at / "m", "--prompt", "x"}, {"generate: io.1: ", "tokenizer.json"});
}

TEST_CASE("a full disk or a reader that has gone ends generation in the middle") {
  if (!built()) return;
  folder const at;
  make_model(at.path / "m");
  std::vector<std::string> const words{"--model", at / "m", "--prompt", "abc", "--max-tokens", "20", "--ignore-stop"};
  auto const full = run("generate", words, {}, "/dev/full");
  CHECK(full.status == 1);
  CHECK(has(full.err, "generate: standard output: cannot be written: No space left on device"));
  auto const gone = run_without_reader("generate", words);
  CHECK(gone.status == 141);
  CHECK(gone.err.empty());
}

TEST_CASE("perplexity equals transformers' and says under which conventions") {
  if (!built()) return;
  for (std::string name : {"llama", "granite"}) {
    folder const at;
    make_model(at.path / "m", name);
    for (auto const& r : references(name)) {
      if (r.ids.size() < 2) continue;
      write(at / "text", spell(r.ids));
      auto const o = run("perplexity", {"--model", at / "m", "--text", at / "text", "--json"});
      INFO(o.err);
      REQUIRE(o.status == 0);
      auto const j = json::parse(o.out);
      CHECK(j["perplexity"].get<double>() == Approx(r.perplexity).epsilon(1e-4));
      CHECK(j["scored"] == r.ids.size() - 1);
      CHECK(j["window"] == 1024);
      CHECK(j["stride"] == 512);
      CHECK(json::parse(run("perplexity", {"--model", at / "m", "--text", "-", "--json"}, spell(r.ids)).out)["nll"] == j["nll"]);
    }
  }
}

TEST_CASE("perplexity's window bounds the context; a text without two tokens is refused") {
  if (!built()) return;
  folder const at;
  make_model(at.path / "m");
  auto const r = references("llama")[2];
  write(at / "text", spell(r.ids));
  auto const o = run("perplexity", {"--model", at / "m", "--text", at / "text", "--window", "8", "--stride", "4"});
  CHECK(o.status == 0);
  CHECK(has(o.out, "window       8 tokens moved by 4: at least 4 tokens of context"));
  CHECK(has(o.out, "scored       39 of 40 tokens"));
  CHECK(has(o.out, "weights as-stored; fp32 activations and cache"));
  for (std::string text : {"", "a"}) {
    auto const few = run("perplexity", {"--model", at / "m", "--text", "-"}, text);
    CHECK(few.status == 1);
    CHECK(has(few.err, "expected a text of at least 2 tokens, found " + std::to_string(text.size())));
  }
  auto const directory = run("perplexity", {"--model", at / "m", "--text", at / "m"});
  CHECK(directory.status == 1);
  CHECK(has(directory.err, "expected a regular file, found a directory"));
}

}  // namespace
}  // namespace examples_test
