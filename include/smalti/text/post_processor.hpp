#pragma once
// The "post_processor" of a tokenizer file: control tokens around a whole text, such as BOS or [CLS] … [SEP].

#include "vocabulary.hpp"

namespace smalti {

/// For one text (not a pair of texts) every kind comes down to ids before it and ids behind it.
struct post_processor {
  std::vector<int> before, after;

  post_processor() = default;
  /// `j` may be null: nothing is added. Errors: io.4, text.1, text.2.
  post_processor(json const& j, std::string const& file) { add(j, file + ": post_processor"); }

 private:
  void surround(std::vector<int> head, std::vector<int> const& tail) {
    head.insert(head.end(), before.begin(), before.end());
    before = std::move(head);
    after.insert(after.end(), tail.begin(), tail.end());
  }

  static int id_in(json const& j, std::string const& at, char const* name) {
    auto const pair = field<json>(j, at, name);  // ["[CLS]", 101]
    auto const id = pair.is_array() && pair.size() == 2 ? detail::converted<int>(pair[1]) : std::nullopt;
    if (!id || *id < 0) throw error("text.2", at + ": " + name + ": expected [token, id], found " + detail::shown(pair));
    return *id;
  }

  void add_template(json const& j, std::string const& at) {
    auto const known = field<json>(j, at, "special_tokens", json::object());
    std::vector<int> head, tail;
    int texts = 0;
    for (auto const& part : field<std::vector<json>>(j, at, "single")) {
      if (part.is_object() && part.contains("Sequence")) {
        ++texts;
        continue;
      }
      auto const name = field<std::string>(field<json>(part, at, "SpecialToken"), at, "id");
      auto const ids = field<std::vector<int>>(field<json>(known, at, name), at, "ids");
      for (int id : ids)
        if (id < 0) throw error("text.2", at + ": \"" + name + "\": expected ids of 0 or more, found " + std::to_string(id));
      auto& side = texts ? tail : head;
      side.insert(side.end(), ids.begin(), ids.end());
    }
    if (texts != 1) throw error("text.2", at + ": single: expected the text once, found it " + std::to_string(texts) + " times");
    surround(std::move(head), tail);
  }

  void add(json const& j, std::string const& where) {
    if (j.is_null()) return;
    auto const type = field<std::string>(j, where, "type");
    auto const at = where + ": " + type;
    if (type == "Sequence") {
      for (auto const& part : field<std::vector<json>>(j, at, "processors")) add(part, where);
    } else if (type == "TemplateProcessing") add_template(j, at);
    else if (type == "BertProcessing" || type == "RobertaProcessing") surround({id_in(j, at, "cls")}, {id_in(j, at, "sep")});
    else if (type != "ByteLevel")  // which only moves offsets
      throw error("text.1", where + ": expected Sequence, TemplateProcessing, BertProcessing, RobertaProcessing or ByteLevel, found \"" + type + "\"");
  }
};

}  // namespace smalti
