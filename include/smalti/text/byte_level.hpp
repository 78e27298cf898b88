#pragma once
// Bytes written as printable characters, so that any text is a word over 256 letters (Radford et al. 2019, GPT-2): the printable
// Latin-1 characters stand for themselves, the other 68 bytes for U+0100 … U+0143.

#include <array>
#include <optional>
#include "unicode.hpp"

namespace smalti {

namespace detail {
constexpr bool stands_for_itself(int byte) { return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae; }

inline constexpr auto byte_letters = [] {
  std::array<char32_t, 256> letter{};
  char32_t next = 0x100;
  for (int b = 0; b < 256; ++b) letter[std::size_t(b)] = stands_for_itself(b) ? char32_t(b) : next++;
  return letter;
}();

inline constexpr auto bytes_of_letters = [] {
  std::array<int, 0x144> byte{};
  for (auto& b : byte) b = -1;
  for (int b = 0; b < 256; ++b) byte[byte_letters[std::size_t(b)]] = b;
  return byte;
}();
}  // namespace detail

inline std::string to_byte_level(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char b : bytes) unicode::append(out, detail::byte_letters[uint8_t(b)]);
  return out;
}

/// The bytes, or nothing when a character stands for none.
inline std::optional<std::string> from_byte_level(std::string_view letters) {
  std::string out;
  for (std::size_t i = 0; i < letters.size();) {
    auto const d = unicode::decode(letters.substr(i));
    if (d.code >= detail::bytes_of_letters.size() || detail::bytes_of_letters[d.code] < 0) return std::nullopt;
    out += char(detail::bytes_of_letters[d.code]), i += std::size_t(d.bytes);
  }
  return out;
}

}  // namespace smalti
