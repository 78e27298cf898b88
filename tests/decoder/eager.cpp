// Eager attention on the host: transformers' logits, and fused attention's, for every family, window, page and dtype of the cache.
#include <catch2/catch.hpp>
#include <filesystem>
#include <smalti/decoder/profile.hpp>
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

TEST_CASE("eager attention gives transformers' logits to 1e-4 of the largest, as fused attention does, in one pass and in pieces") {
  thread_pool threads{2};
  for (auto const& name : models()) {
    auto model = decoder<on_cpu>::load(root + name, on_cpu{threads}, {.attention = attention_kind::eager});
    int const v = model.config().vocabulary;
    auto const all = test::recordings(root + name + "/expected.safetensors", v);
    REQUIRE(all.size() >= 3);
    for (auto const& r : all) {
      CAPTURE(name, r.ids.size());
      CHECK(test::relative_error(test::logits_of(model, r.ids), r.logits) < 1e-4);
      if (model.config().rope.type == rope_scaling::kind::dynamic) continue;  // there the past depends on the pass's length
      auto cache = kv_cache<>::contiguous(model.config(), 1, 64);
      int const s = cache.open();
      for (std::size_t i = 0; i < r.ids.size(); i += 5) {
        std::size_t const count = std::min<std::size_t>(5, r.ids.size() - i);
        batch_entry const one[] = {{s, std::span(r.ids).subspan(i, count)}};
        auto const row = model.forward(cache, one, logits::all);
        CHECK(test::relative_error(std::span(row.at, count * v), std::span(r.logits.data() + i * v, count * v)) < 2e-4);
      }
    }
  }
}

template <class T>
void check_batch(double bound) {
  for (std::string const name : {"granite", "qwen2_window", "mistral"}) {
    auto eager = decoder<on_cpu>::load(root + name, {}, {.attention = attention_kind::eager}), fused = decoder<on_cpu>::load(root + name);
    std::vector<std::vector<int>> ids(3);
    for (int s = 0; s < 3; ++s)
      for (int i = 0; i < 1 + 17 * s; ++i) ids[std::size_t(s)].push_back((7 * i + 3 * s) % 97);
    for (int page : {3, 16, 64}) {
      std::vector<float> got[2];
      for (int which = 0; which < 2; ++which) {
        auto& m = which ? fused : eager;
        auto cache = kv_cache<T>::paged(m.config(), 3 * ceil_div(64, page), page, 3, 64);
        std::ranges::fill(std::span(cache.lend(1 << 16), 1 << 16), T(NAN));  // what no pass may read
        std::vector<batch_entry> batch;
        for (auto const& one : ids) batch.push_back({cache.open(), one});
        std::swap(batch[0], batch[2]);
        m.forward(cache, batch, logits::none);
        for (auto& e : batch) e.tokens = std::span(ids[1]).first(2);
        auto const row = m.forward(cache, batch, logits::all);
        got[which].assign(row.at, row.at + row.size());
      }
      CAPTURE(name, page);
      CHECK(test::relative_error(got[0], got[1]) < bound);
    }
  }
}
// bf16: q, the scores, the weights and the output are rounded to 2^-9 of themselves, in each of at most three layers.
TEST_CASE("a batch of sequences of different lengths: eager as fused, pages change nothing") { check_batch<float>(1e-5), check_batch<bf16>(0.03), check_batch<f16>(0.004); }

TEST_CASE("a profile of a pass on the host names its operations, once for each layer") {
  for (auto kind : {attention_kind::fused, attention_kind::eager}) {
    auto m = decoder<on_cpu>::load(root + "llama", {}, {.attention = kind});
    int const layers = m.config().layers, ids[] = {1, 2, 3, 4};
    auto cache = kv_cache<>::contiguous(m.config(), 1, 64);
    batch_entry const one[] = {{cache.open(), ids}};
    std::vector<profile_row> rows;
    {
      host_profile watching(on_cpu{}, m.state());
      for (int i = 0; i < 3; ++i) m.forward(cache, one), watching.end();
      rows = watching.rows();
    }
    auto const calls = [&](std::string const& name) {
      auto const r = std::find_if(rows.begin(), rows.end(), [&](auto const& row) { return row.name == name; });
      return r == rows.end() ? 0 : r->calls;
    };
    for (std::string const name : {"q, k, v", "o", "gate, up", "down", "rotate, store"}) CHECK(calls(name) == 3 * layers);
    CHECK(calls("attention") == (kind == attention_kind::fused ? 3 * layers : 0));
    for (std::string const name : {"scores", "softmax", "weighted values"}) CHECK(calls(name) == (kind == attention_kind::eager ? 3 * layers : 0));
    CHECK((calls("RMSNorm") == 3 * (2 * layers + 1) && calls("head") == 3 && calls("embedding") == 3));
    for (auto const& r : rows) CHECK((r.seconds >= 0 && r.bytes > 0));
    m.forward(cache, one);  // no longer watched
    CHECK(calls("head") == 3);
  }
}

}  // namespace
}  // namespace smalti
