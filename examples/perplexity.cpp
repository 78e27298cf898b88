// How well a language model predicts a text, with every convention that the number depends on.

#include "common/model.hpp"
#include <smalti/io/json.hpp>

namespace {

using namespace smalti;
using namespace examples;

struct request {
  model_options model;
  std::string text;
  perplexity_options window;
  bool as_json = false;
};

char const* const footer = R"(A window of --window tokens moves over the text by --stride. Every token but the first is scored once, with at least
window - stride tokens before it wherever the text has them. --stride equal to --window scores separate pieces: faster, and
a worse number. The text is encoded as one prompt, with the tokenizer's begin token where it adds one; that token is context
and not scored. Logits of a window take 4 * window * vocabulary bytes.

Numbers are comparable only between models of one tokenizer, and with one window and stride.

Examples:
  perplexity --model DIR --text book.txt
  perplexity --model DIR --text book.txt --window 2048 --stride 2048 --weights nf4
  cat *.md | perplexity --model DIR --text - --json)";

std::string read_text(std::string const& path) {
  if (path == "-") return read_standard_input();
  return std::string(mapped_file(path).text());
}

perplexity_result measure(language_model<on_cpu>& m, std::vector<int> const& ids, perplexity_options const& window) {
  decoder_sequence<on_cpu> sequence(m.model, m.cache);
  progress bar("scoring", "tokens", (long long)ids.size());
  long long done = 0;
  auto const score = [&](std::span<int const> part) {
    stop_if_interrupted();
    bar.update(done);
    sequence.truncate(0);
    auto const logits = sequence.advance_all(part);  // (tokens, vocabulary)
    done += done == 0 ? (long long)part.size() : std::min<long long>(window.stride, (long long)ids.size() - done);
    return logits;
  };
  return perplexity(score, m.model.config().vocabulary, ids, window);
}

int report(request& r) {
  if (r.window.stride > r.window.window) throw CLI::ValidationError("--stride", "expected at most --window, found " + std::to_string(r.window.stride));
  auto const text = read_text(r.text);
  thread_pool threads(r.model.threads);
  r.model.context = r.window.window;  // the cache holds one window
  auto model = load_model(r.model, on_cpu{threads});
  auto const ids = model.encode(text);
  if (ids.size() < 2) throw std::runtime_error(r.text + ": expected a text of at least 2 tokens, found " + std::to_string(ids.size()));
  stopwatch watch;
  auto const p = measure(model, ids, r.window);
  double const seconds = watch.seconds(), bits = p.nll / std::log(2.) / double(text.size());
  if (r.as_json) {
    json const all = {{"model", r.model.directory}, {"weights", r.model.weights}, {"adapters", r.model.adapters}, {"text", r.text}, {"bytes", text.size()},
                      {"tokens", ids.size()}, {"scored", p.tokens}, {"window", r.window.window}, {"stride", r.window.stride}, {"nll", p.nll},
                      {"perplexity", p.perplexity()}, {"bits_per_byte", bits}, {"seconds", seconds}};
    return say(all.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"), 0;
  }
  say(print("perplexity   %.6g   (exp of the mean negative log-likelihood of a token)\n", p.perplexity()));
  say(print("mean nll     %.6g nats a token; %.4g bits a byte of the text\n", p.nll / double(p.tokens), bits));
  say(print("scored       %lld of %zu tokens, %zu bytes; the first token is context\n", p.tokens, ids.size(), text.size()));
  say(print("window       %d tokens moved by %d: at least %d tokens of context behind the beginning\n", r.window.window, r.window.stride, r.window.window - r.window.stride));
  std::string adapters;
  for (auto const& a : r.model.adapters) adapters += ", adapter " + a;
  say("model        " + r.model.directory + ", weights " + r.model.weights + adapters + "; fp32 activations and cache\n");
  say("text         " + r.text + "\n");
  say("time         " + duration_text(seconds) + ", " + rate_text(double(p.tokens), seconds, "tokens") + "\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures a language model's perplexity on a text.", "perplexity");
  add_footer(app, footer);
  request r;
  add_model(app, r.model);
  app.add_option("--text", r.text, "Text file in UTF-8; - for standard input")->required()->type_name("FILE");
  app.add_option("--window", r.window.window, "Tokens seen at once, at least 2")->check(whole(2, 1 << 24))->type_name("TOKENS")->capture_default_str();
  app.add_option("--stride", r.window.stride, "Tokens by which the window moves, at most --window")->check(whole(1, 1 << 24))->type_name("TOKENS")->capture_default_str();
  app.add_flag("--json", r.as_json, "One JSON object");
  return run(app, argc, argv, [&] { return report(r); });
}
