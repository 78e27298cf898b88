#pragma once
// A token that is found in the text itself: fields of "added_tokens" in tokenizer.json (huggingface/tokenizers, AddedToken).

#include <string>

namespace smalti {

/// How it is found: as a word by itself, with the spaces beside it, in the given text or in the normalised one.
struct added_token {
  int id;
  std::string content;
  bool single_word, strip_left, strip_right, normalised, special;
};

}  // namespace smalti
