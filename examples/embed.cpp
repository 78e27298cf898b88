// Sentences to unit vectors, as JSON lines; or how similar two sentences are.

#include <charconv>
#include <smalti/encoder.hpp>
#include <smalti/io/json.hpp>
#include "common/program.hpp"

namespace {

using namespace smalti;
using namespace examples;

struct request {
  std::string directory, weights = "f32";
  std::vector<std::string> texts, pair;
  int threads = 1, group = 64, max_tokens = 0;
};

char const* const footer = R"(Texts are the arguments, or else the lines of standard input; each becomes one line of JSON, in order:
{"text": "...", "embedding": [0.0123, ...]}. The vectors have length 1, so their dot product is their cosine. A text that is
not UTF-8 is printed with U+FFFD where it is broken. Longer texts than the model takes are cut.

Examples:
  embed --encoder all-MiniLM-L6-v2 "How is NPV calculated?" > query.jsonl
  embed --encoder all-MiniLM-L6-v2 < sentences.txt > vectors.jsonl
  embed --encoder all-MiniLM-L6-v2 --similarity "net present value" "discounted cash flows")";

encoder_weights weights_named(std::string const& name) {
  return name == "bf16" ? encoder_weights::bf16 : name == "int8" ? encoder_weights::int8 : encoder_weights::f32;
}

/// The shortest decimal that reads as this float again; converted as it is, a float would be printed with a double's 17 digits.
double shortest(float v) {
  char text[32] = {};
  std::to_chars(text, text + sizeof text - 1, v);
  return std::strtod(text, nullptr);
}

void write_vectors(sentence_encoder const& encoder, on_cpu const& where, std::span<std::string const> texts) {
  auto const all = encoder.encode(where, texts);  // (texts, dimension)
  std::size_t const d = std::size_t(encoder.dimension());
  std::string lines;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    json line = {{"text", texts[i]}, {"embedding", json::array()}};
    for (float v : std::span(all.data() + i * d, d)) line["embedding"].push_back(shortest(v));
    lines += line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  }
  say(lines);
}

void write_similarity(sentence_encoder const& encoder, on_cpu const& where, std::vector<std::string> const& pair) {
  auto const v = encoder.encode(where, pair);  // (2, dimension)
  double cosine = 0;
  for (int i = 0; i < encoder.dimension(); ++i) cosine += double(v[std::size_t(i)]) * v[std::size_t(encoder.dimension() + i)];
  say(print("%.6f\n", cosine));
}

// In groups, so that input of any length takes bounded memory.
void write_lines(sentence_encoder const& encoder, on_cpu const& where, std::size_t group) {
  std::vector<std::string> texts;
  // A bar and results on one terminal would overwrite each other.
  std::optional<progress> bar;
  if (!::isatty(STDOUT_FILENO)) bar.emplace("embedding", "texts");
  long long done = 0;
  auto const flush = [&] {
    if (texts.empty()) return;
    write_vectors(encoder, where, texts);
    done += (long long)texts.size(), texts.clear();
    if (bar) bar->update(done);
    stop_if_interrupted();
  };
  for (std::string line; std::getline(std::cin, line);) {
    if (line.ends_with('\r')) line.pop_back();
    texts.push_back(std::move(line));
    if (texts.size() >= group) flush();
  }
  stop_if_interrupted();
  if (std::cin.bad() || std::ferror(stdin)) throw std::runtime_error("standard input: cannot be read");
  flush();
}

int embed(request const& r) {
  thread_pool threads(r.threads);
  auto const encoder = sentence_encoder::load(r.directory, {.weights = weights_named(r.weights), .max_tokens = r.max_tokens});
  if (!r.pair.empty()) write_similarity(encoder, threads, r.pair);
  else if (!r.texts.empty()) write_vectors(encoder, threads, r.texts);
  else write_lines(encoder, threads, std::size_t(r.group));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Embeds sentences with an encoder of the MiniLM family.", "embed");
  add_footer(app, footer);
  request r;
  app.add_option("texts", r.texts, "Texts to embed; none: the lines of standard input")->type_name("TEXT");
  app.add_option("--encoder", r.directory, "sentence-transformers directory: config.json, tokenizer.json, model.safetensors")->required()->type_name("DIR");
  app.add_option("--similarity", r.pair, "Print the cosine of two texts instead")->expected(2)->type_name("A B")->excludes("texts");
  app.add_option("--weights", r.weights, "What the weights become in memory: f32, bf16 or int8")->check(one_of({"f32", "bf16", "int8"}))->type_name("KIND")->capture_default_str();
  app.add_option("--max-tokens", r.max_tokens, "Cut texts to this many tokens; 0: as the model says")->check(whole(0, 1 << 20))->type_name("N")->capture_default_str();
  app.add_option("--group", r.group, "Lines of standard input that are embedded and printed at once")->check(whole(1, 1 << 20))->type_name("N")->capture_default_str();
  add_threads(app, r.threads);
  return run(app, argc, argv, [&] { return embed(r); });
}
