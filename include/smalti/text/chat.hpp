#pragma once
// Conversations as the tokens a model was trained on: Llama 3, Mistral, Granite and ChatML layouts. Only the layout inserts special
// tokens; whatever a message contains is encoded as plain text, so no document can end a turn or begin another.

#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "tokenizer.hpp"

namespace smalti {

struct message {
  std::string role, content;  ///< role: "system", "user", "assistant", …
};

/// The layouts. A Jinja template is not interpreted: it is recognised by the marks it writes.
enum class chat_layout { llama3, mistral, granite, chatml };

/// One layout with the variations that published checkpoints show. Aggregate; detect() fills it, and a program may.
struct chat_template {
  chat_layout layout = chat_layout::chatml;
  std::string begin = {};      ///< token before everything, may be empty
  std::string end = "</s>";    ///< token after an answer (Mistral only)
  std::string system_head = {};  ///< before every system text; a system turn is then always written (Llama 3.1's dates)
  std::string system_default = {};  ///< the system text where none is given; empty: no turn
  bool spaced = false;         ///< Mistral: a space before [INST] and before an answer, system text before the first question

  /// By name: "llama3", "mistral", "granite", "chatml". Errors: text.3.
  static chat_template named(std::string_view name);

  /// From tokenizer_config.json (its chat_template and special tokens); `today` stands where a layout asks for the date, empty
  /// means now. Errors: io.4, text.3 (no template, or one of another family: name a layout explicitly).
  static chat_template detect(json const& config, std::string const& file, std::string const& today = {});
  /// From a model's directory (tokenizer_config.json, and chat_template.jinja where that is kept apart). Errors: io.1, io.3, and those above.
  static chat_template load(std::string const& directory);

  /// The tokens of a conversation; with `add_generation_prompt` the model's turn is opened behind it. Errors: text.3 (a turn that
  /// the layout does not know), text.4 (the tokenizer lacks a token of the layout).
  std::vector<int> render(tokenizer const& t, std::span<message const> messages, bool add_generation_prompt) const;

 private:
  class writer;
  void open_turn(writer& out, std::string const& role) const;
  void close_turn(writer& out) const;

  void render_turns(writer& out, std::span<message const> messages, bool add_generation_prompt) const;

  // The answer follows [/INST] directly, so a prompt for it adds nothing.
  void render_mistral(writer& out, std::span<message const> messages) const;
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_TEXT)
  #include <sys/stat.h>
  #include <algorithm>
  #include <ctime>
  #include "../io/file.hpp"
  #include "../io/json.hpp"
  #include "unicode.hpp"

namespace smalti {

namespace detail {
inline std::string stripped(std::string const& s) {
  std::size_t begin = s.size(), end = 0;
  unicode::for_each(s, [&](char32_t c, std::size_t at, std::size_t bytes) {
    if (!unicode::is_space(c) && !(c >= 0x1c && c <= 0x1f)) begin = std::min(begin, at), end = at + bytes;  // Python's strip() takes these, too
  });
  return begin < end ? s.substr(begin, end - begin) : std::string();
}

// A string, or a list of named ones of which "default" counts.
inline std::string template_text(json const& config, std::string const& file) {
  auto const at = field<json>(config, file, "chat_template", json());
  if (at.is_string()) return at;
  if (at.is_array())
    for (auto const& entry : at)
      if (field<std::string>(entry, file + ": chat_template", "name", "") == "default") return field<std::string>(entry, file + ": chat_template", "template");
  throw error("text.3", file + ": chat_template: expected a template, found " + (at.is_null() ? "none" : shown(at)));
}

// "<s>" or {"content": "<s>", …}.
inline std::string token_text(json const& config, std::string const& file, char const* name) {
  auto const at = field<json>(config, file, name, json());
  return at.is_object() ? field<std::string>(at, file + ": " + name, "content") : at.is_string() ? at.get<std::string>() : std::string();
}

// Qwen's default system turn stands in the template between "system\n" and <|im_end|>.
inline std::string quoted_default(std::string const& text) {
  auto const end_of = [&](std::string_view mark) {
    auto const at = text.find(mark);
    return at == std::string::npos ? at : at + mark.size();
  };
  auto const begin = std::min(end_of("<|im_start|>system\\n"), end_of("<|im_start|>system\n"));
  auto const end = begin == std::string::npos ? begin : text.find("<|im_end|>", begin);
  return end == std::string::npos ? "You are a helpful assistant." : text.substr(begin, end - begin);
}

inline std::string date_of_today() {
  std::time_t const now = std::time(nullptr);
  std::tm day{};
  localtime_r(&now, &day);
  char text[64];
  return std::string(text, std::strftime(text, sizeof text, "%B %d, %Y", &day));
}
}  // namespace detail

// Collects text until the next token: a run of text must be encoded in one go, as it would be in the rendered whole.
class chat_template::writer {
 public:
  explicit writer(tokenizer const& t) : tokenizer_(t) {}
  void text(std::string_view s) { run_ += s; }
  void token(std::string const& name) {
    auto const id = tokenizer_.id_of(name);
    if (!id) throw error("text.4", "chat template: expected the token \"" + name + "\" in the tokenizer's vocabulary, found none");
    auto const added = tokenizer_.added(*id);
    flush(added && added->strip_left);
    strips_next_ = added && added->strip_right;
    ids_.push_back(*id);
  }
  /// A mark that is a token in some tokenizers and text in others.
  void mark(std::string const& name) {
    auto const id = tokenizer_.id_of(name);
    if (id && tokenizer_.added(*id)) token(name);
    else text(name);
  }
  std::vector<int> finish() { return flush(false), std::move(ids_); }

 private:
  void flush(bool strip) {
    std::string_view run = run_;
    if (strips_next_) run.remove_prefix(std::min(run.find_first_not_of(" \t\r\n"), run.size()));
    if (strip) run = run.substr(0, run.find_last_not_of(" \t\r\n") + 1);
    auto const ids = tokenizer_.encode(run, {.special_tokens = false, .begins = ids_.empty()});
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    run_.clear();
  }
  tokenizer const& tokenizer_;
  std::vector<int> ids_;
  std::string run_;
  bool strips_next_ = false;
};

SMALTI_INLINE chat_template chat_template::named(std::string_view name) {
  if (name == "llama3") return {.layout = chat_layout::llama3, .begin = "<|begin_of_text|>"};
  if (name == "mistral") return {.layout = chat_layout::mistral, .begin = "<s>", .spaced = true};
  if (name == "granite") return {.layout = chat_layout::granite};
  if (name == "chatml") return {};
  throw error("text.3", "chat template: expected llama3, mistral, granite or chatml, found \"" + std::string(name) + "\"");
}

SMALTI_INLINE chat_template chat_template::detect(json const& config, std::string const& file, std::string const& today) {
  auto const text = detail::template_text(config, file);
  auto const has = [&](char const* mark) { return text.find(mark) != std::string::npos; };
  chat_template t;
  if (has("<|start_header_id|>")) {
    t.layout = chat_layout::llama3;
    if (has("Cutting Knowledge Date")) t.system_head = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
  } else if (has("<|start_of_role|>")) {
    t.layout = chat_layout::granite;
    if (has("Knowledge Cutoff Date"))
      t.system_default = "Knowledge Cutoff Date: April 2024.\nToday's Date: " + (today.empty() ? detail::date_of_today() : today) +
                         ".\nYou are Granite, developed by IBM." + (has("You are a helpful AI assistant.") ? " You are a helpful AI assistant." : "");
  } else if (has("<|im_start|>")) {
    if (has("You are a helpful assistant")) t.system_default = detail::quoted_default(text);
  } else if (has("[INST]") && !has("<<SYS>>")) {  // <<SYS>> is Llama 2's, another family
    t.layout = chat_layout::mistral, t.spaced = has(" [INST]");
  } else
    throw error("text.3", file + ": chat_template: expected the layout of Llama 3, Mistral, Granite or ChatML, found " + detail::shown(text));
  if (has("bos_token") || has("<|begin_of_text|>")) t.begin = detail::token_text(config, file, "bos_token");
  if (auto const end = detail::token_text(config, file, "eos_token"); !end.empty()) t.end = end;
  return t;
}

SMALTI_INLINE chat_template chat_template::load(std::string const& directory) {
  auto const file = directory + "/tokenizer_config.json", apart = directory + "/chat_template.jinja";
  auto config = read_json(file);
  struct stat about {};
  if (config.is_object() && !config.contains("chat_template") && ::stat(apart.c_str(), &about) == 0)
    config["chat_template"] = std::string(mapped_file(apart).text());
  return detect(config, file);
}

SMALTI_INLINE std::vector<int> chat_template::render(tokenizer const& t, std::span<message const> messages, bool add_generation_prompt) const {
  writer out(t);
  if (!begin.empty()) out.token(begin);
  if (layout == chat_layout::mistral) render_mistral(out, messages);
  else render_turns(out, messages, add_generation_prompt);
  return out.finish();
}

SMALTI_INLINE void chat_template::open_turn(writer& out, std::string const& role) const {
  if (layout == chat_layout::chatml) return out.token("<|im_start|>"), out.text(role + '\n');
  bool const llama = layout == chat_layout::llama3;
  out.token(llama ? "<|start_header_id|>" : "<|start_of_role|>");
  out.text(role);
  out.token(llama ? "<|end_header_id|>" : "<|end_of_role|>");
  if (llama) out.text("\n\n");
}

SMALTI_INLINE void chat_template::close_turn(writer& out) const {
  out.token(layout == chat_layout::llama3 ? "<|eot_id|>" : layout == chat_layout::granite ? "<|end_of_text|>" : "<|im_end|>");
  if (layout != chat_layout::llama3) out.text("\n");
}

SMALTI_INLINE void chat_template::render_turns(writer& out, std::span<message const> messages, bool add_generation_prompt) const {
  auto const turn = [&](std::string const& role, std::string const& content) {
    open_turn(out, role), out.text(content), close_turn(out);
  };
  auto const text_of = [&](message const& m) { return layout == chat_layout::llama3 ? detail::stripped(m.content) : m.content; };
  bool const given = !messages.empty() && messages[0].role == "system";
  if (!system_head.empty()) turn("system", system_head + (given ? text_of(messages[0]) : system_default));
  else if (given) turn("system", text_of(messages[0]));
  else if (!system_default.empty()) turn("system", system_default);
  for (auto const& m : messages.subspan(given)) turn(m.role, text_of(m));
  if (add_generation_prompt) open_turn(out, "assistant");
}

SMALTI_INLINE void chat_template::render_mistral(writer& out, std::span<message const> messages) const {
  bool const given = spaced && !messages.empty() && messages[0].role == "system";
  auto const rest = messages.subspan(given);
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (rest[i].role != (i % 2 ? "assistant" : "user"))
      throw error("text.3", "chat template: mistral: turn " + std::to_string(i) + ": expected " + (i % 2 ? "assistant" : "user") + ", found \"" + rest[i].role + "\"");
    if (spaced) out.text(" ");
    if (i % 2) {
      out.text(rest[i].content), out.token(end);
      continue;
    }
    out.mark("[INST]"), out.text(" ");
    if (given && i == 0) out.text(messages[0].content + "\n\n");
    out.text(rest[i].content + " "), out.mark("[/INST]");
  }
}

}  // namespace smalti
#endif
