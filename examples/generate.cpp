// Text from a prompt, by any supported checkpoint: streamed to standard output, or one JSON object.

#include <smalti/decoder/profile.hpp>
#include <smalti/text/chat.hpp>
#include <smalti/io/json.hpp>
#include "common/model.hpp"

namespace {

using namespace smalti;
using namespace examples;

struct request {
  model_options model;
  generate_options options;
  std::optional<std::string> prompt;
  std::string system, layout = "auto";
  bool chat = false, as_json = false, quiet = false, profile = false;
};

char const* const footer = R"(The prompt is --prompt, or else all of standard input without its last line end. The text goes to standard output while it
is made, speeds to standard error.

Examples:
  generate --model DIR --prompt "The net present value" --max-tokens 64
  generate --model DIR --chat --system "Answer briefly." --prompt "What is a left join?"
  generate --model DIR --device cuda --profile --prompt "The net present value"
  generate --model DIR --chat --temperature 0.7 --top-p 0.9 --seed 1 < question.txt
  generate --model BASE --adapter domain --adapter instructions --weights nf4 --json --prompt "How is WACC calculated?")";

void add_options(CLI::App& app, request& r) {
  add_model(app, r.model), add_context(app, r.model), add_device(app, r.model);
  app.add_option("--prompt", r.prompt, "The text to go on from; without it, standard input")->type_name("TEXT");
  auto* const chat = app.add_flag("--chat", r.chat, "Put the prompt into the model's chat template as the user's turn");
  app.add_option("--system", r.system, "With --chat: the system's turn before it")->type_name("TEXT")->needs(chat);
  app.add_option("--layout", r.layout, "With --chat: the template, auto (from tokenizer_config.json), llama3, mistral, granite or chatml")
      ->check(one_of({"auto", "llama3", "mistral", "granite", "chatml"}))->type_name("NAME")->capture_default_str()->needs(chat);
  app.add_option("--max-tokens", r.options.max_tokens, "New tokens at most")->check(whole(0, 1 << 24))->type_name("N")->capture_default_str();
  app.add_option("--stop", r.options.stop, "End before this text; may be given several times")->type_name("TEXT")->allow_extra_args(false);
  app.add_flag("--ignore-stop", r.options.ignore_stop_ids, "Go on to --max-tokens whatever the model says (for timing)");
  app.add_flag("--json", r.as_json, "One JSON object: text, ids, log probabilities, why it ended, timings");
  app.add_flag("--profile", r.profile, "Where the time of a prefill and of a decode step goes, on standard error");
  app.add_flag("--quiet", r.quiet, "No speeds on standard error");
  add_sampling(app, r.options.sampling);
}

char const* name_of_end(finish why) {
  switch (why) {
    case finish::stop_token: return "stop token";
    case finish::stop_text: return "stop text";
    case finish::length: return "length";
    default: return "cancelled";
  }
}

std::string prompt_text(request const& r) {
  if (r.prompt) return *r.prompt;
  if (::isatty(STDIN_FILENO)) remark("generate: reading the prompt; end it with Ctrl-D");
  std::string text = read_standard_input();
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::vector<int> prompt_ids(request const& r, tokenizer const& t, std::string const& text) {
  if (!r.chat) return t.encode(text);
  auto const layout = r.layout == "auto" ? chat_template::load(r.model.directory) : chat_template::named(r.layout);
  std::vector<message> turns;
  if (!r.system.empty()) turns.push_back({"system", r.system});
  turns.push_back({"user", text});
  return layout.render(t, turns, true);
}

double per_second(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

// What decoding's clock saw: the first token's logits came out of the prefill.
double steps(generation const& g) { return std::max(0., double(g.ids.size()) - (g.why == finish::stop_token ? 0 : 1)); }

json as_json(request const& r, std::string const& prompt, generation const& g, double load_seconds) {
  return {{"model", r.model.directory}, {"weights", r.model.weights}, {"adapters", r.model.adapters}, {"prompt", prompt}, {"text", g.text}, {"ids", g.ids},
          {"log_probabilities", g.log_probability}, {"finish", name_of_end(g.why)}, {"prompt_tokens", g.prompt_tokens},
          {"timings", {{"threads", r.model.threads}, {"load_seconds", load_seconds}, {"prefill_seconds", g.prefill_seconds}, {"decode_seconds", g.decode_seconds},
                       {"prefill_tokens_per_second", per_second(g.prompt_tokens, g.prefill_seconds)},
                       {"decode_tokens_per_second", per_second(steps(g), g.decode_seconds)}}}};
}

/// Operations by time: calls, time of one, share of the whole and, on a board, of what its memory or tensor cores allow, and a bar.
void show_profile(std::string const& title, std::vector<profile_row> const& rows, double passes, double bytes_per_second, double flops_per_second) {
  bool const limited = bytes_per_second > 0;
  double all = 0;
  for (auto const& p : rows) all += p.seconds;
  remark(print("\n%s: %.3f ms in operations that run one after the other\n%-18s %6s %9s %7s%s", title.c_str(), 1e3 * all / passes, "operation", "calls", "us each", "time", limited ? "   limit" : ""));
  for (auto const& p : rows)
    remark(print("%-18s %6.0f %9.2f %6.1f%%%s  %s", p.name.c_str(), p.calls / passes, 1e6 * p.seconds / p.calls, 100 * p.seconds / all,
                 limited ? print(" %6.1f%%", 100 * p.share(bytes_per_second, flops_per_second)).c_str() : "", std::string(std::size_t(40 * p.seconds / all + 0.5), '#').c_str()));
}

template <class Where>
void profile(language_model<Where>& model, std::vector<int> const& prompt) {
  decoder_sequence<Where> sequence(model.model, model.cache);
  sequence.advance(prompt), sequence.truncate(0);
  double bytes = 0, flops = 0;
#if defined(__CUDACC__)
  if constexpr (std::is_same_v<Where, on_cuda>) bytes = board_limits().bytes_per_second, flops = board_limits().flops_per_second;
#endif
  auto const watch = [&](std::string const& title, std::span<int const> tokens, int passes) {
    typename profile_of<Where>::type watched(model.model.where(), model.model.state());
    for (int i = 0; i < passes; ++i) {
      int const length = sequence.length();
      sequence.advance(tokens), watched.end(), sequence.truncate(length);
    }
    show_profile(title, watched.rows(), passes, bytes, flops);
  };
  watch("prefill of " + std::to_string(prompt.size()) + " tokens", prompt, 3);
  sequence.advance(prompt);
  if (sequence.room() > 0) watch("decode step after them", std::span(prompt).last(1), 8);
}

template <class Where>
int generate_text(request const& r, Where const& where) {
  stopwatch watch;
  auto model = load_model(r.model, where);
  double const load_seconds = watch.seconds();
  auto const prompt = prompt_text(r);
  auto const ids = prompt_ids(r, model.text, prompt);
  auto const g = generate(model, ids, r.options, [&](std::string_view piece) {
    if (!r.as_json) say(piece);
    return !interrupted();
  });
  if (r.as_json) say(as_json(r, prompt, g, load_seconds).dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  else if (!g.text.ends_with('\n')) say("\n");
  if (!r.quiet)
    remark(print("load %s · prefill %d tokens, %s · decode %zu tokens, %s · ended by %s", duration_text(load_seconds).c_str(), g.prompt_tokens,
                 rate_text(g.prompt_tokens, g.prefill_seconds, "tokens").c_str(), g.ids.size(), rate_text(steps(g), g.decode_seconds, "tokens").c_str(), name_of_end(g.why)));
  if (r.profile) profile(model, ids);
  stop_if_interrupted();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Generates text from a prompt with a language model of the Llama, Mistral, Granite or Qwen family.", "generate");
  add_footer(app, footer);
  request r;
  add_options(app, r);
  return run(app, argc, argv, [&] {
    thread_pool threads(r.model.threads);
    return on_device(r.model, threads, [&](auto const& where) { return generate_text(r, where); });
  });
}
