#pragma once
// How well the documents that hold an answer are found: by meaning, by words, by both fused, and with HNSW in place of the exact index.

#include <smalti/rag.hpp>
#include "summary.hpp"

namespace evaluation {

inline constexpr int ranked_passages = 30, ranked_documents = 10;

struct ranking_result {
  std::string name;
  std::vector<ranking_list> lists;  ///< of each question: document ids, best first, one for each passage
};

/// The rankings that retrieve() makes for the questions that name documents, best `ranked_passages` passages each. The store ends with the index
/// that it had. `progress(done)` is called after each question.
inline std::vector<ranking_result> rank_documents(smalti::on_cpu const& where, smalti::store& from, smalti::sentence_encoder const& encoder, std::vector<question const*> const& asked,
                                                  std::function<void(int)> const& progress) {
  using smalti::ranking;
  std::vector<ranking_result> all{{"dense", {}}, {"bm25", {}}, {"fused", {}}, {"hnsw", {}}};
  int done = 0;
  auto const rank = [&](question const& q, ranking by) {
    ranking_list list;
    for (auto const& p : smalti::retrieve(where, from, encoder, q.text, {.k = ranked_passages, .by = by})) list.push_back(p.document);
    return list;
  };
  for (auto const* q : asked) {
    ranking const ways[] = {ranking::meaning, ranking::words, ranking::fused};
    for (int w = 0; w < 3; ++w) all[std::size_t(w)].lists.push_back(rank(*q, ways[w]));
    progress(++done);
  }
  bool const was_hnsw = from.is_hnsw();
  was_hnsw ? from.use_flat() : from.use_hnsw(smalti::on_cpu{});  // one thread: the same graph every time
  for (auto const* q : asked) all[3].lists.push_back(rank(*q, ranking::meaning)), progress(++done);
  was_hnsw ? from.use_hnsw(smalti::on_cpu{}) : from.use_flat();
  if (was_hnsw) std::swap(all[0].lists, all[3].lists);
  return all;
}

/// hit@k: one of the documents is among the first k different ones, which is enough, since each holds the answer. recall@k: the share of them.
inline json summarise(std::vector<ranking_result> const& rankings, std::vector<question const*> const& asked, resampling how) {
  json out = json::object();
  std::vector<relevant_set> wanted;
  for (auto const* q : asked) wanted.emplace_back(q->documents.begin(), q->documents.end());
  for (auto const& r : rankings) {
    auto const mean_of = [&](auto&& metric, std::string const& category = {}) {
      std::vector<double> x;
      for (std::size_t i = 0; i < asked.size(); ++i)
        if (category.empty() || asked[i]->category == category) x.push_back(metric(r.lists[i], wanted[i]));
      return json_of(bootstrap_mean(x, how));
    };
    json one = {{"mrr", mean_of(reciprocal_rank)}, {"ndcg@10", mean_of([](auto& l, auto& w) { return ndcg_at(l, w, 10); })}};
    json hits = json::array();
    for (int k = 1; k <= ranked_documents; ++k) hits.push_back(mean_of([&](auto& l, auto& w) { return double(hit_at(l, w, k)); })["value"]);
    one["hits"] = hits;
    for (int k : {1, 3, 5, 10}) {
      one["hit@" + std::to_string(k)] = mean_of([&](auto& l, auto& w) { return double(hit_at(l, w, k)); });
      one["recall@" + std::to_string(k)] = mean_of([&](auto& l, auto& w) { return recall_at(l, w, k); });
    }
    std::set<std::string> categories;
    for (auto const* q : asked) categories.insert(q->category);
    for (auto const& c : categories)
      one["categories"][c] = {{"hit@5", mean_of([](auto& l, auto& w) { return double(hit_at(l, w, 5)); }, c)}, {"recall@5", mean_of([](auto& l, auto& w) { return recall_at(l, w, 5); }, c)},
                              {"mrr", mean_of(reciprocal_rank, c)}};
    json misses = json::array();
    for (std::size_t i = 0; i < asked.size(); ++i)
      if (!hit_at(r.lists[i], wanted[i], 5)) {
        auto found = distinct(r.lists[i]);
        found.resize(std::min<std::size_t>(found.size(), 5));
        misses.push_back({{"id", asked[i]->id}, {"question", asked[i]->text}, {"documents", asked[i]->documents}, {"found", found}});
      }
    one["misses@5"] = misses;
    out[r.name] = one;
  }
  return out;
}

}  // namespace evaluation
