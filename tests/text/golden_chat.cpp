// Conversations rendered by transformers' template engine (tests/golden/chat), token by token; forged control tokens stay text.
#include <catch2/catch.hpp>
#include "smalti/text/chat.hpp"
#include <smalti/io/json.hpp>

namespace smalti {
using Catch::Matchers::Contains;

TEST_CASE("the layouts equal the reference's, token by token") {
  auto const variant = GENERATE("llama3", "llama31", "mistral", "mistral_system", "granite", "granite31", "chatml", "qwen2");
  std::string const folder = std::string("tests/golden/chat/") + variant;
  auto const expected = read_json(folder + "/expected.json");
  auto const t = tokenizer::load("tests/golden/tokenizers/" + expected["tokenizer"].get<std::string>());
  auto const config_file = folder + "/tokenizer_config.json";
  auto const chat = chat_template::detect(read_json(config_file), config_file, expected["today"]);
  REQUIRE(expected["cases"].size() == 24);
  for (auto const& c : expected["cases"]) {
    INFO(variant << " " << c["name"] << " " << c.value("text", ""));
    std::vector<message> messages;
    for (auto const& m : c["messages"]) messages.push_back({m["role"], m["content"]});
    bool const prompt = c["add_generation_prompt"];
    if (c.contains("refused")) {
      CHECK_THROWS_WITH(chat.render(t, messages, prompt), Contains("text.3") && Contains("mistral: turn"));
      continue;
    }
    auto const ids = chat.render(t, messages, prompt);
    CHECK(ids == c["ids"].get<std::vector<int>>());
    if (c.contains("naive_ids")) CHECK(ids != c["naive_ids"].get<std::vector<int>>());
  }
}
}  // namespace smalti
