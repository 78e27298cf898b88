// Words, BM25 against the formula written out in double precision, rank fusion and MMR against sums by hand.
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include "smalti/retrieval/abbreviations.hpp"
#include "smalti/retrieval/bm25.hpp"
#include "smalti/retrieval/fusion.hpp"

namespace smalti {
namespace {

std::vector<std::string> words(std::string_view text, word_options options = {}) {
  std::vector<std::string> all;
  for_each_word(text, options, [&](std::string_view w, std::size_t begin, std::size_t end) {
    REQUIRE(begin < end);
    REQUIRE(end <= text.size());
    all.emplace_back(w);
  });
  return all;
}
using list = std::vector<std::string>;

template <class F>
std::string id_of(F f) {
  try { f(); } catch (error const& e) { return e.id; }
  return "nothing thrown";
}

TEST_CASE("words: separators, case, plurals, stop words") {
  CHECK(words("The Net-Present VALUE (NPV) of 3.14 projects!") == list{"net", "present", "value", "npv", "3", "14", "project"});
  CHECK(words("asyncio.gather(my_task)", {.stop_words = false}) == list{"asyncio", "gather", "my", "task"});
  CHECK(words("bodies queries indexes boxes classes shoes bus glass gas is yes ties", {.stop_words = false}) ==
        list{"body", "query", "indexe", "boxe", "classe", "shoes", "bus", "glass", "ga", "is", "yes", "ties"});
  CHECK(words("indexes", {.plurals = false}) == list{"indexes"});
  CHECK(words("") == list{});
  CHECK(words(" \t\n--**") == list{});
}

TEST_CASE("words: other scripts, composed and decomposed forms, bytes that are not UTF-8") {
  CHECK(words("ÉCOLE e\u0301cole") == list{"école", "école"});
  CHECK(words("STRASSE Straße") == list{"strasse", "strasse"});
  CHECK(words("Ελλάδα Привет МИР") == list{"ελλάδα", "привет", "мир"});
  CHECK(words("净现值 NPV") == list{"净", "现", "值", "npv"});
  CHECK(words("हिन्दी") == list{"हिन्दी"});
  CHECK(words("ﬁnance ①") == list{"finance", "1"});
  CHECK(words("ab\xff\xfe""cd\xc3") == list{"ab", "cd"});
  CHECK(words("🙂ok🙂") == list{"ok"});
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {  // any bytes at all: only no reading outside, no endless loop
    std::string noise(random() % 40, '\0');
    for (char& c : noise) c = char(random());
    (void)words(noise);
  }
}

// The formula, as slow as it is obvious.
std::vector<std::pair<double, int>> oracle(std::map<int, std::string> const& texts, std::string const& query, bm25_options o) {
  std::map<int, list> split;
  double total = 0;
  for (auto& [id, t] : texts) split[id] = words(t, o.words), total += double(split[id].size());
  double const mean = total / double(texts.size());
  std::vector<std::pair<double, int>> all;
  for (auto& [id, t] : split) {
    double score = 0;
    for (auto& q : words(query, o.words)) {
      double n = 0;
      for (auto& [other, u] : split) n += std::count(u.begin(), u.end(), q) > 0;
      double const f = double(std::count(t.begin(), t.end(), q));
      if (f > 0) score += std::log(1 + (double(texts.size()) - n + 0.5) / (n + 0.5)) * f * (double(o.k1) + 1) / (f + double(o.k1) * (1 - double(o.b) + double(o.b) * double(t.size()) / mean));
    }
    if (score > 0) all.push_back({-score, id});
  }
  std::sort(all.begin(), all.end());
  return all;
}

TEST_CASE("BM25 equals the formula in double precision, also after erasing and adding again") {
  std::mt19937 random(3);
  std::map<int, std::string> texts;
  auto make = [&] {
    std::string t;
    for (auto n = random() % 60; n-- > 0;) t += "w" + std::to_string(random() % (1 + random() % 40)) + (random() % 2 ? " " : ", ");
    return t;
  };
  for (bm25_options o : {bm25_options{}, bm25_options{.k1 = 0.9f, .b = 0.4f}, bm25_options{.k1 = 2, .b = 0}, bm25_options{.k1 = 0, .b = 1}}) {
    bm25_index index(o);
    texts.clear();
    auto compare = [&] {
      for (std::string q : {"w1", "w3 w7 w7", "w39 w0 unknown", "w1 w2 w3 w4 w5 w6 w7 w8"}) {
        auto const truth = oracle(texts, q, o);
        auto const found = index.search(q, 1000);
        REQUIRE(found.size() == truth.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
          CHECK(std::fabs(found[i].score + truth[i].first) < 1e-5 * (1 - truth[i].first));
          auto const same = std::find_if(truth.begin(), truth.end(), [&](auto& t) { return t.second == found[i].id; });
          REQUIRE(same != truth.end());
          CHECK(std::fabs(found[i].score + same->first) < 1e-5 * (1 - same->first));
        }
        auto const three = index.search(q, 3);
        CHECK(std::equal(three.begin(), three.end(), found.begin()));
      }
    };
    for (int id = 0; id < 120; ++id) texts[id * 3] = make(), index.add(id * 3, texts[id * 3]);
    compare();
    for (int id = 0; id < 120; id += 2) texts.erase(id * 3), index.erase(id * 3);
    compare();
    for (int id = 0; id < 40; ++id) texts[1000 + id] = make(), index.add(1000 + id, texts[1000 + id]);
    compare();
    CHECK(index.size() == 100);
  }
}

TEST_CASE("BM25: empty index, empty query, filter, ids") {
  bm25_index index;
  CHECK(index.search("anything", 5).empty());
  index.add(1, ""), index.add(2, "net present value"), index.add(3, "present");
  CHECK(index.search("", 5).empty());
  CHECK(index.search("the of and", 5).empty());
  CHECK(index.search("present", 0).empty());
  CHECK(index.search("present", -3).empty());
  CHECK(index.search("present", 9).size() == 2);
  CHECK(index.search("present", 9)[0].id == 3);  // shorter
  CHECK(index.search("present", 1, [](int id) { return id != 3; })[0].id == 2);
  CHECK(id_of([&] { index.add(2, "again"); }) == "index.9");
  CHECK(id_of([&] { index.erase(7); }) == "index.10");
  CHECK(id_of([] { bm25_index({.k1 = -1}); }) == "index.11");
  CHECK(id_of([] { bm25_index({.b = NAN}); }) == "index.11");
  index.erase(1), index.erase(2), index.erase(3);
  CHECK(index.search("present", 5).empty());
}

TEST_CASE("reciprocal rank fusion by hand") {
  std::vector<hit> const a{{1, 9.f}, {2, 8.f}, {3, 7.f}}, b{{3, 0.9f}, {4, 0.8f}};
  auto const all = fuse({a, b}, 10);
  REQUIRE(all.size() == 4);
  CHECK(all[0].id == 3);
  CHECK(all[0].score == Approx(1.0 / 63 + 1.0 / 61));
  CHECK(all[1] == hit{1, 1.f / 61});
  CHECK(all[2] == hit{2, 1.f / 62});  // 2 and 4 tie: the lower id
  CHECK(all[3] == hit{4, 1.f / 62});
  CHECK(fuse({a, b}, 2).size() == 2);
  CHECK(fuse({a, b}, 0).empty());
  CHECK(fuse({}, 5).empty());
  CHECK(fuse({{}, b}, 5)[0].id == 3);
  std::vector<hit> const lists[] = {a, b};
  float const weights[] = {0.f, 2.f};
  CHECK(fuse(lists, 1, {.constant = 1}, weights)[0] == hit{3, 1.f});
}

TEST_CASE("MMR by hand: a twin of the best waits behind something new") {
  // 1 and 2 are nearly one; 3 is different and less relevant. Relevances 1, 0.9, 0.
  std::vector<hit> const hits{{1, 1.f}, {2, 0.95f}, {3, 0.5f}};
  auto likeness = [](int a, int b) { return a == b ? 1.f : a + b == 3 ? 0.99f : 0.1f; };
  auto ids = [&](float lambda, int k) {
    std::vector<int> all;
    for (hit h : mmr(hits, k, lambda, likeness)) all.push_back(h.id);
    return all;
  };
  CHECK(ids(1.f, 3) == std::vector{1, 2, 3});
  CHECK(ids(0.7f, 3) == std::vector{1, 2, 3});  // 0.63 − 0.297 = 0.333 against −0.03
  CHECK(ids(0.3f, 3) == std::vector{1, 3, 2});  // 0.27 − 0.693 = −0.423 against −0.07
  CHECK(ids(0.3f, 1) == std::vector{1});
  CHECK(ids(0.3f, 99).size() == 3);
  CHECK(ids(0.3f, 0).empty());
  CHECK(mmr(std::vector<hit>{}, 3, 0.5f, likeness).empty());
  CHECK(mmr(std::vector<hit>{{8, 2.f}, {5, 2.f}}, 2, 1.f, likeness)[0].id == 8);  // equals keep their order
}

TEST_CASE("abbreviations: learnt where a text defines them, found by their long form") {
  abbreviation_table t;
  std::string const npv = "The Net Present Value (NPV) sums flows. Returns on equity (ROE), common-table\nexpressions (CTEs).";
  t.learn(npv);
  CHECK(t.size() == 3);
  CHECK(t.expand("How is net present value calculated?") == "How is net present value calculated? npv");
  CHECK(t.expand("net present values, and return on equity") == "net present values, and return on equity npv roe");  // plurals as everywhere
  CHECK(t.expand("a common table expression") == "a common table expression cte");
  CHECK(t.expand("NPV, the net present value") == "NPV, the net present value");  // it is there already
  CHECK(t.expand("what is NPV?") == "what is NPV?");                              // short forms are not spelled out
  CHECK(t.expand("present value") == "present value");
  CHECK(t.expand("") == "");

  // Known as long as one text defines it.
  t.learn("The net present value (NPV) again, and the net present value (NPV).");
  t.forget(npv);
  CHECK(t.size() == 1);
  CHECK(t.expand("net present value") == "net present value npv");
  t.forget("The net present value (NPV) again, and the net present value (NPV).");
  CHECK(t.size() == 0);

  // What is no definition: initials that differ, too few words, something between, lower case, one letter, too many, an open bracket.
  for (auto text : {"net present value (NPW)", "(NPV)", "present value (NPV)", "net present value, or (NPV)", "net present value (npv)", "a vector (V)", "net present value (NPV",
                    "net present value (", "a b c d e f g h i (ABCDEFGHI)", "net \xff\xfe value (NPV)", "f(NPV)"})
    t.learn(text);
  CHECK(t.size() == 0);
  t.learn(std::string(100000, '('));  // linear: no search for a bracket that never comes
  CHECK(t.size() == 0);
}

}  // namespace
}  // namespace smalti
