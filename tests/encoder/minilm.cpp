// all-MiniLM-L6-v2 against sentence-transformers: the golden embeddings, as they are and with smaller weights.
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include "smalti/encoder.hpp"
#include <smalti/io/json.hpp>

namespace smalti {
namespace {

std::string model_directory() {
  char const* const named = std::getenv("SMALTI_MINILM");
  std::string const path = named ? named : ".cache/models/all-MiniLM-L6-v2";
  return detail::is_file(path + "/config.json") ? path : "";
}

struct golden {
  std::vector<std::string> sentences;
  std::vector<int> tokens;
  buffer<float> embeddings;  // (sentences, 384)
  golden() {
    std::string const folder = "tests/golden/minilm/";
    auto const j = read_json(folder + "sentences.json");
    sentences = field<std::vector<std::string>>(j, folder, "sentences"), tokens = field<std::vector<int>>(j, folder, "tokens");
    embeddings = to_float(safetensors(folder + "embeddings.safetensors").at("embeddings"), {index(sentences.size()), 384});
  }
};

double worst_cosine(golden const& g, buffer<float> const& v) {
  double worst = 1;
  for (std::size_t s = 0; s < g.sentences.size(); ++s) {
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = s * 384; i < (s + 1) * 384; ++i) ab += double(g.embeddings[i]) * v[i], aa += double(g.embeddings[i]) * g.embeddings[i], bb += double(v[i]) * v[i];
    CHECK(std::fabs(bb - 1) < 1e-5);
    worst = std::min(worst, ab / std::sqrt(aa * bb));
  }
  return worst;
}

TEST_CASE("MiniLM agrees with sentence-transformers: cosine at least 0.9999 on every sentence") {
  auto const directory = model_directory();
  if (directory.empty()) {
    std::cerr << "\n*** SKIPPED: no all-MiniLM-L6-v2 in .cache/models or $SMALTI_MINILM; run script/setup ***\n\n";
    return;
  }
  golden const g;
  REQUIRE(g.sentences.size() >= 50);
  thread_pool two(2);
  auto const encoder = sentence_encoder::load(directory, {.parse_special = true});
  CHECK(encoder.dimension() == 384);
  CHECK(encoder.max_tokens() == 256);
  for (std::size_t i = 0; i < g.sentences.size(); ++i) CHECK(std::min(encoder.count_tokens(g.sentences[i]), 256) == g.tokens[i]);
  auto const start = std::chrono::steady_clock::now();
  auto const v = encoder.encode(on_cpu{two}, g.sentences);
  double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  double const f32 = worst_cosine(g, v), bf16 = worst_cosine(g, sentence_encoder::load(directory, {.weights = encoder_weights::bf16, .parse_special = true}).encode(on_cpu{two}, g.sentences)),
               int8 = worst_cosine(g, sentence_encoder::load(directory, {.weights = encoder_weights::int8, .parse_special = true}).encode(on_cpu{two}, g.sentences));
  CHECK(f32 >= 0.9999);
  CHECK(bf16 >= 0.999);
  CHECK(int8 >= 0.98);
  WARN("worst cosine: f32 1 − " << 1 - f32 << ", bf16 " << bf16 << ", int8 " << int8 << "; " << double(g.sentences.size()) / seconds << " sentences/s");

  // A sentence does not depend on its neighbours, on threads or on the batch it is in.
  auto const few = sentence_encoder::load(directory, {.batch_tokens = 40, .parse_special = true});
  auto const again = few.encode(on_cpu{}, g.sentences);
  float most = 0;
  for (std::size_t i = 0; i < v.size(); ++i) most = std::max(most, std::fabs(v[i] - again[i]));
  CHECK(most < 2e-6f);
  // By default a text cannot forge a special token.
  auto const plain = sentence_encoder::load(directory);
  CHECK(plain.count_tokens("[SEP]") == 5);
  CHECK(encoder.count_tokens("[SEP]") == 3);
  CHECK(plain.identity() == encoder.identity());
}

}  // namespace
}  // namespace smalti
