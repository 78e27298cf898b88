#pragma once
// WordPiece (Schuster & Nakajima 2012; as in BERT): the longest token that begins the rest of the word, again and again.

#include <algorithm>
#include "unicode.hpp"
#include "vocabulary.hpp"

namespace smalti {

/// The model "WordPiece" of a tokenizer file.
class word_piece {
 public:
  word_piece() = default;
  /// Errors: io.4, text.2 (no unknown token in the vocabulary).
  word_piece(json const& j, std::string const& where, vocabulary const& tokens)
      : prefix_(field<std::string>(j, where, "continuing_subword_prefix", "##")), longest_(field<unsigned>(j, where, "max_input_chars_per_word", 100u)) {
    auto const text = field<std::string>(j, where, "unk_token", "[UNK]");
    auto const id = tokens.id_of(text);
    if (!id) throw error("text.2", where + ": unk_token: expected a token of the vocabulary, found \"" + text + "\"");
    unknown_ = *id;
    for (int i = 0; i < tokens.size(); ++i) longest_token_ = std::max(longest_token_, tokens.text(i).size());
  }

  /// Appends the ids of one word (valid UTF-8); one unknown token when a part fits nothing or the word is too long. No id for
  /// which forbidden(id) holds comes of it, except the unknown token's.
  template <class Forbidden>
  void encode(std::string_view word, vocabulary const& tokens, Forbidden&& forbidden, std::vector<int>& out) const {
    if (unicode::count(word) > longest_) return out.push_back(unknown_);
    auto const before = out.size();
    std::string text;
    for (std::size_t begin = 0; begin < word.size();) {
      // No token is longer than the longest, which keeps a long word from taking quadratic time.
      text.assign(begin ? prefix_ : "");
      auto const head = text.size();
      text.append(word, begin, longest_token_);
      for (; text.size() > head; text.pop_back())
        if (auto id = tokens.id_of(text); id && !forbidden(*id)) {
          out.push_back(*id);
          break;
        }
      if (text.size() == head) return out.resize(before), out.push_back(unknown_);
      begin += text.size() - head;
    }
  }

 private:
  std::string prefix_ = "##";
  unsigned longest_ = 100;  // characters of a word
  std::size_t longest_token_ = 0;
  int unknown_ = -1;
};

}  // namespace smalti
