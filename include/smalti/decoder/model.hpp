#pragma once
// A decoder-only language model of any supported family: one forward pass over a batch of sequences with a cache.

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <vector>
#include "adapter.hpp"
#include "layer.hpp"

namespace smalti {

struct load_options {
  weight_kind weights = weight_kind::as_stored;  ///< of the linear layers
  weight_kind head = weight_kind::as_stored;     ///< of the language-model head, where it is not tied to the embedding
  nf4_options nf4 = {};                          ///< how, where something becomes NF4
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

  decoder_config const& config() const { return config_; }
  Where const& where() const { return where_; }
  std::size_t weight_bytes() const;

  /// One pass. Returns a view of the logits, rows in the order of the batch: one for each sequence (`logits::last`), one for
  /// each token (`all`), or none; it holds until the next pass. Throws model.25 (no room in the cache) and model.27 (a token
  /// id, sequence or adapter that is not there) before anything is written.
  template <class Cache>
  view<float, 2> forward(Cache& cache, std::span<batch_entry const> entries, logits wanted = logits::last);

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

  decoder(decoder_config config, checkpoint const& c, Where const& where, load_options const& o);

  /// Checks the batch, makes room for it, and lays out who owns which row. Returns the token ids of all rows.
  template <class Cache>
  std::vector<int> prepare(Cache& cache, std::span<batch_entry const> entries);

  view<float, 2> head(view<float, 2> x, logits wanted, int count);

  /// cos and sin for `length` positions. Dynamic scaling depends on the length itself once that passes the trained one.
  rope_table const& table_for(int length);

  template <class F>
  void each_linear(F&& f) { for (auto& l : layers_) for (auto* one : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) f(*one); }
  template <class F>
  void each_linear(F&& f) const { for (auto const& l : layers_) for (auto const* one : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) f(*one); }

  bool has_module(std::string const& name) const;
  bool any_active() const { return std::any_of(adapters_.begin(), adapters_.end(), [](attached const& a) { return a.on; }); }
  attached& entry(int number);
  void refresh();
  void update(int number, float sign, weight_kind quantised_become);

  decoder_config config_;
  Where where_;
  packed_weight embedding_;            // (vocabulary, hidden)
  std::vector<decoder_layer> layers_;
  buffer<float> norm_;                 // (hidden)
  linear_layer head_;                  // unless tied
  std::vector<attached> adapters_;
  rope_table table_;
  ragged_batch batch_;
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
decoder<Where>::decoder(decoder_config config, checkpoint const& c, Where const& where, load_options const& o) : config_(std::move(config)), where_(where) {
  auto const matrix = [&](std::string const& module, int n, int k, weight_kind kind) { return load_weight(where_, c, module + ".weight", n, k, kind, o.nf4); };
  auto const layer_of = [&](std::string const& module, int n, int k, bool biased) {
    linear_layer l{module, matrix(module, n, k, o.weights)};
    if (biased) l.bias = to_float(c.at(module + ".bias"), {n});
    return l;
  };
  embedding_ = matrix("model.embed_tokens", config_.vocabulary, config_.hidden, weight_kind::as_stored);
  for (int i = 0; i < config_.layers; ++i) {
    std::string const at = "model.layers." + std::to_string(i) + ".";
    auto const norm = [&](char const* name, int n) { return to_float(c.at(at + name), {n}); };
    int const q = config_.q_width(), kv = config_.kv_width(), d = config_.hidden, f = config_.ffn;
    decoder_layer l;
    l.attention_norm = norm("input_layernorm.weight", d), l.mlp_norm = norm("post_attention_layernorm.weight", d);
    if (config_.qk_norm)
      l.q_norm = norm("self_attn.q_norm.weight", config_.head_dim), l.k_norm = norm("self_attn.k_norm.weight", config_.head_dim);
    l.q = layer_of(at + "self_attn.q_proj", q, d, config_.qkv_bias), l.k = layer_of(at + "self_attn.k_proj", kv, d, config_.qkv_bias);
    l.v = layer_of(at + "self_attn.v_proj", kv, d, config_.qkv_bias), l.o = layer_of(at + "self_attn.o_proj", d, q, config_.out_bias);
    l.gate = layer_of(at + "mlp.gate_proj", f, d, config_.mlp_bias), l.up = layer_of(at + "mlp.up_proj", f, d, config_.mlp_bias);
    l.down = layer_of(at + "mlp.down_proj", d, f, config_.mlp_bias);
    layers_.push_back(std::move(l));
    if (o.progress) o.progress(i + 1, config_.layers);
  }
  norm_ = to_float(c.at("model.norm.weight"), {config_.hidden});
  if (!config_.tied) head_ = {"lm_head", matrix("lm_head", config_.vocabulary, config_.hidden, o.head)};
}

template <class Where>
std::size_t decoder<Where>::weight_bytes() const {
  std::size_t n = bytes_of(embedding_) + (config_.tied ? 0 : bytes_of(head_.weight));
  each_linear([&](linear_layer const& l) { n += bytes_of(l.weight); });
  return n;
}

template <class Where>
template <class Cache>
view<float, 2> decoder<Where>::forward(Cache& cache, std::span<batch_entry const> entries, logits wanted) {
  std::vector<int> const ids = prepare(cache, entries);
  int const m = batch_.rows();
  int const rows_out = wanted == logits::none ? 0 : wanted == logits::all ? m : batch_.count();
  work_.reserve(config_, m, rows_out);
  rope_table const& rope = table_for(*std::max_element(batch_.kv_used.begin(), batch_.kv_used.end()));
  auto const x = row_major(work_.x.data(), m, config_.hidden);                                         // (M, hidden)
  require(embed(where_, x, embedding_, ids, config_.embedding_multiplier));
  for (int l = 0; l < config_.layers; ++l) smalti::forward(where_, config_, layers_[l], l, work_, cache, batch_, rope);
  for (auto const& e : entries) cache.advance(e.sequence, int(e.tokens.size()));
  return head(x, wanted, rows_out);
}

template <class Where>
template <class Cache>
std::vector<int> decoder<Where>::prepare(Cache& cache, std::span<batch_entry const> entries) {
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

  std::vector<int> ids;
  batch_ = {.q_starts = {0}, .first = {}, .kv_used = {}, .pages = {}, .sequence = {}, .position = {}, .adapter = {}};
  for (auto const& e : entries) {
    int const past = cache.length(e.sequence), count = int(e.tokens.size());
    ids.insert(ids.end(), e.tokens.begin(), e.tokens.end());
    auto const pages = cache.pages_of(e.sequence);
    batch_.pages.insert(batch_.pages.end(), pages.begin(), pages.end());
    batch_.q_starts.push_back(int(ids.size())), batch_.first.push_back(past), batch_.kv_used.push_back(past + count), batch_.sequence.push_back(e.sequence);
    for (int i = 0; i < count; ++i) {
      batch_.position.push_back(past + i);
      if (per_row) batch_.adapter.push_back(e.adapter == batch_entry::active ? batch_entry::none : e.adapter);
    }
  }
  return ids;
}

template <class Where>
view<float, 2> decoder<Where>::head(view<float, 2> x, logits wanted, int count) {
  auto const out = row_major(work_.logits.data(), count, config_.vocabulary);                          // (rows, vocabulary)
  if (wanted == logits::none) return out;
  auto const last = row_major(work_.last.data(), count, config_.hidden);                               // (rows, hidden)
  for (int i = 0; i < count; ++i) {
    int const from = wanted == logits::all ? i : batch_.q_starts[i + 1] - 1;
    std::copy_n(&x(from, 0), config_.hidden, &last(i, 0));
  }
  view<float const, 2> const h(last);
  require(rms_norm(where_, last, h, std::span<float const>(norm_.data(), norm_.size()), config_.norm_eps));
  packed_weight const& weight = config_.tied ? embedding_ : head_.weight;
  require(gemm(where_, out, product(h, weight), scaled{1 / config_.logits_divisor}));
  return out;
}

template <class Where>
rope_table const& decoder<Where>::table_for(int length) {
  bool const dynamic = config_.rope.type == rope_scaling::kind::dynamic;
  int want = table_.positions;
  if (dynamic) want = max(length, config_.rope.original_positions);
  else if (want < length) want = max(length, max(2 * want, 256));
  if (want != table_.positions) table_ = make_rope_table(config_.rope_dim, want, config_.rope_theta, config_.rope);
  return table_;
}

template <class Where>
int decoder<Where>::attach(adapter a) {
  std::size_t used = 0;
  each_linear([&](linear_layer const& l) {
    auto const found = a.modules.find(l.name);
    if (found == a.modules.end()) return;
    ++used;
    lora const& p = found->second;
    int const n = rows_of(l.weight), k = columns_of(l.weight);
    if (p.rank < 1 || p.a.size() != std::size_t(p.rank) * k || p.b.size() != std::size_t(n) * p.rank)
      throw error("model.31", "adapter '" + a.name + "', module '" + l.name + "': expected A (" + std::to_string(p.rank) + ", " + std::to_string(k) +
                                  ") and B (" + std::to_string(n) + ", " + std::to_string(p.rank) + "), found " + std::to_string(p.a.size()) +
                                  " and " + std::to_string(p.b.size()) + " elements");
  });
  if (used != a.modules.size())
    for (auto const& [module, p] : a.modules)
      if (!has_module(module)) throw error("model.30", "adapter '" + a.name + "': module '" + module + "' is not a linear layer of this " + config_.architecture);
  each_linear([&](linear_layer& l) {
    auto const found = a.modules.find(l.name);
    l.adapters.push_back(found == a.modules.end() ? lora{} : std::move(found->second));
  });
  adapters_.push_back({a.name, true});
  return refresh(), int(adapters_.size()) - 1;
}

template <class Where>
bool decoder<Where>::has_module(std::string const& name) const {
  bool found = false;
  each_linear([&](linear_layer const& l) { found |= l.name == name; });
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
  each_linear([&](linear_layer& l) {
    l.active.clear();
    for (std::size_t a = 0; a < adapters_.size(); ++a)
      if (adapters_[a].on && l.adapters[a].rank > 0) l.active.push_back(&l.adapters[a]);
  });
}

template <class Where>
void decoder<Where>::update(int number, float sign, weight_kind quantised_become) {
  entry(number);
  each_linear([&](linear_layer& l) {
    lora const& a = l.adapters[std::size_t(number)];
    if (a.rank > 0) l.weight = with_update(where_, std::move(l.weight), a, sign, quantised_become);
  });
  activate(number, false);
}

#if !SMALTI_HEADER_ONLY
extern template class decoder<on_cpu>;
extern template view<float, 2> decoder<on_cpu>::forward(kv_cache<float>&, std::span<batch_entry const>, logits);
extern template view<float, 2> decoder<on_cpu>::forward(kv_cache<bf16>&, std::span<batch_entry const>, logits);
extern template view<float, 2> decoder<on_cpu>::forward(kv_cache<f16>&, std::span<batch_entry const>, logits);
#endif

}  // namespace smalti
