// How well the pages that answer a question are found: by words, by meaning and by both, for one chunk size or several, exact and with HNSW.

#include <filesystem>
#include "common/program.hpp"
#include "evaluate/retrieving.hpp"
#include "evaluate/sweep.hpp"

namespace {

using namespace examples;
using namespace evaluation;

char const* const footer = R"(Each --chunks is one run: the documents are cut, embedded and indexed anew, and one line of JSON says what was found, how large the
index is and what it took. --cache keeps the vectors, so that an interrupted run goes on where it stopped. --distractors N takes the documents that
questions name and N others, drawn by the seed: for sweeps over more documents than there is time to embed.

Examples:
  retrieval --documents examples/data/handbook --questions examples/data/questions.jsonl --encoder .cache/models/all-MiniLM-L6-v2 --chunks 80/20 --chunks 160/40
  retrieval --documents DIR --encoder .cache/models/all-MiniLM-L6-v2 --index .cache/manuals.index      only make the index, for ask --index)";

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures retrieval on documents and questions with known answers, over chunk sizes.", "retrieval");
  sweep_options o;
  std::vector<std::string> chunks;
  app.add_option("--documents", o.documents, "Folder of .md files with a front matter of id, title, category, tags")->required()->type_name("DIR");
  app.add_option("--questions", o.questions, "Questions in JSON lines with the ids of the documents that answer them; without: only index")->type_name("FILE");
  app.add_option("--encoder", o.encoder, "Sentence encoder, a directory (all-MiniLM-L6-v2); without: by words alone")->type_name("DIR");
  app.add_option("--chunks", chunks, "Size and overlap of the passages in words; several are several runs; default: the library's")->type_name("SIZE/OVERLAP")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--distractors", o.distractors, "Only so many of the documents that no question names; -1: all")->check(whole(-1, 1 << 30))->type_name("N")->capture_default_str();
  app.add_option("--seed", o.seed, "Of --distractors and of the intervals")->type_name("N")->capture_default_str();
  app.add_option("--cache", o.cache, "File to keep the vectors in")->type_name("FILE");
  app.add_option("--index", o.index, "File to write the index of the last run to")->type_name("FILE");
  app.add_flag("--hnsw", o.hnsw, "Also with HNSW in place of the exact index");
  app.add_flag("--all", o.details, "Also each question's places, the misses, and similarities over thresholds");
  app.add_option("--candidates", o.how.candidates, "Of each ranking, before fusion")->check(whole(1, 100000))->capture_default_str();
  app.add_option("--rrf", o.how.fuse.constant, "Constant of reciprocal rank fusion")->check(within(0, 1e6))->capture_default_str();
  app.add_option("--word-weight", o.how.word_weight, "Of the ranking by words in the fusion")->check(within(0, 1e6))->capture_default_str();
  app.add_option("--name", o.name, "What the lines are called")->type_name("TEXT");
  app.add_option("--out", o.out, "File that the lines are appended to as well")->type_name("FILE");
  add_threads(app, o.threads);
  add_footer(app, footer);
  return run(app, argc, argv, [&] {
    for (auto const& text : chunks) o.chunks.push_back(parse_chunks(text));
    if (o.chunks.empty()) o.chunks.push_back(smalti::indexing_options{}.chunks);
    if (o.questions.empty() && o.distractors >= 0) throw CLI::ValidationError("--distractors", "expected --questions with it");
    if (o.encoder.empty() && (!o.index.empty() || o.hnsw)) throw CLI::ValidationError("--encoder", "expected it with --index and --hnsw");
    for (std::size_t i = 0; i < o.chunks.size(); ++i) {
      auto const line = sweep_once(o, o.chunks[i], i + 1 == o.chunks.size()).dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
      say(line);
      if (!o.out.empty()) append_line(o.out, line);
    }
    return 0;
  });
}
