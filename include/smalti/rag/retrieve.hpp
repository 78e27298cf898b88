#pragma once
// Documents into a store, and a question to its passages: by meaning, by words, and by both rankings fused.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "../encoder.hpp"
#include "../retrieval.hpp"
#include "../text/chunk.hpp"

namespace smalti {

/// A passage that a question led to.
struct passage {
  int chunk = 0;
  std::string document, title, text;
  text_span span;        ///< of the document's text
  float score = 0;       ///< that it was ranked by: cosine, BM25 or rank fusion
  float similarity = 0;  ///< cosine of question and passage, −1 … 1, however it was found
};

struct indexing_options {
  chunk_options chunks = {.limit = 160, .overlap = 40};  ///< in words, or what its count counts; see docs/decisions.d/retrieval.md
  int batch = 64;                                        ///< passages embedded between two reports
  bool prune = false;                                    ///< also erase the documents of the store that are not among these
  std::function<void(int done, int of)> progress = {};   ///< passages, now and then
  /// One unit vector per text, (texts, dimension), as the encoder makes them; e.g. from a cache. Empty: the encoder.
  std::function<buffer<float>(std::span<std::string const>)> embed = {};
};
struct indexing_report {
  int added = 0, replaced = 0, unchanged = 0, erased = 0;  ///< documents
  int passages = 0;                                        ///< embedded
};

/// A store for an encoder's vectors, still empty.
store make_store(sentence_encoder const& encoder);
/// The store of a file, if it was made with this encoder. Errors: those of store::open, index.6.
store open_store(std::string const& path, sentence_encoder const& encoder);

/// What is embedded for a passage: the title lends its topic to passages that do not name it.
std::string embedded_text(std::string_view title, std::string_view text);

/// Cuts, embeds and stores the documents that are new or changed; the others cost one hash. Errors: text.6, index.*.
indexing_report index_documents(on_cpu const& where, store& to, sentence_encoder const& encoder, std::span<document const> documents, indexing_options const& options = {});

/// Which ranking decides.
enum class ranking { meaning, words, fused };

struct retrieve_options {
  int k = 4;                         ///< passages at most
  ranking by = ranking::fused;
  int candidates = 100;              ///< of each ranking, before fusion and MMR
  rrf fuse = {.constant = 20};       ///< see docs/decisions.d/retrieval.md
  float word_weight = 1;             ///< of the ranking by words against that by meaning
  float mmr = 1;                     ///< λ; below 1, passages that repeat each other make room
  int per_document = 0;              ///< passages of one document at most; 0: any number
  document_filter filter = {};
};
struct retrieval_seconds {
  double embed = 0, search = 0;
};

/// The passages for a question, best first. Errors: index.7 (an encoder of another dimension).
std::vector<passage> retrieve(on_cpu const& where, store const& from, sentence_encoder const& encoder, std::string const& question, retrieve_options const& o = {}, retrieval_seconds* seconds = nullptr);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_RAG)
  #include <algorithm>
  #include <chrono>
  #include <map>
  #include <set>

namespace smalti {

SMALTI_INLINE store make_store(sentence_encoder const& encoder) { return store({.model = encoder.identity(), .dimension = encoder.dimension()}); }
SMALTI_INLINE store open_store(std::string const& path, sentence_encoder const& encoder) { return store::open(path, {.model = encoder.identity(), .dimension = encoder.dimension()}); }
SMALTI_INLINE std::string embedded_text(std::string_view title, std::string_view text) { return std::string(title) + "\n" + std::string(text); }

SMALTI_INLINE indexing_report index_documents(on_cpu const& where, store& to, sentence_encoder const& encoder, std::span<document const> documents, indexing_options const& options) {
  indexing_report report;
  struct work {
    document const* of;
    std::vector<text_span> spans;
    std::size_t first;  // of its texts
  };
  std::vector<work> todo;
  std::vector<std::string> texts;
  std::set<std::string> wanted;
  for (auto const& d : documents) {
    wanted.insert(d.id);
    if (to.holds(d)) { ++report.unchanged; continue; }
    ++(to.find(d.id) ? report.replaced : report.added);
    todo.push_back({&d, {}, texts.size()});
    for (chunk const& c : split(d.text, options.chunks)) {
      todo.back().spans.push_back({c.begin, c.end});
      texts.push_back(embedded_text(d.title, std::string_view(d.text).substr(c.begin, c.end - c.begin)));
    }
  }
  std::size_t const dimension = std::size_t(to.dimension()), batch = std::size_t(std::max(options.batch, 1));
  buffer<float> vectors(texts.size() * dimension);  // (passages, dimension)
  for (std::size_t first = 0; first < texts.size(); first += batch) {
    std::size_t const count = std::min(batch, texts.size() - first);
    auto const some = std::span(texts).subspan(first, count);
    auto const part = options.embed ? options.embed(some) : encoder.encode(where, some);  // (count, dimension)
    if (part.size() != count * dimension) throw error("index.7", "embed: expected " + std::to_string(count * dimension) + " numbers, found " + std::to_string(part.size()));
    std::copy(part.begin(), part.end(), vectors.begin() + first * dimension);
    if (options.progress) options.progress(int(first + count), int(texts.size()));
  }
  for (auto const& w : todo)
    to.add(*w.of, w.spans, row_major<float const>(vectors.data() + w.first * dimension, index(w.spans.size()), index(dimension)));
  report.passages = int(texts.size());
  if (options.prune) {
    std::vector<std::string> gone;
    to.for_each([&](document const& d) { if (!wanted.contains(d.id)) gone.push_back(d.id); });
    for (auto const& id : gone) to.erase(id), ++report.erased;
  }
  return report;
}

SMALTI_INLINE std::vector<passage> retrieve(on_cpu const& where, store const& from, sentence_encoder const& encoder, std::string const& question, retrieve_options const& o, retrieval_seconds* seconds) {
  using clock = std::chrono::steady_clock;
  auto const start = clock::now();
  auto const embedded = encoder.encode(where, question);  // (dimension)
  std::span<float const> const query(embedded.data(), embedded.size());
  auto const middle = clock::now();
  int const candidates = std::max(o.candidates, o.k);
  std::vector<hit> rankings[2];
  if (o.by != ranking::words) rankings[0] = from.search_vectors(where, query, candidates, o.filter);
  if (o.by != ranking::meaning) rankings[1] = from.search_words(question, candidates, o.filter);
  float const weights[2] = {1, o.word_weight};
  auto hits = o.by == ranking::fused ? fuse(rankings, candidates, o.fuse, weights) : rankings[o.by == ranking::words];
  auto cosine = [](std::span<float const> a, std::span<float const> b) {
    float s = 0;
    for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
    return s;
  };
  if (o.mmr < 1) hits = mmr(hits, int(hits.size()), o.mmr, [&](int a, int b) { return cosine(from.vector(a), from.vector(b)); });
  std::vector<passage> found;
  std::map<document const*, int> taken;
  for (hit h : hits) {
    if (int(found.size()) >= o.k) break;
    auto const view = from.chunk(h.id);
    if (o.per_document > 0 && taken[view.from]++ >= o.per_document) continue;
    found.push_back({h.id, view.from->id, view.from->title, std::string(view.text()), view.span, h.score, cosine(query, from.vector(h.id))});
  }
  if (seconds) *seconds = {std::chrono::duration<double>(middle - start).count(), std::chrono::duration<double>(clock::now() - middle).count()};
  return found;
}

}  // namespace smalti
#endif
