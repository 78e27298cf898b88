#pragma once
// The "pre_tokenizer" of a tokenizer file: normalised text to words, each of which the model encodes alone
// (huggingface/tokenizers, pre_tokenizers).

#include <algorithm>
#include "byte_level.hpp"
#include "regex.hpp"

namespace smalti {

/// Part of a text on its way to tokens.
struct piece {
  std::string text;
  bool first = false;  ///< begins where the text began
  int id = -1;         ///< already a token (an added one)
};

/// What becomes of a delimiter that a pattern finds.
enum class split_behaviour { isolated, removed, merged_with_previous, merged_with_next, contiguous };

namespace detail {
inline std::vector<span_of_text> arranged(std::vector<span_of_text> found, split_behaviour behaviour) {
  std::vector<span_of_text> out;
  bool previous = false;
  switch (behaviour) {
    case split_behaviour::isolated: return found;
    case split_behaviour::removed:
      std::erase_if(found, [](auto const& s) { return s.match; });
      return found;
    case split_behaviour::contiguous:
    case split_behaviour::merged_with_previous:
      for (auto const& s : found) {
        bool const joins = behaviour == split_behaviour::contiguous ? s.match == previous : s.match && !previous;
        if (joins && !out.empty()) out.back().end = s.end;
        else out.push_back(s);
        previous = s.match;
      }
      return out;
    case split_behaviour::merged_with_next:
      for (auto s = found.rbegin(); s != found.rend(); ++s) {
        if (s->match && !previous && !out.empty()) out.back().begin = s->begin;
        else out.push_back(*s);
        previous = s->match;
      }
      std::reverse(out.begin(), out.end());
      return out;
  }
  return out;
}

/// Replaces every piece that is no token yet by its parts; empty parts vanish.
inline void split_pieces(std::vector<piece>& pieces, splitter const& split, split_behaviour behaviour, bool invert = false) {
  std::vector<piece> out;
  out.reserve(pieces.size());
  for (auto& p : pieces) {
    if (p.id >= 0) {
      out.push_back(std::move(p));
      continue;
    }
    auto found = split(p.text);
    if (invert)
      for (auto& s : found) s.match = !s.match;
    for (auto const& s : arranged(std::move(found), behaviour))
      if (s.end > s.begin) out.push_back({p.text.substr(s.begin, s.end - s.begin), p.first && s.begin == 0});
  }
  pieces = std::move(out);
}

inline split_behaviour parse_behaviour(json const& j, std::string const& where) {
  auto const name = field<std::string>(j, where, "behavior");
  constexpr char const* names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  for (int i = 0; i < 5; ++i)
    if (name == names[i]) return split_behaviour(i);
  throw error("text.1", where + ": behavior: expected Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous, found \"" + name + "\"");
}

/// When a metaspace (▁) or a space is put before a piece.
enum class prepending { first, never, always };

inline prepending parse_prepending(json const& j, std::string const& where) {
  auto const name = field<std::string>(j, where, "prepend_scheme", "always");
  if (name != "first" && name != "never" && name != "always")
    throw error("text.1", where + ": prepend_scheme: expected first, never or always, found \"" + name + "\"");
  if (!field<bool>(j, where, "add_prefix_space", true)) return prepending::never;  // the older spelling
  return name == "first" ? prepending::first : name == "never" ? prepending::never : prepending::always;
}

inline std::string parse_character(json const& j, std::string const& where, char const* name) {
  auto c = field<std::string>(j, where, name);
  if (unicode::count(c) != 1) throw error("text.2", where + ": " + name + ": expected one character, found \"" + c + "\"");
  return c;
}
}  // namespace detail

/// Steps in order.
class pre_tokenizer {
 public:
  pre_tokenizer() = default;
  /// `j` may be null: each text is one word. Errors: io.4, text.1, text.2.
  pre_tokenizer(json const& j, std::string const& file) { add(j, file + ": pre_tokenizer"); }

  /// Errors: text.5.
  void operator()(std::vector<piece>& pieces) const {
    for (auto const& step : steps_) step(pieces);
  }

 private:
  using step = std::function<void(std::vector<piece>&)>;

  void add_split(detail::splitter split, split_behaviour behaviour, bool invert = false) {
    steps_.push_back([split = std::move(split), behaviour, invert](auto& pieces) { detail::split_pieces(pieces, split, behaviour, invert); });
  }
  template <class Predicate>
  void add_characters(Predicate is, split_behaviour behaviour) {
    add_split([is](std::string_view text) { return detail::split_at_characters(text, is); }, behaviour);
  }
  // f(piece) on what is no token yet.
  template <class F>
  void add_edit(F f) {
    steps_.push_back([f](auto& pieces) {
      for (auto& p : pieces)
        if (p.id < 0) f(p);
    });
  }

  void add_byte_level(json const& j, std::string const& at) {
    if (field<bool>(j, at, "add_prefix_space", true))
      add_edit([](piece& p) { if (!p.text.starts_with(' ')) p.text.insert(0, 1, ' '); });
    if (field<bool>(j, at, "use_regex", true)) {
      // GPT-2's words: contractions, letters, numbers, the rest, each with one space before it; of a run of spaces the last stays free.
      regex const words(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", at);
      add_split([words](std::string_view text) { return words.split(text); }, split_behaviour::isolated);
    }
    add_edit([](piece& p) { p.text = to_byte_level(p.text); });
  }

  void add_metaspace(json const& j, std::string const& at) {
    auto const mark = detail::parse_character(j, at, "replacement");
    auto const scheme = detail::parse_prepending(j, at);
    add_edit([mark, scheme](piece& p) {
      std::string out;
      for (char c : p.text) c == ' ' ? out += mark : out += c;
      bool const wanted = scheme == detail::prepending::always || (scheme == detail::prepending::first && p.first);
      p.text = wanted && !out.starts_with(mark) ? mark + out : out;
    });
    if (field<bool>(j, at, "split", true))
      add_split([mark](std::string_view text) { return detail::split_at_string(text, mark); }, split_behaviour::merged_with_next);
  }

  // Runs of word characters and runs of what is neither word nor space.
  static std::vector<span_of_text> words_and_signs(std::string_view text) {
    std::vector<span_of_text> all;
    int before = -1;
    unicode::for_each(text, [&](char32_t c, std::size_t at, std::size_t bytes) {
      int const kind = unicode::is_word(c) ? 1 : unicode::is_space(c) ? 0 : 2;
      if (kind == before) all.back().end = at + bytes;
      else all.push_back({at, at + bytes, kind != 0});
      before = kind;
    });
    return all;
  }

  void add(json const& j, std::string const& where) {
    if (j.is_null()) return;
    auto const type = field<std::string>(j, where, "type");
    auto const at = where + ": " + type;
    if (type == "Sequence") {
      for (auto const& part : field<std::vector<json>>(j, at, "pretokenizers")) add(part, where);
    } else if (type == "Split") add_split(detail::parse_pattern(j, at), detail::parse_behaviour(j, at), field<bool>(j, at, "invert", false));
    else if (type == "ByteLevel") add_byte_level(j, at);
    else if (type == "Metaspace") add_metaspace(j, at);
    else if (type == "BertPreTokenizer") {
      add_characters(unicode::is_space, split_behaviour::removed), add_characters(unicode::is_punctuation, split_behaviour::isolated);
    } else if (type == "Whitespace") add_split(words_and_signs, split_behaviour::removed, true);
    else if (type == "WhitespaceSplit") add_characters(unicode::is_space, split_behaviour::removed);
    else if (type == "Digits")
      add_characters(unicode::is_number, field<bool>(j, at, "individual_digits") ? split_behaviour::isolated : split_behaviour::contiguous);
    else if (type == "Punctuation")
      add_characters(unicode::is_punctuation, j.contains("behavior") ? detail::parse_behaviour(j, at) : split_behaviour::isolated);
    else if (type == "CharDelimiterSplit")
      add_split([c = detail::parse_character(j, at, "delimiter")](std::string_view text) { return detail::split_at_string(text, c); }, split_behaviour::removed);
    else
      throw error("text.1", where + ": expected Sequence, Split, ByteLevel, Metaspace, BertPreTokenizer, Whitespace, WhitespaceSplit, Digits, Punctuation or CharDelimiterSplit, found \"" + type + "\"");
  }

  std::vector<step> steps_;
};

}  // namespace smalti
