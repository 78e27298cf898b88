#pragma once
// Byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909): the pair of the lowest rank merges first, the leftmost of equals.
// O(n log n) in the length of a word.

#include <algorithm>
#include <cstdio>
#include <queue>
#include "unicode.hpp"
#include "vocabulary.hpp"

namespace smalti {

/// The model "BPE" of a tokenizer file.
class bpe {
 public:
  bpe() = default;
  /// Errors: io.4, text.2 (a merge of what is not in the vocabulary).
  bpe(json const& j, std::string const& where, vocabulary const& tokens)
      : prefix_(field<std::string>(j, where, "continuing_subword_prefix", "")), suffix_(field<std::string>(j, where, "end_of_word_suffix", "")),
        byte_fallback_(field<bool>(j, where, "byte_fallback", false)), fuse_unknown_(field<bool>(j, where, "fuse_unk", false)),
        ignore_merges_(field<bool>(j, where, "ignore_merges", false)) {
    if (auto const text = field<std::string>(j, where, "unk_token", ""); !text.empty()) {
      auto const id = tokens.id_of(text);
      if (!id) throw error("text.2", where + ": unk_token: expected a token of the vocabulary, found \"" + text + "\"");
      unknown_ = *id;
    }
    char code[8];
    for (int b = 0; b < 256; ++b) std::snprintf(code, sizeof code, "<0x%02X>", b), bytes_[b] = tokens.id_of(code).value_or(-1);
    auto const at = j.find("merges");
    if (at == j.end() || !at->is_array()) throw error("io.4", where + ": field \"merges\": expected an array, found " + (at == j.end() ? "no such field" : detail::shown(*at)));
    merges_.reserve(at->size());
    int rank = 0;
    for (auto const& merge : *at) {
      if (merge.is_string() && merge.get_ref<std::string const&>().starts_with("#version")) continue;
      auto const [a, b] = parse_pair(merge, where);
      auto const left = tokens.id_of(a), right = tokens.id_of(b);
      auto const whole = b.size() < prefix_.size() ? std::nullopt : tokens.id_of(a + b.substr(prefix_.size()));
      if (!left || !right || !whole)
        throw error("text.2", where + ": merge " + std::to_string(rank) + ": expected tokens of the vocabulary, found \"" + a + "\" and \"" + b + "\"");
      merges_.insert_or_assign(pair(*left, *right), result{rank++, *whole});
    }
  }

  /// Appends the ids of one word (valid UTF-8). No id for which forbidden(id) holds comes of it, except the unknown token's.
  template <class Forbidden>
  void encode(std::string_view word, vocabulary const& tokens, Forbidden&& forbidden, std::vector<int>& out) const {
    auto const find = [&](std::string_view text) {
      auto id = tokens.id_of(text);
      return id && forbidden(*id) ? std::nullopt : id;
    };
    if (ignore_merges_)
      if (auto id = find(word)) return out.push_back(*id);
    auto symbols = characters(word, find);
    merge(symbols, forbidden);
    for (auto const& s : symbols)
      if (s.alive) out.push_back(s.id);
  }

 private:
  struct result {
    int rank, id;
  };
  struct symbol {
    int id, previous, next;
    bool alive = true;
  };
  struct candidate {
    int rank, at, id;
    bool operator<(candidate const& c) const { return rank != c.rank ? rank > c.rank : at > c.at; }
  };
  static uint64_t pair(int a, int b) { return uint64_t(uint32_t(a)) << 32 | uint32_t(b); }

  static std::pair<std::string, std::string> parse_pair(json const& merge, std::string const& where) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) return {merge[0], merge[1]};
    if (merge.is_string()) {
      auto const& text = merge.get_ref<std::string const&>();
      auto const space = text.find(' ');
      if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) return {text.substr(0, space), text.substr(space + 1)};
    }
    throw error("text.2", where + ": merges: expected \"a b\" or [\"a\", \"b\"], found " + detail::shown(merge));
  }

  template <class Find>
  std::vector<symbol> characters(std::string_view word, Find&& find) const {
    std::vector<symbol> symbols;
    symbols.reserve(word.size());
    auto const add = [&](int id) {
      int const n = int(symbols.size());
      symbols.push_back({id, n - 1, n + 1});
    };
    bool waiting = false;  // an unknown token not yet added, so that the next can fuse with it
    std::string text;
    unicode::for_each(word, [&](char32_t, std::size_t at, std::size_t bytes) {
      text.assign(at ? prefix_ : "").append(word, at, bytes);
      if (at + bytes == word.size()) text += suffix_;
      if (auto id = find(text)) {
        if (waiting) add(unknown_), waiting = false;
        return add(*id);
      }
      if (byte_fallback_ && std::all_of(text.begin(), text.end(), [&](char b) { return bytes_[uint8_t(b)] >= 0; })) {
        for (char b : text) add(bytes_[uint8_t(b)]);
        return;
      }
      if (unknown_ < 0) return;  // without an unknown token the character is lost, as in the reference
      if (waiting && !fuse_unknown_) add(unknown_);
      waiting = true;
    });
    if (waiting) add(unknown_);
    return symbols;
  }

  template <class Forbidden>
  void merge(std::vector<symbol>& symbols, Forbidden&& forbidden) const {
    std::priority_queue<candidate> queue;
    int const count = int(symbols.size());
    auto const consider = [&](int left) {
      if (left < 0 || symbols[std::size_t(left)].next >= count) return;
      auto const found = merges_.find(pair(symbols[std::size_t(left)].id, symbols[std::size_t(symbols[std::size_t(left)].next)].id));
      if (found != merges_.end() && !forbidden(found->second.id)) queue.push({found->second.rank, left, found->second.id});
    };
    for (int i = 0; i + 1 < count; ++i) consider(i);
    while (!queue.empty()) {
      auto const top = queue.top();
      queue.pop();
      auto& left = symbols[std::size_t(top.at)];
      if (!left.alive || left.next >= count) continue;
      auto& right = symbols[std::size_t(left.next)];
      // An entry outlives its pair when a neighbour merged first.
      auto const found = merges_.find(pair(left.id, right.id));
      if (found == merges_.end() || found->second.id != top.id) continue;
      left.id = top.id, left.next = right.next, right.alive = false;
      if (right.next < count) symbols[std::size_t(right.next)].previous = top.at;
      consider(left.previous), consider(top.at);
    }
  }

  std::string prefix_, suffix_;
  bool byte_fallback_ = false, fuse_unknown_ = false, ignore_merges_ = false;
  int unknown_ = -1, bytes_[256] = {};
  std::unordered_map<uint64_t, result> merges_;
};

}  // namespace smalti
