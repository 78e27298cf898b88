#pragma once
// Text as the words that a search compares: Unicode letters, digits and marks (UAX #44 categories L, M, N), NFKC and case folded
// (UAX #15), English plurals reduced by the S-stemmer (Harman 1991, "How effective is suffixing?").

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include "../core/config.hpp"

namespace smalti {

/// What counts as the same word, and which words count.
struct word_options {
  bool plurals = true;     ///< "cats" is "cat", "bodies" is "body"
  bool stop_words = true;  ///< leave out the commonest English function words
};

namespace detail {
/// NFKC and case folded; ill-formed UTF-8 only in ASCII letters.
std::string folded(std::string_view word);
}  // namespace detail

/// Calls f(word, begin, end) for every word that counts: its compared form, and the bytes [begin, end) of the text it stands for.
/// Bytes that are not UTF-8 separate words.
void for_each_word(std::string_view text, word_options const& options, std::function<void(std::string_view word, std::size_t begin, std::size_t end)> const& f);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RETRIEVAL)
  #include <cstdlib>
  #include <memory>
  #include <unordered_set>
  #include <utf8proc.h>

namespace smalti {

namespace detail {
inline bool is_word_character(utf8proc_int32_t c) {
  auto const category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;  // letters, marks, numbers lie side by side
}
/// Han, kana: written without spaces, so every character is a word by itself.
inline bool stands_alone(utf8proc_int32_t c) {
  return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff);
}
inline bool is_stop_word(std::string_view w) {
  static std::unordered_set<std::string_view> const all{
      "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does", "for", "from", "had", "has", "have",
      "how", "i", "if", "in", "into", "is", "it", "its", "me", "my", "of", "on", "or", "s", "should", "so", "t", "than", "that", "the", "their",
      "them", "then", "there", "these", "they", "this", "to", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with",
      "would", "you", "your"};
  return all.contains(w);
}
inline bool ends_in(std::string const& w, std::string_view end) { return w.size() > end.size() + 1 && w.ends_with(end); }
/// Harman's three rules; the first whose ending matches decides, also where its exception holds it back.
inline void reduce_plural(std::string& w) {
  if (w.ends_with("ies")) {
    if (ends_in(w, "ies") && !w.ends_with("eies") && !w.ends_with("aies")) w.replace(w.size() - 3, 3, "y");
  } else if (w.ends_with("es")) {
    if (ends_in(w, "es") && !w.ends_with("aes") && !w.ends_with("ees") && !w.ends_with("oes")) w.pop_back();
  } else if (ends_in(w, "s") && !w.ends_with("us") && !w.ends_with("ss"))
    w.pop_back();
}
SMALTI_INLINE std::string folded(std::string_view word) {
  std::string out(word);
  bool ascii = true;
  for (char& c : out) ascii &= static_cast<unsigned char>(c) < 128, c = c >= 'A' && c <= 'Z' ? char(c + 32) : c;
  if (ascii) return out;
  constexpr auto how = utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
  utf8proc_uint8_t* made = nullptr;
  auto const n = utf8proc_map(reinterpret_cast<utf8proc_uint8_t const*>(word.data()), utf8proc_ssize_t(word.size()), &made, how);
  std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> const owned(made, &std::free);
  return n < 0 ? out : std::string(reinterpret_cast<char const*>(made), std::size_t(n));
}
}  // namespace detail

SMALTI_INLINE void for_each_word(std::string_view text, word_options const& options, std::function<void(std::string_view word, std::size_t begin, std::size_t end)> const& f) {
  auto emit = [&](std::size_t begin, std::size_t end) {
    if (begin == end) return;
    std::string word = detail::folded(text.substr(begin, end - begin));
    if (options.stop_words && detail::is_stop_word(word)) return;
    if (options.plurals) detail::reduce_plural(word);
    f(std::string_view(word), begin, end);
  };
  std::size_t begin = 0, at = 0;
  while (at < text.size()) {
    auto const byte = static_cast<unsigned char>(text[at]);
    bool part;
    bool alone = false;
    std::size_t width = 1;
    if (byte < 128) part = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    else {
      utf8proc_int32_t c;
      auto const n = utf8proc_iterate(reinterpret_cast<utf8proc_uint8_t const*>(text.data() + at), utf8proc_ssize_t(text.size() - at), &c);
      if (n > 0) width = std::size_t(n);
      part = n > 0 && detail::is_word_character(c), alone = part && detail::stands_alone(c);
    }
    if (!part || alone) {
      emit(begin, at);
      if (alone) emit(at, at + width);
      begin = at + width;
    }
    at += width;
  }
  emit(begin, text.size());
}

}  // namespace smalti
#endif
