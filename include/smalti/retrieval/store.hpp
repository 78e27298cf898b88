#pragma once
// Documents with their passages, searched by meaning and by words, and kept in one file that is replaced as a whole: whoever
// opens it finds the old state or the new one.

#include <functional>
#include <map>
#include <unordered_map>
#include <utility>
#include <variant>
#include "abbreviations.hpp"
#include "bm25.hpp"
#include "document.hpp"
#include "flat.hpp"
#include "hnsw.hpp"

namespace smalti {

namespace detail {
struct store_image;
}  // namespace detail

struct store_options {
  std::string model = {};  ///< the encoder of the vectors; when a file is opened: the one it must have been made with, empty: any
  int dimension = 0;  ///< of the vectors, 1 … 65536; when a file is opened: what it must be, 0: any
  int ef = 64;        ///< for searches, where the index is HNSW
  bm25_options words = {};
};

/// A passage of a document, as long as the store is not changed.
struct passage_view {
  document const* from = nullptr;
  text_span span;
  std::string_view text() const { return std::string_view(from->text).substr(span.begin, span.end - span.begin); }
};

/// search ∥ search is safe; what changes the store needs it to itself. Chunk ids count up and are never used twice.
/// Errors: index.1 … index.5 (file), index.6 (another model or dimension), index.7, index.8 (vectors), index.12 (document,
/// spans), index.13 (unknown document), io.1, io.2.
class store {
 public:
  explicit store(store_options options);
  store(store&&) noexcept;
  store& operator=(store&&) noexcept;
  ~store();

  /// From a file. It is checked throughout before anything is built on it.
  static store open(std::string const& path, store_options expected = {});
  static store from_bytes(std::span<std::byte const> bytes, std::string const& name, store_options expected = {});
  /// Replaces the file at `path` atomically and durably. Killed at any moment, it leaves the old file or the new one (and
  /// perhaps a temporary file beside it, which no one reads).
  void save(std::string const& path) const;
  /// The bytes that save() writes, in pieces, in order.
  void write(std::function<void(std::string_view)> const& out) const;

  std::string const& model() const { return options_.model; }
  int dimension() const { return options_.dimension; }
  int chunk_count() const { return int(chunks_.size()); }
  int document_count() const { return int(documents_.size()); }
  bool is_hnsw() const { return std::holds_alternative<hnsw_index>(index_); }
  int erased_rows() const;
  document const* find(std::string const& id) const;
  /// Whether this document is stored with this content, so that it need not be embedded again.
  bool holds(document const& d) const;
  /// Calls f(document const&) for all, in the order of ids.
  template <class F>
  void for_each(F&& f) const {
    for (auto const& [id, kept] : documents_) f(kept.content);
  }
  std::vector<int> const& chunks_of(std::string const& id) const { return kept(id).chunks; }
  passage_view chunk(int id) const;
  std::span<float const> vector(int chunk) const;

  /// Adds a document, or replaces the one of this id, with its chunks: spans of its text, one unit vector each:
  /// (count, dimension). Checked first: the store is as it was if this throws index.*.
  void add(document d, std::span<text_span const> spans, view<float const, 2> vectors);
  void erase(std::string const& id);

  /// Builds the vector index anew: as HNSW (worth it from about 10⁵ chunks) or flat. Forgets erased rows. 100 000 × 384 take
  /// some ten seconds on two threads.
  void use_hnsw(on_cpu const& where, hnsw_options options = {});
  void use_flat();

  /// Chunks by meaning: inner product of unit vectors, −1 … 1. query: (dimension).
  std::vector<hit> search_vectors(on_cpu const& where, std::span<float const> query, int k, document_filter const& filter = {}) const;
  /// Chunks by words: BM25 over title and text. A long form that one of the documents abbreviates is also searched for as that.
  std::vector<hit> search_words(std::string_view query, int k, document_filter const& filter = {}) const;

 private:
  struct kept_document {
    document content;
    uint64_t hash = 0;
    std::vector<int> chunks;
  };
  struct kept_chunk {
    kept_document const* from;  // nodes of a map stay where they are
    text_span span;
  };

  kept_document const& kept(std::string const& id) const;
  id_filter chunks_that(document_filter const& filter) const;
  void link(int id, kept_document& from, text_span span);
  std::pair<std::vector<int>, std::vector<float>> live_rows() const;
  void adopt(detail::store_image image);

  store_options options_;
  std::map<std::string, kept_document> documents_;  // by id
  std::unordered_map<int, kept_chunk> chunks_;
  std::variant<flat_index, hnsw_index> index_;
  bm25_index words_;
  abbreviation_table abbreviations_;
  int next_chunk_ = 0;
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
  #include <algorithm>
  #include <cstring>
  #include <limits>
  #include "../io/file.hpp"
  #include "store_file.hpp"

namespace smalti {

SMALTI_INLINE store::store(store_options options) : options_(std::move(options)), index_(flat_index(options_.dimension)), words_(options_.words) {}

SMALTI_INLINE store::store(store&&) noexcept = default;
SMALTI_INLINE store& store::operator=(store&&) noexcept = default;
SMALTI_INLINE store::~store() = default;

SMALTI_INLINE store store::open(std::string const& path, store_options expected) {
  mapped_file const file(path);
  return from_bytes(file.bytes(), path, std::move(expected));
}

SMALTI_INLINE store store::from_bytes(std::span<std::byte const> bytes, std::string const& name, store_options expected) {
  auto image = detail::parse_store(bytes, name);
  if (!expected.model.empty() && expected.model != image.model) throw error("index.6", name + ": expected vectors of \"" + expected.model + "\", found those of \"" + image.model + "\"");
  if (expected.dimension && expected.dimension != image.dimension)
    throw error("index.6", name + ": expected vectors of dimension " + std::to_string(expected.dimension) + ", found " + std::to_string(image.dimension));
  expected.model = image.model, expected.dimension = image.dimension;
  store made(std::move(expected));
  made.adopt(std::move(image));
  return made;
}

SMALTI_INLINE void store::save(std::string const& path) const {
  atomic_file file(path);
  write([&](std::string_view bytes) { file.write(bytes); });
  file.commit();
}
SMALTI_INLINE int store::erased_rows() const { return is_hnsw() ? std::get<hnsw_index>(index_).slots() - chunk_count() : 0; }

SMALTI_INLINE document const* store::find(std::string const& id) const {
  auto const at = documents_.find(id);
  return at == documents_.end() ? nullptr : &at->second.content;
}

SMALTI_INLINE bool store::holds(document const& d) const {
  auto const at = documents_.find(d.id);
  return at != documents_.end() && at->second.hash == content_hash(d);
}

SMALTI_INLINE passage_view store::chunk(int id) const {
  auto const at = chunks_.find(id);
  if (at == chunks_.end()) detail::unknown_id(id);
  return {&at->second.from->content, at->second.span};
}

SMALTI_INLINE std::span<float const> store::vector(int chunk) const {
  return std::visit([&](auto const& i) { return i.vector(chunk); }, index_);
}

SMALTI_INLINE void store::add(document d, std::span<text_span const> spans, view<float const, 2> vectors) {
  std::string const name = "document \"" + d.id + "\"";
  if (d.id.empty()) throw error("index.12", name + ": expected an id, found none");
  if (vectors.extent[0] != index(spans.size())) throw error("index.12", name + ": expected " + std::to_string(spans.size()) + " vectors, found " + std::to_string(vectors.extent[0]));
  if (spans.size() > std::size_t(std::numeric_limits<int>::max() - next_chunk_)) throw error("index.12", name + ": expected fewer than 2³¹ chunks in the life of a store, found more");
  auto row = [&](std::size_t i) { return std::span(vectors.at + index(i) * vectors.stride[0], std::size_t(vectors.extent[1])); };
  for (std::size_t i = 0; i < spans.size(); ++i) {
    if (spans[i].begin > spans[i].end || spans[i].end > d.text.size())
      throw error("index.12", name + ": expected a span within 0 … " + std::to_string(d.text.size()) + ", found " + std::to_string(spans[i].begin) + " … " + std::to_string(spans[i].end));
    detail::check_vector(row(i), dimension(), name.c_str());
  }
  if (documents_.contains(d.id)) erase(d.id);
  auto& kept = documents_[d.id];
  kept.hash = content_hash(d), kept.content = std::move(d);
  abbreviations_.learn(kept.content.text);
  for (std::size_t i = 0; i < spans.size(); ++i) {
    int const id = next_chunk_++;
    std::visit([&](auto& x) { x.add(id, row(i)); }, index_);
    link(id, kept, spans[i]);
  }
}

SMALTI_INLINE void store::erase(std::string const& id) {
  abbreviations_.forget(kept(id).content.text);
  for (int chunk : kept(id).chunks) {
    std::visit([&](auto& x) { x.erase(chunk); }, index_);
    words_.erase(chunk), chunks_.erase(chunk);
  }
  documents_.erase(id);
}

SMALTI_INLINE void store::use_hnsw(on_cpu const& where, hnsw_options options) {
  auto const [ids, rows] = live_rows();
  options.capacity = int(ids.size()), options.ef = options_.ef;
  hnsw_index fresh(dimension(), options);
  fresh.add(where, ids, row_major(rows.data(), index(ids.size()), dimension()));
  index_ = std::move(fresh);
}

SMALTI_INLINE void store::use_flat() {
  auto const [ids, rows] = live_rows();
  flat_index fresh(dimension());
  fresh.reserve(int(ids.size()));
  for (std::size_t i = 0; i < ids.size(); ++i) fresh.add(ids[i], std::span(rows).subspan(i * std::size_t(dimension()), std::size_t(dimension())));
  index_ = std::move(fresh);
}

SMALTI_INLINE std::vector<hit> store::search_vectors(on_cpu const& where, std::span<float const> query, int k, document_filter const& filter) const {
  return std::visit([&](auto const& i) { return i.search(where, query, k, chunks_that(filter)); }, index_);
}
SMALTI_INLINE std::vector<hit> store::search_words(std::string_view query, int k, document_filter const& filter) const { return words_.search(abbreviations_.expand(query), k, chunks_that(filter)); }

SMALTI_INLINE id_filter store::chunks_that(document_filter const& filter) const {
  if (filter.empty()) return {};
  return [this, &filter](int id) { return filter(chunks_.at(id).from->content); };
}

SMALTI_INLINE void store::link(int id, kept_document& from, text_span span) {
  from.chunks.push_back(id), chunks_.emplace(id, kept_chunk{&from, span});
  words_.add(id, from.content.title + "\n" + std::string(chunk(id).text()));
}

SMALTI_INLINE std::pair<std::vector<int>, std::vector<float>> store::live_rows() const {
  std::vector<int> ids;
  std::vector<float> rows;  // (chunks, dimension)
  for (auto const& [id, c] : chunks_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  for (int id : ids) rows.insert(rows.end(), vector(id).begin(), vector(id).end());
  return {std::move(ids), std::move(rows)};
}

SMALTI_INLINE void store::adopt(detail::store_image image) {
  if (image.graph)
    index_ = hnsw_index(dimension(), {.ef = options_.ef}, *image.graph, image.row_ids, image.rows);
  else {
    auto& flat = std::get<flat_index>(index_);
    flat.reserve(int(image.row_ids.size()));
    for (std::size_t i = 0; i < image.row_ids.size(); ++i) flat.add(image.row_ids[i], std::span(image.rows).subspan(i * std::size_t(dimension()), std::size_t(dimension())));
  }
  std::vector<kept_document*> at;
  for (auto& d : image.documents) {
    auto& kept = documents_[d.id];
    kept.hash = content_hash(d), kept.content = std::move(d), at.push_back(&kept);
    abbreviations_.learn(kept.content.text);
  }
  for (auto const& c : image.chunks) link(c.id, *at[std::size_t(c.document)], c.where);
  next_chunk_ = image.next_chunk;
}

SMALTI_INLINE store::kept_document const& store::kept(std::string const& id) const {
  auto const at = documents_.find(id);
  if (at == documents_.end()) throw error("index.13", "document \"" + id + "\": expected one of the store, found none");
  return at->second;
}

SMALTI_INLINE void store::write(std::function<void(std::string_view)> const& out) const {
  byte_writer model, documents, chunks, row_ids, graph;
  model.put(options_.model);
  documents.put(uint64_t(documents_.size())), chunks.put(int32_t(next_chunk_)), chunks.put(uint64_t(chunks_.size()));
  int place = 0;
  for (auto const& [id, kept] : documents_) {
    auto const& d = kept.content;
    documents.put(d.id), documents.put(d.title), documents.put(d.category), documents.put(uint64_t(d.tags.size()));
    for (auto const& t : d.tags) documents.put(t);
    documents.put(d.text), documents.put(d.source);
    for (int c : kept.chunks) {
      auto const span = chunks_.at(c).span;
      chunks.put(int32_t(c)), chunks.put(int32_t(place)), chunks.put(uint64_t(span.begin)), chunks.put(uint64_t(span.end));
    }
    ++place;
  }
  auto const ids = std::visit([](auto const& i) { return i.ids(); }, index_);
  row_ids.put_all(ids), row_ids.put(uint64_t(ids.size() * std::size_t(dimension())));
  if (auto* const h = std::get_if<hnsw_index>(&index_)) {
    auto const a = h->arrays();
    graph.put(int32_t(a.m)), graph.put(int32_t(a.ef_construction)), graph.put(int32_t(a.entry));
    graph.put_all(std::span<uint8_t const>(a.level)), graph.put_all(std::span<uint32_t const>(a.links));
  }
  auto row = [&](std::size_t i) {  // in the order of ids, erased ones too: the graph still leads through them
    auto const v = is_hnsw() ? std::get<hnsw_index>(index_).slot_vector(int(i)) : vector(ids[i]);
    return std::string_view(reinterpret_cast<char const*>(v.data()), v.size_bytes());
  };

  using namespace detail;
  std::string_view const parts[section_count] = {model.bytes, documents.bytes, chunks.bytes, row_ids.bytes, graph.bytes};
  store_header h{{}, store_version, section_count, 0, uint32_t(dimension()), 1, documents_.size(), chunks_.size(), ids.size(), is_hnsw(), 0};
  std::memcpy(h.magic, store_magic, 8);
  section_entry table[section_count] = {};
  uint64_t at = sizeof h + sizeof table;
  for (uint32_t i = 0; i < section_count; ++i) {
    std::memcpy(table[i].name, section_name[i], std::strlen(section_name[i]));
    table[i].offset = round_up(at, section_alignment), table[i].size = parts[i].size(), table[i].checksum = crc32c(parts[i]);
    if (i == 3)
      for (std::size_t r = 0; r < ids.size(); ++r) table[i].size += row(r).size(), table[i].checksum = crc32c(row(r), table[i].checksum);
    at = table[i].offset + table[i].size;
  }
  h.file_size = at, h.checksum = header_checksum(h, table);
  out({reinterpret_cast<char const*>(&h), sizeof h}), out({reinterpret_cast<char const*>(table), sizeof table});
  at = sizeof h + sizeof table;
  for (uint32_t i = 0; i < section_count; ++i) {
    out(std::string(table[i].offset - at, '\0')), out(parts[i]);
    if (i == 3)
      for (std::size_t r = 0; r < ids.size(); ++r) out(row(r));
    at = table[i].offset + table[i].size;
  }
}

}  // namespace smalti
#endif
