#pragma once
// Tokenizers of tokenizer.json files, with the ids of the huggingface/tokenizers library (0.23), except in one thing: text never
// becomes a special token unless the caller says so.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "../core/config.hpp"
#include "../io/json_fwd.hpp"
#include "added_token.hpp"

namespace smalti {

namespace detail {
struct tokenizer_parts;
}  // namespace detail

struct encode_options {
  bool special_tokens = true;  ///< BOS and the like, from the file's post-processor
  bool parse_special = false;  ///< "<|eot_id|>" in the text means the token: for text that the program itself wrote
  bool begins = true;          ///< false: this text continues another one, so no leading space is invented where a file does so once
};

struct detokenise_options {
  bool skip_special = true;
};

/// Immutable once loaded: used from any number of threads, and copies share what was loaded.
class tokenizer {
 public:
  tokenizer();  ///< knows no token
  tokenizer(tokenizer const&) = default;  // and no move: what was moved from could not be used
  tokenizer& operator=(tokenizer const&) = default;
  /// From the parsed file; `file` stands in messages. Errors: io.4, text.1 (a kind of component not known), text.2 (a component
  /// that is malformed).
  tokenizer(json const& j, std::string const& file);
  /// From a file, or from tokenizer.json in a directory. Errors: io.1, io.3, and those above.
  static tokenizer load(std::string path);

  /// Ill-formed UTF-8 is read as U+FFFD. Truncation and padding of the file are not applied. Errors: text.5.
  std::vector<int> encode(std::string_view text, encode_options options = {}) const;

  /// Ids that are not in the vocabulary are passed over. Valid UTF-8; incomplete characters appear as U+FFFD.
  std::string decode(std::span<int const> ids, detokenise_options options = {}) const;

  /// One more than the highest id, added tokens included; a model may have more rows (padding).
  int vocabulary_size() const;
  std::optional<int> id_of(std::string_view token) const;
  /// As in the file (byte-level letters, ▁); empty for an unused id.
  std::string const& token(int id) const;
  bool is_special(int id) const;
  /// How an added token behaves in a text; null for the model's own.
  added_token const* added(int id) const;

 private:
  std::shared_ptr<detail::tokenizer_parts const> parts_;  // never null
};

/// Tokens to text while they come: hands out only whole characters. For output without ill-formed bytes the pieces together equal
/// the decoded whole. Keeps a reference to the tokenizer.
class token_stream {
 public:
  explicit token_stream(tokenizer const& t, detokenise_options options = {}) : tokenizer_(&t), options_(options) {}

  /// The text that has become certain with this token; often empty.
  std::string push(int id);
  /// What was held back; afterwards the stream begins anew.
  std::string finish();

 private:
  static constexpr std::size_t longest_wait = 64;  // tokens; a row of stray bytes must not be decoded again and again without end

  std::string hand_out(std::string const& text);

  tokenizer const* tokenizer_;
  detokenise_options options_;
  std::vector<int> ids_;   // context, then what was not handed out
  std::size_t known_ = 0;  // tokens of context
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_TEXT)
  #include <sys/stat.h>
  #include <variant>
  #include "../io/json.hpp"
  #include "added_tokens.hpp"
  #include "bpe.hpp"
  #include "post_processor.hpp"
  #include "token_decoder.hpp"
  #include "word_piece.hpp"

namespace smalti {

namespace detail {
/// The components of tokenizer.json, in the order in which a text passes them.
struct tokenizer_parts {
  normalizer normalise;
  added_tokens added;
  pre_tokenizer split;
  vocabulary tokens;
  std::variant<bpe, word_piece> model;
  post_processor surround;
  token_decoder decode;

  tokenizer_parts() = default;
  tokenizer_parts(json const& j, std::string const& file);
};

SMALTI_INLINE tokenizer_parts::tokenizer_parts(json const& j, std::string const& file) {
  auto const part = [&](char const* name) { return field<json>(j, file, name, json()); };
  normalise = normalizer(part("normalizer"), file);
  split = pre_tokenizer(part("pre_tokenizer"), file);
  decode = token_decoder(part("decoder"), file);
  surround = post_processor(part("post_processor"), file);
  auto const about = field<json>(j, file, "model");
  auto const where = file + ": model";
  tokens = vocabulary(field<json>(about, where, "vocab"), where + ": vocab");
  // Files of old versions do not say the kind.
  auto const type = field<std::string>(about, where, "type", about.contains("merges") ? "BPE" : "WordPiece");
  if (type == "BPE") model = bpe(about, where, tokens);
  else if (type == "WordPiece") model = word_piece(about, where, tokens);
  else throw error("text.1", where + ": expected BPE or WordPiece, found \"" + type + "\"");
  added = added_tokens(field<json>(j, file, "added_tokens", json::array()), file, normalise, tokens);
}
}  // namespace detail

SMALTI_INLINE tokenizer::tokenizer() {
  static auto const none = std::make_shared<detail::tokenizer_parts const>();
  parts_ = none;
}
SMALTI_INLINE tokenizer::tokenizer(json const& j, std::string const& file) : parts_(std::make_shared<detail::tokenizer_parts const>(j, file)) {}

SMALTI_INLINE tokenizer tokenizer::load(std::string path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) path += "/tokenizer.json";
  return tokenizer(read_json(path), path);
}

SMALTI_INLINE std::vector<int> tokenizer::encode(std::string_view text, encode_options options) const {
  std::vector<piece> pieces{{unicode::lossy(text), options.begins}};
  parts_->added.extract(pieces, false, options.parse_special);
  if (!parts_->normalise.empty())
    for (auto& p : pieces)
      if (p.id < 0) p.text = parts_->normalise(std::move(p.text));
  parts_->added.extract(pieces, true, options.parse_special);
  std::erase_if(pieces, [](piece const& p) { return p.id < 0 && p.text.empty(); });
  parts_->split(pieces);
  std::vector<int> ids;
  if (options.special_tokens) ids = parts_->surround.before;
  auto const forbidden = [&](int id) { return !options.parse_special && parts_->added.is_special(id); };
  for (auto const& p : pieces)
    if (p.id >= 0) ids.push_back(p.id);
    else std::visit([&](auto const& model) { model.encode(p.text, parts_->tokens, forbidden, ids); }, parts_->model);
  if (options.special_tokens) ids.insert(ids.end(), parts_->surround.after.begin(), parts_->surround.after.end());
  return ids;
}

SMALTI_INLINE std::string tokenizer::decode(std::span<int const> ids, detokenise_options options) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (int id : ids)
    if (parts_->tokens.contains(id) && !(options.skip_special && parts_->added.is_special(id))) {
      auto const added = parts_->added.shown(id);
      tokens.push_back(added ? *added : parts_->tokens.text(id));
    }
  return parts_->decode(std::move(tokens));
}
SMALTI_INLINE int tokenizer::vocabulary_size() const { return parts_->tokens.size(); }
SMALTI_INLINE std::optional<int> tokenizer::id_of(std::string_view token) const { return parts_->tokens.id_of(token); }
SMALTI_INLINE std::string const& tokenizer::token(int id) const { return parts_->tokens.text(id); }
SMALTI_INLINE bool tokenizer::is_special(int id) const { return parts_->added.is_special(id); }
SMALTI_INLINE added_token const* tokenizer::added(int id) const { return parts_->added.find(id); }

SMALTI_INLINE std::string token_stream::push(int id) {
  if (options_.skip_special && tokenizer_->is_special(id)) return {};  // as context it would say nothing
  ids_.push_back(id);
  auto const text = tokenizer_->decode(ids_, options_);
  if (text.ends_with("\xef\xbf\xbd") && ids_.size() < longest_wait) return {};
  return hand_out(text);
}

SMALTI_INLINE std::string token_stream::finish() {
  auto rest = ids_.empty() ? std::string() : hand_out(tokenizer_->decode(ids_, options_));
  ids_.clear(), known_ = 0;
  return rest;
}

SMALTI_INLINE std::string token_stream::hand_out(std::string const& text) {
  std::string fresh;
  auto const before = tokenizer_->decode(std::span(ids_).first(known_), options_);
  if (!text.starts_with(before)) fresh = tokenizer_->decode(std::span(ids_).subspan(known_), options_);  // stray bytes spoil their row
  else if (text.size() > before.size()) fresh = text.substr(before.size());
  else if (ids_.size() < longest_wait) return fresh;
  // Decoders look at the token before (a word boundary, the first token's space): the last ones stay as context.
  ids_.erase(ids_.begin(), ids_.begin() + std::ptrdiff_t(known_));
  known_ = ids_.size();
  return fresh;
}

}  // namespace smalti
#endif
