#pragma once
// What a store holds: documents, the passages they are cut into, and the choice among them by metadata.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>
#include "../core/config.hpp"

namespace smalti {

/// A text with what is known about it. Two documents never share an id.
struct document {
  std::string id = {}, title = {}, category = {};
  std::vector<std::string> tags = {};
  std::string text = {};
  std::string source = {};  ///< the file it came from, for people; may be empty
  friend bool operator==(document const&, document const&) = default;
};

/// Bytes [begin, end) of a document's text.
struct text_span {
  std::size_t begin = 0, end = 0;
  friend bool operator==(text_span const&, text_span const&) = default;
};

/// Tells whether a document's content is what it was (FNV-1a, 64 bits, over all fields with their lengths). The source is left
/// out: a file that moved has not changed.
uint64_t content_hash(document const& d);

/// A document passes if it is one of the ids, and of one of the categories, and carries one of the tags; an empty list asks
/// for nothing.
struct document_filter {
  std::vector<std::string> ids = {}, categories = {}, tags = {};

  bool empty() const { return ids.empty() && categories.empty() && tags.empty(); }
  bool operator()(document const& d) const;
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
  #include <algorithm>

namespace smalti {

SMALTI_INLINE uint64_t content_hash(document const& d) {
  uint64_t h = 0xcbf29ce484222325;
  auto mix = [&h](std::string_view s) {
    for (uint64_t n = s.size(), i = 0; i < 8; ++i) h = (h ^ (n >> 8 * i & 255)) * 0x100000001b3;
    for (char c : s) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  mix(d.id), mix(d.title), mix(d.category), mix(std::to_string(d.tags.size()));
  for (auto const& t : d.tags) mix(t);
  mix(d.text);
  return h;
}

SMALTI_INLINE bool document_filter::operator()(document const& d) const {
  auto one_of = [](std::vector<std::string> const& list, std::string const& s) { return std::find(list.begin(), list.end(), s) != list.end(); };
  return (ids.empty() || one_of(ids, d.id)) && (categories.empty() || one_of(categories, d.category)) &&
         (tags.empty() || std::any_of(d.tags.begin(), d.tags.end(), [&](auto const& t) { return one_of(tags, t); }));
}

}  // namespace smalti
#endif
