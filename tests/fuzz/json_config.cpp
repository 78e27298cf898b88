// libFuzzer entry: any text as JSON, then as a weight map, an adapter's configuration and a chat template's.
#include <cstdlib>
#include "smalti/io/checkpoint.hpp"
#include "smalti/io/peft.hpp"
#include "smalti/text/chat.hpp"
#include <smalti/io/json.hpp>

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  using namespace smalti;
  json j;
  try {
    j = parse_json(std::string_view(reinterpret_cast<char const*>(data), size), "fuzz");
  } catch (error const&) {
    return 0;
  }
  auto const attempt = [](auto&& read) {
    try {
      read();
    } catch (error const&) {
    }
  };
  attempt([&] {
    for (auto const& [tensor, shard] : detail::parse_weight_map(j, "fuzz"))
      if (shard.find('/') != std::string::npos || shard == "..") std::abort();
  });
  attempt([&] { (void)detail::parse_adapter_config(j, "fuzz").scale_of("a.q_proj", 1); });
  attempt([&] { (void)chat_template::detect(j, "fuzz", "today"); });
  for (auto name : {"hidden_size", "a", ""}) {
    attempt([&] { (void)field<int>(j, "fuzz", name); });
    attempt([&] { (void)field<float>(j, "fuzz", name, 1.f); });
    attempt([&] { (void)field<std::vector<int>>(j, "fuzz", name); });
  }
  return 0;
}
