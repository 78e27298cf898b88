#pragma once
// Tokens by text and by id.

#include <functional>
#include <optional>
#include <unordered_map>
#include "../io/json.hpp"

namespace smalti {

/// A two-way table; ids may leave gaps.
class vocabulary {
 public:
  /// More would only be met in a damaged file, and the table by id takes memory for each.
  static constexpr int most = 1 << 24;

  vocabulary() = default;
  /// {"token": id, …}. Errors: io.4, text.2.
  vocabulary(json const& j, std::string const& where) {
    if (!j.is_object()) throw error("io.4", where + ": expected an object of ids, found " + detail::shown(j));
    ids_.reserve(j.size());
    for (auto const& [text, id] : j.items()) add(text, detail::converted<int>(id).value_or(-1), where);
  }

  /// A text that is there keeps its id. Errors: text.2.
  void add(std::string const& text, int id, std::string const& where) {
    if (id < 0 || id >= most)
      throw error("text.2", where + ": \"" + text + "\": expected an id of 0 … " + std::to_string(most - 1) + ", found " + (id < 0 ? "none" : std::to_string(id)));
    if (!ids_.emplace(text, id).second) return;
    if (std::size_t(id) >= texts_.size()) texts_.resize(std::size_t(id) + 1), used_.resize(texts_.size());
    if (!used_[std::size_t(id)]) texts_[std::size_t(id)] = text, used_[std::size_t(id)] = true;
  }

  std::optional<int> id_of(std::string_view text) const {
    auto const at = ids_.find(text);
    return at == ids_.end() ? std::nullopt : std::optional(at->second);
  }
  bool contains(int id) const { return id >= 0 && id < size() && used_[std::size_t(id)]; }
  /// Empty for an id that is not used.
  std::string const& text(int id) const {
    static std::string const none;
    return contains(id) ? texts_[std::size_t(id)] : none;
  }
  /// One more than the highest id.
  int size() const { return int(texts_.size()); }

 private:
  struct hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  std::unordered_map<std::string, int, hash, std::equal_to<>> ids_;
  std::vector<std::string> texts_;
  std::vector<bool> used_;
};

}  // namespace smalti
