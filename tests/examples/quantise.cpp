// quantise and merge: what they write says the same as the same done in memory, and nothing that loads is left by a failure.
#include "programs.hpp"
#include <smalti/io/json.hpp>

namespace examples_test {
namespace {

std::string said(std::vector<std::string> words) {
  words.insert(words.end(), {"--prompt", "net present value", "--max-tokens", "24", "--ignore-stop", "--quiet"});
  auto const o = run("generate", words);
  INFO(o.err);
  REQUIRE(o.status == 0);
  return o.out;
}

TEST_CASE("a quantised directory generates what the original does when it is quantised in memory, and reports its sizes") {
  if (!built()) return;
  folder const at;
  make_model(at.path / "m");
  for (std::string format : {"nf4", "int8"}) {
    auto const to = at / format.c_str();
    auto const o = run("quantise", {"--from", at / "m", "--to", to, "--format", format});
    INFO(o.err);
    REQUIRE(o.status == 0);
    CHECK(has(o.out, "21 tensors quantised to " + format + ", 9 copied"));
    CHECK(has(o.out, " after ("));
    CHECK(fs::exists(to + "/tokenizer.json"));
    CHECK(fs::file_size(to + "/model.safetensors") < fs::file_size(at / "m/model.safetensors"));
    CHECK(said({"--model", to}) == said({"--model", at / "m", "--weights", format}));
    CHECK(json::parse(read(to + "/config.json"))["quantization_config"][format == "nf4" ? "load_in_4bit" : "load_in_8bit"] == true);
  }
  CHECK(said({"--model", at / "nf4"}) != said({"--model", at / "m"}));
  auto const plain = run("quantise", {"--from", at / "m", "--to", at / "plain", "--block", "32", "--no-double-quant"});
  REQUIRE(plain.status == 0);
  CHECK(json::parse(read(at / "plain/config.json"))["quantization_config"]["bnb_4bit_use_double_quant"] == false);
  CHECK_FALSE(has(read(at / "plain/model.safetensors"), "nested_absmax"));
  CHECK(has(read(at / "nf4/model.safetensors"), "nested_absmax"));
}

TEST_CASE("quantise refuses its own source, a quantised one, columns that are no blocks, and leaves nothing that loads") {
  if (!built()) return;
  folder const at;
  make_model(at.path / "m");
  auto const refused = [&](std::vector<std::string> const& words, std::vector<std::string> const& parts) {
    auto const o = run("quantise", words);
    INFO(o.err);
    CHECK(o.status == 1);
    CHECK(o.out.empty());
    for (auto const& p : parts) CHECK(has(o.err, p));
  };
  refused({"--from", at / "m", "--to", at / "m"}, {"quantise: model.9: ", "another directory"});
  CHECK(fs::exists(at / "m/config.json"));
  refused({"--from", "tests/golden/nf4/llama_nf4", "--to", at / "again"}, {"model.9: ", "quantised already"});
  refused({"--from", at / "m", "--to", at / "wide", "--block", "256"}, {"model.9: ", "whole blocks of 256", "found 192"});
  CHECK_FALSE(fs::exists(at / "wide/config.json"));
  CHECK_FALSE(fs::exists(at / "wide/model.safetensors"));
  write(at / "file", "in the way");
  refused({"--from", at / "m", "--to", at / "file"}, {"quantise: "});
  auto weights = read(at.path / "m/model.safetensors");
  write(at / "m/model.safetensors", weights.substr(0, weights.size() / 2));
  refused({"--from", at / "m", "--to", at / "cut"}, {"io.", "model.safetensors"});
  CHECK_FALSE(fs::exists(at / "cut/config.json"));
}

TEST_CASE("merged adapters say what they say stacked on top; a module or shape that the checkpoint has not is refused") {
  if (!built()) return;
  folder const at;
  make_model(at.path / "m");
  std::string const domain = "tests/golden/peft/query_value", instructions = "tests/golden/peft/rank_pattern";
  auto const o = run("merge", {"--from", at / "m", "--adapter", domain, "--adapter", instructions, "--to", at / "merged"});
  INFO(o.err);
  REQUIRE(o.status == 0);
  CHECK(has(o.out, "2 adapters merged into 9 of 30 tensors"));
  auto const stacked = said({"--model", at / "m", "--adapter", domain, "--adapter", instructions});
  CHECK(said({"--model", at / "merged"}) == stacked);
  CHECK(said({"--model", at / "m", "--adapter", domain}) != stacked);
  CHECK(said({"--model", at / "m"}) != stacked);

  auto const quantised = run("merge", {"--from", "tests/golden/nf4/llama_nf4", "--adapter", domain, "--to", at / "x"});
  CHECK(quantised.status == 1);
  CHECK(has(quantised.err, "expected 16- or 32-bit weights, found a quantised checkpoint"));
  auto const same = run("merge", {"--from", at / "m", "--adapter", domain, "--to", at / "m"});
  CHECK(same.status == 1);
  CHECK(has(same.err, "another directory"));
  make_model(at.path / "other", "qwen3");  // other widths
  auto const shape = run("merge", {"--from", at / "other", "--adapter", domain, "--to", at / "y"});
  CHECK(shape.status == 1);
  CHECK(has(shape.err, "q_proj"));
  CHECK_FALSE(fs::exists(at / "y"));
}

}  // namespace
}  // namespace examples_test
