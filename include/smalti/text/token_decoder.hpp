#pragma once
// The "decoder" of a tokenizer file: tokens back to text (huggingface/tokenizers, decoders).

#include "byte_level.hpp"
#include "pre_tokenizer.hpp"

namespace smalti {

/// Steps over the row of tokens; at the end they are joined. Output is valid UTF-8.
class token_decoder {
 public:
  token_decoder() = default;
  /// `j` may be null: tokens are joined by spaces. Errors: io.4, text.1, text.2.
  token_decoder(json const& j, std::string const& file) : joins_with_spaces_(j.is_null()) { add(j, file + ": decoder"); }

  std::string operator()(std::vector<std::string> tokens) const {
    for (auto const& step : steps_) step(tokens);
    std::string text;
    for (auto const& t : tokens) {
      if (joins_with_spaces_ && &t != tokens.data()) text += ' ';
      text += t;
    }
    return text;
  }

 private:
  using row = std::vector<std::string>;

  static std::string joined(row const& tokens) {
    std::string all;
    for (auto const& t : tokens) all += t;
    return all;
  }

  static void replace_all(std::string& text, std::string_view from, std::string_view to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
  }

  // Rows of <0xNN> become the text of their bytes, or one U+FFFD for each when that is no text.
  static void fall_back(row& tokens) {
    row out;
    std::string bytes;
    auto const flush = [&] {
      if (unicode::is_valid(bytes)) { if (!bytes.empty()) out.push_back(bytes); }
      else for (std::size_t i = 0; i < bytes.size(); ++i) out.emplace_back("\xef\xbf\xbd");
      bytes.clear();
    };
    auto const digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    for (auto& t : tokens)
      if (t.size() == 6 && t.starts_with("<0x") && t[5] == '>' && digit(t[3]) >= 0 && digit(t[4]) >= 0) bytes += char(digit(t[3]) << 4 | digit(t[4]));
      else flush(), out.push_back(std::move(t));
    flush();
    tokens = std::move(out);
  }

  static void join_bytes(row& tokens) {
    std::string bytes;
    for (auto const& t : tokens) bytes += from_byte_level(t).value_or(t);  // an added token stands for itself
    tokens = {unicode::lossy(bytes)};
  }

  void add_word_piece(json const& j, std::string const& at) {
    steps_.push_back([prefix = field<std::string>(j, at, "prefix", "##"), tidy = field<bool>(j, at, "cleanup", true)](row& tokens) {
      constexpr std::pair<char const*, char const*> repairs[] = {{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"},
                                                                 {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
      for (auto& t : tokens) {
        if (&t != tokens.data()) {
          if (t.starts_with(prefix)) t.erase(0, prefix.size());
          else t.insert(0, 1, ' ');
        }
        if (tidy)
          for (auto [from, to] : repairs) replace_all(t, from, to);
      }
    });
  }

  void add_strip(json const& j, std::string const& at) {
    steps_.push_back([c = detail::parse_character(j, at, "content"), start = field<unsigned>(j, at, "start"), stop = field<unsigned>(j, at, "stop")](row& tokens) {
      for (auto& t : tokens) {
        for (unsigned i = 0; i < start && t.starts_with(c); ++i) t.erase(0, c.size());
        for (unsigned i = 0; i < stop && t.ends_with(c); ++i) t.erase(t.size() - c.size());
      }
    });
  }

  void add_metaspace(json const& j, std::string const& at) {
    bool const drops_first = detail::parse_prepending(j, at) != detail::prepending::never;
    steps_.push_back([mark = detail::parse_character(j, at, "replacement"), drops_first](row& tokens) {
      for (auto& t : tokens) replace_all(t, mark, drops_first && &t == tokens.data() ? "" : " ");
    });
  }

  void add(json const& j, std::string const& where) {
    if (j.is_null()) return;
    auto const type = field<std::string>(j, where, "type");
    auto const at = where + ": " + type;
    if (type == "Sequence") {
      for (auto const& part : field<std::vector<json>>(j, at, "decoders")) add(part, where);
    } else if (type == "ByteLevel") steps_.push_back(join_bytes);
    else if (type == "ByteFallback") steps_.push_back(fall_back);
    else if (type == "Fuse") steps_.push_back([](row& tokens) { tokens = {joined(tokens)}; });
    else if (type == "WordPiece") add_word_piece(j, at);
    else if (type == "Metaspace") add_metaspace(j, at);
    else if (type == "Strip") add_strip(j, at);
    else if (type == "BPEDecoder")
      steps_.push_back([suffix = field<std::string>(j, at, "suffix", "</w>")](row& tokens) {
        for (auto& t : tokens) if (!suffix.empty()) replace_all(t, suffix, &t == &tokens.back() ? "" : " ");
      });
    else if (type == "Replace")
      steps_.push_back([split = detail::parse_pattern(j, at), by = field<std::string>(j, at, "content")](row& tokens) {
        for (auto& t : tokens) {
          std::string out;
          for (auto const& s : split(t)) s.match ? out += by : out.append(t, s.begin, s.end - s.begin);
          t = std::move(out);
        }
      });
    else
      throw error("text.1", where + ": expected Sequence, ByteLevel, ByteFallback, Fuse, WordPiece, Metaspace, Strip, BPEDecoder or Replace, found \"" + type + "\"");
  }

  bool joins_with_spaces_ = true;
  std::vector<std::function<void(row&)>> steps_;
};

}  // namespace smalti
