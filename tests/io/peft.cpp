// Adapter directories: written and read back, PEFT's own configuration understood, other methods refused by name.
#include <catch2/catch.hpp>
#include "smalti/io/peft.hpp"
#include <smalti/io/json.hpp>

namespace smalti {
namespace {
namespace fs = std::filesystem;
using Catch::Matchers::Contains;

struct folder {
  fs::path path = fs::temp_directory_path() / ("smalti-peft-" + std::to_string(::getpid()));
  folder() { fs::remove_all(path); }
  ~folder() { fs::remove_all(path); }
};
adapter_config example() {
  return {.rank = 2, .alpha = 8, .rslora = false, .target_modules = {"q_proj", "up_proj"}, .rank_pattern = {{"up_proj", 1}},
          .alpha_pattern = {{"^layers.0.q_proj", 3.f}}, .base_model = "tiny"};
}
std::vector<float> const a{1, 2, 3, 4, 5, 6}, b{7, 8, 9, 10};
}  // namespace

TEST_CASE("an adapter reads back as it was written") {
  folder f;
  view<float const, 2> const transposed{a.data(), {2, 3}, {1, 2}};  // (r, in) of strides (1, r)
  std::vector<adapter_matrices> const modules{{"layers.0.q_proj", row_major(a.data(), 2, 3), row_major(b.data(), 2, 2)},
                                              {"layers.1.q_proj", transposed, row_major(b.data(), 2, 2)},
                                              {"layers.0.up_proj", row_major(a.data(), 1, 6), row_major(b.data(), 4, 1)}};
  for (auto type : {dtype::f32, dtype::f16, dtype::bf16}) {
    write_adapter(f.path.string(), example(), modules, type);
    adapter_file read = read_adapter(f.path.string());
    adapter_file const in(std::move(read));
    REQUIRE(in.entries.size() == 3);
    CHECK(in.entries[0].module == "layers.0.q_proj");
    CHECK(in.entries[0].a.type == type);
    CHECK(in.entries[0].scale == 1.5f);
    CHECK(in.entries[1].module == "layers.0.up_proj");
    CHECK(in.entries[1].scale == 8.f);
    CHECK(in.entries[2].scale == 4.f);
    CHECK(to_float(in.entries[0].b, {2, 2})[3] == 10);
    CHECK(to_float(in.entries[2].a, {2, 3})[1] == 3);
    CHECK(in.config.target_modules == example().target_modules);
    CHECK(in.config.base_model == "tiny");
  }
  auto config = example();
  config.rslora = true;
  CHECK(config.scale_of("layers.1.q_proj", 4) == 4.f);
}

TEST_CASE("what PEFT writes is understood, what is not plain LoRA is refused by name") {
  json const good = {{"peft_type", "LORA"}, {"r", 4}, {"lora_alpha", 8}, {"use_dora", false}, {"modules_to_save", nullptr}, {"loftq_config", json::object()},
                     {"rank_pattern", json::object()}, {"target_modules", "all-linear"}, {"layer_replication", nullptr}};
  CHECK(detail::parse_adapter_config(good, "f").target_modules == std::vector<std::string>{"all-linear"});
  auto const with = [&](char const* name, json value) {
    auto j = good;
    j[name] = std::move(value);
    return detail::parse_adapter_config(j, "adapter_config.json");
  };
  CHECK_THROWS_WITH(with("peft_type", "IA3"), Contains("io.12: adapter_config.json") && Contains("expected \"LORA\", found \"IA3\""));
  CHECK_THROWS_WITH(with("use_dora", true), Contains("io.12") && Contains("\"use_dora\": expected none (plain LoRA), found true"));
  CHECK_THROWS_WITH(with("modules_to_save", {"lm_head"}), Contains("io.12") && Contains("modules_to_save"));
  CHECK_THROWS_WITH(with("bias", "all"), Contains("io.12") && Contains("bias"));
  CHECK_THROWS_WITH(with("r", 0), Contains("io.12") && Contains("found 0"));
  CHECK_THROWS_WITH(with("r", "4"), Contains("io.4") && Contains("\"r\": expected an integer"));
  CHECK_THROWS_WITH(with("rank_pattern", {{".*q_proj", 2}}), Contains("io.12") && Contains("found the pattern \".*q_proj\""));
  CHECK_THROWS_WITH(with("alpha_pattern", {{"q_proj", "x"}}), Contains("io.4") && Contains("alpha_pattern") && Contains("q_proj"));
}

TEST_CASE("tensors that contradict the configuration are refused") {
  folder f;
  fs::create_directories(f.path);
  auto const dir = f.path.string(), path = dir + "/adapter_model.safetensors";
  write_file(dir + "/adapter_config.json", R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4})");
  auto const with = [&](std::vector<declaration> tensors) {
    safetensors_writer out(path, tensors);
    for (auto const& t : tensors) out.write(t.name, std::span(a).first(std::size_t(t.shape[0] * t.shape[1])));
    out.commit();
    return read_adapter(dir);
  };
  std::string const stem = "base_model.model.m.lora_";
  CHECK(with({{stem + "A.weight", dtype::f32, {2, 3}}, {stem + "B.weight", dtype::f32, {1, 2}}}).entries.at(0).scale == 2.f);
  CHECK_THROWS_WITH(with({{stem + "A.weight", dtype::f32, {2, 3}}}), Contains("io.8") && Contains("m.lora_B.weight"));
  CHECK_THROWS_WITH(with({{stem + "B.weight", dtype::f32, {3, 2}}}), Contains("io.8") && Contains("m.lora_A.weight"));
  CHECK_THROWS_WITH(with({{stem + "A.weight", dtype::f32, {3, 2}}, {stem + "B.weight", dtype::f32, {1, 3}}}),
                    Contains("io.9: " + path) && Contains("expected the shape (2, inputs), found (3, 2)"));
  CHECK_THROWS_WITH(with({{stem + "A.weight", dtype::f32, {2, 2}}, {stem + "B.weight", dtype::f32, {2, 1}}}), Contains("expected the shape (outputs, 2), found (2, 1)"));
  CHECK_THROWS_WITH(with({{"m.lora_A.weight", dtype::f32, {2, 2}}}), Contains("io.12") && Contains("\"m.lora_A.weight\": expected base_model.model."));
  std::vector<adapter_matrices> const wrong{{"m", row_major(a.data(), 3, 2), row_major(b.data(), 1, 3)}};
  CHECK_THROWS_WITH(write_adapter(dir, {.rank = 2}, wrong), Contains("io.12") && Contains("\"m\": expected A and B of rank 2, found 3 and 3"));
  CHECK_THROWS_WITH(write_adapter("/proc/none", {.rank = 2}, {}), Contains("io.2: /proc/none"));
}
}  // namespace smalti
