#pragma once
// Writing a safetensors file whose tensors are declared first and streamed afterwards, so that a checkpoint of any size passes
// through bounded memory; the file appears, complete, at commit().

#include "safetensors.hpp"

namespace smalti {

struct declaration {
  std::string name;
  dtype type;
  std::vector<index> shape;
};

/// Lays the tensors out as the reference writer does: wide dtypes first, then by name, the header padded to 8 bytes; so every
/// tensor is aligned to its element. Errors: io.2 (disk), io.11 (a name twice, bytes that do not fit the declaration).
class safetensors_writer {
 public:
  safetensors_writer(std::string path, std::vector<declaration> tensors, std::map<std::string, std::string> metadata = {{"format", "pt"}});

  /// The next bytes of a tensor: at once or in pieces, tensors in any order. Errors: io.2, io.8 (not declared), io.11 (too many).
  void write(std::string_view name, std::span<std::byte const> bytes);
  template <class T, std::size_t N>
    requires(!std::is_same_v<std::remove_const_t<T>, std::byte>)
  void write(std::string_view name, std::span<T, N> elements) { write(name, std::span<std::byte const>(std::as_bytes(elements))); }
  template <class T>
  void write(std::string_view name, buffer<T> const& elements) { write(name, std::span(elements.data(), elements.size())); }

  /// Puts the file in place. Errors: io.2, io.11 (a tensor is not complete).
  void commit();

 private:
  struct place {
    long long at, end;  // the next byte to write and the end, from the start of the data
  };
  std::string path_;
  atomic_file file_;
  std::map<std::string, place, std::less<>> places_;
  long long data_ = 0;  // offset of the data in the file
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_IO)
  #include <algorithm>
  #include "json.hpp"

namespace smalti {

SMALTI_INLINE safetensors_writer::safetensors_writer(std::string path, std::vector<declaration> tensors, std::map<std::string, std::string> metadata) : path_(path), file_(std::move(path)) {
  std::sort(tensors.begin(), tensors.end(), [](auto const& a, auto const& b) {
    return bytes_of(a.type) != bytes_of(b.type) ? bytes_of(a.type) > bytes_of(b.type) : a.name < b.name;
  });
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  long long end = 0;
  for (auto const& t : tensors) {
    auto const size = detail::bytes_for(t.type, t.shape);
    bool const negative = std::any_of(t.shape.begin(), t.shape.end(), [](index d) { return d < 0; });
    if (!size || negative || __builtin_add_overflow(end, *size, &end))
      detail::fail_tensor("io.11", path_, t.name, "expected a size of less than 2^63 bytes, found the shape " + name_of(t.shape));
    if (t.name == "__metadata__" || !places_.emplace(t.name, place{end - *size, end}).second)
      detail::fail_tensor("io.11", path_, t.name, "expected each name once, found it twice");
    header[t.name] = {{"dtype", name_of(t.type)}, {"shape", t.shape}, {"data_offsets", {end - *size, end}}};
  }
  auto text = header.dump();
  text.resize(round_up(text.size(), std::size_t(8)), ' ');
  std::string length(8, '\0');
  for (int i = 0; i < 8; ++i) length[std::size_t(i)] = char(text.size() >> 8 * i & 0xff);
  file_.write(length), file_.write(text);
  data_ = file_.size();
}

SMALTI_INLINE void safetensors_writer::write(std::string_view name, std::span<std::byte const> bytes) {
  auto const found = places_.find(name);
  if (found == places_.end()) detail::fail_tensor("io.8", path_, std::string(name), "expected a declared tensor, found no such declaration");
  auto& [at, end] = found->second;
  if ((long long)bytes.size() > end - at)
    detail::fail_tensor("io.11", path_, std::string(name), "expected at most " + std::to_string(end - at) + " more bytes, found " + std::to_string(bytes.size()));
  file_.write_at(data_ + at, bytes);
  at += (long long)bytes.size();
}

SMALTI_INLINE void safetensors_writer::commit() {
  for (auto const& [name, p] : places_)
    if (p.at != p.end) detail::fail_tensor("io.11", path_, name, "expected " + std::to_string(p.end - p.at) + " more bytes, found none");
  file_.commit();
}

}  // namespace smalti
#endif
