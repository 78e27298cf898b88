#pragma once
// One line of a sweep: documents cut to one size, indexed, and every question's pages ranked by words, by meaning and by both.

#include <chrono>
#include <cstdio>
#include <fstream>
#include <smalti/rag.hpp>
#include "../common/program.hpp"
#include "questions.hpp"
#include "retrieving.hpp"
#include "vector_cache.hpp"

namespace evaluation {

struct sweep_options {
  std::string documents, questions, encoder, cache, index, out, name;
  std::vector<smalti::chunk_options> chunks;
  smalti::retrieve_options how = {};
  int distractors = -1, threads = 1;
  uint64_t seed = 1;
  bool hnsw = false, details = false;
};

/// "160/40". Throws CLI::ValidationError.
inline smalti::chunk_options parse_chunks(std::string const& text) {
  int size = 0, overlap = 0, end = 0;
  if (std::sscanf(text.c_str(), "%d/%d%n", &size, &overlap, &end) != 2 || std::size_t(end) != text.size() || size < 1 || overlap < 0 || overlap >= size || size > 1000000)
    throw CLI::ValidationError("--chunks", "expected SIZE/OVERLAP with 0 ≤ overlap < size ≤ 1000000, found " + text);
  return {.limit = size, .overlap = overlap};
}

inline void append_line(std::string const& path, std::string const& line) {
  if (auto const folder = std::filesystem::path(path).parent_path(); !folder.empty()) std::filesystem::create_directories(folder);
  std::ofstream file(path, std::ios::app);
  if (!(file << line << std::flush)) throw std::runtime_error(path + ": cannot be written");
}

/// The documents that questions name, and `distractors` of the others, drawn by the seed; in the order they had.
inline std::vector<smalti::document> drawn(std::vector<smalti::document> all, std::vector<question> const& asked, int distractors, uint64_t seed) {
  if (distractors < 0) return all;
  std::set<std::string> named;
  for (auto const& q : asked) named.insert(q.documents.begin(), q.documents.end());
  std::vector<std::pair<uint64_t, std::size_t>> others;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (!named.contains(all[i].id)) {
      // By a hash of the id, so that the draw does not move when pages come and go.
      uint64_t h = seed;
      for (char c : all[i].id) h = random_source(h ^ static_cast<unsigned char>(c))();
      others.emplace_back(h, i);
    }
  std::sort(others.begin(), others.end());
  std::set<std::size_t> kept;
  for (std::size_t i = 0; i < std::min(others.size(), std::size_t(distractors)); ++i) kept.insert(others[i].second);
  std::vector<smalti::document> some;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (named.contains(all[i].id) || kept.contains(i)) some.push_back(std::move(all[i]));
  return some;
}

/// Shares of questions that would be declined below thresholds of the best cosine: rightly (the documents hold no answer) and wrongly.
inline json thresholds(std::vector<std::pair<bool, float>> const& best) {
  json rows = json::array();
  for (int t = 10; t <= 60; t += 2) {
    int rightly = 0, wrongly = 0, in = 0, out = 0;
    for (auto const& [answerable, similarity] : best) {
      ++(answerable ? in : out);
      if (similarity < float(t) / 100) ++(answerable ? wrongly : rightly);
    }
    rows.push_back({{"below", t / 100.}, {"rightly", rightly}, {"wrongly", wrongly}, {"unanswerable", out}, {"answerable", in}});
  }
  return rows;
}

inline json sweep_once(sweep_options const& o, smalti::chunk_options const& chunks, bool last) {
  using smalti::ranking;
  using examples::progress, examples::stopwatch, examples::remark, examples::print, examples::stop_if_interrupted;
  smalti::thread_pool threads(o.threads);
  smalti::on_cpu const where{threads};
  auto const questions = o.questions.empty() ? std::vector<question>() : read_questions(o.questions);
  auto const documents = drawn(smalti::load_documents(o.documents), questions, o.distractors, o.seed);
  bool const meaning = !o.encoder.empty();
  auto const encoder = meaning ? smalti::sentence_encoder::load(o.encoder) : smalti::sentence_encoder();
  vector_cache cache(meaning ? o.cache : "", meaning ? encoder.identity() : "", meaning ? encoder.dimension() : 1);
  auto const cached = cache.size();

  stopwatch watch;
  auto store = meaning ? smalti::make_store(encoder) : smalti::store({.model = "none", .dimension = 1});
  double embedding = 0;
  {
    progress bar("embedding", "passages");
    smalti::indexing_options const how{.chunks = chunks, .progress = [&](int done, int of) { stop_if_interrupted(), bar.update(done, of); },
                                       .embed = [&](std::span<std::string const> texts) {
                                         stopwatch spent;
                                         if (!meaning) {
                                           smalti::buffer<float> ones(texts.size());
                                           std::fill(ones.begin(), ones.end(), 1.f);
                                           return ones;
                                         }
                                         auto vectors = cache.embed(texts, [&](auto missing) { return encoder.encode(where, missing); });
                                         embedding += spent.seconds();
                                         return vectors;
                                       }};
    smalti::index_documents(where, store, encoder, documents, how);
  }
  double const indexing = watch.seconds();
  std::size_t words = 0, bytes = 0;
  for (auto const& d : documents) words += std::size_t(smalti::detail::count_words(d.text));
  store.write([&](std::string_view piece) { bytes += piece.size(); });
  json line = {{"name", o.name}, {"chunk", chunks.limit}, {"overlap", chunks.overlap}, {"documents", documents.size()}, {"words", words}, {"passages", store.chunk_count()}, {"index_bytes", bytes},
               {"distractors", o.distractors}, {"threads", o.threads}, {"seconds", {{"index", rounded(indexing)}, {"embed", rounded(embedding)}}},
               {"embedded", {{"passages", cache.computed()}, {"cached_before", cached}}}};
  remark(print("%d/%d: %zu documents, %d passages, %zu embedded in %s", chunks.limit, chunks.overlap, documents.size(), store.chunk_count(), cache.computed(), examples::duration_text(embedding).c_str()));
  if (last && !o.index.empty()) store.save(o.index);

  std::vector<question const*> asked;
  for (auto const& q : questions)
    if (!q.documents.empty()) asked.push_back(&q);
  if (asked.empty()) return line;
  for (auto const* q : asked)
    for (auto const& d : q->documents)
      if (!store.find(d)) throw std::runtime_error(o.questions + ":" + std::to_string(q->line) + ": documents: expected ids of " + o.documents + ", found \"" + d + "\"");
  std::vector<ranking_result> all;
  auto const rank = [&](std::string name, ranking by) {
    ranking_result r{std::move(name), {}};
    smalti::retrieval_seconds sum;
    for (auto const* q : asked) {
      stop_if_interrupted();
      auto options = o.how;
      options.by = by, options.k = options.candidates;
      smalti::retrieval_seconds spent;
      ranking_list list;
      if (!meaning)
        for (auto h : store.search_words(q->text, options.candidates)) list.push_back(store.chunk(h.id).from->id);
      else
        for (auto const& p : smalti::retrieve(where, store, encoder, q->text, options, &spent)) list.push_back(p.document);
      r.lists.push_back(std::move(list)), sum.embed += spent.embed, sum.search += spent.search;
    }
    line["milliseconds"][r.name] = {{"embed", rounded(1e3 * sum.embed / double(asked.size()))}, {"search", rounded(1e3 * sum.search / double(asked.size()))}};
    all.push_back(std::move(r));
  };
  rank("bm25", ranking::words);
  if (meaning) rank("dense", ranking::meaning), rank("fused", ranking::fused);
  if (meaning && o.details) {
    std::vector<std::pair<bool, float>> best;
    for (auto const& q : questions) {
      float most = -1;
      for (auto const& p : smalti::retrieve(where, store, encoder, q.text, {.k = 4, .per_document = 2})) most = std::max(most, p.similarity);
      best.emplace_back(q.answerable(), most);
    }
    line["thresholds"] = thresholds(best);
  }
  if (meaning && o.hnsw) {
    stopwatch build;
    store.use_hnsw(where);
    line["seconds"]["hnsw"] = rounded(build.seconds());
    rank("hnsw", ranking::meaning), rank("hnsw fused", ranking::fused);
  }
  line["questions"] = asked.size();
  line["rankings"] = summarise(all, asked, {.seed = o.seed});
  if (!o.details)
    for (auto& r : line["rankings"]) r.erase("misses@5"), r.erase("hits");
  return line;
}

}  // namespace evaluation
