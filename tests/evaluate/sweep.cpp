// What a sweep over sizes of passages rests on: the cache of vectors under kills and damage, the draw of documents, thresholds.
#include <catch2/catch.hpp>
#include <fstream>
#include "../../examples/evaluate/sweep.hpp"

namespace evaluation {
namespace {

using texts = std::vector<std::string>;

/// Vectors of two numbers: the length of the text, and how many were computed before.
struct counting {
  int* calls;
  smalti::buffer<float> operator()(std::span<std::string const> missing) const {
    smalti::buffer<float> v(missing.size() * 2);
    for (std::size_t i = 0; i < missing.size(); ++i) v[2 * i] = float(missing[i].size()), v[2 * i + 1] = float((*calls)++);
    return v;
  }
};
std::string fault(auto&& f) {
  try { f(); } catch (std::exception const& e) { return e.what(); }
  return "";
}
struct folder {
  std::filesystem::path at = std::filesystem::temp_directory_path() / ("smalti_sweep_" + std::to_string(::getpid()));
  folder() { std::filesystem::create_directories(at); }
  ~folder() { std::filesystem::remove_all(at); }
  std::string file(char const* name) const { return (at / name).string(); }
};

TEST_CASE("vectors are computed once, also by the next process; a torn or damaged end is computed again") {
  folder const here;
  auto const path = here.file("deep/vectors");
  int calls = 0;
  texts const some{"a", "bb", "ccc"};
  {
    vector_cache c(path, "sample", 2);
    auto const v = c.embed(some, counting{&calls});
    CHECK(v.size() == 6);
    CHECK(v[2] == 2.f);
    CHECK(c.embed(some, counting{&calls})[5] == 2.f);
    CHECK(c.computed() == 3);
    CHECK(fault([&] { vector_cache(path, "sample", 2); }).find("another run uses it") != std::string::npos);
  }
  auto const whole = std::filesystem::file_size(path);
  std::size_t const record = 16 + 2 * 4 + 8;
  CHECK(whole == 64 + 3 * record);
  auto const survivors = [&] { return vector_cache(path, "sample", 2).size(); };
  CHECK(survivors() == 3);
  std::filesystem::resize_file(path, whole - 1);  // killed in the middle of a write
  CHECK(survivors() == 2);
  CHECK(std::filesystem::file_size(path) == 64 + 2 * record);
  {
    vector_cache c(path, "sample", 2);
    auto const v = c.embed(texts{"ccc", "a", "ccc"}, counting{&calls});
    CHECK(v[1] == 3.f);
    CHECK(v[3] == 0.f);
    CHECK(v[5] == 3.f);
  }
  CHECK(survivors() == 3);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(long(64 + record + 20)).put('\x7f');  // a damaged record and what follows
  CHECK(survivors() == 1);

  CHECK(fault([&] { vector_cache(path, "other", 2); }).find("expected vectors of other") != std::string::npos);
  CHECK(fault([&] { vector_cache(path, "sample", 3); }).find("expected vectors of sample") != std::string::npos);
  std::ofstream(here.file("text")) << "not a cache";
  CHECK(fault([&] { vector_cache(here.file("text"), "sample", 2); }).find("delete it, or name another file") != std::string::npos);
  CHECK(fault([&] { vector_cache(here.at.string(), "sample", 2); }) != "");
  CHECK(std::filesystem::file_size(here.file("text")) == 11);  // what is none of ours is left alone
  vector_cache in_memory("", "sample", 2);
  CHECK(in_memory.embed(texts{}, counting{&calls}).size() == 0);
  CHECK(in_memory.embed(texts{"dddd"}, counting{&calls})[0] == 4.f);
}

TEST_CASE("documents are embedded by a function of the caller's; one that gives too few numbers is refused") {
  smalti::store s({.model = "sample", .dimension = 2});
  smalti::sentence_encoder const none;
  std::vector<smalti::document> const documents{{.id = "x", .title = "X", .text = "One sentence. Another one."}};
  auto const unit = [](std::span<std::string const> t) {
    smalti::buffer<float> v(t.size() * 2);
    for (std::size_t i = 0; i < t.size(); ++i) v[2 * i] = 1, v[2 * i + 1] = 0;
    return v;
  };
  CHECK(smalti::index_documents({}, s, none, documents, {.embed = unit}).passages == 1);
  CHECK(s.chunk_count() == 1);
  smalti::store empty({.model = "sample", .dimension = 3});
  CHECK(fault([&] { smalti::index_documents({}, empty, none, documents, {.embed = unit}); }).starts_with("index.7: embed: expected 3"));
  CHECK(empty.document_count() == 0);
}

TEST_CASE("sizes are read strictly") {
  CHECK(parse_chunks("160/40").limit == 160);
  CHECK(parse_chunks("160/0").overlap == 0);
  for (auto bad : {"", "160", "160/", "160/160", "0/0", "160/-1", "160/40x", "/", "160/40/", "9999999/1"}) CHECK_THROWS_AS(parse_chunks(bad), CLI::ValidationError);
}

TEST_CASE("the draw keeps what questions name, and is the same whatever else is there") {
  std::vector<smalti::document> all;
  for (int i = 0; i < 50; ++i) all.push_back({.id = "d" + std::to_string(i), .title = "t", .text = "x"});
  question q;
  q.documents = {"d7", "d31"};
  auto const ids = [](std::vector<smalti::document> const& d) {
    std::vector<std::string> out;
    for (auto const& x : d) out.push_back(x.id);
    return out;
  };
  CHECK(drawn(all, {q}, -1, 1).size() == 50);
  CHECK(ids(drawn(all, {q}, 0, 1)) == std::vector<std::string>{"d7", "d31"});
  auto const ten = ids(drawn(all, {q}, 10, 1));
  CHECK(ten.size() == 12);
  CHECK(ids(drawn(all, {q}, 10, 1)) == ten);
  CHECK(ids(drawn(all, {q}, 10, 2)) != ten);
  auto const more = ids(drawn(all, {q}, 20, 1));
  CHECK(std::includes(more.begin(), more.end(), ten.begin(), ten.end(), [&](auto const& a, auto const& b) { return std::stoi(a.substr(1)) < std::stoi(b.substr(1)); }));
  CHECK(drawn(all, {q}, 1000, 1).size() == 50);
}

TEST_CASE("thresholds count what would be declined") {
  auto const rows = thresholds({{true, 0.5f}, {true, 0.21f}, {false, 0.1f}, {false, 0.35f}});
  auto const at = [&](double t) {
    for (auto const& r : rows)
      if (std::abs(r["below"].get<double>() - t) < 1e-9) return std::pair(r["rightly"].get<int>(), r["wrongly"].get<int>());
    return std::pair(-1, -1);
  };
  CHECK(at(0.1) == std::pair(0, 0));
  CHECK(at(0.22) == std::pair(1, 1));
  CHECK(at(0.36) == std::pair(2, 1));
  CHECK(at(0.52) == std::pair(2, 2));
}

}  // namespace
}  // namespace evaluation
