// The decoder on a device against the host's and against transformers: tiny checkpoints of every family, quantised ones, adapters,
// batches, pages, graphs (tests/golden/models/README.md, tests/golden/peft/README.md). Activations are bf16 there.

#include <catch2/catch.hpp>
#include <smalti/decoder.cuh>
#include <smalti/io/json.hpp>
#include <filesystem>
#include "../support/golden.hpp"
#include "device_where.cuh"

namespace smalti {
namespace {

using device_model = decoder<on_cuda>;
using device_cache = backend<on_cuda>::cache;
std::string const root = "tests/golden/models/", peft = "tests/golden/peft/";
on_cuda const gpu = test::board();

std::vector<std::string> models() {
  std::vector<std::string> all;
  for (auto const& e : std::filesystem::directory_iterator(root))
    if (e.is_directory() && std::filesystem::exists(e.path() / "config.json")) all.push_back(e.path().filename());
  std::sort(all.begin(), all.end());
  REQUIRE(all.size() >= 15);
  return all;
}

std::vector<float> pass(device_model& m, device_cache& cache, int sequence, std::span<int const> ids, logits wanted = logits::last, int adapter = batch_entry::active) {
  batch_entry const one[] = {{sequence, ids, adapter}};
  auto const row = m.read(m.forward(cache, one, wanted));
  return {row.begin(), row.end()};
}
std::vector<float> whole(device_model& m, std::span<int const> ids, int adapter = batch_entry::active) {
  auto cache = backend<on_cuda>::make_cache(m.config(), 1, int(ids.size()));
  return pass(m, cache, cache.open(), ids, logits::all, adapter);
}
/// ‖a − b‖ / ‖b‖.
template <class A, class B>
double distance(A const& a, B const& b) {
  if (std::size(a) != std::size(b)) return INFINITY;
  double off = 0, norm = 0;
  for (std::size_t i = 0; i < std::size(b); ++i) off += (double(a[i]) - b[i]) * (double(a[i]) - b[i]), norm += double(b[i]) * b[i];
  return std::isnan(off) ? INFINITY : std::sqrt(off / norm);
}
std::vector<int> tokens(int n, int seed) {
  std::vector<int> ids;
  for (int i = 0; i < n; ++i) ids.push_back((i * 37 + seed * 17 + i * i * seed) % 101);
  return ids;
}

// Each rounding to bf16 errs by 2^-9 / √3 of a value at most. A layer rounds h twice, q k v, the attention's weights and its output, and the
// product of the gate: 8 roundings that reach the residual stream with weight below 1; weights that are not bf16 add one for each of
// 7 matrices. Errors of two to three layers add in squares: √(3 · 15) · 2^-9 / √3 ≈ 0.8 %; three times that is the bound.
constexpr double tolerance = 0.024;

TEST_CASE("logits are the host's up to the rounding of bf16, in one pass, in pieces and token by token") {
  for (auto const& name : models()) {
    auto host = decoder<on_cpu>::load(root + name);
    auto model = device_model::load(root + name, gpu);
    int const v = model.config().vocabulary;
    for (auto const& r : test::recordings(root + name + "/expected.safetensors", v)) {
      CAPTURE(name, r.ids.size());
      auto const all = whole(model, r.ids);
      double const error = distance(all, test::logits_of(host, r.ids));
      WARN(name << ", " << r.ids.size() << " tokens: " << error);
      CHECK(error < tolerance);
      CHECK(distance(all, r.logits) < tolerance);
      if (model.config().rope.type == rope_scaling::kind::dynamic) continue;  // there the past depends on the pass's length
      for (int piece : {1, 7}) {
        auto cache = backend<on_cuda>::make_cache(model.config(), 1, 64);
        int const s = cache.open();
        std::vector<float> got;
        for (std::size_t i = 0; i < r.ids.size(); i += std::size_t(piece)) {
          auto const some = pass(model, cache, s, std::span(r.ids).subspan(i, std::min(std::size_t(piece), r.ids.size() - i)), logits::all);
          got.insert(got.end(), some.begin(), some.end());
        }
        CHECK(distance(got, std::span(r.logits.data(), r.logits.size())) < tolerance);
      }
    }
  }
}

TEST_CASE("greedy tokens are transformers', wherever its margin is above the rounding") {
  int compared = 0;
  for (std::string const name : {"llama", "llama3rope", "mistral", "granite", "qwen2", "qwen3"}) {
    auto m = device_model::load(root + name, gpu);
    json const facts = read_json(root + name + "/expected.json");
    for (auto const& s : facts["sequences"]) {
      auto const ids = s["ids"].get<std::vector<int>>(), want = s["greedy"].get<std::vector<int>>();
      auto cache = backend<on_cuda>::make_cache(m.config(), 1, 64);
      decoder_sequence<on_cuda> sequence(m, cache);
      auto row = sequence.advance(ids);
      double top = 0;
      for (float x : row) top = std::max(top, std::abs(double(x)));
      if (s["greedy_margin"].get<double>() < 2 * tolerance * top) continue;
      std::vector<int> said;
      for (int i = 0; i < 20; ++i) {
        said.push_back(greedy(row));
        row = sequence.advance(std::span(&said.back(), 1));
      }
      CAPTURE(name, ids.size());
      CHECK(said == want);
      ++compared;
    }
  }
  WARN(compared << " continuations compared");
}

// Activations that differ by a rounding to bf16 have other codes here and there, and every code that differs moves all that follows by a step:
// at worst two models with unrelated codes, √2 · noise apart, noise being what LLM.int8 itself costs. (That products are the host's is tested one by
// one in llm_int8.cu.) Where every column is an outlier nothing is lost, and only bf16 is left.
TEST_CASE("by LLM.int8 the logits are the host's by LLM.int8, up to bf16 and the codes that it turns over") {
  std::string const at = "tests/golden/nf4/llama_int8";
  for (float threshold : {6.f, 1.5f, 0.f, 1e-6f}) {
    load_options const by_integers{.int8_outliers = threshold};
    auto exact = decoder<on_cpu>::load(at), host = decoder<on_cpu>::load(at, {}, by_integers);
    auto plain = device_model::load(at, gpu), model = device_model::load(at, gpu, by_integers);
    for (int n : {16, 17, 40, 100}) {
      CAPTURE(threshold, n);
      auto const ids = tokens(n, 3);
      auto const want = test::logits_of(host, ids), real = test::logits_of(exact, ids), got = whole(model, ids), left = whole(plain, ids);
      double const error = distance(got, want), noise = distance(want, real), beside = distance(got, left);
      WARN("threshold " << threshold << ", " << n << " tokens: to the host's " << error << ", its noise " << noise << ", to exact activations on the device " << beside);
      CHECK(distance(left, real) < tolerance);
      if (threshold == 1e-6f) CHECK(noise < 1e-5);
      if (n <= 16) CHECK(beside == 0);  // so few rows keep their activations
      else {
        CHECK(error < std::hypot(std::sqrt(2.) * noise, tolerance));
        CHECK(beside < std::hypot(std::sqrt(2.) * noise, tolerance));
        if (threshold != 1e-6f) CHECK(beside > noise / 2);
      }
      CHECK(whole(model, ids) == got);
    }
  }
}

TEST_CASE("weights quantised while they are loaded are the host's") {
  auto const ids = tokens(17, 3);
  for (auto kind : {weight_kind::nf4, weight_kind::int8, weight_kind::bf16})
    for (bool nested : {true, false}) {
      load_options const o{.weights = kind, .nf4 = {.double_quant = nested}};
      auto host = decoder<on_cpu>::load(root + "llama", {}, o);
      auto model = device_model::load(root + "llama", gpu, o);
      CAPTURE(name_of(kind), nested);
      CHECK(distance(whole(model, ids), test::logits_of(host, ids)) < tolerance);
    }
  std::string const folder = (std::filesystem::temp_directory_path() / "smalti-decoder-int8").string();
  quantise(on_cpu{}, root + "llama", folder, {.kind = weight_kind::int8});
  {
    auto host = decoder<on_cpu>::load(folder);
    auto model = device_model::load(folder, gpu);
    CHECK(distance(whole(model, ids), test::logits_of(host, ids)) < tolerance);
  }
  std::filesystem::remove_all(folder);
  for (std::string const name : {"models/smalti-23m-instruct"}) {
    auto host = decoder<on_cpu>::load(name);
    auto model = device_model::load(name, gpu);
    double const error = distance(whole(model, ids), test::logits_of(host, ids));
    WARN(name << ": " << error);
    CHECK(error < 2 * tolerance);  // twelve layers
  }
}

TEST_CASE("adapters: attached, stacked, merged and by sequence, as on the host") {
  auto const ids = tokens(9, 2);
  for (auto kind : {weight_kind::as_stored, weight_kind::nf4}) {
    auto host = decoder<on_cpu>::load(root + "llama", {}, {.weights = kind});
    auto model = device_model::load(root + "llama", gpu, {.weights = kind});
    std::vector<std::string> const names = {"all_linear", "query_value", "odd_rank"};
    for (auto const& n : names) {
      CAPTURE(name_of(kind), n);
      host.attach(load_adapter(peft + n)), model.attach(load_adapter(peft + n));
      CHECK(distance(whole(model, ids), test::logits_of(host, ids)) < tolerance);  // stacked on those before
    }
    host.activate(1, false), model.activate(1, false);
    CHECK(distance(whole(model, ids), test::logits_of(host, ids)) < tolerance);
    auto cache = backend<on_cuda>::make_cache(model.config(), 4, 16);
    std::vector<batch_entry> batch;
    for (int which : {2, -1, 0, 1}) batch.push_back({cache.open(), std::span(ids).first(ids.size() - std::size_t(which + 1)), which});
    auto const got = model.read(model.forward(cache, batch));
    for (std::size_t b = 0; b < batch.size(); ++b) {
      auto const want = test::logits_of(host, batch[b].tokens, batch[b].adapter);
      std::size_t const v = std::size_t(model.config().vocabulary);
      CHECK(distance(got.subspan(b * v, v), std::span(want).last(v)) < tolerance);
    }
    host.activate(2, false), model.activate(2, false);
    auto const before = whole(model, ids);
    model.merge(0);
    CHECK(distance(whole(model, ids), before) < tolerance);
    host.merge(0);
    CHECK(distance(whole(model, ids), test::logits_of(host, ids)) < tolerance);
  }
  adapter wrong{"wrong", {}};
  wrong.modules["model.layers.0.self_attn.q_proj"] = {4, 1.f, buffer<float>(4 * 3, 1.f), buffer<float>(4 * 4, 1.f)};
  auto model = device_model::load(root + "llama", gpu);
  CHECK_THROWS_WITH(model.attach(std::move(wrong)), Catch::Contains("model.31") && Catch::Contains("q_proj"));
  CHECK(model.adapter_count() == 0);
}

TEST_CASE("a batch is each of its sequences alone, pages change nothing, forks go their own way") {
  for (std::string const name : {"granite", "qwen2_window", "../../../models/smalti-23m-instruct"}) {
    auto m = device_model::load(root + name, gpu);
    CAPTURE(name);
    std::vector<int> const ids[] = {tokens(5, 1), tokens(40, 2), tokens(1, 3)}, more[] = {tokens(1, 4), tokens(1, 5), tokens(1, 6)};
    for (int page : {8, 16, 128}) {
      auto cache = device_cache::paged(m.config(), 3 * ceil_div(64, page), page, 3, 64);
      int const s[] = {cache.open(), cache.open(), cache.open()};
      batch_entry const first[] = {{s[2], ids[2]}, {s[0], ids[0]}, {s[1], ids[1]}}, second[] = {{s[1], more[1]}, {s[2], more[2]}, {s[0], more[0]}};
      m.forward(cache, first, logits::none);
      auto const row = m.read(m.forward(cache, second));
      std::vector<float> const got(row.begin(), row.end());
      for (int r = 0; r < 3; ++r) {
        int const which = r == 0 ? 1 : r == 1 ? 2 : 0;
        auto alone = backend<on_cuda>::make_cache(m.config(), 1, 64);
        int const a = alone.open();
        pass(m, alone, a, ids[which]);
        std::size_t const v = std::size_t(m.config().vocabulary);
        CHECK(distance(std::span(got).subspan(std::size_t(r) * v, v), pass(m, alone, a, more[which])) < tolerance);
      }
    }
    auto cache = device_cache::paged(m.config(), 16, 8, 2, 64);
    int const a = cache.open();
    pass(m, cache, a, ids[0]);
    int const b = cache.fork(a);
    auto const left = pass(m, cache, a, more[0]), right = pass(m, cache, b, more[1]);
    cache.truncate(a, 5);
    CHECK(pass(m, cache, a, more[1]) == right);
    CHECK(left != right);
  }
}

TEST_CASE("a step over cached keys is the last row of a pass over all of them, for every count of heads, length and window") {
  for (int dim : {64, 128})
    for (int group : {1, 2, 3, 4, 8})
      for (int window : {0, 20}) {
        decoder_config c;
        c.architecture = "LlamaForCausalLM", c.layers = 2, c.hidden = 256, c.ffn = 512, c.heads = 2 * group, c.kv_heads = 2, c.head_dim = c.rope_dim = dim, c.vocabulary = 512;
        c.max_positions = 2048, c.softmax_scale = 4 / std::sqrt(float(dim)), c.window.assign(2, window);
        auto m = device_model::from(c, random_source{uint64_t(dim + group)}, gpu);
        CAPTURE(dim, group, window);
        auto cache = device_cache::paged(c, 60, 16, 4, 500), fresh = device_cache::paged(c, 32, 16, 1, 500);
        std::vector<int> const lengths = {1, 9, 130, 441};
        std::vector<std::vector<int>> ids;
        std::vector<batch_entry> before, step;
        for (int n : lengths) ids.push_back(tokens(n, n));
        for (auto const& one : ids) step.push_back({cache.open(), std::span(one).last(1)});
        for (std::size_t i = 1; i < ids.size(); ++i) before.push_back({step[i].sequence, std::span(ids[i]).first(ids[i].size() - 1)});
        m.forward(cache, before, logits::none);
        auto const row = m.read(m.forward(cache, step));
        std::vector<float> const got(row.begin(), row.end());
        for (std::size_t i = 0; i < ids.size(); ++i) {
          int const s = fresh.open();
          CHECK(distance(std::span(got).subspan(i * 512, 512), pass(m, fresh, s, ids[i])) < tolerance);
          fresh.close(s);
        }
      }
}

TEST_CASE("tokens drawn on the device are those of its logits, and generation ends where the host's does") {
  auto host = load_decoder("models/smalti-23m-instruct", {}, on_cpu{}, 200);
  auto model = load_decoder<on_cuda>("models/smalti-23m-instruct", {}, gpu, 200);
  auto const prompt = model.encode("What is a left join?");
  auto const drawn = generate(model, prompt, {.max_tokens = 40});
  auto const again = generate(model, prompt, {.max_tokens = 40});
  CHECK(drawn.ids == again.ids);
  CHECK(drawn.log_probability == again.log_probability);
  {
    decoder_sequence<on_cuda> sequence(model.model, model.cache);
    auto row = sequence.advance(prompt);
    for (std::size_t i = 0; i < drawn.ids.size(); ++i) {
      CHECK(greedy(row) == drawn.ids[i]);
      CHECK(detail::log_probability(row, drawn.ids[i]) == Approx(drawn.log_probability[i]).margin(1e-4));
      row = sequence.advance(std::span(&drawn.ids[i], 1));
    }
  }
  auto const full = generate(model, prompt, {.max_tokens = 1000, .ignore_stop_ids = true});
  CHECK(full.ids.size() == 256 - prompt.size() + 1);  // the cache of 200 tokens is two pages of 128
  CHECK(generate(model, prompt, {.max_tokens = 3, .ignore_stop_ids = true}).ids.size() == 3);
  CHECK(generate(model, prompt, {.max_tokens = 5, .sampling = {.temperature = 0.8f, .seed = 3}}).ids.size() <= 5);
  auto const want = generate(host, prompt, {.max_tokens = 40});
  std::size_t same = 0;
  while (same < std::min(want.ids.size(), drawn.ids.size()) && want.ids[same] == drawn.ids[same]) ++same;
  WARN("as the host's for " << same << " of " << want.ids.size() << " tokens: " << drawn.text);
  CHECK(same >= std::min<std::size_t>(8, want.ids.size()));
}

TEST_CASE("what does not fit is refused with numbers, and nothing stays taken") {
  std::size_t before = 0, after = 0, all = 0;
  test::board();
  cudaFree(nullptr), cudaMemGetInfo(&before, &all);
  CHECK_THROWS_WITH(load_decoder<on_cuda>(root + "llama", {}, gpu, 1 << 30), Catch::Contains("model.26") || (Catch::Contains("model.32") && Catch::Contains("GiB")));
  auto const config = load_decoder_config(root + "llama");
  CHECK_THROWS_WITH(backend<on_cuda>::make_cache(config, 1 << 20, 1 << 20), Catch::Contains("model.26") || Catch::Contains("quant.5"));
  cudaMemGetInfo(&after, &all);
  CHECK(after + (64 << 20) > before);
}

TEST_CASE("a graph that is repeated gives the bits of launches one by one, run after run") {
  for (std::string const name : {"llama", "../../../models/smalti-23m-instruct"}) {
    auto m = device_model::load(root + name, gpu);
    std::vector<std::vector<float>> eager;
    for (bool graphs : {false, true, true}) {
      m.state().graphs = graphs;
      auto cache = backend<on_cuda>::make_cache(m.config(), 2, 300);
      int const a = cache.open(), b = cache.open();
      pass(m, cache, a, tokens(150, 1), logits::none), pass(m, cache, b, tokens(3, 2), logits::none);
      for (int step = 0; step < 12; ++step) {
        int const id[] = {step + 5, 2 * step + 9};
        batch_entry const both[] = {{a, std::span(id, 1)}, {b, std::span(id + 1, 1)}};
        auto const row = m.read(m.forward(cache, both));
        std::vector<float> const got(row.begin(), row.end());
        if (!graphs) eager.push_back(got);
        else CHECK(got == eager[std::size_t(step)]);
      }
    }
  }
}

}  // namespace
}  // namespace smalti
