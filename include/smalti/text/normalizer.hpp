#pragma once
// The "normalizer" of a tokenizer file: text to text, before anything is split (huggingface/tokenizers, normalizers).

#include <algorithm>
#include "byte_level.hpp"
#include "regex.hpp"

namespace smalti {

/// Steps in order. Valid UTF-8 in, valid UTF-8 out.
class normalizer {
 public:
  normalizer() = default;
  /// `j` may be null: nothing is changed. Errors: io.4, text.1 (an unknown kind), text.2.
  normalizer(json const& j, std::string const& file) { add(j, file + ": normalizer"); }

  std::string operator()(std::string text) const {
    for (auto const& step : steps_) step(text);
    return text;
  }
  bool empty() const { return steps_.empty(); }

 private:
  using step = std::function<void(std::string&)>;

  // Each character by f(out, c).
  template <class F>
  static step map(F f) {
    return [f](std::string& text) {
      std::string out;
      out.reserve(text.size());
      unicode::for_each(text, [&](char32_t c, std::size_t, std::size_t) { f(out, c); });
      text = std::move(out);
    };
  }
  template <class F>
  static step keep(F f) {
    return map([f](std::string& out, char32_t c) { if (f(c)) unicode::append(out, c); });
  }
  static step normalise(unicode::form f) { return [f](std::string& text) { text = unicode::normalised(text, f); }; }

  // BERT, Devlin et al. 2018 (arXiv 1810.04805): clean, set CJK apart, strip accents, lower the case.
  void add_bert(json const& j, std::string const& where) {
    bool const lower = field<bool>(j, where, "lowercase", true);
    if (field<bool>(j, where, "clean_text", true))
      steps_.push_back(map([](std::string& out, char32_t c) {
        if (unicode::is_space(c) && (c < 0x80 ? c == ' ' || c == '\t' || c == '\n' || c == '\r' : c != 0x85)) out += ' ';  // the others are controls
        else if (c != 0 && c != 0xfffd && !unicode::is_control(c)) unicode::append(out, c);
      }));
    if (field<bool>(j, where, "handle_chinese_chars", true))
      steps_.push_back(map([](std::string& out, char32_t c) {
        bool const apart = (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
                           (c >= 0x2a700 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) ||
                           (c >= 0x2f800 && c <= 0x2fa1f);
        if (apart) out += ' ';
        unicode::append(out, c);
        if (apart) out += ' ';
      }));
    if (field<bool>(j, where, "strip_accents", lower))
      steps_.push_back(normalise(unicode::form::nfd)), steps_.push_back(keep([](char32_t c) { return !unicode::is_nonspacing_mark(c); }));
    if (lower) steps_.push_back(map(unicode::append_lowercase));
  }

  static void trim(std::string& text, bool left, bool right) {
    std::size_t begin = text.size(), end = 0;
    unicode::for_each(text, [&](char32_t c, std::size_t at, std::size_t bytes) {
      if (!unicode::is_space(c)) begin = std::min(begin, at), end = at + bytes;
    });
    if (begin == text.size()) return void((left || right) && (text.clear(), true));
    if (right) text.resize(end);
    if (left) text.erase(0, begin);
  }

  void add(json const& j, std::string const& where) {
    if (j.is_null()) return;
    auto const type = field<std::string>(j, where, "type");
    auto const at = where + ": " + type;
    if (type == "Sequence") {
      for (auto const& part : field<std::vector<json>>(j, at, "normalizers")) add(part, where);
    } else if (type == "NFC") steps_.push_back(normalise(unicode::form::nfc));
    else if (type == "NFD") steps_.push_back(normalise(unicode::form::nfd));
    else if (type == "NFKC") steps_.push_back(normalise(unicode::form::nfkc));
    else if (type == "NFKD") steps_.push_back(normalise(unicode::form::nfkd));
    else if (type == "Lowercase") steps_.push_back(map(unicode::append_lowercase));
    else if (type == "StripAccents") steps_.push_back(keep([](char32_t c) { return !unicode::is_combining_mark(c); }));
    else if (type == "BertNormalizer") add_bert(j, at);
    else if (type == "ByteLevel") steps_.push_back([](std::string& text) { text = to_byte_level(text); });
    else if (type == "Prepend") {
      steps_.push_back([head = field<std::string>(j, at, "prepend")](std::string& text) { if (!text.empty()) text.insert(0, head); });
    } else if (type == "Strip") {
      bool const left = field<bool>(j, at, "strip_left"), right = field<bool>(j, at, "strip_right");
      steps_.push_back([left, right](std::string& text) { trim(text, left, right); });
    } else if (type == "Replace") {
      steps_.push_back([split = detail::parse_pattern(j, at), by = field<std::string>(j, at, "content")](std::string& text) {
        std::string out;
        for (auto const& s : split(text)) s.match ? out += by : out.append(text, s.begin, s.end - s.begin);
        text = std::move(out);
      });
    } else
      throw error("text.1", where + ": expected Sequence, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, BertNormalizer, ByteLevel, Prepend, Strip or Replace, found \"" + type + "\"");
  }

  std::vector<step> steps_;
};

}  // namespace smalti
