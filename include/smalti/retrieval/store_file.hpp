#pragma once
// The index file, version 1: a header of 64 bytes, a table of sections, the sections; a checksum over each. Everything is
// checked against everything else before it is used. Layout: docs/decisions.d/store.md.

#include <array>
#include <cstring>
#include <optional>
#include <unordered_set>
#include <utility>
#include "../core/config.hpp"
#include "../io/file.hpp"
#include "bytes.hpp"
#include "document.hpp"
#include "hnsw_graph.hpp"

namespace smalti::detail {

struct stored_chunk {
  int id = 0;
  int document = 0;  // its place in the list of documents
  text_span where;
};

/// What the file says, checked.
struct store_image {
  std::string model;
  int dimension = 0, next_chunk = 0;
  std::vector<document> documents;
  std::vector<stored_chunk> chunks;
  std::vector<int> row_ids;   // (rows): the chunk of each vector, −1: erased (HNSW only)
  std::vector<float> rows;    // (rows, dimension)
  std::optional<hnsw_graph> graph;
};

struct store_header {  // 64 bytes in the file, in this order
  char magic[8];
  uint32_t version, sections;
  uint64_t file_size;
  uint32_t dimension, metric;  // metric 1: inner product
  uint64_t documents, chunks, rows;
  uint32_t index, checksum;    // index 0: flat, 1: HNSW; the checksum covers the header before it and the table
};
struct section_entry {
  char name[8];  // padded with zeros
  uint64_t offset, size;
  uint32_t checksum, zero;
};
static_assert(sizeof(store_header) == 64 && sizeof(section_entry) == 32);

inline constexpr char store_magic[9] = "SMALTIDX";
inline constexpr uint32_t store_version = 1, section_count = 5;
inline constexpr char const* section_name[section_count] = {"model", "document", "chunk", "vector", "graph"};
inline constexpr uint64_t section_alignment = 64;

inline uint32_t header_checksum(store_header const& h, std::span<section_entry const> table) {
  auto const head = std::as_bytes(std::span(&h, 1)).first(sizeof h - sizeof h.checksum);
  return crc32c(std::as_bytes(table), crc32c(head));
}

/// Sections by number, after the header, the table and every checksum have been found good. Errors: index.1 … index.4.
inline std::pair<store_header, std::array<std::span<std::byte const>, section_count>> open_sections(std::span<std::byte const> bytes, std::string const& file) {
  auto refuse = [&](char const* id, std::string const& what) { throw error(id, file + ": " + what); };
  auto number = [](auto n) { return std::to_string(n); };
  store_header h{};
  if (!bytes.empty()) std::memcpy(&h, bytes.data(), std::min(bytes.size(), sizeof h));
  if (bytes.size() < 8 || std::memcmp(h.magic, store_magic, 8) != 0) refuse("index.1", "header: expected the magic \"SMALTIDX\" of an index file, found another start");
  if (bytes.size() < sizeof h) refuse("index.3", "header: expected 64 bytes, found " + number(bytes.size()));
  if (h.version != store_version) refuse("index.2", "header: expected version " + number(store_version) + ", found " + number(h.version));
  if (h.file_size != bytes.size()) refuse("index.3", "header: expected a file of " + number(h.file_size) + " bytes, found " + number(bytes.size()));
  if (h.sections != section_count || bytes.size() < sizeof h + sizeof(section_entry) * section_count)
    refuse("index.3", "header: expected a table of " + number(section_count) + " sections, found " + number(h.sections) + " in " + number(bytes.size()) + " bytes");
  section_entry table[section_count];
  std::memcpy(table, bytes.data() + sizeof h, sizeof table);
  if (auto const sum = header_checksum(h, table); sum != h.checksum) refuse("index.4", "header: expected checksum " + number(h.checksum) + ", found " + number(sum));
  if (h.metric != 1) refuse("index.2", "header: expected metric 1 (inner product), found " + number(h.metric));
  if (h.index > 1) refuse("index.2", "header: expected index 0 (flat) or 1 (HNSW), found " + number(h.index));

  std::array<std::span<std::byte const>, section_count> sections;
  uint64_t at = sizeof h + sizeof table;  // sections follow each other; nothing overlaps and nothing hides between them
  for (uint32_t i = 0; i < section_count; ++i) {
    std::string const what = "section \"" + std::string(section_name[i]) + "\": ";
    char name[8] = {};
    std::memcpy(name, section_name[i], std::strlen(section_name[i]));
    if (std::memcmp(table[i].name, name, 8) != 0 || table[i].zero != 0) refuse("index.3", what + "expected it as number " + number(i) + " of the table, found another");
    uint64_t const start = round_up(at, section_alignment);
    if (table[i].offset != start) refuse("index.3", what + "expected at byte " + number(start) + ", found at " + number(table[i].offset));
    if (start > bytes.size() || table[i].size > bytes.size() - start)
      refuse("index.3", what + "expected " + number(table[i].size) + " bytes at " + number(start) + ", found a file of " + number(bytes.size()));
    for (; at < start; ++at)
      if (bytes[at] != std::byte{0}) refuse("index.4", what + "expected zeros before it, found another byte at " + number(at));
    sections[i] = bytes.subspan(start, table[i].size);
    if (auto const sum = crc32c(sections[i]); sum != table[i].checksum) refuse("index.4", what + "expected checksum " + number(table[i].checksum) + ", found " + number(sum));
    at = start + table[i].size;
  }
  if (at != bytes.size()) refuse("index.3", "expected the end at byte " + number(at) + ", found " + number(bytes.size() - at) + " more");
  return {h, sections};
}

/// The whole file, checked. Errors: index.1 … index.5, index.8 (NaN). What a correct checksum does not exclude is a file made to
/// harm, so every number that is used as a place or a size is compared with what it points into.
inline store_image parse_store(std::span<std::byte const> bytes, std::string const& file) {
  auto const [h, sections] = open_sections(bytes, file);
  auto reader = [&, s = &sections](uint32_t i) { return byte_reader((*s)[i], file, section_name[i]); };
  auto number = [](auto n) { return std::to_string(n); };
  store_image made;

  auto in = reader(0);
  made.model = in.text(), made.dimension = int(h.dimension);
  if (h.dimension < 1 || h.dimension > 1 << 16) in.refuse("the dimension", "1 … 65536", number(h.dimension));
  in.finish();

  in = reader(1);
  std::unordered_set<std::string> ids;
  constexpr std::size_t shortest_document = 6 * sizeof(uint64_t), chunk_bytes = 2 * sizeof(uint32_t) + 2 * sizeof(uint64_t);
  std::size_t const documents = in.count(shortest_document);
  if (documents != h.documents) in.refuse("documents", number(h.documents) + " by the header", number(documents));
  for (std::size_t i = 0; i < documents; ++i) {
    document d{in.text(), in.text(), in.text(), {}, {}, {}};  // braces: read left to right
    d.tags.resize(in.count(sizeof(uint64_t)));
    for (auto& t : d.tags) t = in.text();
    d.text = in.text(), d.source = in.text();
    if (d.id.empty() || !ids.insert(d.id).second) in.refuse("document " + number(i), "a new id", d.id.empty() ? "none" : "\"" + d.id + "\" again");
    made.documents.push_back(std::move(d));
  }
  in.finish();

  in = reader(2);
  made.next_chunk = in.get<int32_t>();
  std::unordered_set<int> live;
  std::size_t const chunks = in.count(chunk_bytes);
  if (chunks != h.chunks) in.refuse("chunks", number(h.chunks) + " by the header", number(chunks));
  for (std::size_t i = 0; i < chunks; ++i) {
    stored_chunk c;
    c.id = in.get<int32_t>(), c.document = in.get<int32_t>(), c.where.begin = in.get<uint64_t>(), c.where.end = in.get<uint64_t>();
    std::string const what = "chunk " + number(i);
    if (c.id < 0 || c.id >= made.next_chunk || !live.insert(c.id).second) in.refuse(what, "a new id below " + number(made.next_chunk), number(c.id));
    if (c.document < 0 || std::size_t(c.document) >= documents) in.refuse(what, "one of " + number(documents) + " documents", number(c.document));
    std::size_t const length = made.documents[std::size_t(c.document)].text.size();
    if (c.where.begin > c.where.end || c.where.end > length) in.refuse(what, "bytes within 0 … " + number(length), number(c.where.begin) + " … " + number(c.where.end));
    made.chunks.push_back(c);
  }
  in.finish();

  in = reader(3);
  made.row_ids = in.all<std::vector<int>>(), made.rows = in.all<std::vector<float>>();
  if (made.row_ids.size() != h.rows) in.refuse("rows", number(h.rows) + " by the header", number(made.row_ids.size()));
  if (made.rows.size() != made.row_ids.size() * h.dimension) in.refuse("numbers", number(made.row_ids.size() * h.dimension), number(made.rows.size()));
  for (int id : made.row_ids)
    if ((id != -1 || h.index != 1) && live.erase(id) != 1) in.refuse("a row", "a chunk without a row yet", number(id));
  if (!live.empty()) in.refuse("rows", "one for every chunk", number(live.size()) + " chunks without");
  in.finish();

  in = reader(4);
  if (h.index == 1) {
    hnsw_graph g;
    g.m = in.get<int32_t>(), g.ef_construction = in.get<int32_t>(), g.entry = in.get<int32_t>();
    g.level = in.all<std::vector<uint8_t>>(), g.links = in.all<std::vector<uint32_t>>();
    if (auto const fault = fault_of(g, made.row_ids.size()); !fault.empty()) throw error("index.5", file + ": section \"graph\": " + fault);
    made.graph = std::move(g);
  }
  in.finish();
  return made;
}

}  // namespace smalti::detail
