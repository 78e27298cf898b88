// Configurations: what is read, and how each thing that can be wrong is refused, with file, field, expected and found.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <smalti/decoder/config.hpp>
#include <smalti/decoder/model.hpp>
#include <smalti/io/json.hpp>

namespace smalti {
namespace {

json good() {
  return {{"architectures", {"LlamaForCausalLM"}}, {"num_hidden_layers", 2}, {"hidden_size", 64}, {"intermediate_size", 96},
          {"num_attention_heads", 4}, {"vocab_size", 100}};
}
std::string failure(json const& j) {
  try { (void)read_decoder_config(j, "some/config.json"); } catch (error const& e) { return e.what(); }
  return "none";
}
std::string failure(char const* field, json value) {
  json j = good();
  j[field] = std::move(value);
  return failure(j);
}

TEST_CASE("defaults are those of transformers") {
  auto const c = read_decoder_config(good(), "f");
  CHECK(c.kv_heads == 4);
  CHECK(c.head_dim == 16);
  CHECK(c.softmax_scale == 0.25f);
  CHECK(c.rope_theta == 10000);
  CHECK(c.rope_dim == 16);
  CHECK(c.window == std::vector<int>{0, 0});
  CHECK(!c.tied);
  CHECK(c.stop_ids.empty());
  CHECK(c.format == stored_format::dense);
}

TEST_CASE("each malformed field is named with what was expected and found") {
  using Catch::Contains;
  CHECK_THAT(failure(json::array()), Contains("model.1") && Contains("some/config.json"));
  for (auto const* field : {"num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size"}) {
    json j = good();
    j.erase(field);
    CHECK_THAT(failure(j), Contains("model.2") && Contains(field));
    for (json const& bad : {json("two"), json(0), json(-3), json(1.5), json(18446744073709551615u), json(1ll << 40), json(true)})
      CHECK_THAT(failure(field, bad), Contains("model.3") && Contains(field) && Contains(bad.dump()));
  }
  CHECK_THAT(failure("architectures", {"MambaForCausalLM"}), Contains("model.4") && Contains("MambaForCausalLM") && Contains("GraniteForCausalLM"));
  CHECK_THAT(failure("architectures", {"A", "B"}), Contains("model.3"));
  CHECK_THAT(failure("num_key_value_heads", 3), Contains("model.3") && Contains("divisor"));
  CHECK_THAT(failure("head_dim", 15), Contains("even"));
  CHECK_THAT(failure("hidden_act", "relu"), Contains("model.7") && Contains("relu"));
  CHECK_THAT(failure("rms_norm_eps", "small"), Contains("model.3"));
  CHECK_THAT(failure("tie_word_embeddings", 1), Contains("true or false"));
  CHECK_THAT(failure("rope_theta", -1), Contains("rope_theta"));
  CHECK_THAT(failure("rope_scaling", {{"rope_type", "su"}, {"factor", 2}}), Contains("model.5") && Contains("'su'") && Contains("yarn"));
  CHECK_THAT(failure("rope_scaling", {{"type", "linear"}}), Contains("model.2") && Contains("factor"));
  CHECK_THAT(failure("rope_scaling", {{"type", "linear"}, {"factor", 0.5}}), Contains("at least 1"));
  CHECK_THAT(failure("rope_scaling", {{"type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}), Contains("high_freq_factor"));
  CHECK_THAT(failure("partial_rotary_factor", 1.5), Contains("partial_rotary_factor"));
  CHECK_THAT(failure("eos_token_id", "</s>"), Contains("eos_token_id"));
  CHECK_THAT(failure("eos_token_id", json::array({1, -2})), Contains("eos_token_id"));
  CHECK_THAT(failure("quantization_config", {{"quant_method", "gptq"}}), Contains("model.6") && Contains("gptq"));
  CHECK_THAT(failure("quantization_config", {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}, {"bnb_4bit_quant_type", "fp4"}}), Contains("model.6") && Contains("fp4"));
  CHECK_THAT(failure("sliding_window", 0), Contains("sliding_window"));
}

TEST_CASE("stop tokens of both files are united; bos is read") {
  json j = good();
  j["eos_token_id"] = {2, 5}, j["bos_token_id"] = 1;
  CHECK(read_decoder_config(j, "f").stop_ids == std::vector<int>{2, 5});
  CHECK(read_decoder_config(j, "f").bos == 1);
  auto const c = load_decoder_config("tests/golden/models/llama3rope");
  CHECK(c.stop_ids.size() >= 2);
}

TEST_CASE("a checkpoint that contradicts its configuration names the tensor and both shapes") {
  namespace fs = std::filesystem;
  auto const dir = fs::temp_directory_path() / ("smalti-config-" + std::to_string(::getpid()));
  fs::remove_all(dir);
  fs::copy("tests/golden/models/llama", dir);
  auto const with = [&](char const* field, json value) -> std::string {
    json j = read_json("tests/golden/models/llama/config.json");
    j[field] = std::move(value);
    std::ofstream(dir / "config.json") << j;
    try { (void)decoder<on_cpu>::load(dir.string()); } catch (error const& e) { return e.what(); }
    return "none";
  };
  using Catch::Contains;
  CHECK_THAT(with("num_hidden_layers", 4), Contains("io.8") && Contains("model.layers.3."));
  CHECK_THAT(with("intermediate_size", 100), Contains("io.9") && Contains("gate_proj") && Contains("100") && Contains("192"));
  CHECK_THAT(with("vocab_size", 330), Contains("io.9") && Contains("embed_tokens"));
  CHECK_THAT(with("attention_bias", true), Contains("io.8") && Contains("q_proj.bias"));
  CHECK(with("tie_word_embeddings", true) == "none");
  fs::remove_all(dir);
}

}  // namespace
}  // namespace smalti
