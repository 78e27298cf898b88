#pragma once
// One safetensors file: u64 little-endian header length, a JSON header, the data (huggingface.co/docs/safetensors). Everything
// is checked before any tensor is handed out, with the rules of the reference reader.

#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "file.hpp"

namespace smalti {

/// A named array in a file. `bytes` point into the map of the file's owner, row-major, little-endian, and need not be aligned
/// to the element: copy, or use to_float.
struct tensor {
  std::string name;
  dtype type;
  std::vector<index> shape;  ///< empty for a scalar
  std::span<std::byte const> bytes;
  std::string file;

  index count() const {
    index n = 1;
    for (index d : shape) n *= d;
    return n;
  }
};

/// "(2, 3)", for messages.
std::string name_of(std::vector<index> const& shape);

namespace detail {
[[noreturn]] void fail_tensor(char const* id, std::string const& file, std::string const& tensor, std::string const& what);

/// Bytes of a tensor, or nothing when the product overflows.
std::optional<index> bytes_for(dtype type, std::vector<index> const& shape);

struct safetensors_header {
  std::map<std::string, tensor, std::less<>> tensors;
  std::map<std::string, std::string> metadata;
};
}  // namespace detail

/// One validated file; movable, and the tensors stay valid across a move. Errors: io.1, io.3 … io.7; at(): io.8.
class safetensors {
 public:
  safetensors() = default;
  explicit safetensors(std::string path);
  /// From memory that the caller keeps alive; `name` stands in messages.
  safetensors(std::span<std::byte const> bytes, std::string name);

  bool contains(std::string_view name) const;
  tensor const& at(std::string_view name) const;
  /// Sorted.
  std::vector<std::string> names() const;
  std::map<std::string, std::string> const& metadata() const { return header_.metadata; }

 private:
  mapped_file map_;
  detail::safetensors_header header_;
  std::string name_;
};

/// Refuses a tensor of another shape. Errors: io.9.
void require_shape(tensor const& t, std::vector<index> const& expected);

/// Refuses a tensor of another dtype. Errors: io.9.
void require_dtype(tensor const& t, dtype expected);

/// A copy of the elements as they are. Errors: io.9 (T is not the tensor's element type, another shape).
template <class T>
buffer<T> copy_of(tensor const& t, std::vector<index> const& expected_shape) {
  require_shape(t, expected_shape), require_dtype(t, dtype_of<T>);
  buffer<T> out(t.bytes.size() / sizeof(T));
  if (!out.empty()) std::memcpy(static_cast<void*>(out.data()), t.bytes.data(), t.bytes.size());
  return out;
}

/// F64, F32, F16 or BF16 as fp32, one rounding (F64 only). FP8 is refused: it means nothing without its scales. Errors: io.9.
buffer<float> to_float(tensor const& t, std::vector<index> const& expected_shape);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_IO)
  #include <algorithm>
  #include "json.hpp"

namespace smalti {

SMALTI_INLINE std::string name_of(std::vector<index> const& shape) {
  std::string s = "(";
  for (auto d : shape) s += (s.size() > 1 ? ", " : "") + std::to_string(d);
  return s + ")";
}

namespace detail {
SMALTI_INLINE void fail_tensor(char const* id, std::string const& file, std::string const& tensor, std::string const& what) {
  throw error(id, file + ": tensor \"" + tensor + "\": " + what);
}

SMALTI_INLINE std::optional<index> bytes_for(dtype type, std::vector<index> const& shape) {
  index n = bytes_of(type);
  bool empty = false;
  for (index d : shape)
    if (d == 0) empty = true;
    else if (__builtin_mul_overflow(n, d, &n)) return std::nullopt;
  return empty ? 0 : n;
}

inline std::optional<dtype> dtype_named(std::string_view name) {
  for (int i = 0; i <= int(dtype::u64); ++i)
    if (name == name_of(dtype(i))) return dtype(i);
  return std::nullopt;
}

constexpr std::size_t longest_header = 100'000'000;  // the reference's limit: a header is parsed into memory

inline tensor parse_tensor(std::string const& file, std::string const& name, json const& about, std::span<std::byte const> data) {
  auto const where = file + ": tensor \"" + name + "\"";
  auto const type_name = field<std::string>(about, where, "dtype");
  auto const type = dtype_named(type_name);
  if (!type) fail_tensor("io.6", file, name, "expected a dtype of safetensors (F32, BF16, U8, ...), found \"" + type_name + "\"");
  auto shape = field<std::vector<index>>(about, where, "shape");
  for (index d : shape)
    if (d < 0) fail_tensor("io.6", file, name, "expected sizes of 0 or more, found the shape " + name_of(shape));
  auto const size = bytes_for(*type, shape);
  if (!size) fail_tensor("io.6", file, name, "expected a size of less than 2^63 bytes, found the shape " + name_of(shape));
  auto const range = field<std::vector<index>>(about, where, "data_offsets");
  if (range.size() != 2 || range[0] < 0 || range[1] < range[0])
    fail_tensor("io.7", file, name, "expected data_offsets [begin, end] with begin ≤ end, found " + shown(about["data_offsets"]));
  if (range[1] > index(data.size()))
    fail_tensor("io.7", file, name, "expected an end within the " + std::to_string(data.size()) + " bytes of data, found " + std::to_string(range[1]));
  if (range[1] - range[0] != *size)
    fail_tensor("io.7", file, name, "expected " + std::to_string(*size) + " bytes for " + type_name + " of shape " + name_of(shape) +
                                        ", found " + std::to_string(range[1] - range[0]));
  return {name, *type, std::move(shape), data.subspan(std::size_t(range[0]), std::size_t(*size)), file};
}

// In the order of their offsets the tensors must tile the data: each begins where the last ended. An overlap would make one
// write change two tensors; a gap can hide content from one reader that another shows.
inline void require_tiling(std::string const& file, safetensors_header const& header, std::span<std::byte const> data) {
  std::vector<tensor const*> in_order;
  for (auto const& [name, t] : header.tensors) in_order.push_back(&t);
  std::sort(in_order.begin(), in_order.end(), [](auto a, auto b) {
    return std::pair(a->bytes.data(), a->bytes.size()) < std::pair(b->bytes.data(), b->bytes.size());
  });
  std::size_t end = 0;
  for (auto t : in_order) {
    auto const begin = std::size_t(t->bytes.data() - data.data());
    if (begin != end)
      fail_tensor("io.7", file, t->name, std::string(begin < end ? "overlaps the tensor before it" : "leaves a gap before it") +
                                             ": expected to begin at " + std::to_string(end) + ", found " + std::to_string(begin));
    end += t->bytes.size();
  }
  if (end != data.size())
    throw error("io.7", file + ": data after the last tensor: expected " + std::to_string(end) + " bytes, found " + std::to_string(data.size()));
}

inline safetensors_header parse_safetensors(std::span<std::byte const> bytes, std::string const& file) {
  if (bytes.size() < 8) throw error("io.5", file + ": expected a safetensors file of at least 8 bytes, found " + std::to_string(bytes.size()));
  uint64_t length = 0;
  for (int i = 8; i-- > 0;) length = length << 8 | uint64_t(bytes[std::size_t(i)]);
  if (length > longest_header)
    throw error("io.5", file + ": header length: expected at most " + std::to_string(longest_header) + " bytes, found " + std::to_string(length));
  if (length > bytes.size() - 8)
    throw error("io.5", file + ": header length: expected at most the " + std::to_string(bytes.size() - 8) + " bytes that follow it, found " +
                            std::to_string(length) + " (a truncated file?)");
  auto const text = std::string_view(reinterpret_cast<char const*>(bytes.data()) + 8, length);
  auto const object = parse_json(text, file + ": header");
  if (!object.is_object()) throw error("io.6", file + ": header: expected a JSON object, found " + shown(object));
  auto const data = bytes.subspan(8 + length);
  safetensors_header header;
  for (auto const& [name, about] : object.items()) {
    if (name != "__metadata__") {
      header.tensors.emplace(name, parse_tensor(file, name, about, data));
      continue;
    }
    if (!about.is_object()) throw error("io.6", file + ": __metadata__: expected an object of strings, found " + shown(about));
    for (auto const& [key, value] : about.items()) header.metadata[key] = field<std::string>(about, file + ": __metadata__", key);
  }
  require_tiling(file, header, data);
  return header;
}
}  // namespace detail

SMALTI_INLINE safetensors::safetensors(std::string path) : map_(std::move(path)), header_(detail::parse_safetensors(map_.bytes(), map_.path())), name_(map_.path()) {}
SMALTI_INLINE safetensors::safetensors(std::span<std::byte const> bytes, std::string name) : header_(detail::parse_safetensors(bytes, name)), name_(std::move(name)) {}
SMALTI_INLINE bool safetensors::contains(std::string_view name) const { return header_.tensors.find(name) != header_.tensors.end(); }

SMALTI_INLINE tensor const& safetensors::at(std::string_view name) const {
  auto const found = header_.tensors.find(name);
  if (found == header_.tensors.end()) detail::fail_tensor("io.8", name_, std::string(name), "expected in this file, found no tensor of this name");
  return found->second;
}

SMALTI_INLINE std::vector<std::string> safetensors::names() const {
  std::vector<std::string> all;
  for (auto const& [name, t] : header_.tensors) all.push_back(name);
  return all;
}

SMALTI_INLINE void require_shape(tensor const& t, std::vector<index> const& expected) {
  if (t.shape != expected)
    detail::fail_tensor("io.9", t.file, t.name, "expected the shape " + name_of(expected) + ", found " + name_of(t.shape));
}

SMALTI_INLINE void require_dtype(tensor const& t, dtype expected) {
  if (t.type != expected)
    detail::fail_tensor("io.9", t.file, t.name, std::string("expected the dtype ") + name_of(expected) + ", found " + name_of(t.type));
}

SMALTI_INLINE buffer<float> to_float(tensor const& t, std::vector<index> const& expected_shape) {
  require_shape(t, expected_shape);
  buffer<float> out(std::size_t(t.count()));
  auto const convert = [&]<class T>(T) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      T v;
      std::memcpy(static_cast<void*>(&v), t.bytes.data() + i * sizeof(T), sizeof(T));  // the map may be unaligned
      out[i] = float(v);
    }
  };
  switch (t.type) {
    case dtype::f64: convert(double{}); break;
    case dtype::f32: convert(float{}); break;
    case dtype::f16: convert(f16{}); break;
    case dtype::bf16: convert(bf16{}); break;
    default: detail::fail_tensor("io.9", t.file, t.name, std::string("expected the dtype F64, F32, F16 or BF16, found ") + name_of(t.type));
  }
  return out;
}

}  // namespace smalti
#endif
