#pragma once
// Split patterns of tokenizer files on PCRE2. They are written for Oniguruma, and Llama's need look-ahead, which rules out engines
// without backtracking.

#ifndef PCRE2_CODE_UNIT_WIDTH  // pcre2.h asks for it; a program that has chosen keeps its choice
  #define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <algorithm>
#include <functional>
#include <memory>
#include <vector>
#include <pcre2.h>
#include "../io/json.hpp"
#include "unicode.hpp"

namespace smalti {

struct span_of_text {
  std::size_t begin, end;  ///< bytes
  bool match;              ///< found by the pattern, or between two finds
};

namespace detail {
// Oniguruma and PCRE2 disagree on three things that split patterns use: \s (PCRE2 adds U+180E), \w (PCRE2 leaves out marks), \h.
// Nested classes and && would be read as plain characters: refused.
inline std::string for_pcre2(std::string_view pattern, std::string const& where) {
  constexpr auto spaces = R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
  constexpr auto words = R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9})";
  std::string out;
  bool in_class = false;
  auto const add = [&](char const* members, bool negated) {
    if (in_class) out += members;
    else out.append(negated ? "[^" : "[").append(members).append("]");
  };
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    char const c = pattern[i], next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    if (c == '\\' && next) {
      ++i;
      if (next == 's' || (next == 'S' && !in_class)) add(spaces, next == 'S');
      else if (next == 'w' || (next == 'W' && !in_class)) add(words, next == 'W');
      else if (next == 'h' || (next == 'H' && !in_class)) add("0-9a-fA-F", next == 'H');
      else out += c, out += next;
      continue;
    }
    if (in_class && ((c == '&' && next == '&') || (c == '[' && next != ':')))
      throw error("text.2", where + ": expected a pattern without nested classes or &&, found \"" + std::string(pattern) + "\"");
    if (in_class && c == '[') {  // [:name:]
      auto const end = std::min(pattern.find(":]", i), pattern.size() - 2);
      out += pattern.substr(i, end + 2 - i), i = end + 1;
      continue;
    }
    if (!in_class && c == '[') {
      in_class = true, out += c;
      if (next == '^') out += next, ++i;
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += "\\]", ++i;  // ] right after the bracket is a member
      continue;
    }
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}
}  // namespace detail

/// A compiled pattern; shared by copies, used from any number of threads.
class regex {
 public:
  /// `where` stands in messages. Errors: text.2 (not a pattern, or one that means something else here).
  regex(std::string_view pattern, std::string const& where) : where_(where) {
    auto const text = detail::for_pcre2(pattern, where);
    int code = 0;
    PCRE2_SIZE at = 0;
    std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context.get(), 100);
    // ^ and $ mean lines as in Oniguruma, and \C would cut characters.
    auto const options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), options, &code, &at, context.get()), [](pcre2_code* compiled) { pcre2_code_free(compiled); });
    if (!code_) throw error("text.2", where + ": expected a regular expression, found \"" + std::string(pattern) + "\": " + message(code));
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where it cannot, the interpreter is used
  }

  /// The text (valid UTF-8) as an unbroken row of finds and what is between them; an empty find may appear. Errors: text.5 (the
  /// pattern backtracks without end on this text).
  std::vector<span_of_text> split(std::string_view text) const {
    if (text.empty()) return {{0, 0, false}};
    std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> found(pcre2_match_data_create_from_pattern(code_.get(), nullptr), &pcre2_match_data_free);
    std::vector<span_of_text> all;
    std::size_t from = 0, end = 0;  // where to search, and how far the row reaches
    bool any = false;
    while (from <= text.size()) {
      int const n = match(text, from, found.get());
      if (n == PCRE2_ERROR_NOMATCH) break;
      if (n < 0) throw error("text.5", where_ + ": the pattern could not be matched on a text of " + std::to_string(text.size()) + " bytes: " + message(n));
      auto const* at = pcre2_get_ovector_pointer(found.get());
      std::size_t const begin = at[0], stop = at[1];
      if (stop < begin || begin < end) break;  // \K can do this
      if (begin == stop && any && begin == end) {  // an empty find right behind the last one would never end
        from = begin < text.size() ? begin + std::size_t(unicode::decode(text.substr(begin)).bytes) : text.size() + 1;
        continue;
      }
      if (begin > end) all.push_back({end, begin, false});
      all.push_back({begin, stop, true});
      any = true, end = stop;
      from = begin == stop ? (begin < text.size() ? begin + std::size_t(unicode::decode(text.substr(begin)).bytes) : text.size() + 1) : stop;
    }
    if (end < text.size()) all.push_back({end, text.size(), false});
    return all;
  }

 private:
  int match(std::string_view text, std::size_t from, pcre2_match_data* found) const {
    auto const at = reinterpret_cast<PCRE2_SPTR>(text.data());
    int const n = pcre2_match(code_.get(), at, text.size(), from, PCRE2_NO_UTF_CHECK, found, nullptr);
    if (n != PCRE2_ERROR_JIT_STACKLIMIT) return n;
    return pcre2_match(code_.get(), at, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, found, nullptr);
  }
  static std::string message(int code) {
    PCRE2_UCHAR text[256];
    pcre2_get_error_message(code, text, sizeof text);
    return reinterpret_cast<char const*>(text);
  }

  std::shared_ptr<pcre2_code> code_;
  std::string where_;
};

namespace detail {
/// Every occurrence of a string, as regex::split would give it.
inline std::vector<span_of_text> split_at_string(std::string_view text, std::string_view what) {
  if (text.empty()) return {{0, 0, false}};
  std::vector<span_of_text> all;
  std::size_t end = 0;
  if (!what.empty())
    for (std::size_t at; (at = text.find(what, end)) != std::string_view::npos; end = at + what.size()) {
      if (at > end) all.push_back({end, at, false});
      all.push_back({at, at + what.size(), true});
    }
  if (end < text.size()) all.push_back({end, text.size(), false});
  return all;
}

/// Every single character that satisfies a predicate.
template <class Predicate>
std::vector<span_of_text> split_at_characters(std::string_view text, Predicate is) {
  std::vector<span_of_text> all;
  std::size_t end = 0;
  unicode::for_each(text, [&](char32_t c, std::size_t at, std::size_t bytes) {
    if (!is(c)) return;
    if (at > end) all.push_back({end, at, false});
    all.push_back({at, at + bytes, true}), end = at + bytes;
  });
  if (end < text.size()) all.push_back({end, text.size(), false});
  return all;
}

using splitter = std::function<std::vector<span_of_text>(std::string_view)>;

/// {"String": s} or {"Regex": r}, the form in which components of a tokenizer file name a pattern.
inline splitter parse_pattern(json const& component, std::string const& where) {
  auto const pattern = field<json>(component, where, "pattern");
  if (pattern.is_object() && pattern.contains("String"))
    return [s = field<std::string>(pattern, where, "String")](std::string_view text) { return split_at_string(text, s); };
  return [r = regex(field<std::string>(pattern, where, "Regex"), where)](std::string_view text) { return r.split(text); };
}
}  // namespace detail

}  // namespace smalti
