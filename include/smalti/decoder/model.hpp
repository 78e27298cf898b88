#pragma once
// A decoder-only language model of any supported family: one forward pass over a batch of sequences with a cache.

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>
#include "adapter.hpp"
#include "layer.hpp"

namespace smalti {

struct load_options {
  weight_kind weights = weight_kind::as_stored;  ///< of the linear layers
  weight_kind head = weight_kind::as_stored;     ///< of the language-model head, where it is not tied to the embedding
  attention_kind attention = attention_kind::fused;  ///< eager: to compare with, and to measure what fusing is worth
  nf4_options nf4 = {};                          ///< how, where something becomes NF4
  float int8_outliers = -1;                      ///< INT8 weights by LLM.int8 (gemm/llm_int8.hpp; 6 is usual) with this threshold: all passes
                                                 ///< on the host, those of more than 16 rows on a device; negative: activations stay as they are
  std::function<void(int done, int total)> progress = {};  ///< called after each layer
};

/// One sequence's share of a batch.
struct batch_entry {
  static constexpr int active = -2, none = -1;
  int sequence;                 ///< its number in the cache
  std::span<int const> tokens;  ///< new ones, at least one; they follow what the cache holds
  int adapter = active;         ///< the number that attach returned; none; or active: all that are switched on for the model
};

enum class logits { none, last, all };  ///< for which tokens of each sequence the head is computed

template <class Where>
class decoder {
 public:
  decoder(decoder&&) noexcept;
  decoder& operator=(decoder&&) noexcept;
  ~decoder();
  /// From a Hugging Face directory. Throws io.*, model.* and gemm.*: the message names file, tensor, expected and found.
  static decoder load(std::string const& directory, Where const& where = {}, load_options const& options = {});
  /// From anything that `load_weight`, `load_linear` and `load_vector` know beside a checkpoint.
  template <class Source>
  static decoder from(decoder_config config, Source const& source, Where const& where, load_options const& options = {}) {
    return {std::move(config), source, where, options};
  }

  decoder_config const& config() const { return config_; }
  Where const& where() const { return where_; }
  std::size_t weight_bytes() const;

  /// One pass. Returns a view of the logits, rows in the order of the batch: one for each sequence (`logits::last`), one for
  /// each token (`all`), or none; it holds until the next pass. Throws model.25 (no room in the cache) and model.27 (a token
  /// id, sequence or adapter that is not there) before anything is written.
  template <class Cache>
  view<float, 2> forward(Cache& cache, std::span<batch_entry const> entries, logits wanted = logits::last);
  /// The same with `after(where, logits, batch)` at the end of the pass, part of what a device repeats; `tag` names it.
  template <class Cache, class After>
  view<float, 2> forward(Cache& cache, std::span<batch_entry const> entries, logits wanted, void const* tag, After&& after);
  /// The next step of the sequences of the last pass, for whose batch the backend has the tokens: `after` has put them there and moved
  /// the batch on by one. Throws model.25.
  template <class Cache, class After>
  view<float, 2> repeat(Cache& cache, std::span<int const> sequences, void const* tag, After&& after);
  /// Those logits for the host, row-major; until the next pass. On a device: copied, after the pass has ended.
  std::span<float> read(view<float, 2> logits) { return backend<Where>::read(where_, batch_, logits); }

  /// What the backend keeps for this model beside weights (on a device: device_batch).
  typename backend<Where>::batch& state() { return batch_; }

  // ------------------------------------------------------------------------------------------------ adapters

  /// Adds an adapter and switches it on; returns its number. Several may be on: they are stacked. Throws model.30 (a module
  /// that this model has not), model.31 (matrices of another shape); the model is then as before.
  int attach(adapter a);
  /// Switches an adapter on or off for rows that ask for the active ones.
  void activate(int number, bool on) { entry(number).on = on, refresh(); }
  int adapter_count() const { return int(adapters_.size()); }

  /// Makes an adapter part of the weights, W + s·B·A, and switches it off. Dense weights keep their type (W16 + ΔW);
  /// quantised ones become dequant(W4) + ΔW in `quantised_become` (f32 or bf16): the base that QLoRA adapters were trained on.
  void merge(int number, weight_kind quantised_become = weight_kind::bf16) { update(number, 1.f, quantised_become); }
  /// Takes a merged adapter out again, up to rounding; quantised weights stay dequantised.
  void unmerge(int number) { update(number, -1.f, weight_kind::bf16); }

 private:
  struct attached { std::string name; bool on; };

  using linear_type = typename backend<Where>::linear;
  using weight_type = typename backend<Where>::weight;

  template <class Source>
  decoder(decoder_config config, Source const& source, Where const& where, load_options const& o);

  /// Checks the batch, makes room for it, and lays out who owns which row.
  template <class Cache>
  ragged_batch prepare(Cache& cache, std::span<batch_entry const> entries);

  template <class Cache, class After>
  view<float, 2> pass(Cache& cache, logits wanted, void const* tag, After& after);
  void head(Where const& where, view<float, 2> out, logits wanted);

  /// cos and sin for `length` positions of at most `room`. Dynamic scaling depends on the length itself once that passes the trained one.
  typename backend<Where>::rope const& table_for(int length, int room);

  template <class F>
  void each_linear(F&& f) { for (auto& l : layers_) for (auto* one : {&l.qkv, &l.o, &l.gate_up, &l.down}) f(*one); }
  template <class F>
  void each_linear(F&& f) const { for (auto const& l : layers_) for (auto const* one : {&l.qkv, &l.o, &l.gate_up, &l.down}) f(*one); }
  template <class F>
  void each_module(F&& f) { each_linear([&](linear_type& g) { for (auto& part : g.parts) f(part); }); }

  bool has_module(std::string const& name);
  bool any_active() const { return std::any_of(adapters_.begin(), adapters_.end(), [](attached const& a) { return a.on; }); }
  attached& entry(int number);
  void refresh();
  void update(int number, float sign, weight_kind quantised_become);

  decoder_config config_;
  Where where_;
  float int8_outliers_;                          // as in load_options
  weight_type embedding_;                        // (vocabulary, hidden)
  std::vector<decoder_layer<Where>> layers_;
  typename backend<Where>::vector norm_;         // (hidden)
  std::optional<weight_type> head_;              // unless tied
  std::vector<attached> adapters_;
  typename backend<Where>::rope table_;
  typename backend<Where>::batch batch_;
  workspace<Where> work_;
};

template <class Where>
decoder<Where>::decoder(decoder&&) noexcept = default;
template <class Where>
decoder<Where>& decoder<Where>::operator=(decoder&&) noexcept = default;
template <class Where>
decoder<Where>::~decoder() = default;

template <class Where>
decoder<Where> decoder<Where>::load(std::string const& directory, Where const& where, load_options const& options) {
  checkpoint const c(directory);
  return {load_decoder_config(directory), c, where, options};
}

template <class Where>
template <class Source>
decoder<Where>::decoder(decoder_config config, Source const& source, Where const& where, load_options const& o) : config_(std::move(config)), where_(where), int8_outliers_(o.int8_outliers) {
  int const q = config_.q_width(), kv = config_.kv_width(), d = config_.hidden, f = config_.ffn;
  embedding_ = load_weight(where_, source, "model.embed_tokens.weight", config_.vocabulary, d, weight_kind::as_stored, o.nf4);
  for (int i = 0; i < config_.layers; ++i) {
    std::string const at = "model.layers." + std::to_string(i) + ".";
    auto const norm = [&](char const* name, int n) { return load_vector(where_, source, at + name, n); };
    auto const group = [&](std::vector<module_shape> modules, int k, bool biased) {
      for (auto& m : modules) m.name = at + m.name;
      return load_linear(where_, source, modules, k, biased, o.weights, o.nf4);
    };
    decoder_layer<Where> l;
    l.attention = o.attention;
    l.attention_norm = norm("input_layernorm.weight", d), l.mlp_norm = norm("post_attention_layernorm.weight", d);
    if (config_.qk_norm)
      l.q_norm = norm("self_attn.q_norm.weight", config_.head_dim), l.k_norm = norm("self_attn.k_norm.weight", config_.head_dim);
    l.qkv = group({{"self_attn.q_proj", q}, {"self_attn.k_proj", kv}, {"self_attn.v_proj", kv}}, d, config_.qkv_bias);
    l.o = group({{"self_attn.o_proj", d}}, q, config_.out_bias);
    l.gate_up = group({{"mlp.gate_proj", f}, {"mlp.up_proj", f}}, d, config_.mlp_bias), l.down = group({{"mlp.down_proj", d}}, f, config_.mlp_bias);
    layers_.push_back(std::move(l));
    if (o.progress) o.progress(i + 1, config_.layers);
  }
  norm_ = load_vector(where_, source, "model.norm.weight", d);
  if (!config_.tied) head_ = load_weight(where_, source, "lm_head.weight", config_.vocabulary, d, o.head, o.nf4);
}

template <class Where>
std::size_t decoder<Where>::weight_bytes() const {
  std::size_t n = bytes_of(embedding_) + (head_ ? bytes_of(*head_) : 0);
  each_linear([&](linear_type const& g) { n += bytes_of(g); });
  return n;
}

template <class Where>
template <class Cache>
view<float, 2> decoder<Where>::forward(Cache& cache, std::span<batch_entry const> entries, logits wanted) {
  return forward(cache, entries, wanted, nullptr, [](auto const&...) {});
}

template <class Where>
template <class Cache, class After>
view<float, 2> decoder<Where>::forward(Cache& cache, std::span<batch_entry const> entries, logits wanted, void const* tag, After&& after) {
  backend<Where>::begin(where_, batch_, prepare(cache, entries));
  auto const out = pass(cache, wanted, tag, after);
  for (auto const& e : entries) cache.advance(e.sequence, int(e.tokens.size()));
  return out;
}

template <class Where>
template <class Cache, class After>
view<float, 2> decoder<Where>::repeat(Cache& cache, std::span<int const> sequences, void const* tag, After&& after) {
  for (int s : sequences) cache.reserve(s, 1);
  std::vector<int> pages;
  for (int s : sequences) pages.insert(pages.end(), cache.pages_of(s).begin(), cache.pages_of(s).end());
  backend<Where>::go_on(where_, batch_, std::move(pages));
  auto const out = pass(cache, logits::last, tag, after);
  for (int s : sequences) cache.advance(s, 1);
  return out;
}

template <class Where>
template <class Cache, class After>
view<float, 2> decoder<Where>::pass(Cache& cache, logits wanted, void const* tag, After& after) {
  int const m = batch_.rows(), rows_out = wanted == logits::none ? 0 : wanted == logits::all ? m : batch_.count();
  work_.reserve(config_, m, rows_out);
  auto const& rope = table_for(*std::max_element(batch_.kv_used.begin(), batch_.kv_used.end()), cache.capacity());
  auto const x = row_major(work_.x.data(), m, config_.hidden);                                         // (M, hidden)
  auto const out = row_major(work_.logits.data(), rows_out, config_.vocabulary);                       // (rows, vocabulary)
  // What the pass depends on beside the contents of memory: the same key, the same launches.
  auto const number = [](auto n) { return reinterpret_cast<void const*>(std::uintptr_t(n)); };
  std::array<void const*, 14> const key = {work_.x.data(), work_.last.data(), work_.h.data(), work_.qkv.data(), work_.a.data(), work_.g.data(), work_.logits.data(), cache.keys(0).at,
                                           cache.values(0).at, number(cache.page_size()), number(cache.max_pages()), rope.cos.data(), number(int(wanted)), tag};
  backend<Where>::run(where_, batch_, key, [&](Where const& on) {
    require(embed(on, x, embedding_, batch_, config_.embedding_multiplier));
    for (int l = 0; l < config_.layers; ++l) smalti::forward(on, config_, layers_[std::size_t(l)], l, work_, cache, batch_, rope);
    if (wanted != logits::none) head(on, out, wanted);
    after(on, out, batch_);
  });
  return out;
}

template <class Where>
template <class Cache>
ragged_batch decoder<Where>::prepare(Cache& cache, std::span<batch_entry const> entries) {
  bool per_row = false;
  for (auto const& e : entries) {
    if (e.tokens.empty()) throw error("model.27", "sequence " + std::to_string(e.sequence) + " of the batch has no tokens; expected at least one");
    for (int id : e.tokens)
      if (id < 0 || id >= config_.vocabulary)
        throw error("model.27", "token id " + std::to_string(id) + "; expected 0 to " + std::to_string(config_.vocabulary - 1));
    if (e.adapter < batch_entry::active || e.adapter >= adapter_count())
      throw error("model.27", "adapter " + std::to_string(e.adapter) + "; the model has " + std::to_string(adapter_count()));
    per_row |= e.adapter != batch_entry::active;
  }
  if (entries.empty()) throw error("model.27", "the batch is empty; expected at least one sequence");
  for (auto const& e : entries)
    if (per_row && e.adapter == batch_entry::active && any_active())
      throw error("model.27", "a batch either uses the active adapters everywhere or names one adapter, or none, for every sequence");
  for (auto const& e : entries) cache.reserve(e.sequence, int(e.tokens.size()));

  ragged_batch batch;
  batch.int8_outliers = int8_outliers_;
  batch.q_starts = {0};
  for (auto const& e : entries) {
    int const past = cache.length(e.sequence), count = int(e.tokens.size());
    batch.token.insert(batch.token.end(), e.tokens.begin(), e.tokens.end());
    auto const pages = cache.pages_of(e.sequence);
    batch.pages.insert(batch.pages.end(), pages.begin(), pages.end());
    batch.q_starts.push_back(int(batch.token.size())), batch.first.push_back(past), batch.kv_used.push_back(past + count), batch.sequence.push_back(e.sequence);
    for (int i = 0; i < count; ++i) {
      batch.position.push_back(past + i);
      if (per_row) batch.adapter.push_back(e.adapter == batch_entry::active ? batch_entry::none : e.adapter);
    }
  }
  return batch;
}

template <class Where>
void decoder<Where>::head(Where const& where, view<float, 2> out, logits wanted) {
  int const count = int(out.extent[0]);
  auto x = row_major(work_.x.data(), batch_.rows(), config_.hidden);                                   // (M, hidden)
  auto const h = row_major(work_.h.data(), count, config_.hidden);                                     // (rows, hidden)
  auto const read = [](auto v) { return view<std::remove_pointer_t<decltype(v.at)> const, 2>(v); };
  if (wanted == logits::last && count < batch_.rows()) {  // otherwise each row is its sequence's last
    auto const last = row_major(work_.last.data(), count, config_.hidden);                             // (rows, hidden)
    require(last_rows(where, last, read(x), batch_));
    x = last;
  }
  require(project_head(where, out, normalised_input<Where>{read(x), norm_, config_.norm_eps, h}, head_ ? *head_ : embedding_, batch_, 1 / config_.logits_divisor));
}

template <class Where>
typename backend<Where>::rope const& decoder<Where>::table_for(int length, int room) {
  bool const dynamic = config_.rope.type == rope_scaling::kind::dynamic;
  int want = table_.positions;
  if (dynamic) want = max(length, config_.rope.original_positions);
  else if (want < length) want = max(max(length, 2 * want), min(room, backend<Where>::least_positions));
  if (want != table_.positions) table_ = backend<Where>::make_rope(where_, make_rope_table(config_.rope_dim, want, config_.rope_theta, config_.rope));
  return table_;
}

template <class Where>
int decoder<Where>::attach(adapter a) {
  std::size_t used = 0;
  each_module([&](auto const& l) {
    auto const found = a.modules.find(l.name);
    if (found == a.modules.end()) return;
    ++used;
    lora const& p = found->second;
    int const n = rows_of(l), k = columns_of(l);
    if (p.rank < 1 || p.a.size() != std::size_t(p.rank) * k || p.b.size() != std::size_t(n) * p.rank)
      throw error("model.31", "adapter '" + a.name + "', module '" + l.name + "': expected A (" + std::to_string(p.rank) + ", " + std::to_string(k) +
                                  ") and B (" + std::to_string(n) + ", " + std::to_string(p.rank) + "), found " + std::to_string(p.a.size()) +
                                  " and " + std::to_string(p.b.size()) + " elements");
  });
  if (used != a.modules.size())
    for (auto const& [module, p] : a.modules)
      if (!has_module(module)) throw error("model.30", "adapter '" + a.name + "': module '" + module + "' is not a linear layer of this " + config_.architecture);
  each_module([&](auto& l) {
    auto const found = a.modules.find(l.name);
    l.adapters.push_back(found == a.modules.end() ? lora{} : std::move(found->second));
  });
  adapters_.push_back({a.name, true});
  return refresh(), int(adapters_.size()) - 1;
}

template <class Where>
bool decoder<Where>::has_module(std::string const& name) {
  bool found = false;
  each_module([&](auto const& l) { found |= l.name == name; });
  return found;
}

template <class Where>
typename decoder<Where>::attached& decoder<Where>::entry(int number) {
  if (number < 0 || number >= adapter_count())
    throw error("model.27", "adapter " + std::to_string(number) + "; the model has " + std::to_string(adapter_count()));
  return adapters_[std::size_t(number)];
}

template <class Where>
void decoder<Where>::refresh() {
  std::vector<bool> on;
  for (auto const& a : adapters_) on.push_back(a.on);
  each_linear([&](linear_type& g) { refresh_adapters(where_, g, on); });
  backend<Where>::forget(batch_);
}

template <class Where>
void decoder<Where>::update(int number, float sign, weight_kind quantised_become) {
  entry(number);
  each_linear([&](linear_type& g) { update_weights(where_, g, number, sign, quantised_become); });
  activate(number, false);
}

#if !SMALTI_HEADER_ONLY
extern template class decoder<on_cpu>;
extern template view<float, 2> decoder<on_cpu>::forward(kv_cache<float>&, std::span<batch_entry const>, logits);
extern template view<float, 2> decoder<on_cpu>::forward(kv_cache<bf16>&, std::span<batch_entry const>, logits);
extern template view<float, 2> decoder<on_cpu>::forward(kv_cache<f16>&, std::span<batch_entry const>, logits);
#endif

}  // namespace smalti
