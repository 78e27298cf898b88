// The store: documents in and out, files there and back, files that are damaged, cut or made to harm.
#include <catch2/catch.hpp>
#include <filesystem>
#include "sample_store.hpp"
#include "smalti/retrieval/store_file.hpp"

namespace smalti {
namespace {

template <class F>
std::string fault(F f) {
  try { f(); } catch (error const& e) { return e.what(); }
  return "nothing thrown";
}
bool begins(std::string const& s, std::string const& with) { return s.rfind(with, 0) == 0; }

void check_same(store const& a, store const& b) {
  REQUIRE(a.document_count() == b.document_count());
  REQUIRE(a.chunk_count() == b.chunk_count());
  CHECK(a.model() == b.model());
  CHECK(a.dimension() == b.dimension());
  a.for_each([&](document const& d) {
    REQUIRE(b.find(d.id));
    CHECK(*b.find(d.id) == d);
    CHECK(b.chunks_of(d.id) == a.chunks_of(d.id));
    for (int c : a.chunks_of(d.id)) {
      CHECK(a.chunk(c).text() == b.chunk(c).text());
      CHECK(std::equal(a.vector(c).begin(), a.vector(c).end(), b.vector(c).begin(), b.vector(c).end()));
    }
  });
  auto const q = sample_vectors(1, a.dimension(), 99);
  for (document_filter const& f : {document_filter{}, document_filter{.categories = {"odd"}}, document_filter{.tags = {"third1"}}}) {
    CHECK(a.search_vectors({}, q, 7, f) == b.search_vectors({}, q, 7, f));
    CHECK(a.search_words("word1 word8 title 3", 7, f) == b.search_words("word1 word8 title 3", 7, f));
  }
}

TEST_CASE("CRC-32C: the check value, in one piece and in two") {
  CHECK(crc32c("123456789") == 0xe3069283);
  CHECK(crc32c("6789", crc32c("12345")) == 0xe3069283);
  CHECK(crc32c("") == 0);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);  // RFC 3720, B.4
}

TEST_CASE("a store gives back what it was given") {
  auto s = sample_store(20);
  CHECK(s.document_count() == 20);
  CHECK(s.chunk_count() == 60);
  auto const own = sample_vectors(3, 8, 5);  // document 4's
  auto const hits = s.search_vectors({}, std::span(own).first(8), 1);
  CHECK(s.chunk(hits[0].id).from->id == "doc-4");
  CHECK(s.chunk(hits[0].id).span.begin == 0);
  CHECK(hits[0].score == Approx(1));
  for (hit h : s.search_vectors({}, std::span(own).first(8), 100, {.categories = {"odd"}})) CHECK(s.chunk(h.id).from->category == "odd");
  for (hit h : s.search_words("word1", 100, {.ids = {"doc-3"}, .tags = {"all"}})) CHECK(s.chunk(h.id).from->id == "doc-3");
  CHECK(s.search_words("title 7", 1, {.ids = {"doc-3"}, .tags = {"third1"}}).empty());  // both must hold
  CHECK(s.chunk(s.search_words("Title 17", 1)[0].id).from->id == "doc-17");
}

TEST_CASE("replacing a document leaves nothing of the old; erasing all leaves an empty store") {
  auto s = sample_store(6);
  auto changed = sample_document(2);
  CHECK(s.holds(changed));
  changed.source = "moved.md";
  CHECK(s.holds(changed));
  changed.text = "Entirely new: zebra.";
  CHECK_FALSE(s.holds(changed));
  auto const old = s.chunks_of("doc-2");
  add_sample(s, changed, 77, 1);
  CHECK(s.chunk_count() == 16);
  for (int c : old) CHECK(begins(fault([&] { (void)s.chunk(c); }), "index.10"));
  CHECK(s.search_words("zebra", 9).size() == 1);
  CHECK(s.find("doc-2")->source == "moved.md");
  check_same(s, store_from(bytes_of(s)));
  for (int i = 0; i < 6; ++i) s.erase("doc-" + std::to_string(i));
  CHECK(s.chunk_count() == 0);
  CHECK(s.search_words("zebra", 9).empty());
  CHECK(s.search_vectors({}, sample_vectors(1, 8, 1), 9).empty());
  check_same(s, store_from(bytes_of(s)));
}

TEST_CASE("a long form finds the passages that say its abbreviation, until the text that defines it is gone") {
  store s({.model = "sample", .dimension = 8});
  auto d = sample_document(1);
  d.text = "Net present value (NPV) is a sum. A positive NPV is good. The NPV of the van is 4.";
  add_sample(s, d, 1, 3);
  auto const found = [](store const& x) { return x.search_words("net present value", 9).size(); };
  CHECK(found(s) == 3);
  CHECK(found(store_from(bytes_of(s))) == 3);  // learnt anew from the file
  d.text = "Net present value is a sum. A positive NPV is good. The NPV of the van is 4.";
  add_sample(s, d, 1, 3);
  CHECK(found(s) == 1);
  s.erase(d.id);
  CHECK(found(s) == 0);
}

TEST_CASE("what cannot be stored is refused, and the store stays as it was") {
  auto s = sample_store(3);
  auto const before = bytes_of(s);
  auto const v = sample_vectors(2, 8, 1);
  auto const two = row_major(v.data(), 2, 8);
  text_span const spans[2] = {{0, 5}, {5, 9}};
  auto d = sample_document(1);
  auto refused = [&](document const& d, std::span<text_span const> spans, view<float const, 2> vectors) { return fault([&] { s.add(d, spans, vectors); }); };
  CHECK(begins(refused(d, std::span(spans, 1), two), "index.12: document \"doc-1\": expected 1 vectors, found 2"));
  text_span const outside[2] = {{0, 5}, {5, 5000}}, backwards[2] = {{0, 5}, {9, 5}};
  CHECK(begins(refused(d, outside, two), "index.12: document \"doc-1\": expected a span within"));
  CHECK(begins(refused(d, backwards, two), "index.12"));
  CHECK(begins(refused({}, spans, two), "index.12: document \"\": expected an id"));
  CHECK(begins(refused(d, spans, row_major(v.data(), 2, 7)), "index.7: document \"doc-1\""));
  auto bad = v;
  bad[9] = NAN;
  CHECK(begins(refused(d, spans, row_major<float const>(bad.data(), 2, 8)), "index.8: document \"doc-1\""));
  CHECK(begins(fault([&] { s.erase("nobody"); }), "index.13"));
  CHECK(begins(fault([&] { (void)s.chunks_of("nobody"); }), "index.13"));
  CHECK(s.find("nobody") == nullptr);
  CHECK(bytes_of(s) == before);
}

TEST_CASE("there and back: empty, flat, HNSW with erased rows; then it still takes documents") {
  for (int documents : {0, 1, 25})
    for (bool hnsw : {false, true}) {
      auto s = sample_store(documents);
      if (hnsw) s.use_hnsw({});
      if (documents > 3) s.erase("doc-3");
      CHECK(s.erased_rows() == (hnsw && documents > 3 ? 3 : 0));
      auto back = store_from(bytes_of(s));
      CHECK(back.is_hnsw() == hnsw);
      CHECK(back.erased_rows() == s.erased_rows());
      check_same(s, back);
      CHECK(bytes_of(back) == bytes_of(s));
      for (auto* x : {&s, &back}) add_sample(*x, sample_document(100), 100);
      CHECK(back.chunks_of("doc-100") == s.chunks_of("doc-100"));  // no id twice
      CHECK(back.chunk(back.search_words("title 100", 1)[0].id).from->id == "doc-100");
      if (documents == 25) {
        back.use_hnsw({});
        CHECK(back.erased_rows() == 0);
        back.use_flat();
        s.use_flat();
        check_same(s, back);
      }
    }
}

TEST_CASE("the file on disk: saved, opened, replaced; refused for another model or dimension") {
  auto const folder = std::filesystem::temp_directory_path() / ("smalti-store-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  auto const path = (folder / "s.idx").string();
  auto s = sample_store(4);
  s.save(path);
  check_same(s, store::open(path, {.model = "sample", .dimension = 8}));
  s.erase("doc-1");
  s.save(path);
  check_same(s, store::open(path));
  auto wrong = fault([&] { (void)store::open(path, {.model = "other"}); });
  CHECK(begins(wrong, "index.6: " + path + ": expected vectors of \"other\", found those of \"sample\""));
  CHECK(begins(fault([&] { (void)store::open(path, {.dimension = 9}); }), "index.6"));
  CHECK(begins(fault([&] { (void)store::open(path + ".not"); }), "io.1"));
  CHECK(begins(fault([&] { (void)store::open(folder.string()); }), "io.1"));
  CHECK(begins(fault([&] { s.save("/proc/nowhere/s.idx"); }), "io.2"));
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1);  // no temporary file is left
  std::filesystem::remove_all(folder);
}

TEST_CASE("every flipped bit and every cut is refused, with file and place") {
  for (bool hnsw : {false, true}) {
    auto s = sample_store(2, 4);
    if (hnsw) s.use_hnsw({}, {.m = 2});
    auto const good = bytes_of(s);
    for (std::size_t i = 0; i < good.size(); ++i)
      for (int bit = 0; bit < 8; ++bit) {
        auto bad = good;
        bad[i] = char(bad[i] ^ 1 << bit);
        auto const why = fault([&] { (void)store_from(bad); });
        if (!begins(why, "index.")) FAIL("byte " << i << " bit " << bit << ": " << why);
        REQUIRE(why.find("sample.idx: ") != std::string::npos);
        REQUIRE(why.find("expected") != std::string::npos);
      }
    for (std::size_t n = 0; n < good.size(); ++n) REQUIRE(begins(fault([&] { (void)store_from(good.substr(0, n)); }), n < 8 ? "index.1" : "index.3"));
    CHECK(begins(fault([&] { (void)store_from(good + '\0'); }), "index.3"));
  }
  CHECK(begins(fault([] { (void)store_from("PK\3\4 something else entirely, but long enough to hold a header, as other files are"); }), "index.1"));
}

// A file made to harm has correct checksums. Puts any bytes over a place in a section, and makes the sums agree again.
std::string crafted(std::string file, int section, std::size_t offset, std::string_view bytes) {
  using namespace detail;
  store_header h;
  section_entry table[section_count];
  std::memcpy(&h, file.data(), sizeof h), std::memcpy(table, file.data() + sizeof h, sizeof table);
  if (section < 0) file.replace(offset, bytes.size(), bytes);
  else {
    REQUIRE(offset + bytes.size() <= table[section].size);
    file.replace(table[section].offset + offset, bytes.size(), bytes);
  }
  std::memcpy(&h, file.data(), sizeof h), std::memcpy(table, file.data() + sizeof h, sizeof table);
  for (auto& e : table)
    if (e.offset < file.size() && e.size <= file.size() - e.offset) e.checksum = crc32c(std::string_view(file).substr(e.offset, e.size));
  h.checksum = header_checksum(h, table);
  std::memcpy(file.data(), &h, sizeof h), std::memcpy(file.data() + sizeof h, table, sizeof table);
  return file;
}
template <class T>
std::string raw(T v) { return {reinterpret_cast<char const*>(&v), sizeof v}; }

TEST_CASE("files with correct checksums and lying contents are refused") {
  auto s = sample_store(3, 4);
  s.use_hnsw({}, {.m = 2});
  auto const good = bytes_of(s);
  auto refused = [&](int section, std::size_t offset, std::string const& bytes) { return fault([&] { (void)store_from(crafted(good, section, offset, bytes)); }); };
  check_same(s, store_from(crafted(good, 0, 0, "")));
  auto const big = raw(uint64_t(1) << 61), most = raw(~uint64_t(0));
  auto header = [&](std::size_t offset, std::string const& bytes) { return refused(-1, offset, bytes); };
  CHECK(begins(header(8, raw(uint32_t(2))), "index.2"));
  CHECK(begins(header(28, raw(uint32_t(7))), "index.2"));
  CHECK(begins(header(56, raw(uint32_t(2))), "index.2"));
  CHECK(begins(header(24, raw(uint32_t(0))), "index.5: sample.idx: section \"model\": the dimension: expected"));
  CHECK(begins(header(24, raw(uint32_t(1) << 31)), "index.5"));
  CHECK(begins(header(24, raw(uint32_t(8))), "index.5"));
  CHECK(begins(header(32, big), "index.5"));
  CHECK(begins(header(40, big), "index.5"));
  CHECK(begins(header(48, big), "index.5"));
  CHECK(begins(header(56, raw(uint32_t(0))), "index.5: sample.idx: section \"graph\""));  // a flat index has no graph
  for (std::size_t e = 64; e < 64 + 5 * 32; e += 32) {
    CHECK(begins(header(e + 8, most), "index.3"));
    CHECK(begins(header(e + 8, raw(uint64_t(0))), "index.3"));
    CHECK(begins(header(e + 16, most), "index.3"));
    CHECK(begins(header(e + 16, big), "index.3"));
    CHECK(begins(header(e, "nonsense"), "index.3"));
  }
  for (int section : {0, 1}) {  // lengths of strings and lists
    CHECK(begins(refused(section, 0, most), "index.5"));
    CHECK(begins(refused(section, 0, big), "index.5"));
  }
  CHECK(begins(refused(1, 8, most), "index.5: sample.idx: section \"document\": a record: expected 18446744073709551615 bytes"));
  CHECK(begins(refused(2, 4, most), "index.5: sample.idx: section \"chunk\""));
  CHECK(begins(refused(3, 0, most), "index.5: sample.idx: section \"vector\""));
  auto const chunk = [&](std::size_t field, std::string const& bytes) { return refused(2, 12 + field, bytes); };  // of the first
  CHECK(begins(chunk(0, raw(int32_t(-1))), "index.5"));
  CHECK(begins(chunk(0, raw(int32_t(1))), "index.5"));  // the second's id
  CHECK(begins(chunk(0, raw(int32_t(9))), "index.5"));  // not below the next
  CHECK(begins(chunk(4, raw(int32_t(3))), "index.5"));
  CHECK(begins(chunk(4, raw(int32_t(-1))), "index.5"));
  CHECK(begins(chunk(8, most), "index.5"));
  CHECK(begins(chunk(16, big), "index.5"));
  CHECK(begins(refused(3, 8, raw(int32_t(1))), "index.5"));    // two rows for one chunk
  CHECK(begins(refused(3, 8, raw(int32_t(-1))), "index.5"));   // a chunk without a row
  CHECK(begins(refused(3, 8, raw(int32_t(-2))), "index.5"));
  std::size_t const numbers = 8 + 9 * 4 + 8;
  CHECK(begins(refused(3, numbers, raw(NAN)), "index.8"));
  CHECK(begins(refused(3, numbers + 4, raw(INFINITY)), "index.8"));
  CHECK(begins(refused(4, 0, raw(int32_t(1))), "index.5: sample.idx: section \"graph\": m:"));
  CHECK(begins(refused(4, 0, raw(int32_t(1) << 30)), "index.5"));
  CHECK(begins(refused(4, 4, raw(int32_t(0))), "index.5"));
  CHECK(begins(refused(4, 8, raw(int32_t(9))), "index.5"));
  CHECK(begins(refused(4, 12, most), "index.5"));
  std::size_t const links = 12 + 8 + 9 + 8;  // slot 0: count, neighbours
  CHECK(begins(refused(4, links, raw(uint32_t(0xffffffff))), "index.5"));
  CHECK(begins(refused(4, links + 4, raw(uint32_t(9))), "index.5"));
  CHECK(begins(refused(4, links + 4, raw(uint32_t(0))), "index.5"));  // itself
}

}  // namespace
}  // namespace smalti
