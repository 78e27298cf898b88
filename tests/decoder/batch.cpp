// Laws of the cache and the batch: pages, chunks and neighbours change nothing but the order of sums (fp32, three layers).
#include <catch2/catch.hpp>
#include <algorithm>
#include <smalti/decoder/model.hpp>

namespace smalti {
namespace {

using model = decoder<on_cpu>;

model load(std::string const& name) { return model::load("tests/golden/models/" + name); }
std::vector<int> tokens(int n, int seed) {
  std::vector<int> ids;
  for (int i = 0; i < n; ++i) ids.push_back((i * 37 + seed * 101 + i * i * seed) % 101);  // the smallest vocabulary among the models
  return ids;
}
template <class Cache>
std::vector<float> last_logits(model& m, Cache& cache, int sequence, std::span<int const> ids) {
  batch_entry const one[] = {{sequence, ids}};
  auto const row = m.forward(cache, one);
  return {row.at, row.at + row.size()};
}
double difference(std::vector<float> const& a, std::vector<float> const& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0, top = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    double const d = std::abs(double(a[i]) - b[i]);
    worst = d <= worst ? worst : d, top = std::max(top, std::abs(double(a[i])));
  }
  return worst / top;
}

TEST_CASE("pages of any size, and prefill in chunks of any size, give the logits of one piece") {
  for (auto const* name : {"llama", "mistral", "qwen2_window"}) {
    auto m = load(name);
    auto const ids = tokens(29, 1);
    auto whole = kv_cache<>::contiguous(m.config(), 1, 32);
    auto const want = last_logits(m, whole, whole.open(), ids);
    for (int page : {1, 3, 16})
      for (int chunk : {1, 7, 29}) {
        auto cache = kv_cache<>::paged(m.config(), 40, page, 2, 40);
        int const other = cache.open(), s = cache.open();
        last_logits(m, cache, other, tokens(2, 9));  // so that the pages of s do not begin at 0
        std::vector<float> got;
        for (int at = 0; at < 29; at += chunk) got = last_logits(m, cache, s, std::span(ids).subspan(at, std::min(chunk, 29 - at)));
        CAPTURE(name, page, chunk);
        CHECK(difference(got, want) < 1e-5);
      }
  }
}

TEST_CASE("a batch of sequences of different lengths is each of them alone") {
  auto m = load("granite");
  auto cache = kv_cache<>::contiguous(m.config(), 3, 40), alone = kv_cache<>::contiguous(m.config(), 1, 40);
  std::vector<int> const ids[] = {tokens(5, 1), tokens(17, 2), tokens(1, 3)}, more[] = {tokens(1, 4), tokens(3, 5), tokens(6, 6)};
  int const s[] = {cache.open(), cache.open(), cache.open()};
  batch_entry const first[] = {{s[2], ids[2]}, {s[0], ids[0]}, {s[1], ids[1]}};
  m.forward(cache, first, logits::none);
  batch_entry const second[] = {{s[1], more[1]}, {s[2], more[2]}, {s[0], more[0]}};
  auto const out = m.forward(cache, second);
  REQUIRE(out.extent[0] == 3);
  std::vector<std::vector<float>> got;
  for (int r = 0; r < 3; ++r) got.emplace_back(&out(r, 0), &out(r, 0) + out.extent[1]);
  for (int r = 0; r < 3; ++r) {
    int const which = r == 0 ? 1 : r == 1 ? 2 : 0, a = alone.open();
    last_logits(m, alone, a, ids[which]);
    CHECK(difference(got[r], last_logits(m, alone, a, more[which])) < 1e-5);
    alone.close(a);
  }
}

TEST_CASE("a fork shares the past and then goes its own way; truncation forgets") {
  auto m = load("llama");
  for (int page : {4, 64}) {
    auto cache = kv_cache<>::paged(m.config(), 64 / page * 2 + 4, page, 3, 64);
    auto const past = tokens(10, 1), left = tokens(4, 2), right = tokens(4, 3);
    int const a = cache.open();
    last_logits(m, cache, a, past);
    int const before = cache.free_pages(), b = cache.fork(a);
    CHECK(cache.free_pages() == before);
    auto const l = last_logits(m, cache, a, left), r = last_logits(m, cache, b, right);
    int const c = cache.open();
    last_logits(m, cache, c, past);
    CHECK(difference(l, last_logits(m, cache, c, left)) < 1e-5);
    cache.truncate(c, 10);
    CHECK(difference(r, last_logits(m, cache, c, right)) < 1e-5);
    cache.close(a), cache.close(b), cache.close(c);
    CHECK(cache.free_pages() == 64 / page * 2 + 4);
  }
}

TEST_CASE("a 16-bit cache costs what its rounding costs") {
  auto m = load("llama");
  auto const ids = tokens(30, 1);
  auto full = kv_cache<float>::contiguous(m.config(), 1, 32);
  auto half = kv_cache<f16>::contiguous(m.config(), 1, 32);
  auto brain = kv_cache<bf16>::contiguous(m.config(), 1, 32);
  auto const want = last_logits(m, full, full.open(), ids);
  double const f = difference(last_logits(m, half, half.open(), ids), want), b = difference(last_logits(m, brain, brain.open(), ids), want);
  CHECK(f < 4e-3);
  CHECK(b < 3e-2);
  CHECK(f < b);
  CHECK(f > 0);
  CHECK(half.bytes() * 2 == full.bytes());
}

TEST_CASE("the same pass is the same bits, whatever the number of threads") {
  auto const ids = tokens(33, 1);
  auto one = load("qwen3");
  auto cache = kv_cache<>::contiguous(one.config(), 1, 64);
  auto const want = last_logits(one, cache, cache.open(), ids);
  thread_pool threads{3};
  auto three = model::load("tests/golden/models/qwen3", on_cpu{threads});
  for (int again = 0; again < 3; ++again) {
    auto fresh = kv_cache<>::contiguous(one.config(), 1, 64);
    CHECK(last_logits(three, fresh, fresh.open(), ids) == want);
  }
}

TEST_CASE("what cannot be done is refused before anything is written") {
  auto m = load("llama");
  auto cache = kv_cache<>::paged(m.config(), 3, 4, 2, 16);
  int const s = cache.open();
  auto const ids = tokens(13, 1);
  auto const id_of = [&](auto&& f) -> std::string {
    try { f(); } catch (error const& e) { return e.id; }
    return "none";
  };
  auto const pass = [&](std::span<int const> t, int adapter = batch_entry::active) {
    batch_entry const one[] = {{s, t, adapter}};
    m.forward(cache, one);
  };
  CHECK(id_of([&] { pass(ids); }) == "model.25");  // 13 tokens, 3 pages of 4
  CHECK(cache.length(s) == 0);
  int const bad[] = {1, 331}, negative[] = {-1}, good[] = {1};
  CHECK(id_of([&] { pass(bad); }) == "model.27");
  CHECK(id_of([&] { pass(negative); }) == "model.27");
  CHECK(id_of([&] { pass({}); }) == "model.27");
  CHECK(id_of([&] { pass(good, 0); }) == "model.27");
  CHECK(id_of([&] { m.forward(cache, {}); }) == "model.27");
  CHECK(cache.length(s) == 0);
  pass(std::span(ids).first(12));
  CHECK(cache.room(s) == 0);
  CHECK(id_of([&] { pass(good); }) == "model.25");
  int const t = cache.open();
  CHECK(id_of([&] { cache.open(); }) == "model.24");
  cache.close(s), cache.close(t);
  CHECK(cache.free_pages() == 3);
  CHECK(id_of([&] { (void)kv_cache<>::contiguous(m.config(), 0, 8); }) == "model.26");
}

}  // namespace
}  // namespace smalti
