#pragma once
// Tokens that are found in the text itself, before the model sees it: control tokens such as <|eot_id|>, and plain additions.

#include <algorithm>
#include <map>
#include "added_token.hpp"
#include "normalizer.hpp"
#include "pre_tokenizer.hpp"
#include "vocabulary.hpp"

namespace smalti {

/// Finds added tokens: leftmost first, of those the longest.
class added_tokens {
 public:
  added_tokens() = default;
  /// Adds them to `tokens`, too. Errors: io.4, text.2.
  added_tokens(json const& j, std::string const& file, normalizer const& normalise, vocabulary& tokens) {
    auto const where = file + ": added_tokens";
    if (!j.is_array()) throw error("io.4", where + ": expected an array, found " + detail::shown(j));
    for (auto const& entry : j) {
      added_token t{field<int>(entry, where, "id"), field<std::string>(entry, where, "content"), field<bool>(entry, where, "single_word", false),
                    field<bool>(entry, where, "lstrip", false), field<bool>(entry, where, "rstrip", false),
                    field<bool>(entry, where, "normalized", true), field<bool>(entry, where, "special", false)};
      if (t.content.empty()) continue;
      tokens.add(t.content, t.id, where);
      t.id = *tokens.id_of(t.content);  // the model's id, where it knows the token
      auto const sought = t.normalised ? normalise(t.content) : t.content;
      (t.normalised ? in_normalised_ : in_text_).add(sought, t.id);
      if (sought != t.content) shown_.emplace(t.id, sought);
      by_id_.insert_or_assign(t.id, std::move(t));
    }
  }

  added_token const* find(int id) const {
    auto const at = by_id_.find(id);
    return at == by_id_.end() ? nullptr : &at->second;
  }
  bool is_special(int id) const {
    auto const t = find(id);
    return t && t->special;
  }
  /// The text that decoders see: normalised as it was when it was found.
  std::string const* shown(int id) const {
    if (auto const at = shown_.find(id); at != shown_.end()) return &at->second;
    auto const t = find(id);
    return t ? &t->content : nullptr;
  }

  /// Cuts the pieces around the tokens sought in the given or in the normalised text. With `special` false the special ones are
  /// left in the text.
  void extract(std::vector<piece>& pieces, bool normalised, bool special) const {
    auto const& sought = normalised ? in_normalised_ : in_text_;
    if (sought.empty()) return;
    std::vector<piece> out;
    for (auto& p : pieces)
      if (p.id >= 0) out.push_back(std::move(p));
      else cut(p, sought, special, out);
    pieces = std::move(out);
  }

 private:
  // A tree over bytes; one walk from a place finds the longest token that begins there.
  class tree {
   public:
    void add(std::string_view text, int id) {
      if (text.empty()) return;
      std::size_t at = 0;
      for (char c : text) {
        auto const [next, fresh] = nodes_[at].next.emplace(uint8_t(c), nodes_.size());
        at = next->second;
        if (fresh) nodes_.emplace_back();
      }
      if (nodes_[at].id < 0) nodes_[at].id = id;
    }
    bool empty() const { return nodes_.size() == 1; }
    /// Bytes and id; 0 bytes when none begins here.
    std::pair<std::size_t, int> longest(std::string_view text) const {
      std::pair<std::size_t, int> best{0, -1};
      std::size_t at = 0;
      for (std::size_t i = 0; i < text.size(); ++i) {
        auto const next = nodes_[at].next.find(uint8_t(text[i]));
        if (next == nodes_[at].next.end()) break;
        at = next->second;
        if (nodes_[at].id >= 0) best = {i + 1, nodes_[at].id};
      }
      return best;
    }

   private:
    struct node {
      std::map<uint8_t, std::size_t> next;
      int id = -1;
    };
    std::vector<node> nodes_{1};
  };

  static char32_t last_of(std::string_view s) {
    std::size_t i = s.size() - 1;
    while (i > 0 && (uint8_t(s[i]) & 0xc0) == 0x80) --i;
    return unicode::decode(s.substr(i)).code;
  }
  static bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
    return (begin == 0 || !unicode::is_word(last_of(text.substr(0, begin)))) && (end == text.size() || !unicode::is_word(unicode::decode(text.substr(end)).code));
  }

  void cut(piece const& p, tree const& sought, bool special, std::vector<piece>& out) const {
    std::string_view const text = p.text;
    std::size_t done = 0;
    auto const add_text = [&](std::size_t end) {
      if (end > done) out.push_back({std::string(text.substr(done, end - done)), p.first && done == 0});
    };
    for (std::size_t at = 0; at < text.size();) {
      auto const [bytes, id] = sought.longest(text.substr(at));
      if (!bytes) {
        ++at;
        continue;
      }
      auto const& token = by_id_.at(id);
      std::size_t begin = at, end = at + bytes;
      at = end;
      if ((token.special && !special) || (token.single_word && !stands_alone(text, begin, end))) continue;
      if (token.strip_left)
        while (begin > done && unicode::is_space(last_of(text.substr(0, begin)))) do --begin; while ((uint8_t(text[begin]) & 0xc0) == 0x80);
      if (token.strip_right)
        for (; end < text.size(); end += std::size_t(unicode::decode(text.substr(end)).bytes))
          if (!unicode::is_space(unicode::decode(text.substr(end)).code)) break;
      add_text(begin);
      out.push_back({{}, false, id});
      done = std::max(done, end);
    }
    add_text(text.size());
  }

  std::map<int, added_token> by_id_;
  std::map<int, std::string> shown_;
  tree in_text_, in_normalised_;
};

}  // namespace smalti
