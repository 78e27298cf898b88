// Flat and HNSW against a double-precision brute force; filters, erasing, bad input.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include "smalti/retrieval/flat.hpp"
#include "smalti/retrieval/hnsw.hpp"

namespace smalti {
namespace {

struct cloud {  // unit vectors around random centres
  int count, dimension;
  std::vector<float> at;
  cloud(int count, int dimension, unsigned seed, int centres) : count(count), dimension(dimension), at(std::size_t(count) * std::size_t(dimension)) {
    std::mt19937 middle(7), around(seed);
    std::normal_distribution<float> normal;
    std::vector<float> centre(std::size_t(centres * dimension));
    for (float& c : centre) c = normal(middle);
    for (int i = 0; i < count; ++i) {
      int const c = int(around() % unsigned(centres));
      double length = 0;
      for (int j = 0; j < dimension; ++j) {
        float& x = at[std::size_t(i * dimension + j)];
        x = centre[std::size_t(c * dimension + j)] + 0.5f * normal(around), length += double(x) * x;
      }
      for (int j = 0; j < dimension; ++j) at[std::size_t(i * dimension + j)] /= float(std::sqrt(length));
    }
  }
  std::span<float const> operator[](int i) const { return std::span(at).subspan(std::size_t(i * dimension), std::size_t(dimension)); }
  view<float const, 2> all() const { return row_major(at.data(), count, dimension); }
};

double product(std::span<float const> a, std::span<float const> b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += double(a[i]) * b[i];
  return s;
}

// The k-th best score in double precision, and every id that reaches it within rounding.
std::vector<std::pair<double, int>> brute(cloud const& base, std::span<float const> q, id_filter const& keep = {}) {
  std::vector<std::pair<double, int>> all;
  for (int i = 0; i < base.count; ++i)
    if (!keep || keep(i)) all.push_back({-product(base[i], q), i});
  std::sort(all.begin(), all.end());
  for (auto& p : all) p.first = -p.first;
  return all;
}

void check_exact(std::vector<hit> const& found, std::vector<std::pair<double, int>> const& truth, int k) {
  REQUIRE(found.size() == std::min(std::size_t(k), truth.size()));
  std::set<int> ids;
  for (std::size_t i = 0; i < found.size(); ++i) {
    CHECK(std::fabs(found[i].score - truth[i].first) < 1e-5);  // ids may swap only where scores agree to rounding
    ids.insert(found[i].id);
    if (i) CHECK(better{}(found[i - 1], found[i]));
  }
  CHECK(ids.size() == found.size());
}

template <class F>
std::string id_of(F f) {
  try { f(); } catch (error const& e) { return e.id; }
  return "nothing thrown";
}

double recall(hnsw_index const& h, cloud const& base, cloud const& queries, int k, id_filter const& keep = {}) {
  int found = 0, wanted = 0;
  for (int q = 0; q < queries.count; ++q) {
    auto truth = brute(base, queries[q], keep);
    truth.resize(std::min(truth.size(), std::size_t(k)));
    auto const hits = h.search({}, queries[q], k, keep);
    for (auto [score, id] : truth) {
      ++wanted;
      for (hit x : hits) found += x.id == id;
    }
  }
  return double(found) / wanted;
}

TEST_CASE("flat search equals brute force in double precision, on every instruction set and number of threads") {
  thread_pool two(2);
  for (int dimension : {1, 7, 16, 100, 384})
    for (int count : {0, 1, 5, 300, 1000}) {
      cloud const base(count, dimension, 1, 9), queries(6, dimension, 2, 9);
      flat_index flat(dimension);
      for (int i = 0; i < count; ++i) flat.add(i, base[i]);
      for (arch a : {generic_cpu, host_arch()})
        for (int k : {0, 1, 10, 2000}) {
          auto const together = flat.search(on_cpu{two, a}, queries.all(), k);
          for (int q = 0; q < queries.count; ++q) {
            check_exact(together[std::size_t(q)], brute(base, queries[q]), k);
            auto const alone = flat.search(on_cpu{a}, queries[q], k);
            REQUIRE(alone.size() == together[std::size_t(q)].size());
            for (std::size_t i = 0; i < alone.size(); ++i) CHECK(std::fabs(alone[i].score - together[std::size_t(q)][i].score) < 1e-5f);
          }
        }
    }
}

TEST_CASE("equal scores come in the order of ids, whatever the order of insertion") {
  flat_index flat(2);
  float const v[2] = {0.6f, 0.8f};
  for (int id : {5, 3, 9, 1}) flat.add(id, v);
  auto const found = flat.search({}, v, 3);
  CHECK(found[0].id == 1);
  CHECK(found[1].id == 3);
  CHECK(found[2].id == 5);
}

TEST_CASE("HNSW finds at least 0.95 of the ten nearest among clustered vectors; more with a larger ef") {
  cloud const base(4000, 48, 1, 60), queries(100, 48, 2, 60);
  thread_pool two(2);
  hnsw_index h(48, {.ef = 80});
  std::vector<int> ids(4000);
  std::iota(ids.begin(), ids.end(), 0);
  h.add(on_cpu{two}, ids, base.all());
  double const at80 = recall(h, base, queries, 10);
  h.set_ef(400);
  double const at400 = recall(h, base, queries, 10);
  INFO("recall " << at80 << " at ef 80, " << at400 << " at ef 400");
  CHECK(at80 >= 0.95);
  CHECK(at400 >= 0.99);
  CHECK(at400 >= at80);
  auto const together = h.search(on_cpu{two}, queries.all(), 10);
  for (int q = 0; q < queries.count; ++q) CHECK(together[std::size_t(q)] == h.search({}, queries[q], 10));
}

TEST_CASE("a filter is kept to, and costs no recall: 1 of 2, 1 of 50") {
  cloud const base(3000, 32, 1, 40), queries(40, 32, 2, 40);
  hnsw_index h(32, {.ef = 100});
  flat_index flat(32);
  for (int i = 0; i < base.count; ++i) h.add(i, base[i]), flat.add(i, base[i]);
  for (int every : {2, 50}) {
    id_filter const keep = [every](int id) { return id % every == 0; };
    for (int q = 0; q < queries.count; ++q) {
      check_exact(flat.search({}, queries[q], 10, keep), brute(base, queries[q], keep), 10);
      for (hit x : h.search({}, queries[q], 10, keep)) CHECK(x.id % every == 0);
    }
    CHECK(recall(h, base, queries, 10, keep) >= 0.95);
  }
  CHECK(h.search({}, queries[0], 10, [](int) { return false; }).empty());
  CHECK(flat.search({}, queries[0], 10, [](int) { return false; }).empty());
}

TEST_CASE("what is erased is not found, what is left still is, and an id can come back") {
  cloud const base(600, 20, 1, 10), queries(20, 20, 2, 10);
  hnsw_index h(20, {.ef = 200});
  flat_index flat(20);
  for (int i = 0; i < base.count; ++i) h.add(i, base[i]), flat.add(i, base[i]);
  auto const kept = [](int id) { return id % 3 != 0; };
  for (int i = 0; i < base.count; ++i)
    if (!kept(i)) h.erase(i), flat.erase(i);
  CHECK(h.size() == 400);
  CHECK(flat.size() == 400);
  CHECK_FALSE(h.contains(3));
  for (int q = 0; q < queries.count; ++q) check_exact(flat.search({}, queries[q], 7), brute(base, queries[q], kept), 7);
  CHECK(recall(h, base, queries, 7, kept) >= 0.95);
  h.add(3, base[4]), flat.add(3, base[4]);  // now 3 and 4 are one place
  CHECK(std::equal(base[4].begin(), base[4].end(), h.vector(3).begin()));
  for (auto const& found : {h.search({}, base[4], 2), flat.search({}, base[4], 2)}) {
    REQUIRE(found.size() == 2);
    CHECK(found[0].id == 3);
    CHECK(found[1].id == 4);
  }
  for (int i = 0; i < base.count; ++i)  // to the last one, and then on again
    if (h.contains(i)) h.erase(i), flat.erase(i);
  CHECK(h.search({}, base[0], 5).empty());
  CHECK(flat.search({}, base[0], 5).empty());
  h.add(7, base[7]), flat.add(7, base[7]);
  CHECK(h.search({}, base[0], 5).size() == 1);
  CHECK(flat.search({}, base[0], 5).size() == 1);
}

TEST_CASE("a graph goes through arrays and comes back the same; arrays that lie are refused") {
  cloud const base(500, 12, 1, 10), queries(20, 12, 2, 10);
  hnsw_index h(12, {.m = 4});
  for (int i = 0; i < base.count; ++i) h.add(i * 2, base[i]);
  h.erase(40);
  auto const arrays = h.arrays();
  std::vector<float> vectors;
  for (int s = 0; s < h.slots(); ++s) vectors.insert(vectors.end(), h.slot_vector(s).begin(), h.slot_vector(s).end());
  std::vector<int> const ids(h.ids().begin(), h.ids().end());
  hnsw_index back(12, h.options(), arrays, ids, vectors);
  CHECK(back.size() == 499);
  for (int q = 0; q < queries.count; ++q) CHECK(back.search({}, queries[q], 10) == h.search({}, queries[q], 10));
  for (int i = 0; i < 300; ++i) back.add(2001 + 2 * i, queries[i % 20]);  // and it can grow
  CHECK(back.search({}, queries[0], 1)[0].score > 0.999f);

  auto refused = [&](auto spoil) {
    auto g = arrays;
    auto i = ids;
    auto v = vectors;
    spoil(g, i, v);
    return id_of([&] { hnsw_index(12, h.options(), g, i, v); });
  };
  CHECK(refused([](auto& g, auto&, auto&) { g.links[1] = 500; }) == "index.5");
  CHECK(refused([](auto& g, auto&, auto&) { g.links[1] = 0; }) == "index.5");  // itself
  CHECK(refused([](auto& g, auto&, auto&) { g.links[0] = 0xffffffff; }) == "index.5");
  CHECK(refused([](auto& g, auto&, auto&) { g.links.pop_back(); }) == "index.5");
  CHECK(refused([](auto& g, auto&, auto&) { g.links.push_back(0); }) == "index.5");
  CHECK(refused([](auto& g, auto&, auto&) { g.level[3] = 33; }) == "index.5");
  CHECK(refused([](auto& g, auto&, auto&) { g.level[3] ^= 1; }) == "index.5");
  CHECK(refused([](auto& g, auto&, auto&) { g.entry = 500; }) == "index.5");
  CHECK(refused([](auto& g, auto&, auto&) { g.entry = -1; }) == "index.5");
  CHECK(refused([](auto& g, auto&, auto&) { g.m = 1; }) == "index.5");
  CHECK(refused([](auto& g, auto&, auto&) { g.m = 1 << 30; }) == "index.5");
  CHECK(refused([](auto&, auto& i, auto&) { i.pop_back(); }) == "index.5");
  CHECK(refused([](auto&, auto&, auto& v) { v.pop_back(); }) == "index.5");
  CHECK(refused([](auto&, auto& i, auto&) { i[5] = i[4]; }) == "index.9");
  CHECK(refused([](auto&, auto&, auto& v) { v[77] = NAN; }) == "index.8");
}

TEMPLATE_TEST_CASE("both indexes refuse what they cannot hold and stay as they were", "", flat_index, hnsw_index) {
  TestType index(3);
  float const good[3] = {1, 0, 0}, nan[3] = {0, NAN, 0}, infinite[3] = {0, 0, -std::numeric_limits<float>::infinity()}, huge[3] = {0, 1e30f, 0};
  CHECK(index.search({}, good, 4).empty());
  index.add(1, good);
  CHECK(id_of([&] { index.add(1, good); }) == "index.9");
  CHECK(id_of([&] { index.add(-1, good); }) == "index.9");
  CHECK(id_of([&] { index.add(2, std::span(good, 2)); }) == "index.7");
  CHECK(id_of([&] { index.add(2, std::span<float const>{}); }) == "index.7");
  for (auto* bad : {nan, infinite, huge}) {
    CHECK(id_of([&] { index.add(2, std::span(bad, 3)); }) == "index.8");
    CHECK(id_of([&] { (void)index.search({}, std::span(bad, 3), 1); }) == "index.8");
  }
  CHECK(id_of([&] { (void)index.search({}, std::span(good, 2), 1); }) == "index.7");
  CHECK(id_of([&] { index.erase(2); }) == "index.10");
  CHECK(id_of([&] { (void)index.vector(2); }) == "index.10");
  CHECK(id_of([&] { TestType(0); }) == "index.7");
  CHECK(id_of([&] { TestType(1 << 20); }) == "index.7");
  CHECK(index.size() == 1);
  CHECK(index.search({}, good, 4) == std::vector<hit>{{1, 1.f}});
  CHECK(index.search({}, good, -1).empty());
}

TEST_CASE("options of HNSW out of range are refused") {
  CHECK(id_of([] { hnsw_index(4, {.m = 1}); }) == "index.11");
  CHECK(id_of([] { hnsw_index(4, {.m = 129}); }) == "index.11");
  CHECK(id_of([] { hnsw_index(4, {.ef_construction = 0}); }) == "index.11");
  CHECK(id_of([] { hnsw_index(4, {.ef = 0}); }) == "index.11");
  hnsw_index h(2);
  int const twice[2] = {1, 1};
  float const v[4] = {1, 0, 0, 1};
  CHECK(id_of([&] { h.add({}, twice, row_major(v, 2, 2)); }) == "index.9");
  CHECK(h.size() == 0);
  h.add(1, std::span(v, 2));
  CHECK(h.size() == 1);
}

}  // namespace
}  // namespace smalti
