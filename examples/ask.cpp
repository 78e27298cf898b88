// Questions answered from a folder of documents, with the passages, citations, a confidence, and where the time went.
#include <filesystem>
#include <smalti/rag.hpp>
#include <smalti/io/json.hpp>
#include "common/model.hpp"

namespace {

using namespace examples;

/// For the handbook that comes with the library: what is asked when nobody asks.
constexpr char const* samples[] = {"How is NPV calculated?", "What is an upsert?", "What is a Python decorator?"};

struct ask_options {
  model_options model;
  std::string encoder, documents, index;
  std::vector<std::string> questions, categories;
  int passages = 4, max_tokens = 120;
  float abstain = smalti::answer_options{}.abstain_below;
  bool as_json = false, rebuild = false;
};

/// The store of the documents: what is new or changed is embedded, what is gone is erased, and the file replaced if need be.
smalti::store up_to_date_store(smalti::on_cpu const& where, smalti::sentence_encoder const& encoder, ask_options const& o) {
  auto const documents = smalti::load_documents(o.documents);
  bool const reuse = !o.index.empty() && !o.rebuild && std::filesystem::exists(o.index);
  auto store = [&] {
    if (!reuse) return smalti::make_store(encoder);
    try {
      return smalti::open_store(o.index, encoder);
    } catch (smalti::error const& e) {
      throw std::runtime_error(std::string(e.what()) + "\nThe index can be made again from the documents: --rebuild");
    }
  }();
  progress bar("embedding", "passages");
  smalti::indexing_options const how{.prune = true, .progress = [&](int done, int of) { stop_if_interrupted(), bar.update(done, of); }};
  auto const report = smalti::index_documents(where, store, encoder, documents, how);
  if (!o.index.empty() && report.added + report.replaced + report.erased > 0) {
    if (auto const folder = std::filesystem::path(o.index).parent_path(); !folder.empty()) std::filesystem::create_directories(folder);
    store.save(o.index);
  }
  bar.clear();
  remark(print("%d documents, %d passages: %d embedded, %d documents unchanged, %d erased; %s", store.document_count(), store.chunk_count(),
               report.passages, report.unchanged, report.erased, duration_text(bar.seconds()).c_str()));
  return store;
}

std::string indented(std::string_view text, std::size_t limit) {
  std::string out = "      ";
  for (char c : text.substr(0, limit)) out += c, out += c == '\n' ? "      " : "";
  return out + (text.size() > limit ? " …\n" : "\n");
}

template <class Where>
class session {
 public:
  session(smalti::on_cpu const& where, Where const& there, ask_options const& o)
      : where_(where), o_(o), encoder_(smalti::sentence_encoder::load(o.encoder)), store_(up_to_date_store(where, encoder_, o)),
        model_(load_model(o.model, there)), layout_(smalti::chat_template::load(o.model.directory)) {}

  void ask(std::string const& question) {
    smalti::retrieval_seconds spent;
    auto const found = smalti::retrieve(where_, store_, encoder_, question, {.k = o_.passages, .per_document = 2, .filter = {.categories = o_.categories}}, &spent);
    if (!o_.as_json) show_passages(question, found);
    bool streamed = false;
    smalti::chat_generator<Where> const generator{model_, layout_, {.max_tokens = o_.max_tokens}, [&](std::string_view piece) {
      if (!o_.as_json) say(streamed ? piece : "\n  " + std::string(piece));
      return streamed = true, interrupted() == 0;
    }};
    int const budget = model_.cache.capacity() - o_.max_tokens - layout_tokens;
    auto const reply = smalti::answer(generator, question, found,
                                      {.prompt = {.budget = budget, .count = [&](std::string_view t) { return generator.count(t); }}, .abstain_below = o_.abstain}, spent);
    stop_if_interrupted();
    if (o_.as_json) return say(smalti::json_of(reply).dump(-1, ' ', false, smalti::json::error_handler_t::replace) + "\n");
    if (!streamed) say("\n  " + reply.answer);
    show_grounds(reply);
  }

 private:
  static constexpr int layout_tokens = 64;  // what a chat layout adds to the text of two turns, generously

  void show_passages(std::string const& question, std::vector<smalti::passage> const& found) const {
    std::string text = "\nQuestion: " + question + "\n\n";
    for (std::size_t i = 0; i < found.size(); ++i)
      text += print("  [%zu] %s (%s), score %.4f, similarity %.2f\n", i + 1, found[i].title.c_str(), found[i].document.c_str(), double(found[i].score), double(found[i].similarity)) +
              indented(found[i].text, 160);
    say(text);
  }
  void show_grounds(smalti::rag_reply const& r) const {
    std::string text = "\n\n";
    for (auto const& c : r.citations.all) {
      auto const& p = r.passages[c.passage];
      auto const evidence = p.text.substr(c.evidence.begin, c.evidence.end - c.evidence.begin);
      text += print("  [%d] rests on %s: ", c.number, p.document.c_str()) + "\"" + evidence + "\"\n";
    }
    for (int n : r.citations.unknown) text += print("  [%d] is no passage\n", n);
    auto const& t = r.timings;
    text += r.abstained ? "  No answer: the documents do not seem to hold one.\n" : print("  Confidence %.2f (retrieval %.2f, support %.2f, certainty %.2f)\n",
            double(r.confidence), double(r.parts.retrieval), double(r.parts.support), double(r.parts.certainty));
    text += "  Time: embed " + duration_text(t.embed) + ", search " + duration_text(t.search);
    if (t.tokens) text += print(", prefill %d tokens in %s (%.0f tokens/s), decode %d tokens in %s (%.0f tokens/s)", t.prompt_tokens, duration_text(t.prefill).c_str(), t.prefill_rate(),
                                t.tokens, duration_text(t.decode).c_str(), t.decode_rate());
    say(text + "\n");
  }

  smalti::on_cpu where_;
  ask_options const& o_;
  smalti::sentence_encoder encoder_;
  smalti::store store_;
  smalti::language_model<Where> model_;
  smalti::chat_template layout_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Answers questions from a folder of Markdown documents: retrieves passages, lets a model answer from them with citations.", "ask");
  ask_options o;
  add_model(app, o.model), add_context(app, o.model), add_device(app, o.model);
  app.add_option("--encoder", o.encoder, "Sentence encoder, a directory (all-MiniLM-L6-v2)")->required()->type_name("DIR");
  app.add_option("--documents", o.documents, "Folder of .md files with a front matter of id, title, category, tags")->required()->type_name("DIR");
  app.add_option("--index", o.index, "File to keep the embedded documents in; without it they are embedded at every start")->type_name("FILE");
  app.add_flag("--rebuild", o.rebuild, "Make the index anew, whatever the file holds");
  app.add_option("--question", o.questions, "Ask this and end; several are asked in turn. Without it: three samples, then, on a terminal, what you type")
      ->type_name("TEXT")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--category", o.categories, "Only documents of this category; several widen the choice")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--passages", o.passages, "Passages given to the model at most")->check(CLI::Range(1, 50))->capture_default_str();
  app.add_option("--max-tokens", o.max_tokens, "Length of an answer at most")->check(CLI::Range(1, 100000))->type_name("TOKENS")->capture_default_str();
  app.add_option("--abstain-below", o.abstain, "Best similarity under which the model is not asked at all")->check(within(-1, 1))->capture_default_str();
  app.add_flag("--json", o.as_json, "Print one JSON object a question: question, answer, passages, citations, confidence, timings");
  app.footer("Examples:\n  ask --model models/smalti-23m-instruct --encoder .cache/models/all-MiniLM-L6-v2 --documents examples/data/handbook --question \"How is NPV calculated?\"\n"
             "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.");
  return run(app, argc, argv, [&] {
    smalti::thread_pool threads(o.model.threads);
    return on_device(o.model, threads, [&](auto const& where) {
      session s(smalti::on_cpu{threads}, where, o);  // the encoder stays on the host
      bool const asked = !o.questions.empty();
      if (!asked) o.questions.assign(std::begin(samples), std::end(samples));
      for (auto const& q : o.questions) s.ask(q);
      if (asked || o.as_json || !::isatty(STDIN_FILENO) || !::isatty(STDOUT_FILENO)) return 0;
      for (std::string line; say("\nYour question (Ctrl-D ends): "), std::getline(std::cin, line);)
        if (line.find_first_not_of(" \t") != std::string::npos) s.ask(line);
      return say("\n"), 0;
    });
  });
}
