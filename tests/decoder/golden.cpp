// Logits, greedy tokens and losses of tiny random checkpoints against transformers (tests/golden/models/README.md).
#include <catch2/catch.hpp>
#include <algorithm>
#include <filesystem>
#include <smalti/decoder/model.hpp>
#include <smalti/decoder/perplexity.hpp>
#include <smalti/io/safetensors.hpp>

namespace smalti {
namespace {

std::string const root = "tests/golden/models/";
std::vector<std::string> models() {
  std::vector<std::string> all;
  for (auto const& e : std::filesystem::directory_iterator(root))
    if (e.is_directory()) all.push_back(e.path().filename());
  std::sort(all.begin(), all.end());
  return all;
}
std::vector<int> ids_of(tensor const& t) {
  std::vector<int> ids;
  for (index i = 0; i < t.count(); ++i) {
    int64_t id;
    std::memcpy(&id, t.bytes.data() + 8 * i, 8);
    ids.push_back(int(id));
  }
  return ids;
}
double relative_error(view<float, 2> got, buffer<float> const& want) {
  double worst = 0, top = 0;
  for (index i = 0; i < got.size(); ++i) {
    double const off = std::abs(double(got.at[i]) - want[i]);
    worst = off <= worst ? worst : off;  // NaN sticks
    top = std::max(top, std::abs(double(want[i])));
  }
  return worst / top;
}
struct sequence { std::vector<int> ids; buffer<float> logits; std::vector<int> greedy; double loss; };
std::vector<sequence> expected(std::string const& model, int vocabulary) {
  safetensors const file(root + model + "/expected.safetensors");
  json const facts = read_json(root + model + "/expected.json");
  std::vector<sequence> all;
  for (int i = 0; file.contains("ids." + std::to_string(i)); ++i) {
    sequence s;
    s.ids = ids_of(file.at("ids." + std::to_string(i)));
    s.logits = to_float(file.at("logits." + std::to_string(i)), {index(s.ids.size()), vocabulary});
    s.greedy = facts["sequences"][i]["greedy"].get<std::vector<int>>();
    s.loss = facts["sequences"][i].value("loss", 0.0);
    all.push_back(std::move(s));
  }
  REQUIRE(all.size() >= 3);
  return all;
}

TEST_CASE("logits agree with transformers in fp32 to 1e-4 of the largest, in one pass and token by token") {
  thread_pool threads{2};
  for (auto const& name : models())
    for (auto const& where : {on_cpu{generic_cpu}, on_cpu{threads}}) {
      auto model = decoder<on_cpu>::load(root + name, where);
      int const v = model.config().vocabulary;
      for (auto const& s : expected(name, v)) {
        CAPTURE(name, s.ids.size(), where.device.level);
        auto cache = kv_cache<>::contiguous(model.config(), 1, 64);
        int const q = cache.open();
        batch_entry const whole[] = {{q, s.ids}};
        double const error = relative_error(model.forward(cache, whole, logits::all), s.logits);
        if (where.threads) WARN(name << " " << s.ids.size() << " tokens: relative error " << error);
        CHECK(error < 1e-4);
        CHECK(cache.length(q) == int(s.ids.size()));
        if (model.config().rope.type == rope_scaling::kind::dynamic) continue;  // there the past depends on the pass's length
        cache.truncate(q, 0);
        for (std::size_t i = 0; i < s.ids.size(); ++i) {
          batch_entry const one[] = {{q, std::span(&s.ids[i], 1)}};
          auto const row = model.forward(cache, one);
          buffer<float> want(v);
          std::copy_n(s.logits.data() + i * v, v, want.data());
          CHECK(relative_error(row, want) < 2e-4);
        }
      }
    }
}

}  // namespace
}  // namespace smalti
