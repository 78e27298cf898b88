#pragma once
// Numbers with their units, read from running text: "$11,556.59", "8.4 %", "2.71 years", "−30k", "USD 600 million".

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evaluation {

/// What a unit measures, and how many of its dimension's base unit it is. An empty dimension: none was stated.
struct unit {
  std::string dimension = {};
  double factor = 1;
};
struct quantity {
  double value = 0;     ///< in the base unit where a dimension or a multiplier is stated, else as written
  std::string dimension = {};
  bool scaled = false;  ///< a multiplier ("million", "k") was stated
};

namespace detail {
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
inline std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = char(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return out;
}
inline std::optional<double> multiplier(std::string const& word) {
  static constexpr struct { char const* name; double value; } all[] = {
      {"k", 1e3}, {"thousand", 1e3}, {"m", 1e6}, {"mn", 1e6}, {"million", 1e6}, {"millions", 1e6}, {"bn", 1e9}, {"billion", 1e9}, {"billions", 1e9}, {"trillion", 1e12}};
  for (auto const& m : all)
    if (word == m.name) return m.value;
  return std::nullopt;
}
/// The word that begins at `at`, letters only.
inline std::string_view word_at(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && is_letter(text[end])) ++end;
  return text.substr(at, end - at);
}
}  // namespace detail

/// A unit by its name; nothing for a word that is none. Singular and plural, names and symbols.
inline std::optional<unit> unit_named(std::string_view name) {
  static constexpr struct { char const* names; char const* dimension; double factor; } all[] = {
      {" $ usd dollar dollars ", "money", 1}, {" % percent pct ", "percent", 1}, {" bp bps ", "percent", 0.01},
      {" ratio times x ", "ratio", 1}, {" year years yr yrs ", "years", 1}, {" month months ", "years", 1. / 12},
      {" day days ", "seconds", 86400}, {" hour hours h ", "seconds", 3600}, {" minute minutes min ", "seconds", 60}, {" second seconds s sec ", "seconds", 1},
      {" millisecond milliseconds ms ", "seconds", 1e-3}, {" microsecond microseconds us ", "seconds", 1e-6},
      {" byte bytes ", "bytes", 1}, {" kb ", "bytes", 1e3}, {" kib ", "bytes", 1024}, {" mb ", "bytes", 1e6}, {" mib ", "bytes", 1048576},
      {" unit units ", "units", 1}, {" page pages ", "pages", 1}, {" call calls ", "calls", 1}, {" digit digits ", "digits", 1},
      {" result results ", "results", 1}, {" row rows ", "rows", 1}, {" share shares ", "shares", 1}};
  std::string const wanted = " " + detail::lower(name) + " ";
  if (name.empty() || name.find(' ') != std::string_view::npos) return std::nullopt;
  for (auto const& u : all)
    if (std::string_view(u.names).find(wanted) != std::string_view::npos) return unit{u.dimension, u.factor};
  return std::nullopt;
}

/// The unit of a reference: "USD", "million USD", "%"; an unknown word is a dimension of its own.
inline unit reference_unit(std::string const& name) {
  auto const space = name.find(' ');
  if (space != std::string::npos)
    if (auto const m = detail::multiplier(detail::lower(name.substr(0, space)))) {
      unit u = reference_unit(name.substr(space + 1));
      return u.factor *= *m, u;
    }
  if (auto const u = unit_named(name)) return *u;
  return {detail::lower(name), 1};
}

/// All numbers of a text, in order. Left out: digits inside names (CF_1, sha256), parts of versions (1.2.3), ordinals (4th).
inline std::vector<quantity> parse_quantities(std::string_view text) {
  using namespace detail;
  std::vector<quantity> all;
  auto const is_minus = [&](std::size_t end) -> std::size_t {  // bytes of a minus sign that ends at `end`
    if (end >= 1 && text[end - 1] == '-') return 1;
    return end >= 3 && text.substr(end - 3, 3) == "\xe2\x88\x92" ? 3 : 0;
  };
  for (std::size_t i = 0; i < text.size();) {
    if (!is_digit(text[i])) { ++i; continue; }
    std::size_t const begin = i;
    std::string digits;
    for (; i < text.size(); ++i) {  // 12,345 is one number; 1,2 and 1,2345 are two
      if (is_digit(text[i])) digits += text[i];
      else if (text[i] == ',' && i - begin <= 3 + 4 * (digits.size() / 3) && i + 3 < text.size() && is_digit(text[i + 1]) && is_digit(text[i + 2]) && is_digit(text[i + 3]) &&
               !(i + 4 < text.size() && is_digit(text[i + 4]))) continue;
      else break;
    }
    int dots = 0;
    while (i + 1 < text.size() && text[i] == '.' && is_digit(text[i + 1])) {
      digits += '.', ++dots, ++i;
      while (i < text.size() && is_digit(text[i])) digits += text[i++];
    }
    bool const named = begin > 0 && (is_letter(text[begin - 1]) || (text[begin - 1] == '.' && begin > 1 && is_letter(text[begin - 2])));
    // Exponents: 1e6, 2.5E-3.
    if (i + 1 < text.size() && (text[i] == 'e' || text[i] == 'E')) {
      std::size_t j = i + 1 + (text[i + 1] == '-' || text[i + 1] == '+');
      if (j < text.size() && is_digit(text[j])) {
        digits += 'e', digits += text.substr(i + 1, j - i - 1);
        while (j < text.size() && is_digit(text[j])) digits += text[j++];
        i = j;
      }
    }
    if (named || dots > 1) continue;
    quantity q{std::strtod(digits.c_str(), nullptr), {}, false};
    if (!std::isfinite(q.value)) continue;
    // Before it: a currency, and a minus on either side of it that is no dash of a range ("10-20").
    std::size_t front = begin;
    bool negative = false;
    if (auto const n = is_minus(front)) front -= n, negative = true;
    if (front > 0 && text[front - 1] == '$') --front, q.dimension = "money";
    else if (front >= 4 && lower(text.substr(front - 4, 4)) == "usd ") front -= 4, q.dimension = "money";
    if (!negative)
      if (auto const n = is_minus(front)) front -= n, negative = true;
    if (negative && front > 0 && (is_digit(text[front - 1]) || is_letter(text[front - 1]))) negative = false;
    if (negative) q.value = -q.value;
    // Behind it: letters that touch it, or one or two words.
    bool ordinal = false;
    for (int words = 0; words < 2 && i < text.size(); ++words) {
      std::size_t at = i;
      if (text[at] == ' ' || text[at] == '-') ++at;
      bool const touches = at == i;
      if (at < text.size() && text[at] == '%') {
        q.dimension = "percent", i = at + 1;
        break;
      }
      auto const word = word_at(text, at);
      if (word.empty()) break;
      auto const known = lower(word);
      if (auto const m = multiplier(known); m && !q.scaled && (touches || known.size() > 1)) { q.value *= *m, q.scaled = true, i = at + word.size(); continue; }
      auto const u = unit_named(known);
      if (u && (touches || known.size() > 1)) {
        if (q.dimension.empty()) q.value *= u->factor, q.dimension = u->dimension;
        i = at + word.size();
      } else {
        ordinal = touches && words == 0;
      }
      break;
    }
    if (!ordinal) all.push_back(q);
  }
  return all;
}

struct numeric_match {
  bool concluded = false;  ///< the last number of the answer that can be meant is the reference's
  bool held = false;       ///< some number of the answer is
};

/// Whether an answer gives a number: |found − reference| ≤ tolerance, in the reference's unit. Numbers that state that unit go before numbers
/// that state none; numbers of other units do not count (a ratio may be given in percent). Of several the last one decides, as in
/// Cobbe et al. 2021 (GSM8K, arXiv:2110.14168): an explanation ends with its result.
inline numeric_match match_number(std::string_view answer, double reference, double tolerance, std::string const& unit_name) {
  unit const wanted = reference_unit(unit_name);
  numeric_match stated, bare;
  bool any = false;
  for (auto const& q : parse_quantities(answer)) {
    bool const same = q.dimension == wanted.dimension, share = wanted.dimension == "ratio" && q.dimension == "percent";
    if (!same && !share && !q.dimension.empty()) continue;
    double const value = share ? q.value / 100 : same || q.scaled ? q.value / wanted.factor : q.value;
    bool const hit = std::fabs(value - reference) <= tolerance + 1e-9 * std::fabs(reference);
    auto& m = same || share ? stated : bare;
    any |= same || share;
    m = {hit, m.held || hit};
  }
  return any ? stated : bare;
}

}  // namespace evaluation
