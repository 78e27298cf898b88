// Any bytes as an index file: refused with smalti::error, or a store that works. Half of the inputs get correct checksums
// first, because a fuzzer would guess them never.
#include "smalti/retrieval/store.hpp"
#include "smalti/retrieval/store_file.hpp"

namespace {

std::string with_checksums(std::string file) {
  using namespace smalti::detail;
  store_header h;
  section_entry table[section_count];
  if (file.size() < sizeof h + sizeof table) return file;
  std::memcpy(&h, file.data(), sizeof h), std::memcpy(table, file.data() + sizeof h, sizeof table);
  std::memcpy(h.magic, store_magic, 8), h.version = store_version, h.sections = section_count, h.file_size = file.size(), h.metric = 1;
  for (auto& e : table)
    if (e.offset < file.size() && e.size <= file.size() - e.offset) e.checksum = smalti::crc32c(std::string_view(file).substr(e.offset, e.size));
  h.checksum = header_checksum(h, table);
  std::memcpy(file.data(), &h, sizeof h), std::memcpy(file.data() + sizeof h, table, sizeof table);
  return file;
}

void use(std::string const& file) {
  try {
    auto s = smalti::store::from_bytes(std::as_bytes(std::span(file)), "fuzz.idx");
    std::vector<float> const query(std::size_t(s.dimension()), 0.5f);
    for (smalti::hit h : s.search_vectors({}, query, 5)) (void)s.chunk(h.id).text().size();
    (void)s.search_words("the first word and 17", 5);
    smalti::text_span const span{0, 3};
    s.add({"new", "New", "", {}, "new", ""}, {&span, 1}, smalti::row_major(query.data(), 1, s.dimension()));
    s.write([](std::string_view) {});
  } catch (smalti::error const&) {}
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, std::size_t size) {
  std::string const file(reinterpret_cast<char const*>(data), size);
  use(file);
  use(with_checksums(file));
  return 0;
}
