// Retrieval quality on the handbook: recall@k and MRR by meaning, by words and fused, HNSW against flat, and what chunk size,
// overlap and word options do to them.
//
//     bench_retrieval [--sweep] [encoder directory] [handbook] [questions.jsonl]

#include <cstdio>
#include <cstring>
#include <iostream>
#include "smalti/rag.hpp"
#include <smalti/io/json.hpp>

using namespace smalti;

struct question {
  std::string text, category;
  std::vector<std::string> documents;
};

std::vector<question> read_questions(std::string const& path) {
  mapped_file const file(path);
  std::vector<question> all;
  detail::line_reader lines{file.text()};
  while (!lines.rest.empty()) {
    auto const line = lines.next();
    if (detail::trimmed(line).empty()) continue;
    auto const at = path + ":" + std::to_string(lines.number);
    auto const j = parse_json(line, at);
    all.push_back({field<std::string>(j, at, "question"), field<std::string>(j, at, "category"), field<std::vector<std::string>>(j, at, "documents")});
  }
  return all;
}

struct score {
  double hit1 = 0, hit3 = 0, hit5 = 0, reciprocal = 0;  // recall counts a question as found when one of its documents is among the first k
  int asked = 0;
  void add(question const& q, std::vector<passage> const& found) {
    ++asked;
    for (std::size_t rank = 0; rank < found.size(); ++rank)
      if (std::find(q.documents.begin(), q.documents.end(), found[rank].document) != q.documents.end()) {
        hit1 += rank < 1, hit3 += rank < 3, hit5 += rank < 5, reciprocal += 1.0 / double(rank + 1);
        return;
      }
  }
  void print(char const* name) const {
    std::printf("  %-28s recall@1 %.3f  @3 %.3f  @5 %.3f  MRR %.3f\n", name, hit1 / asked, hit3 / asked, hit5 / asked, reciprocal / asked);
  }
};

score measure(on_cpu const& where, store const& s, sentence_encoder const& e, std::vector<question> const& questions, retrieve_options o, bool show_misses = false) {
  score sum;
  o.k = 5;
  for (auto const& q : questions) {
    if (q.documents.empty()) continue;
    auto const found = retrieve(where, s, e, q.text, o);
    double const before = sum.hit5;
    sum.add(q, found);
    if (show_misses && sum.hit5 == before) {
      std::printf("  missed: %s (%s); found", q.text.c_str(), q.documents[0].c_str());
      for (auto const& p : found) std::printf(" %s", p.document.c_str());
      std::printf("\n");
    }
  }
  return sum;
}

int main(int count, char** arguments) try {
  bool const sweep = count > 1 && !std::strcmp(arguments[1], "--sweep");
  auto argument = [&](int i, char const* otherwise) { i += sweep; return std::string(count > i ? arguments[i] : otherwise); };
  auto const encoder = sentence_encoder::load(argument(1, ".cache/models/all-MiniLM-L6-v2"));
  auto const documents = load_documents(argument(2, "examples/data/handbook"));
  auto const questions = read_questions(argument(3, "examples/data/questions.jsonl"));
  thread_pool threads(int(std::max(1u, std::thread::hardware_concurrency())));
  on_cpu const where(threads);

  auto build = [&](chunk_options c) {
    auto s = make_store(encoder);
    index_documents(where, s, encoder, documents, {.chunks = c});
    return s;
  };
  auto three = [&](store const& s) {
    measure(where, s, encoder, questions, {.by = ranking::meaning}).print("meaning");
    measure(where, s, encoder, questions, {.by = ranking::words}).print("words");
    measure(where, s, encoder, questions, {.by = ranking::fused}).print("fused");
  };
  auto s = build(indexing_options{}.chunks);
  std::printf("%d documents, %d passages, %zu questions\n", s.document_count(), s.chunk_count(), questions.size());
  three(s);
  measure(where, s, encoder, questions, {}, true);
  for (float w : {0.3f, 0.5f, 0.7f}) measure(where, s, encoder, questions, {.word_weight = w}).print(("fused, words weigh " + std::to_string(w).substr(0, 3)).c_str());
  measure(where, s, encoder, questions, {.per_document = 1}).print("fused, one per document");
  measure(where, s, encoder, questions, {.mmr = 0.7f}).print("fused, MMR 0.7");

  std::printf("best similarity of questions that the documents answer, and do not:\n");
  std::vector<float> inside, outside;
  for (auto const& q : questions) (q.documents.empty() ? outside : inside).push_back(retrieve(where, s, encoder, q.text, {.k = 1, .by = ranking::meaning})[0].similarity);
  for (auto* list : {&inside, &outside}) {
    std::sort(list->begin(), list->end());
    for (double part : {0.0, 0.05, 0.25, 0.5, 0.75, 1.0}) std::printf("  %3.0f %%: %.3f", 100 * part, list->empty() ? 0.f : (*list)[std::size_t(part * double(list->size() - 1))]);
    std::printf("\n");
  }

  auto hnsw = build(indexing_options{}.chunks);
  hnsw.use_hnsw(where);
  int same = 0, all = 0;
  for (auto const& q : questions) {
    auto const a = retrieve(where, s, encoder, q.text, {.k = 5, .by = ranking::meaning}), b = retrieve(where, hnsw, encoder, q.text, {.k = 5, .by = ranking::meaning});
    for (auto const& x : a) ++all, same += std::any_of(b.begin(), b.end(), [&](auto const& y) { return y.chunk == x.chunk; });
  }
  std::printf("HNSW finds %d of %d of what flat finds\n", same, all);

  if (sweep)
    for (word_options words : {word_options{false, true}, {true, false}, {false, false}}) {
      store other({.model = encoder.identity(), .dimension = encoder.dimension(), .words = {.words = words}});
      index_documents(where, other, encoder, documents);
      std::printf("plurals %d, stop words %d\n", words.plurals, words.stop_words);
      three(other);
    }
  if (sweep)
    for (int limit : {60, 100, 160, 240, 400})
      for (int overlap : {0, limit / 4}) {
        auto const other = build({.limit = limit, .overlap = overlap});
        std::printf("chunks of %d words, overlap %d: %d passages\n", limit, overlap, other.chunk_count());
        three(other);
      }
} catch (error const& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
