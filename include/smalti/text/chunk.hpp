#pragma once
// Documents cut into overlapping chunks at sentences, with their places: what retrieval indexes and citations point at.

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>
#include "../core/config.hpp"

namespace smalti {

/// A part of a text, in bytes; never cuts a character, begins and ends with visible ones.
struct chunk {
  std::size_t begin, end;
  friend bool operator==(chunk const&, chunk const&) = default;
};

struct chunk_options {
  int limit = 200;   ///< size of a chunk at most, in the unit that `count` counts
  int overlap = 40;  ///< of the chunk before, repeated at most: whole sentences only
  std::function<int(std::string_view)> count = {};  ///< e.g. tokens; empty: words
};

namespace detail {
int count_words(std::string_view text);
}  // namespace detail

/// Sentences, headings, list items and fenced code blocks, in order; spaces between them belong to none.
std::vector<chunk> split_sentences(std::string_view text);

/// Chunks in order, at sentences where these fit the limit. A heading is not left at the end of a chunk. Each chunk repeats at most
/// `overlap` of the one before and holds something new. Errors: text.6 (a limit below 1, an overlap not below the limit).
std::vector<chunk> split(std::string_view text, chunk_options o = {});

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_TEXT)
  #include <algorithm>
  #include <string>
  #include "../core/error.hpp"
  #include "unicode.hpp"

namespace smalti {

namespace detail {
SMALTI_INLINE int count_words(std::string_view text) {
  int words = 0;
  bool inside = false;
  for (char c : text) {
    bool const space = c == ' ' || (c >= 9 && c <= 13);
    words += !space && !inside, inside = !space;
  }
  return words;
}

/// Walks over a text and finds where units that belong together end: sentences, headings, list items, fenced code.
class sentence_finder {
 public:
  explicit sentence_finder(std::string_view text) : text_(text) {}

  std::vector<chunk> run() {
    for (std::size_t at = 0; at < text_.size();) {
      auto const line_end = std::min(text_.find('\n', at), text_.size());
      auto const line = text_.substr(at, line_end - at);
      if (auto const mark = fence_of(line); !mark.empty()) {
        close(at);
        at = end_of_fence(line_end, mark);
        close(at);
        continue;
      }
      if (blank(line) || stands_alone(line)) close(at);
      sentences(at, line_end);
      at = std::min(line_end + 1, text_.size());
      if (blank(line) || heading(line)) close(at);
    }
    close(text_.size());
    return std::move(found_);
  }

 private:
  static bool blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }
  static bool heading(std::string_view line) {
    auto const level = line.find_first_not_of('#');
    return level != std::string_view::npos && level >= 1 && level <= 6 && line[level] == ' ';
  }
  // Headings, list items, quotations and rows of tables begin a unit even without a blank line before them.
  static bool stands_alone(std::string_view line) {
    auto const first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos) return false;
    line.remove_prefix(first);
    if (heading(line) || line[0] == '|' || line[0] == '>') return true;
    if (line.size() > 1 && (line[0] == '-' || line[0] == '*' || line[0] == '+') && line[1] == ' ') return true;
    auto const digits = line.find_first_not_of("0123456789");
    return digits >= 1 && digits <= 3 && digits + 1 < line.size() && (line[digits] == '.' || line[digits] == ')') && line[digits + 1] == ' ';
  }
  static std::string_view fence_of(std::string_view line) {
    auto const first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos || (line[first] != '`' && line[first] != '~')) return {};
    auto const length = std::min(line.find_first_not_of(line[first], first), line.size()) - first;
    return length >= 3 ? line.substr(first, length) : std::string_view();
  }
  std::size_t end_of_fence(std::size_t at, std::string_view mark) const {
    while (at < text_.size()) {
      auto const begin = at + 1, end = std::min(text_.find('\n', begin), text_.size());
      if (begin > text_.size()) break;
      if (fence_of(text_.substr(begin, end - begin)).starts_with(mark)) return end;
      at = end;
    }
    return text_.size();
  }

  // A stop ends a sentence when space follows, unless an abbreviation, an initial or a number stands before it, or the text
  // goes on in lower case. Chinese, Japanese and Hindi stops need no space.
  void sentences(std::size_t at, std::size_t end) {
    while (at < end) {
      auto const d = unicode::decode(text_.substr(at));
      auto next = at + std::size_t(d.bytes);
      bool const wide = d.code == 0x3002 || d.code == 0xff01 || d.code == 0xff1f || d.code == 0x0964;
      bool const stop = d.code == '.' || d.code == '!' || d.code == '?' || d.code == 0x2026 || d.code == 0x061f;
      if (wide || stop) {
        while (next < end && closes(text_.substr(next))) next += std::size_t(unicode::decode(text_.substr(next)).bytes);
        if (wide || next == end || (unicode::is_space(unicode::decode(text_.substr(next)).code) && !goes_on(at, next, end, d.code))) close(next);
      }
      at = next;
    }
  }
  // Further stops, quotation marks and brackets belong to the sentence they end.
  static bool closes(std::string_view s) {
    auto const c = unicode::decode(s).code;
    return c == '.' || c == '!' || c == '?' || c == '"' || c == '\'' || c == ')' || c == ']' || c == '*' || c == 0x201d || c == 0x2019 || c == 0xbb || c == 0x300d;
  }
  bool goes_on(std::size_t stop, std::size_t next, std::size_t end, char32_t code) const {
    auto const after = text_.find_first_not_of(" \t", next);
    if (after == std::string_view::npos || after >= end) return false;
    auto const c = unicode::decode(text_.substr(after)).code;
    if (unicode::category(c) == UTF8PROC_CATEGORY_LL) return true;
    if (code != '.' || next != stop + 1) return false;
    std::size_t begin = stop;
    while (begin > 0 && !(text_[begin - 1] == ' ' || (text_[begin - 1] >= 9 && text_[begin - 1] <= 13) || text_[begin - 1] == '(')) --begin;
    auto const word = text_.substr(begin, stop - begin);
    if (word.size() == 1 && unicode::is_letter(uint8_t(word[0])) && word != "I") return true;  // an initial
    for (auto known : {"Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Jr", "Sr", "Inc", "Ltd", "Co", "Corp", "vs", "etc", "e.g", "i.e", "cf", "al", "No", "no", "Nos", "Fig",
                       "fig", "Eq", "eq", "Sec", "sec", "Ch", "ch", "Vol", "vol", "pp", "p", "approx", "est", "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug",
                       "Sep", "Sept", "Oct", "Nov", "Dec", "U.S", "a.m", "p.m", "z.B", "bzw", "usw", "ca"})
      if (word == known) return unicode::category(c) != UTF8PROC_CATEGORY_LU || (word != "etc" && word != "a.m" && word != "p.m" && word != "usw");
    return false;
  }

  // Ends the unit that began after the last; spaces at its edges belong to none.
  void close(std::size_t at) {
    auto begin = begin_, end = at;
    begin_ = at;
    while (begin < end && is_edge(begin)) begin += std::size_t(unicode::decode(text_.substr(begin)).bytes);
    while (end > begin && (text_[end - 1] == ' ' || (text_[end - 1] >= 9 && text_[end - 1] <= 13))) --end;
    if (begin < end) found_.push_back({begin, end});
  }
  bool is_edge(std::size_t at) const { return unicode::is_space(unicode::decode(text_.substr(at)).code); }

  std::string_view text_;
  std::vector<chunk> found_;
  std::size_t begin_ = 0;
};

/// Cuts a unit larger than the limit: at lines where that helps, else at words, and a word larger than the limit between characters.
inline void cut(std::string_view text, chunk c, chunk_options const& o, std::vector<chunk>& out) {
  auto const size = [&](std::size_t b, std::size_t e) { return o.count(text.substr(b, e - b)); };
  while (c.begin < c.end) {
    if (size(c.begin, c.end) <= o.limit) return out.push_back(c);
    // The largest head that fits, found by halving: sizes grow with the text.
    std::size_t low = c.begin, high = c.end;
    while (high - low > 1) {
      auto const middle = low + (high - low) / 2;
      (size(c.begin, middle) <= o.limit ? low : high) = middle;
    }
    auto const after = [&](std::string_view marks) {
      auto const at = text.substr(c.begin, low + 1 - c.begin).find_last_of(marks);
      return at == std::string_view::npos ? c.begin : c.begin + at;
    };
    auto end = after("\n");
    if (end <= c.begin + (low - c.begin) / 2) end = after(" \t\n");
    if (end <= c.begin) {
      end = low;
      while (end > c.begin && (uint8_t(text[end]) & 0xc0) == 0x80) --end;
      if (end <= c.begin) end = c.begin + std::size_t(unicode::decode(text.substr(c.begin)).bytes);  // a single character counts more than the limit
    }
    auto stop = end;
    while (stop > c.begin && (text[stop - 1] == ' ' || (text[stop - 1] >= 9 && text[stop - 1] <= 13))) --stop;
    if (stop > c.begin) out.push_back({c.begin, stop});
    c.begin = end;
    while (c.begin < c.end && unicode::is_space(unicode::decode(text.substr(c.begin)).code)) c.begin += std::size_t(unicode::decode(text.substr(c.begin)).bytes);
  }
}
}  // namespace detail

SMALTI_INLINE std::vector<chunk> split_sentences(std::string_view text) { return detail::sentence_finder(text).run(); }

SMALTI_INLINE std::vector<chunk> split(std::string_view text, chunk_options o) {
  if (o.limit < 1 || o.overlap < 0 || o.overlap >= o.limit)
    throw error("text.6", "chunks: expected a limit of at least 1 and an overlap of 0 … limit − 1, found " + std::to_string(o.limit) + " and " + std::to_string(o.overlap));
  if (!o.count) o.count = detail::count_words;
  std::vector<chunk> units;
  for (auto const& s : split_sentences(text)) detail::cut(text, s, o, units);
  auto const size = [&](std::size_t first, std::size_t last) { return o.count(text.substr(units[first].begin, units[last].end - units[first].begin)); };
  auto const is_heading = [&](std::size_t i) { return text[units[i].begin] == '#'; };
  std::vector<chunk> all;
  for (std::size_t first = 0, fresh = 0; fresh < units.size();) {  // units first … fresh − 1 are repeated
    std::size_t last = fresh;
    while (last + 1 < units.size() && size(first, last + 1) <= o.limit) ++last;
    if (last + 1 < units.size())
      while (last > fresh && is_heading(last)) --last;  // it belongs to what follows
    all.push_back({units[first].begin, units[last].end});
    fresh = last + 1;
    if (fresh == units.size()) break;
    first = fresh;
    // As many whole units of overlap as fit, and as leave room for the next one.
    while (first > 0 && units[first - 1].begin > all.back().begin && size(first - 1, last) <= o.overlap && size(first - 1, fresh) <= o.limit) --first;
  }
  return all;
}

}  // namespace smalti
#endif
