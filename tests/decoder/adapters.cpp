// Adapters of peft on a decoder: alone, stacked, per sequence, merged and taken out again (tests/golden/peft/README.md).
#include <catch2/catch.hpp>
#include "../support/golden.hpp"

namespace smalti {
namespace {

std::string const base = "tests/golden/models/llama", root = "tests/golden/peft/";

TEST_CASE("a model with an adapter gives peft's logits, unmerged and merged") {
  for (std::string const name : {"all_linear", "query_value", "rslora", "rank_pattern", "odd_rank"}) {
    CAPTURE(name);
    std::string const expected = root + name + "/expected.safetensors";
    auto m = decoder<on_cpu>::load(base);
    auto const plain = test::logits_of(m, std::vector<int>{1, 2, 3});
    int const a = m.attach(load_adapter(root + name));
    double const error = test::worst_error(m, expected);
    WARN(name << ": relative error " << error);
    CHECK(error < 1e-4);
    m.merge(a);
    CHECK(test::worst_error(m, expected) < 1e-4);
    CHECK(test::worst_error(m, expected, "merged_logits") < 1e-4);
    m.unmerge(a);
    CHECK(test::relative_error(test::logits_of(m, std::vector<int>{1, 2, 3}), plain) < 1e-4);
    m.activate(a, true);
    CHECK(test::worst_error(m, expected) < 1e-4);
    m.activate(a, false);
    CHECK(test::relative_error(test::logits_of(m, std::vector<int>{1, 2, 3}), plain) < 1e-4);
  }
}

TEST_CASE("two adapters are stacked, attached in either order and merged one by one") {
  for (bool swapped : {false, true}) {
    auto m = decoder<on_cpu>::load(base);
    int const first = m.attach(load_adapter(root + (swapped ? "rank_pattern" : "query_value")));
    m.attach(load_adapter(root + (swapped ? "query_value" : "rank_pattern")));
    CHECK(test::worst_error(m, root + "stacked.safetensors") < 1e-4);
    m.merge(first);  // domain first, instructions on top
    CHECK(test::worst_error(m, root + "stacked.safetensors") < 1e-4);
  }
}

TEST_CASE("every sequence of a batch may have an adapter of its own, or none") {
  auto m = decoder<on_cpu>::load(base);
  std::vector<int> const ids = {5, 80, 3, 99, 7, 300};
  int const numbers[] = {batch_entry::none, m.attach(load_adapter(root + "all_linear")), m.attach(load_adapter(root + "query_value")), m.attach(load_adapter(root + "odd_rank"))};
  auto cache = kv_cache<>::contiguous(m.config(), 6, 8);
  std::vector<batch_entry> batch;
  for (int which : {2, 0, 1, 3, 2, 1}) batch.push_back({cache.open(), std::span(ids).first(ids.size() - std::size_t(which)), numbers[which]});
  auto const out = m.forward(cache, batch);
  std::vector<std::vector<float>> got;
  for (int r = 0; r < 6; ++r) got.emplace_back(&out(r, 0), &out(r, 0) + out.extent[1]);
  for (int r = 0; r < 6; ++r) {
    auto const alone = test::logits_of(m, batch[r].tokens, batch[r].adapter);
    CHECK(test::relative_error(got[r], std::span(alone).last(got[r].size())) < 1e-5);
  }
  CHECK(test::relative_error(got[1], got[2]) > 1e-2);  // they do differ
  batch[0].adapter = batch_entry::active;
  CHECK_THROWS_WITH(m.forward(cache, batch), Catch::Contains("model.27"));
}

TEST_CASE("an adapter merged into NF4 weights is merged into what they decode to") {
  auto m = decoder<on_cpu>::load(base, {}, {.weights = weight_kind::nf4});
  int const a = m.attach(load_adapter(root + "all_linear"));
  std::vector<int> const ids = {5, 80, 3, 99, 7, 300};
  auto const unmerged = test::logits_of(m, ids);
  m.merge(a, weight_kind::f32);
  CHECK(test::relative_error(test::logits_of(m, ids), unmerged) < 1e-4);
}

TEST_CASE("an adapter of another model is refused by name, and nothing changes") {
  auto m = decoder<on_cpu>::load("tests/golden/models/llama_sharded");
  auto const before = test::logits_of(m, std::vector<int>{1, 2, 3});
  CHECK_THROWS_WITH(m.attach(load_adapter(root + "all_linear")), Catch::Contains("model.3"));
  adapter wrong{"wrong", {}};
  wrong.modules["model.layers.0.self_attn.q_proj"] = {4, 1.f, buffer<float>(4 * 3, 1.f), buffer<float>(4 * 4, 1.f)};
  CHECK_THROWS_WITH(m.attach(std::move(wrong)), Catch::Contains("model.31") && Catch::Contains("q_proj"));
  CHECK(m.adapter_count() == 0);
  CHECK(test::logits_of(m, std::vector<int>{1, 2, 3}) == before);
}

}  // namespace
}  // namespace smalti
