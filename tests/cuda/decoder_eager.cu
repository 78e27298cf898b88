// Eager attention on a device against the host's decoder and fused attention: families, lengths around the tile, windows, groups of heads,
// batches, pages, repeated steps; the scores' memory poisoned.

#include <catch2/catch.hpp>
#include <smalti/decoder.cuh>
#include <filesystem>
#include "../support/golden.hpp"
#include "device_where.cuh"

namespace smalti {
namespace {

using device_model = decoder<on_cuda>;
using device_cache = backend<on_cuda>::cache;
std::string const root = "tests/golden/models/";
on_cuda const gpu = test::board();
constexpr double tolerance = 0.024;  // derived in decoder.cu; scores and weights are rounded once more, which its bound has room for
load_options const eager{.attention = attention_kind::eager};

std::vector<float> pass(device_model& m, device_cache& cache, int sequence, std::span<int const> ids, logits wanted = logits::last) {
  batch_entry const one[] = {{sequence, ids}};
  auto const row = m.read(m.forward(cache, one, wanted));
  return {row.begin(), row.end()};
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
/// NaN wherever scores may come to lie.
void poison(device_model& m, std::size_t count = 1 << 20) {
  REQUIRE(cudaMemset(m.state().lend<bf16>(device_batch::scores, count), 0xff, count * 2) == cudaSuccess);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
}

TEST_CASE("eager attention: logits are the host's up to the rounding of bf16, in one pass and in pieces, for every family") {
  int compared = 0;
  for (auto const& e : std::filesystem::directory_iterator(root)) {
    if (!e.is_directory() || !std::filesystem::exists(e.path() / "config.json")) continue;
    auto model = device_model::load(e.path(), gpu, eager);
    for (auto const& r : test::recordings(e.path() / "expected.safetensors", model.config().vocabulary)) {
      CAPTURE(e.path(), r.ids.size());
      for (int piece : {64, 7, 1}) {
        if (piece < 64 && model.config().rope.type == rope_scaling::kind::dynamic) continue;
        auto cache = backend<on_cuda>::make_cache(model.config(), 1, 64);
        int const s = cache.open();
        std::vector<float> got;
        poison(model);
        for (std::size_t i = 0; i < r.ids.size(); i += std::size_t(piece)) {
          auto const some = pass(model, cache, s, std::span(r.ids).subspan(i, std::min(std::size_t(piece), r.ids.size() - i)), logits::all);
          got.insert(got.end(), some.begin(), some.end());
        }
        CHECK(distance(got, std::span(r.logits.data(), r.logits.size())) < tolerance);
        ++compared;
      }
    }
  }
  CHECK(compared >= 100);
}

TEST_CASE("eager attention is fused attention for every count of heads, head dimension, length, window and page") {
  for (int dim : {8, 64, 72, 128})
    for (int group : {1, 4})
      for (int window : {0, 20}) {
        decoder_config c;
        c.architecture = "LlamaForCausalLM", c.layers = 2, c.hidden = 256, c.ffn = 512, c.heads = 2 * group, c.kv_heads = 2, c.head_dim = c.rope_dim = dim, c.vocabulary = 512;
        c.max_positions = 2048, c.softmax_scale = 4 / std::sqrt(float(dim)), c.window.assign(2, window);
        auto one = device_model::from(c, random_source{uint64_t(dim + group)}, gpu, eager), other = device_model::from(c, random_source{uint64_t(dim + group)}, gpu);
        for (int page : {16, 128}) {
          CAPTURE(dim, group, window, page);
          std::vector<float> got[2][2];
          for (int which = 0; which < 2; ++which) {
            auto& m = which ? other : one;
            auto cache = device_cache::paged(c, 5 * ceil_div(500, page), page, 5, 500);
            std::vector<std::vector<int>> ids;
            std::vector<batch_entry> batch;
            for (int n : {1, 63, 64, 65, 441}) ids.push_back(tokens(n, n));
            for (auto const& s : ids) batch.push_back({cache.open(), s});
            poison(m, 8 << 20);
            auto row = m.read(m.forward(cache, batch, logits::all));
            got[which][0].assign(row.begin(), row.end());
            for (auto& b : batch) b.tokens = std::span(ids[4]).first(1);
            poison(m, 8 << 20);
            row = m.read(m.forward(cache, batch));
            got[which][1].assign(row.begin(), row.end());
          }
          CHECK(distance(got[0][0], got[1][0]) < tolerance);
          CHECK(distance(got[0][1], got[1][1]) < tolerance);
        }
      }
}

TEST_CASE("eager attention: steps repeated from a graph give the bits of launches one by one") {
  auto m = device_model::load("models/smalti-23m-instruct", gpu, eager);
  std::vector<std::vector<float>> first;
  for (bool graphs : {false, true, true}) {
    m.state().graphs = graphs;
    auto cache = backend<on_cuda>::make_cache(m.config(), 2, 300);
    int const a = cache.open(), b = cache.open();
    pass(m, cache, a, tokens(120, 1), logits::none), pass(m, cache, b, tokens(3, 2), logits::none);
    for (int step = 0; step < 16; ++step) {  // one of them passes the end of a page and of a tile
      int const id[] = {step + 5, 2 * step + 9};
      batch_entry const both[] = {{a, std::span(id, 1)}, {b, std::span(id + 1, 1)}};
      auto const row = m.read(m.forward(cache, both));
      std::vector<float> const got(row.begin(), row.end());
      if (!graphs) first.push_back(got);
      else CHECK(got == first[std::size_t(step)]);
    }
  }
}

}  // namespace
}  // namespace smalti
