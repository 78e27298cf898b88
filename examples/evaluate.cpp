// How good a model, its retrieval and its citations are on a question set: scores with intervals by category, examples of failures, and tests
// between two runs or two models.

#include "evaluate/asking.hpp"
#include "evaluate/compare.hpp"
#include "evaluate/forced.hpp"
#include "evaluate/journal.hpp"
#include "evaluate/report.hpp"
#include "evaluate/retrieving.hpp"
#include "evaluate/runs.hpp"

namespace {

using namespace examples;
using namespace evaluation;

char const* const footer = R"(Text answers are scored by exact match and token F1 (SQuAD), ROUGE-L and BLEU-4; numbers by value, tolerance and unit; code by running
it (SQLite, Python) without files, network or children and with limits on time and memory; unanswerable questions by declining.
Intervals are 95 % bootstrap intervals over questions. --out receives journal.jsonl, result.json and report.html; a run that was
interrupted goes on where it stopped, and one with other settings is refused.

Also:  evaluate compare A/result.json B/result.json      whether two runs differ
       evaluate models DIR_A DIR_B --text FILE           KL divergence, top-1 agreement and perplexity of two models

Examples:
  evaluate --model models/smalti-23m-instruct --encoder .cache/models/all-MiniLM-L6-v2 --documents examples/data/handbook \
    --questions examples/data/questions.jsonl --out build/evaluation/retrieved
  evaluate --model DIR --no-passages --questions examples/data/questions.jsonl --out build/evaluation/none)";

void write_file(std::string const& path, std::string const& text) {
  smalti::atomic_file file(path);
  file.write(text);
  file.commit();
}
std::string dumped(json const& j) { return j.dump(1, ' ', false, json::error_handler_t::replace) + "\n"; }

/// The documents, their index and the encoder, where a run needs them.
struct library {
  smalti::sentence_encoder encoder;
  smalti::store store;
};

/// Asks what the journal does not hold yet; interrupted, it leaves the journal as far as it came.
void ask_all(smalti::on_cpu const& where, run_options const& o, std::vector<question> const& questions, std::vector<question const*> const& asked, library const* from, journal& kept) {
  std::vector<question const*> open;
  for (auto const* q : asked)
    if (!kept.find(q->id)) open.push_back(q);
  if (open.size() < asked.size()) remark(print("%zu of %zu questions were answered before", asked.size() - open.size(), asked.size()));
  if (open.empty()) return;
  // The same loop for a model here and one behind a URL.
  auto const all = [&](auto&& generator, int budget, std::function<int(std::string_view)> const& count) {
    progress bar("asking", "questions", (long long)open.size());
    for (std::size_t i = 0; i < open.size(); ++i) {
      bar.update((long long)i);
      auto const& q = *open[i];
      smalti::retrieval_seconds spent;
      std::vector<smalti::passage> found;
      smalti::ranking const by = o.retrieval == "dense" ? smalti::ranking::meaning : o.retrieval == "bm25" ? smalti::ranking::words : smalti::ranking::fused;
      if (o.source == passage_source::retrieved) found = smalti::retrieve(where, from->store, from->encoder, q.text, {.k = o.passages, .by = by, .per_document = 2}, &spent);
      if (o.source == passage_source::oracle) found = oracle_passages(where, from->store, from->encoder, q, o.passages);
      if (o.source == passage_source::wrong) found = oracle_passages(where, from->store, from->encoder, another(questions, q), o.passages);
      auto const r = ask(generator, q, found, o, budget, count, spent);
      stop_if_interrupted();  // an answer that was cut short is not kept
      kept.append(json_of(r));
    }
  };
  if (!o.remote.url.empty()) return all(endpoint(o.remote), 4096, {});
  auto model = load_model(o.model, where);
  // Greedy, so the answers are the same every time. 64: what a chat layout adds to two turns, generously.
  smalti::chat_generator<smalti::on_cpu> const generator{model, smalti::chat_template::load(o.model.directory), {.max_tokens = o.max_tokens, .sampling = {.seed = o.seed}},
                                                         [](std::string_view) { return interrupted() == 0; }};
  int const budget = model.cache.capacity() - o.max_tokens - 64;
  auto const count = [&](std::string_view t) { return generator.count(t); };
  if (o.forced) return all(compelled_generator(generator), budget, count);
  all(generator, budget, count);
}

int evaluate(run_options& o) {
  stopwatch watch;
  // Everything that can be refused is refused before the first question: options, the set, its documents, the journal.
  if (o.source == passage_source::none && !o.encoder.empty() && o.documents.empty()) throw CLI::ValidationError("--encoder", "expected --documents with it");
  if (o.model.directory.empty() == o.remote.url.empty()) throw CLI::ValidationError("--model", "expected either --model or --url");
  if (!o.remote.url.empty() && o.remote.model.empty()) throw CLI::ValidationError("--url", "expected --url-model with it");
  if (o.needs_documents() && (o.encoder.empty() || o.documents.empty())) throw CLI::ValidationError("--documents", "expected --encoder and --documents, or --no-passages");
  if (o.forced && !o.remote.url.empty()) throw CLI::ValidationError("--forced", "expected --model with it: a server's probabilities cannot be changed");
  if (!o.remote.url.empty()) (void)endpoint(o.remote);  // refused now, and not after the index was made
  auto const questions = read_questions(o.questions);
  auto const asked = selected(questions, o);
  smalti::thread_pool threads(o.model.threads);
  smalti::on_cpu const where{threads};

  std::optional<library> from;
  std::string documents_hash;
  if (o.needs_documents()) {
    auto const documents = smalti::load_documents(o.documents);
    uint64_t hash = 0;
    for (auto const& d : documents) hash = hash * 31 + smalti::content_hash(d);
    documents_hash = print("%016llx", (unsigned long long)hash);
    auto encoder = smalti::sentence_encoder::load(o.encoder);
    documents_hash += " " + encoder.identity();
    auto store = open_documents(where, encoder, o, documents);
    from.emplace(library{std::move(encoder), std::move(store)});
    for (auto const* q : asked)
      for (auto const& d : q->documents)
        if (!from->store.find(d)) throw std::runtime_error(o.questions + ":" + std::to_string(q->line) + ": documents: expected ids of " + o.documents + ", found \"" + d + "\"");
  }
  auto const settings = settings_of(o, documents_hash);
  std::filesystem::create_directories(o.out);
  std::filesystem::path const out = o.out;
  journal kept((out / "journal.jsonl").string(), settings, o.restart);

  resampling const how{.seed = o.seed};
  json retrieval = nullptr;
  if (o.source == passage_source::retrieved) {  // the rankings do not depend on the model, and with oracle passages none is used
    std::vector<question const*> with_documents;
    for (auto const* q : asked)
      if (!q->documents.empty()) with_documents.push_back(q);
    progress bar("ranking", "questions", 2 * (long long)with_documents.size());
    auto const rankings = rank_documents(where, from->store, from->encoder, with_documents, [&](int done) { stop_if_interrupted(), bar.update(done); });
    if (!with_documents.empty()) retrieval = summarise(rankings, with_documents, how);
  }
  ask_all(where, o, questions, asked, from ? &*from : nullptr, kept);

  // Scored from the journal, so that a finished run is scored again by a newer program without asking again.
  std::vector<scored> all;
  {
    progress bar("scoring", "answers", (long long)asked.size());
    for (auto const* q : asked) stop_if_interrupted(), all.push_back(score(*q, reply_of(*kept.find(q->id), (out / "journal.jsonl").string()))), bar.update((long long)all.size());
  }
  json result = summarise(all, how);
  result["format"] = "smalti evaluation 1", result["settings"] = settings, result["retrieval"] = retrieval;
  result["timing"]["seconds"] = rounded(watch.seconds()), result["timing"]["threads"] = o.model.threads;
  write_file((out / "result.json").string(), dumped(result)), write_file((out / "report.html").string(), html_report(result));
  say(text_table(result));
  say("\n" + std::to_string(result["failures"].size()) + " failures, plots and settings: " + (out / "report.html").string() + "; " + duration_text(watch.seconds()) + "\n");
  return 0;
}

int compare_files(std::string const& a, std::string const& b, uint64_t seed, bool as_json) {
  auto const found = compare_runs(load_run(a), load_run(b), {.seed = seed});
  if (as_json) return say(dumped({{"a", a}, {"b", b}, {"groups", found.groups}})), 0;
  say("A " + a + "\nB " + b + "\n" + print("%d questions that both answered; score: text F1, or right or not. Two-sided p: paired permutation test of the scores, seed %llu.\n\n", found.common, (unsigned long long)seed) + found.table);
  return 0;
}

/// The options of `evaluate models`.
struct model_pair {
  model_options a, b;
  std::vector<std::string> texts;
  smalti::perplexity_options window{.window = 1024, .stride = 512};
  bool as_json = false;
};

/// KL divergence, agreement and perplexities, with the conventions that they depend on.
int compare_two(model_pair& p) {
  if (p.window.stride > p.window.window) throw CLI::ValidationError("--stride", "expected at most --window, found " + std::to_string(p.window.stride));
  std::vector<std::string> texts;
  std::size_t bytes = 0;
  for (auto const& file : p.texts) texts.emplace_back(smalti::mapped_file(file).text()), bytes += texts.back().size();
  smalti::thread_pool threads(p.a.threads);
  p.a.context = p.b.context = p.window.window;  // the caches hold one window
  auto a = load_model(p.a, smalti::on_cpu{threads}), b = load_model(p.b, smalti::on_cpu{threads});
  progress bar("comparing", "tokens");
  stopwatch watch;
  auto d = compare_models(a, b, texts, p.window, [&](long long done) { stop_if_interrupted(), bar.update(done); });
  bar.clear();
  if (d.tokens == 0) throw std::runtime_error("--text: expected texts of at least 2 tokens, found none");
  auto const kl = bootstrap_mean(d.kl_of, {.rounds = 200});
  std::sort(d.kl_of.begin(), d.kl_of.end());
  double const n = double(d.tokens), ppl_a = std::exp(d.nll_a / n), ppl_b = std::exp(d.nll_b / n), median = quantile(d.kl_of, 0.5), p99 = quantile(d.kl_of, 0.99);
  if (p.as_json)
    return say(dumped({{"a", p.a.directory}, {"b", p.b.directory}, {"weights_a", p.a.weights}, {"weights_b", p.b.weights}, {"texts", texts.size()}, {"bytes", bytes}, {"tokens", d.tokens}, {"window", p.window.window},
                       {"stride", p.window.stride}, {"kl", json_of(kl)}, {"kl_median", median}, {"kl_p99", p99}, {"top1_agreement", double(d.same_top) / n}, {"perplexity_a", ppl_a}, {"perplexity_b", ppl_b}, {"seconds", watch.seconds()}})), 0;
  say("A " + p.a.directory + ", weights " + p.a.weights + "\nB " + p.b.directory + ", weights " + p.b.weights + "\n");
  say(print("KL(A || B)       %.4g nats a token [%.4g, %.4g]; median %.3g, 99 %% below %.3g\n", kl.value, kl.low, kl.high, median, p99));
  say(print("top-1 agreement  %.4f\nperplexity       A %.5g, B %.5g (B/A %.4f)\n", double(d.same_top) / n, ppl_a, ppl_b, ppl_b / ppl_a));
  say(print("convention       %lld tokens of %zu texts (%zu bytes) scored once each, the first of a text is context; window %d moved by %d;\n                 the models' own tokenizer, fp32 activations and cache\n", d.tokens, texts.size(), bytes,
            p.window.window, p.window.stride));
  return 0;
}

int run_compare(int argc, char** argv) {
  CLI::App app("Tells whether two runs of evaluate on one question set differ.", "evaluate compare");
  std::string a, b;
  uint64_t seed = 1;
  bool as_json = false;
  app.add_option("A", a, "result.json of a run")->required()->type_name("FILE");
  app.add_option("B", b, "result.json of another")->required()->type_name("FILE");
  app.add_option("--seed", seed, "Of resampling")->type_name("N")->capture_default_str();
  app.add_flag("--json", as_json, "One JSON object");
  add_footer(app, "Examples:\n  evaluate compare build/evaluation/none/result.json build/evaluation/retrieved/result.json");
  return run(app, argc, argv, [&] { return compare_files(a, b, seed, as_json); });
}

int run_models(int argc, char** argv) {
  CLI::App app("Compares the predictions of two models that share a tokenizer.", "evaluate models");
  model_pair p;
  auto const kinds = one_of({"as-stored", "f32", "bf16", "nf4", "int8"});
  app.add_option("A", p.a.directory, "Hugging Face directory")->required()->type_name("DIR");
  app.add_option("B", p.b.directory, "Hugging Face directory; may be the same")->required()->type_name("DIR");
  app.add_option("--text", p.texts, "Text file; several are separate texts")->required()->type_name("FILE")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--weights-a", p.a.weights, "What A's linear layers become: as-stored, f32, bf16, nf4 or int8")->check(kinds)->type_name("KIND")->capture_default_str();
  app.add_option("--weights-b", p.b.weights, "The same for B")->check(kinds)->type_name("KIND")->capture_default_str();
  app.add_option("--window", p.window.window, "Tokens seen at once, at least 2")->check(whole(2, 1 << 24))->type_name("TOKENS")->capture_default_str();
  app.add_option("--stride", p.window.stride, "Tokens by which the window moves, at most --window")->check(whole(1, 1 << 24))->type_name("TOKENS")->capture_default_str();
  add_threads(app, p.a.threads);
  app.add_flag("--json", p.as_json, "One JSON object");
  add_footer(app, "Examples:\n  evaluate models DIR DIR --weights-a f32 --weights-b int8 --text book.txt");
  return run(app, argc, argv, [&] { return compare_two(p); });
}

}  // namespace

int main(int argc, char** argv) {
  std::string const first = argc > 1 ? argv[1] : "";
  if (first == "compare") return run_compare(argc - 1, argv + 1);
  if (first == "models") return run_models(argc - 1, argv + 1);
  CLI::App app("Evaluates a language model on a question set, with passages from documents or without.", "evaluate");
  add_footer(app, footer);
  run_options o;
  bool oracle = false, wrong = false, none = false;
  add_model(app, o.model), add_context(app, o.model);
  app.get_option("--model")->required(false);
  app.add_option("--url", o.remote.url, "An OpenAI-compatible server instead of --model; OPENAI_API_KEY is sent where it is set")->type_name("http://…/v1");
  app.add_option("--url-model", o.remote.model, "The model's name there")->type_name("NAME");
  app.add_option("--encoder", o.encoder, "Sentence encoder, a directory (all-MiniLM-L6-v2)")->type_name("DIR");
  app.add_option("--documents", o.documents, "Folder of .md files with a front matter of id, title, category, tags")->type_name("DIR");
  app.add_option("--index", o.index, "File to keep the embedded documents in; without it they are embedded at every start")->type_name("FILE");
  app.add_option("--questions", o.questions, "Questions in JSON lines (examples/data/README.md)")->required()->type_name("FILE");
  app.add_option("--out", o.out, "Folder for the journal, result.json and report.html")->required()->type_name("DIR");
  app.add_option("--retrieval", o.retrieval, "Ranking that the passages come from: dense, bm25 or fused")->check(one_of({"dense", "bm25", "fused"}))->type_name("KIND")->capture_default_str();
  auto* const with_oracle = app.add_flag("--oracle-passages", oracle, "Give the passages of the documents that hold the answer");
  auto* const with_wrong = app.add_flag("--wrong-passages", wrong, "Give the passages of another question, which hold no answer")->excludes(with_oracle);
  app.add_flag("--no-passages", none, "Give no passages; needs no documents")->excludes(with_oracle)->excludes(with_wrong);
  app.add_flag("--forced", o.forced, "Let no answer begin as a refusal does: what the model says where it would decline");
  app.add_option("--passages", o.passages, "Passages given to the model at most")->check(whole(1, 50))->type_name("N")->capture_default_str();
  app.add_option("--max-tokens", o.max_tokens, "Length of an answer at most")->check(whole(1, 100000))->type_name("TOKENS")->capture_default_str();
  app.add_option("--abstain-below", o.abstain, "Best similarity under which the model is not asked (retrieved passages only)")->check(within(-1, 1))->capture_default_str();
  app.add_option("--system", o.system, "Instruction before the passages; default: the library's, or \"Answer the question.\" without passages")->type_name("TEXT");
  app.add_option("--only", o.only, "Only questions of this category; several widen the choice")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->type_name("CATEGORY");
  app.add_option("--kind", o.kinds, "Only questions of this kind: text, numeric, code or unanswerable; several widen the choice")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->check(one_of({"text", "numeric", "code", "unanswerable"}))->type_name("KIND");
  app.add_option("--limit", o.limit, "That many questions, drawn by the seed; 0: all")->check(whole(0, 1 << 30))->type_name("N")->capture_default_str();
  app.add_option("--seed", o.seed, "Of --limit and of the intervals")->type_name("N")->capture_default_str();
  app.add_flag("--restart", o.restart, "Forget what the journal in --out holds");
  return run(app, argc, argv, [&] {
    o.source = oracle ? passage_source::oracle : wrong ? passage_source::wrong : none ? passage_source::none : passage_source::retrieved;
    o.remote.max_tokens = o.max_tokens, o.remote.seed = (long long)(o.seed >> 1);
    return evaluate(o);
  });
}
