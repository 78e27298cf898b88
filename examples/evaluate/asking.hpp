#pragma once
// One run over a question set: settings that identify it, passages of four sorts (retrieved, those that hold the answer, another question's, none), and the replies.

#include <filesystem>
#include <smalti/rag.hpp>
#include "../common/model.hpp"
#include "endpoint.hpp"
#include "scoring.hpp"
#include "statistics.hpp"

namespace evaluation {

enum class passage_source { retrieved, oracle, wrong, none };

struct run_options {
  examples::model_options model;
  endpoint_options remote;
  std::string encoder, documents, index, questions, out, system;
  std::vector<std::string> only, kinds;
  std::string retrieval = "fused";
  passage_source source = passage_source::retrieved;
  int limit = 0, passages = 4, max_tokens = 200;
  float abstain = smalti::answer_options{}.abstain_below;
  uint64_t seed = 1;
  bool restart = false, forced = false;

  bool needs_documents() const { return source != passage_source::none; }
  /// With passages the words that the default model was trained on; without, none that speak of passages.
  std::string instruction() const { return !system.empty() ? system : needs_documents() ? smalti::rag_system : "Answer the question."; }
  char const* source_name() const {
    constexpr char const* names[] = {"retrieved", "oracle", "wrong", "none"};
    return names[int(source)];
  }
};

/// Tells files apart without reading gigabytes: FNV-1a over name, size and up to 1 MiB of both ends.
inline void add_fingerprint(uint64_t& hash, std::filesystem::path const& path) {
  auto const add = [&](std::string_view bytes) {
    for (unsigned char c : bytes) hash = (hash ^ c) * 0x100000001b3u;
  };
  smalti::mapped_file const file(path.string());
  std::size_t const end = std::size_t(1) << 20;
  add(path.filename().string()), add(std::to_string(file.text().size()));
  add(file.text().substr(0, end));
  if (file.text().size() > end) add(file.text().substr(std::max(end, file.text().size() - end)));
}
inline std::string fingerprint(std::vector<std::filesystem::path> const& files) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (auto const& f : files) add_fingerprint(hash, f);
  return examples::print("%016llx", (unsigned long long)hash);
}
/// Of the configuration, tokenizer and weights in a model's directory. Throws io.1 where there is none.
inline std::string model_fingerprint(std::string const& directory) {
  std::vector<std::filesystem::path> files;
  std::error_code failure;
  for (auto const& f : std::filesystem::directory_iterator(directory, failure))
    if (auto const e = f.path().extension(); f.is_regular_file() && (e == ".json" || e == ".safetensors" || e == ".jinja")) files.push_back(f.path());
  if (failure) throw smalti::error("io.1", directory + ": expected a model's directory, found: " + failure.message());
  std::sort(files.begin(), files.end());
  return fingerprint(files);
}

/// What decides the answers. Threads, --limit and --only do not: a run may be widened later.
inline json settings_of(run_options const& o, std::string const& documents_hash) {
  json s = {{"passages", o.source_name()}, {"questions", fingerprint({o.questions})}, {"max_tokens", o.max_tokens}, {"seed", o.seed}, {"system", o.instruction()}, {"program", 1}};
  if (o.remote.url.empty()) {
    s["model"] = o.model.directory, s["model_hash"] = model_fingerprint(o.model.directory), s["weights"] = o.model.weights, s["context"] = o.model.context;
    s["adapters"] = o.model.adapters;
  } else s["url"] = o.remote.url, s["url_model"] = o.remote.model;
  if (o.forced) s["forced"] = true;
  if (!o.needs_documents()) return s;
  s["passage_limit"] = o.passages, s["documents"] = documents_hash;
  if (o.source == passage_source::retrieved) {
    smalti::retrieve_options const how;  // the library's: an answer to other passages is another answer
    s["retrieval"] = o.retrieval, s["abstain_below"] = o.abstain, s["candidates"] = how.candidates, s["fusion"] = how.fuse.constant;
  }
  return s;
}

/// Whether a list names it; an empty list leaves the choice open.
inline bool among(std::vector<std::string> const& names, std::string const& name) { return names.empty() || std::find(names.begin(), names.end(), name) != names.end(); }

/// Those that --only, --kind and --limit leave, in the order of the file. A limited set is drawn by the seed, so that it is no beginning of a file.
inline std::vector<question const*> selected(std::vector<question> const& all, run_options const& o) {
  std::vector<question const*> some;
  for (auto const& q : all)
    if (among(o.only, q.category) && among(o.kinds, q.answerable() ? q.kind : "unanswerable")) some.push_back(&q);
  if (some.empty()) throw std::runtime_error(o.questions + ": expected questions of the category and kind asked for, found none");
  if (o.limit <= 0 || o.limit >= int(some.size())) return some;
  random_source draw(o.seed);
  for (std::size_t i = some.size(); i > 1; --i) std::swap(some[i - 1], some[draw.below(i)]);
  some.resize(std::size_t(o.limit));
  std::sort(some.begin(), some.end(), [](auto* a, auto* b) { return a->line < b->line; });
  return some;
}

/// The documents with their vectors: from the index file where it is current, and saved there.
inline smalti::store open_documents(smalti::on_cpu const& where, smalti::sentence_encoder const& encoder, run_options const& o, std::vector<smalti::document> const& documents) {
  bool const reuse = !o.index.empty() && std::filesystem::exists(o.index);
  auto store = reuse ? smalti::open_store(o.index, encoder) : smalti::make_store(encoder);
  examples::progress bar("embedding", "passages");
  auto const done = smalti::index_documents(where, store, encoder, documents, {.prune = true, .progress = [&](int n, int of) { examples::stop_if_interrupted(), bar.update(n, of); }});
  if (!o.index.empty() && done.added + done.replaced + done.erased > 0) {
    if (auto const folder = std::filesystem::path(o.index).parent_path(); !folder.empty()) std::filesystem::create_directories(folder);
    store.save(o.index);
  }
  return store;
}

/// The passages of the documents that hold the answer, nearest first. For a question that no document answers: what retrieval finds.
inline std::vector<smalti::passage> oracle_passages(smalti::on_cpu const& where, smalti::store const& from, smalti::sentence_encoder const& encoder, question const& q, int most) {
  smalti::retrieve_options how{.k = most};
  if (!q.documents.empty()) how.by = smalti::ranking::meaning, how.candidates = 1000, how.filter = {.ids = q.documents};
  return smalti::retrieve(where, from, encoder, q.text, how);
}

/// The next question of the category that is about other documents; the first of all where there is none.
inline question const& another(std::vector<question> const& all, question const& q) {
  std::size_t const at = std::size_t(&q - all.data());
  for (std::size_t i = 1; i < all.size(); ++i) {
    auto const& other = all[(at + i) % all.size()];
    auto const shared = [&](auto const& d) { return std::find(q.documents.begin(), q.documents.end(), d) != q.documents.end(); };
    if (other.category == q.category && !other.documents.empty() && std::none_of(other.documents.begin(), other.documents.end(), shared)) return other;
  }
  return all.front();
}

/// Asks one question; `found` are its passages. A generator turns a prompt into text, `count` a text into its number of tokens.
template <class Generator>
reply ask(Generator&& generator, question const& q, std::vector<smalti::passage> const& found, run_options const& o, int budget, std::function<int(std::string_view)> count, smalti::retrieval_seconds spent) {
  smalti::answer_options how;
  how.prompt = {.budget = budget, .count = std::move(count), .system = o.instruction()};
  // Given the right passages, or none, the model itself decides whether to answer.
  how.abstain_below = o.source == passage_source::retrieved ? o.abstain : -2;
  bool asked = false;
  auto const watched = [&](smalti::rag_prompt const& p) { return asked = true, generator(p); };
  auto const r = smalti::answer(watched, q.text, found, how, spent);
  reply out;
  out.id = q.id, out.answer = r.answer, out.abstained = r.abstained, out.asked = asked, out.confidence = double(r.confidence);
  for (auto const& c : r.citations.all) out.cited.push_back(r.passages[c.passage].document);
  for (std::size_t i = 0; i < r.citations.unknown.size(); ++i) out.cited.emplace_back();
  for (auto const& p : r.passages) out.passages.push_back(p.document);
  auto const& t = r.timings;
  out.prompt_tokens = t.prompt_tokens, out.tokens = t.tokens, out.embed = t.embed, out.search = t.search, out.prefill = t.prefill, out.decode = t.decode;
  return out;
}

}  // namespace evaluation
