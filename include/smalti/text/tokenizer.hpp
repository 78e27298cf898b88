#pragma once
// Tokenizers of tokenizer.json files, with the ids of the huggingface/tokenizers library (0.23), except in one thing: text never
// becomes a special token unless the caller says so.

#include <span>
#include <variant>
#include "added_tokens.hpp"
#include "bpe.hpp"
#include "post_processor.hpp"
#include "token_decoder.hpp"
#include "word_piece.hpp"

namespace smalti {

struct encode_options {
  bool special_tokens = true;  ///< BOS and the like, from the file's post-processor
  bool parse_special = false;  ///< "<|eot_id|>" in the text means the token: for text that the program itself wrote
  bool begins = true;          ///< false: this text continues another one, so no leading space is invented where a file does so once
};

struct decode_options {
  bool skip_special = true;
};

/// Immutable once loaded: used from any number of threads.
class tokenizer {
 public:
  tokenizer() = default;
  /// From the parsed file; `file` stands in messages. Errors: io.4, text.1 (a kind of component not known), text.2 (a component
  /// that is malformed).
  tokenizer(json const& j, std::string const& file) {
    auto const part = [&](char const* name) { return field<json>(j, file, name, json()); };
    normalise_ = normalizer(part("normalizer"), file);
    split_ = pre_tokenizer(part("pre_tokenizer"), file);
    decode_ = token_decoder(part("decoder"), file);
    surround_ = post_processor(part("post_processor"), file);
    auto const model = field<json>(j, file, "model");
    auto const where = file + ": model";
    tokens_ = vocabulary(field<json>(model, where, "vocab"), where + ": vocab");
    // Files of old versions do not say the kind.
    auto const type = field<std::string>(model, where, "type", model.contains("merges") ? "BPE" : "WordPiece");
    if (type == "BPE") model_ = bpe(model, where, tokens_);
    else if (type == "WordPiece") model_ = word_piece(model, where, tokens_);
    else throw error("text.1", where + ": expected BPE or WordPiece, found \"" + type + "\"");
    added_ = added_tokens(field<json>(j, file, "added_tokens", json::array()), file, normalise_, tokens_);
  }

  /// From a file, or from tokenizer.json in a directory. Errors: io.1, io.3, and those above.
  static tokenizer load(std::string path) {
    struct stat about {};
    if (::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) path += "/tokenizer.json";
    return tokenizer(read_json(path), path);
  }

  /// Ill-formed UTF-8 is read as U+FFFD. Truncation and padding of the file are not applied. Errors: text.5.
  std::vector<int> encode(std::string_view text, encode_options options = {}) const {
    std::vector<piece> pieces{{unicode::lossy(text), options.begins}};
    added_.extract(pieces, false, options.parse_special);
    if (!normalise_.empty())
      for (auto& p : pieces)
        if (p.id < 0) p.text = normalise_(std::move(p.text));
    added_.extract(pieces, true, options.parse_special);
    std::erase_if(pieces, [](piece const& p) { return p.id < 0 && p.text.empty(); });
    split_(pieces);
    std::vector<int> ids;
    if (options.special_tokens) ids = surround_.before;
    auto const forbidden = [&](int id) { return !options.parse_special && added_.is_special(id); };
    for (auto const& p : pieces)
      if (p.id >= 0) ids.push_back(p.id);
      else std::visit([&](auto const& model) { model.encode(p.text, tokens_, forbidden, ids); }, model_);
    if (options.special_tokens) ids.insert(ids.end(), surround_.after.begin(), surround_.after.end());
    return ids;
  }

  /// Ids that are not in the vocabulary are passed over. Valid UTF-8; incomplete characters appear as U+FFFD.
  std::string decode(std::span<int const> ids, decode_options options = {}) const {
    std::vector<std::string> tokens;
    tokens.reserve(ids.size());
    for (int id : ids)
      if (tokens_.contains(id) && !(options.skip_special && added_.is_special(id))) {
        auto const added = added_.shown(id);
        tokens.push_back(added ? *added : tokens_.text(id));
      }
    return decode_(std::move(tokens));
  }

  /// One more than the highest id, added tokens included; a model may have more rows (padding).
  int vocabulary_size() const { return tokens_.size(); }
  std::optional<int> id_of(std::string_view token) const { return tokens_.id_of(token); }
  /// As in the file (byte-level letters, ▁); empty for an unused id.
  std::string const& token(int id) const { return tokens_.text(id); }
  bool is_special(int id) const { return added_.is_special(id); }
  /// How an added token behaves in a text; null for the model's own.
  added_token const* added(int id) const { return added_.find(id); }

 private:
  vocabulary tokens_;
  normalizer normalise_;
  pre_tokenizer split_;
  added_tokens added_;
  std::variant<bpe, word_piece> model_;
  post_processor surround_;
  token_decoder decode_;
};

/// Tokens to text while they come: hands out only whole characters. For output without ill-formed bytes the pieces together equal
/// the decoded whole. Keeps a reference to the tokenizer.
class token_stream {
 public:
  explicit token_stream(tokenizer const& t, decode_options options = {}) : tokenizer_(&t), options_(options) {}

  /// The text that has become certain with this token; often empty.
  std::string push(int id) {
    if (options_.skip_special && tokenizer_->is_special(id)) return {};  // as context it would say nothing
    ids_.push_back(id);
    auto const text = tokenizer_->decode(ids_, options_);
    if (text.ends_with("\xef\xbf\xbd") && ids_.size() < longest_wait) return {};
    return hand_out(text);
  }
  /// What was held back; afterwards the stream begins anew.
  std::string finish() {
    auto rest = ids_.empty() ? std::string() : hand_out(tokenizer_->decode(ids_, options_));
    ids_.clear(), known_ = 0;
    return rest;
  }

 private:
  static constexpr std::size_t longest_wait = 64;  // tokens; a row of stray bytes must not be decoded again and again without end

  std::string hand_out(std::string const& text) {
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

  tokenizer const* tokenizer_;
  decode_options options_;
  std::vector<int> ids_;   // context, then what was not handed out
  std::size_t known_ = 0;  // tokens of context
};

}  // namespace smalti
