// A BERT of eight columns against a forward pass in double precision, and directories that are not what they should be.
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>
#include "smalti/encoder.hpp"
#include "smalti/io/safetensors_writer.hpp"
#include <smalti/io/json.hpp>

namespace smalti {
namespace {

constexpr int hidden = 8, heads = 2, ffn = 12, vocabulary = 9, positions = 16, layers = 2;
std::string const words[vocabulary] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "##s", "dot"};

struct tiny {
  std::string path;
  std::map<std::string, std::vector<float>> w;
  json config = {{"model_type", "bert"}, {"hidden_act", "gelu"}, {"num_hidden_layers", layers}, {"hidden_size", hidden}, {"num_attention_heads", heads},
                 {"intermediate_size", ffn}, {"vocab_size", vocabulary}, {"max_position_embeddings", positions}, {"type_vocab_size", 2}, {"layer_norm_eps", 1e-12}};
  json tokenizer_json = json::parse(R"({"added_tokens": [], "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
    {"SpecialToken": {"id": "[SEP]", "type_id": 0}}], "pair": [], "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true}, "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {}}})");

  explicit tiny(std::string const& name) : path((std::filesystem::temp_directory_path() / ("smalti-" + name + std::to_string(::getpid()))).string()) {
    std::filesystem::create_directory(path);
    for (int i = 0; i < vocabulary; ++i) tokenizer_json["model"]["vocab"][words[i]] = i;
    std::mt19937 random(4);
    std::normal_distribution<float> normal;
    auto make = [&](std::string const& n, int count) { for (int i = 0; i < count; ++i) w[n].push_back(0.4f * normal(random) + (n.find("Norm.weight") < n.size() ? 1.f : 0.f)); };
    auto norm = [&](std::string const& n) { make(n + "LayerNorm.weight", hidden), make(n + "LayerNorm.bias", hidden); };
    make("embeddings.word_embeddings.weight", vocabulary * hidden), make("embeddings.position_embeddings.weight", positions * hidden);
    make("embeddings.token_type_embeddings.weight", 2 * hidden), norm("embeddings.");
    for (int l = 0; l < layers; ++l) {
      std::string const p = "encoder.layer." + std::to_string(l) + ".";
      for (std::string const m : {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"}) make(p + m + ".weight", hidden * hidden), make(p + m + ".bias", hidden);
      make(p + "intermediate.dense.weight", ffn * hidden), make(p + "intermediate.dense.bias", ffn), make(p + "output.dense.weight", hidden * ffn), make(p + "output.dense.bias", hidden);
      norm(p + "attention.output."), norm(p + "output.");
    }
  }
  ~tiny() { std::filesystem::remove_all(path); }

  std::string write(std::string const& prefix = "", std::string const& without = "-") const {
    write_file(path + "/config.json", config.dump()), write_file(path + "/tokenizer.json", tokenizer_json.dump());
    std::vector<declaration> all;
    auto shape = [&](std::string const& n, std::size_t count) -> std::vector<index> {
      if (n.find("bias") < n.size() || n.find("Norm") < n.size()) return {index(count)};
      index const columns = n.find("output.dense") < n.size() && count == hidden * ffn ? ffn : hidden;
      return {index(count) / columns, columns};
    };
    for (auto& [n, v] : w)
      if (n != without) all.push_back({prefix + n, dtype::f32, shape(n, v.size())});
    safetensors_writer out(path + "/model.safetensors", all);
    for (auto& [n, v] : w)
      if (n != without) out.write(prefix + n, std::span(v));
    out.commit();
    return path;
  }

  // The whole network as in the papers, one step after the other.
  std::vector<double> oracle(std::vector<int> const& ids, bool cls) const {
    using matrix = std::vector<std::vector<double>>;
    auto at = [&](std::string const& n, int i) { return double(w.at(n)[std::size_t(i)]); };
    auto linear = [&](matrix const& x, std::string const& n, int out) {
      matrix y;
      for (auto& row : x) {
        y.emplace_back();
        for (int o = 0; o < out; ++o) {
          double s = at(n + ".bias", o);
          for (std::size_t i = 0; i < row.size(); ++i) s += row[i] * at(n + ".weight", o * int(row.size()) + int(i));
          y.back().push_back(s);
        }
      }
      return y;
    };
    auto norm = [&](matrix& x, std::string const& n) {
      for (auto& row : x) {
        double mean = 0, var = 0;
        for (double v : row) mean += v / hidden;
        for (double v : row) var += (v - mean) * (v - mean) / hidden;
        for (int i = 0; i < hidden; ++i) row[std::size_t(i)] = (row[std::size_t(i)] - mean) / std::sqrt(var + 1e-12) * at(n + "LayerNorm.weight", i) + at(n + "LayerNorm.bias", i);
      }
    };
    matrix x;
    for (std::size_t t = 0; t < ids.size(); ++t) {
      x.emplace_back();
      for (int i = 0; i < hidden; ++i)
        x.back().push_back(at("embeddings.word_embeddings.weight", ids[t] * hidden + i) + at("embeddings.position_embeddings.weight", int(t) * hidden + i) + at("embeddings.token_type_embeddings.weight", i));
    }
    norm(x, "embeddings.");
    auto add = [](matrix& a, matrix const& b) { for (std::size_t i = 0; i < a.size(); ++i) for (std::size_t j = 0; j < a[i].size(); ++j) a[i][j] += b[i][j]; };
    for (int l = 0; l < layers; ++l) {
      std::string const p = "encoder.layer." + std::to_string(l) + ".";
      auto const q = linear(x, p + "attention.self.query", hidden), k = linear(x, p + "attention.self.key", hidden), v = linear(x, p + "attention.self.value", hidden);
      matrix mixed(x.size(), std::vector<double>(hidden));
      constexpr std::size_t d = hidden / heads;
      for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t i = 0; i < x.size(); ++i) {
          std::vector<double> e;
          double sum = 0;
          for (std::size_t j = 0; j < x.size(); ++j) {
            double s = 0;
            for (std::size_t c = h * d; c < (h + 1) * d; ++c) s += q[i][c] * k[j][c];
            e.push_back(std::exp(s / std::sqrt(double(d)))), sum += e.back();
          }
          for (std::size_t j = 0; j < x.size(); ++j)
            for (std::size_t c = h * d; c < (h + 1) * d; ++c) mixed[i][c] += e[j] / sum * v[j][c];
        }
      add(x, linear(mixed, p + "attention.output.dense", hidden)), norm(x, p + "attention.output.");
      auto wide = linear(x, p + "intermediate.dense", ffn);
      for (auto& row : wide) for (double& u : row) u = u / 2 * (1 + std::erf(u / std::sqrt(2.0)));
      add(x, linear(wide, p + "output.dense", hidden)), norm(x, p + "output.");
    }
    std::vector<double> mean(hidden);
    double length = 0;
    for (std::size_t t = 0; t < (cls ? 1 : x.size()); ++t) for (std::size_t i = 0; i < hidden; ++i) mean[i] += x[t][i];
    for (double m : mean) length += m * m;
    for (double& m : mean) m /= std::sqrt(length);
    return mean;
  }
};

template <class F>
std::string fault(F f) {
  try { f(); } catch (error const& e) { return e.what(); }
  return "nothing thrown";
}
bool has(std::string const& s, std::string const& part) { return s.find(part) != std::string::npos; }

TEST_CASE("a tiny BERT equals the forward pass in double precision: mean and CLS, threads, both name styles") {
  tiny t("tiny");
  thread_pool two(2);
  std::vector<std::string> const texts{"Red green BLUES dot", "", "red", "what is this", "dot dot dot dot dot dot dot dot dot dot dot dot dot dot dot dot dot dot"};
  std::vector<std::vector<int>> const ids{{2, 4, 5, 6, 7, 8, 3}, {2, 3}, {2, 4, 3}, {2, 1, 1, 1, 3}, {2, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 3}};
  for (bool cls : {false, true})
    for (std::string prefix : {"", "bert."})
      for (arch a : {generic_cpu, host_arch()}) {
        if (cls) {
          write_file(t.path + "/modules.json", R"([{"type": "sentence_transformers.models.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_Pooling"}])");
          std::filesystem::create_directory(t.path + "/1_Pooling");
          write_file(t.path + "/1_Pooling/config.json", R"({"word_embedding_dimension": 8, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
        }
        auto const e = sentence_encoder::load(t.write(prefix), {.batch_tokens = 9});
        CHECK(e.max_tokens() == positions);
        auto const v = e.encode(on_cpu{two, a}, texts);
        REQUIRE(v.size() == texts.size() * hidden);
        for (std::size_t s = 0; s < texts.size(); ++s) {
          auto const truth = t.oracle(ids[s], cls);
          for (std::size_t i = 0; i < hidden; ++i) CHECK(std::fabs(v[s * hidden + i] - truth[i]) < 2e-6);
        }
        CHECK(e.encode(on_cpu{a}, std::span<std::string const>{}).empty());
      }
}

TEST_CASE("directories that are not what they should be are refused, with file, thing, expected and found") {
  tiny const good("good");
  auto refused = [&](std::string key, json value) {
    tiny t("bad");
    t.config[key] = value;
    t.write();
    return fault([&] { (void)sentence_encoder::load(t.path); });
  };
  CHECK(has(refused("model_type", "roberta"), "config.json: field \"model_type\": expected \"bert\", found \"roberta\""));
  CHECK(has(refused("hidden_act", "relu"), "encoder.1"));
  CHECK(has(refused("position_embedding_type", "relative_key"), "encoder.1"));
  CHECK(has(refused("hidden_size", 9), "encoder.1"));
  CHECK(has(refused("hidden_size", -8), "encoder.1"));
  CHECK(has(refused("num_attention_heads", 0), "encoder.1"));
  CHECK(has(refused("num_attention_heads", "two"), "io.4"));
  CHECK(has(refused("vocab_size", 5), "encoder.3"));
  CHECK(has(refused("vocab_size", 1 << 20), "io."));
  CHECK(has(refused("num_hidden_layers", 3), "io.8"));
  CHECK(has(refused("intermediate_size", 13), "io."));
  tiny t("worse");
  CHECK(has(fault([&] { (void)sentence_encoder::load(t.path); }), "io.1"));
  auto const missing = fault([&] { (void)sentence_encoder::load(t.write("", "encoder.layer.1.output.dense.bias")); });
  CHECK(has(missing, "io.8"));
  CHECK(has(missing, "encoder.layer.1.output.dense.bias"));
  t.write();
  write_file(t.path + "/modules.json", R"([{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}])");
  CHECK(has(fault([&] { (void)sentence_encoder::load(t.path); }), "encoder.2"));
  write_file(t.path + "/modules.json", R"([{"type": "sentence_transformers.models.Pooling", "path": "../1_Pooling"}])");
  CHECK(has(fault([&] { (void)sentence_encoder::load(t.path); }), "encoder.2"));
  write_file(t.path + "/modules.json", R"([{"type": "sentence_transformers.models.Pooling", "path": "p"}])");
  std::filesystem::create_directory(t.path + "/p");
  for (auto const* pool : {R"({"word_embedding_dimension": 8, "pooling_mode_max_tokens": true})", R"({"pooling_mode": "lasttoken"})",
                           R"({"word_embedding_dimension": 8, "pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true})", R"({"word_embedding_dimension": 9, "pooling_mode_mean_tokens": true})"}) {
    write_file(t.path + "/p/config.json", pool);
    CHECK(has(fault([&] { (void)sentence_encoder::load(t.path); }), "encoder.2"));
  }
}

}  // namespace
}  // namespace smalti
