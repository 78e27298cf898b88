#pragma once
// Little-endian records in memory, written and read back with every length checked, and CRC-32C (Castagnoli; RFC 3720, B.4).

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include "../core/config.hpp"
#include "../core/error.hpp"

namespace smalti {

static_assert(std::endian::native == std::endian::little, "index.1: index files are little-endian, and so must the machine be");

/// The checksum of more bytes after those that gave `before` (0: none). crc32c("123456789") is 0xe3069283. It finds every
/// damage confined to 32 neighbouring bits; it is no defence against a file made on purpose: contents are checked as well.
uint32_t crc32c(std::span<std::byte const> bytes, uint32_t before = 0);
inline uint32_t crc32c(std::string_view bytes, uint32_t before = 0) { return crc32c(std::as_bytes(std::span(bytes)), before); }

/// Appends numbers and strings to a string of bytes.
struct byte_writer {
  std::string bytes;
  template <class T>
    requires std::is_arithmetic_v<T>
  void put(T v) { bytes.append(reinterpret_cast<char const*>(&v), sizeof v); }
  void put(std::string_view s) { put(uint64_t(s.size())), bytes.append(s); }
  template <class T>
  void put_all(std::span<T const> all) { put(uint64_t(all.size())), bytes.append(reinterpret_cast<char const*>(all.data()), all.size_bytes()); }
};

/// Takes them out again. Every refusal names the file and the section. Errors: index.5.
class byte_reader {
 public:
  byte_reader(std::span<std::byte const> bytes, std::string file, std::string section) : bytes_(bytes), file_(std::move(file)), section_(std::move(section)) {}

  template <class T>
  T get() {
    T v;
    std::memcpy(&v, take(sizeof v).data(), sizeof v);
    return v;
  }
  std::string text();
  template <class Vector>
  Vector all() {
    using T = typename Vector::value_type;
    auto const part = take(count(sizeof(T)) * sizeof(T));
    Vector v(part.size() / sizeof(T));
    if (!v.empty()) std::memcpy(v.data(), part.data(), part.size());
    return v;
  }
  /// A number of things that take at least `each` bytes: no more than the bytes left can hold, so it is safe to reserve for.
  std::size_t count(std::size_t each);
  void finish() const {
    if (!bytes_.empty()) refuse("the end", "no more bytes", std::to_string(bytes_.size()));
  }
  [[noreturn]] void refuse(std::string const& what, std::string const& expected, std::string const& found) const;

 private:
  std::span<std::byte const> take(uint64_t n);
  std::span<std::byte const> bytes_;
  std::string file_, section_;
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
  #include <array>

namespace smalti {

namespace detail {
// Eight tables, so that eight bytes take one step (Kounavis & Berry 2008): 1.5 GB/s, and no instruction set is asked for.
constexpr std::array<std::array<uint32_t, 256>, 8> crc32c_tables() {
  std::array<std::array<uint32_t, 256>, 8> t{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
    t[0][i] = c;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t i = 0; i < 256; ++i) t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 255];
  return t;
}
inline constexpr auto crc32c_table = crc32c_tables();
}  // namespace detail

SMALTI_INLINE uint32_t crc32c(std::span<std::byte const> bytes, uint32_t before) {
  auto const& t = detail::crc32c_table;
  uint32_t c = ~before;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t w;
    std::memcpy(&w, bytes.data() + i, 8);
    w ^= c;
    c = t[7][w & 255] ^ t[6][w >> 8 & 255] ^ t[5][w >> 16 & 255] ^ t[4][w >> 24 & 255] ^ t[3][w >> 32 & 255] ^ t[2][w >> 40 & 255] ^ t[1][w >> 48 & 255] ^ t[0][w >> 56];
  }
  for (; i < bytes.size(); ++i) c = c >> 8 ^ t[0][(c ^ uint32_t(bytes[i])) & 255];
  return ~c;
}

SMALTI_INLINE std::string byte_reader::text() {
  auto const part = take(get<uint64_t>());
  return {reinterpret_cast<char const*>(part.data()), part.size()};
}

SMALTI_INLINE std::size_t byte_reader::count(std::size_t each) {
  auto const n = get<uint64_t>();
  if (n > bytes_.size() / each) refuse("a count", "at most " + std::to_string(bytes_.size() / each), std::to_string(n));
  return std::size_t(n);
}

SMALTI_INLINE void byte_reader::refuse(std::string const& what, std::string const& expected, std::string const& found) const {
  throw error("index.5", file_ + ": section \"" + section_ + "\": " + what + ": expected " + expected + ", found " + found);
}

SMALTI_INLINE std::span<std::byte const> byte_reader::take(uint64_t n) {
  if (n > bytes_.size()) refuse("a record", std::to_string(n) + " bytes", std::to_string(bytes_.size()));
  auto const part = bytes_.first(std::size_t(n));
  bytes_ = bytes_.subspan(std::size_t(n));
  return part;
}

}  // namespace smalti
#endif
