#pragma once
// UTF-8 and the Unicode properties that tokenizers ask for (The Unicode Standard 15, ch. 3.9 and UAX #44; data by utf8proc).

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include "../core/config.hpp"

namespace smalti::unicode {

struct decoded {
  char32_t code;
  int bytes;          ///< consumed, at least 1
  bool valid = true;  ///< false: the bytes are an ill-formed piece, to be shown as one U+FFFD
};

/// The code point at the start of a non-empty text. An ill-formed sequence takes its maximal subpart (Unicode 3.9, table 3-8): what
/// Rust's from_utf8_lossy and Python's errors="replace" do.
decoded decode(std::string_view s);

/// Adds a code point as UTF-8.
void append(std::string& to, char32_t c);

/// Calls f(code point, byte offset, bytes) for each of a text; ill-formed pieces arrive as U+FFFD.
template <class F>
void for_each(std::string_view s, F&& f) {
  for (std::size_t i = 0; i < s.size();) {
    auto const d = decode(s.substr(i));
    f(d.code, i, std::size_t(d.bytes));
    i += std::size_t(d.bytes);
  }
}

bool is_valid(std::string_view s);

bool is_ascii(std::string_view s);

/// Ill-formed pieces become U+FFFD.
std::string lossy(std::string_view s);

/// Code points of valid UTF-8.
std::size_t count(std::string_view s);

/// The property White_Space.
constexpr bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_nonspacing_mark(char32_t c);  ///< Mn
bool is_mark(char32_t c);             ///< M*
bool is_combining_mark(char32_t c);   ///< M*, as the reference library sees them
bool is_letter(char32_t c);           ///< L*
bool is_number(char32_t c);           ///< N*
bool is_control(char32_t c);          ///< Cc, Cf, Co

/// ASCII's punctuation and symbols, and the categories P*: what BERT calls punctuation.
bool is_punctuation(char32_t c);

/// Alphabetic, marks, decimal digits, connectors, joiners (UTS #18, annex C: \w).
bool is_word(char32_t c);

enum class form { nfc, nfd, nfkc, nfkd };

/// Normalisation forms (UAX #15) of valid UTF-8.
std::string normalised(std::string_view s, form f);

/// Character by character, without context (a final Σ becomes σ), as tokenizers do.
void append_lowercase(std::string& to, char32_t c);

}  // namespace smalti::unicode

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_TEXT)
  #include <cstdlib>
  #include <utf8proc.h>
  #include "unicode_age.hpp"

namespace smalti::unicode {

SMALTI_INLINE decoded decode(std::string_view s) {
  auto const byte = [&](std::size_t i) { return i < s.size() ? uint8_t(s[i]) : 0u; };
  unsigned const b = byte(0);
  if (b < 0x80) return {b, 1};
  int const length = b >= 0xc2 && b <= 0xdf ? 2 : (b & 0xf0) == 0xe0 ? 3 : b >= 0xf0 && b <= 0xf4 ? 4 : 0;
  if (!length) return {0xfffd, 1, false};
  // The second byte excludes overlong forms, surrogates, and what lies beyond U+10FFFF.
  unsigned const low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80, high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return {0xfffd, 1, false};
  char32_t code = (b & (0xff >> (length + 1))) << 6 | (byte(1) & 0x3f);
  for (int i = 2; i < length; ++i) {
    if ((byte(std::size_t(i)) & 0xc0) != 0x80) return {0xfffd, i, false};
    code = code << 6 | (byte(std::size_t(i)) & 0x3f);
  }
  return {code, length};
}

SMALTI_INLINE void append(std::string& to, char32_t c) {
  if (c < 0x80) to += char(c);
  else if (c < 0x800) to += {char(0xc0 | c >> 6), char(0x80 | (c & 0x3f))};
  else if (c < 0x10000) to += {char(0xe0 | c >> 12), char(0x80 | (c >> 6 & 0x3f)), char(0x80 | (c & 0x3f))};
  else to += {char(0xf0 | c >> 18), char(0x80 | (c >> 12 & 0x3f)), char(0x80 | (c >> 6 & 0x3f)), char(0x80 | (c & 0x3f))};
}

SMALTI_INLINE bool is_valid(std::string_view s) {
  for (std::size_t i = 0; i < s.size();) {
    auto const d = decode(s.substr(i));
    if (!d.valid) return false;
    i += std::size_t(d.bytes);
  }
  return true;
}

SMALTI_INLINE bool is_ascii(std::string_view s) {
  for (char c : s)
    if (uint8_t(c) >= 0x80) return false;
  return true;
}

SMALTI_INLINE std::string lossy(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for_each(s, [&](char32_t c, std::size_t, std::size_t) { append(out, c); });
  return out;
}

SMALTI_INLINE std::size_t count(std::string_view s) {
  std::size_t n = 0;
  for (char c : s) n += (uint8_t(c) & 0xc0) != 0x80;
  return n;
}

inline utf8proc_category_t category(char32_t c) { return utf8proc_category(utf8proc_int32_t(c)); }
// The four with `holds` are as the reference library sees them, see unicode_age.hpp.
SMALTI_INLINE bool is_nonspacing_mark(char32_t c) { return (category(c) == UTF8PROC_CATEGORY_MN) != holds(other_nonspacing, c); }
SMALTI_INLINE bool is_mark(char32_t c) { return category(c) >= UTF8PROC_CATEGORY_MN && category(c) <= UTF8PROC_CATEGORY_ME; }
SMALTI_INLINE bool is_combining_mark(char32_t c) { return is_mark(c) != holds(other_marks, c); }
SMALTI_INLINE bool is_letter(char32_t c) { return category(c) >= UTF8PROC_CATEGORY_LU && category(c) <= UTF8PROC_CATEGORY_LO; }
SMALTI_INLINE bool is_number(char32_t c) { return category(c) >= UTF8PROC_CATEGORY_ND && category(c) <= UTF8PROC_CATEGORY_NO; }
SMALTI_INLINE bool is_control(char32_t c) { return (category(c) >= UTF8PROC_CATEGORY_CC) != holds(other_controls, c); }

SMALTI_INLINE bool is_punctuation(char32_t c) {
  if (c < 0x80) return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
  return (category(c) >= UTF8PROC_CATEGORY_PC && category(c) <= UTF8PROC_CATEGORY_PO) != holds(other_punctuation, c);
}

SMALTI_INLINE bool is_word(char32_t c) {
  auto const k = category(c);
  return is_letter(c) || is_mark(c) || k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_PC ||
         c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
         (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

SMALTI_INLINE std::string normalised(std::string_view s, form f) {
  if (is_ascii(s)) return std::string(s);
  int options = UTF8PROC_STABLE | (f == form::nfc || f == form::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
  if (f == form::nfkc || f == form::nfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* out = nullptr;
  auto const n = utf8proc_map(reinterpret_cast<utf8proc_uint8_t const*>(s.data()), utf8proc_ssize_t(s.size()), &out, utf8proc_option_t(options));
  std::string result = n < 0 ? std::string(s) : std::string(reinterpret_cast<char const*>(out), std::size_t(n));
  return std::free(out), result;
}

SMALTI_INLINE void append_lowercase(std::string& to, char32_t c) {
  if (c == 0x130) to += "i\xcc\x87";  // İ is the one character whose lower case is two
  else append(to, char32_t(utf8proc_tolower(utf8proc_int32_t(c))));
}

}  // namespace smalti::unicode
#endif
