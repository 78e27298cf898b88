// Logits of tiny random checkpoints of every family against transformers (tests/golden/models/README.md).
#include <catch2/catch.hpp>
#include <filesystem>
#include "../support/golden.hpp"

namespace smalti {
namespace {

std::string const root = "tests/golden/models/";
std::vector<std::string> models() {
  std::vector<std::string> all;
  for (auto const& e : std::filesystem::directory_iterator(root))
    if (e.is_directory() && std::filesystem::exists(e.path() / "config.json")) all.push_back(e.path().filename());
  std::sort(all.begin(), all.end());
  REQUIRE(all.size() >= 15);
  return all;
}

TEST_CASE("logits agree with transformers in fp32 to 1e-4 of the largest, in one pass and token by token") {
  thread_pool threads{2};
  for (auto const& name : models())
    for (auto const& where : {on_cpu{generic_cpu}, on_cpu{threads}}) {
      auto model = decoder<on_cpu>::load(root + name, where);
      int const v = model.config().vocabulary;
      auto const all = test::recordings(root + name + "/expected.safetensors", v);
      REQUIRE(all.size() >= 3);
      for (auto const& r : all) {
        CAPTURE(name, r.ids.size(), where.device.level);
        double const error = test::relative_error(test::logits_of(model, r.ids), r.logits);
        if (where.threads) WARN(name << ", " << r.ids.size() << " tokens: relative error " << error);
        CHECK(error < 1e-4);
        if (model.config().rope.type == rope_scaling::kind::dynamic) continue;  // there the past depends on the pass's length
        auto cache = kv_cache<>::contiguous(model.config(), 1, 64);
        int const s = cache.open();
        for (std::size_t i = 0; i < r.ids.size(); ++i) {
          batch_entry const one[] = {{s, std::span(&r.ids[i], 1)}};
          auto const row = model.forward(cache, one);
          CHECK(test::relative_error(std::span(row.at, v), std::span(r.logits.data() + i * v, v)) < 2e-4);
        }
      }
    }
}

}  // namespace
}  // namespace smalti
