#pragma once
// The weights of a BERT encoder (Devlin et al. 2018), ready for the products.

#include <cstdint>
#include <vector>
#include "../core/buffer.hpp"
#include "../gemm/weight.hpp"
#include "../io/checkpoint.hpp"
#include "config.hpp"

namespace smalti {

/// How an encoder keeps its matrices; vectors and embeddings are always fp32.
enum class encoder_weights { f32, bf16, int8 };

struct encoder_layer {
  packed_weight qkv;                ///< (3·hidden, hidden): query, key, value
  packed_weight out;                ///< (hidden, hidden)
  packed_weight up, down;           ///< (ffn, hidden), (hidden, ffn)
  buffer<float> qkv_bias, out_bias, up_bias, down_bias;
  buffer<float> attention_scale, attention_shift, output_scale, output_shift;  ///< (hidden): the LayerNorms after each half
};

struct encoder_tensors {
  buffer<float> words;                     ///< (vocabulary, hidden)
  buffer<float> places;                    ///< (positions, hidden): position + token type 0
  buffer<float> scale, shift;              ///< (hidden): the LayerNorm of the embeddings
  std::vector<encoder_layer> layers;
  uint32_t fingerprint = 0;                ///< of the last layer's matrices: tells two models of one shape apart
};

/// Every tensor with its shape checked. Errors: io.8 (no such tensor), io.9 (shape), quant.1 (NaN, for int8).
encoder_tensors load_encoder_tensors(checkpoint const& from, encoder_config const& c, encoder_weights kind);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_ENCODER)
  #include <algorithm>
  #include <string>
  #include "../quant/int8.hpp"

namespace smalti {

namespace detail {
/// Reads tensors of one checkpoint, with or without the prefix that some files put before every name.
class encoder_loader {
 public:
  encoder_loader(checkpoint const& from, encoder_config const& c, encoder_weights kind)
      : from_(from), c_(c), kind_(kind), prefix_(from.contains("bert.embeddings.word_embeddings.weight") ? "bert." : "") {}

  encoder_tensors load() const {
    index const h = c_.hidden;
    encoder_tensors w;
    w.words = values("embeddings.word_embeddings.weight", {c_.vocabulary, h});
    w.places = values("embeddings.position_embeddings.weight", {c_.positions, h});
    auto const types = values("embeddings.token_type_embeddings.weight", {c_.types, h});
    for (index i = 0; i < c_.positions * h; ++i) w.places[std::size_t(i)] += types[std::size_t(i % h)];
    w.scale = values("embeddings.LayerNorm.weight", {h}), w.shift = values("embeddings.LayerNorm.bias", {h});
    for (int i = 0; i < c_.layers; ++i) w.layers.push_back(layer("encoder.layer." + std::to_string(i) + "."));
    w.fingerprint = print_of_last_;
    return w;
  }

 private:
  buffer<float> values(std::string const& name, std::vector<index> const& shape) const { return to_float(from_.at(prefix_ + name), shape); }

  // The rows of several matrices of `columns` columns, one below the other.
  packed_weight matrix(std::vector<std::string> const& names, index rows_each, index columns) const {
    buffer<float> all(names.size() * std::size_t(rows_each * columns));
    for (std::size_t i = 0; i < names.size(); ++i) {
      auto const one = values(names[i] + ".weight", {rows_each, columns});
      std::copy(one.begin(), one.end(), all.begin() + i * one.size());
    }
    auto const w = row_major<float const>(all.data(), index(names.size()) * rows_each, columns);
    uint32_t sum = 2166136261u;  // FNV-1a over the words
    for (float v : all) sum = (sum ^ __builtin_bit_cast(uint32_t, v)) * 16777619u;
    print_of_last_ = sum;
    if (kind_ == encoder_weights::f32) return pack(w);
    if (kind_ == encoder_weights::int8) return pack(quantise_int8(on_cpu{}, w));
    buffer<bf16> half(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) half[i] = bf16(all[i]);
    return pack(row_major<bf16 const>(half.data(), w.extent[0], columns));
  }
  buffer<float> vector(std::vector<std::string> const& names, index n) const {
    buffer<float> all(names.size() * std::size_t(n));
    for (std::size_t i = 0; i < names.size(); ++i) {
      auto const one = values(names[i], {n});
      std::copy(one.begin(), one.end(), all.begin() + i * one.size());
    }
    return all;
  }
  encoder_layer layer(std::string const& p) const {
    index const h = c_.hidden, f = c_.ffn;
    std::string const self = p + "attention.self.", out = p + "attention.output.", up = p + "intermediate.dense", down = p + "output.";
    return {matrix({self + "query", self + "key", self + "value"}, h, h), matrix({out + "dense"}, h, h), matrix({up}, f, h), matrix({down + "dense"}, h, f),
            vector({self + "query.bias", self + "key.bias", self + "value.bias"}, h), vector({out + "dense.bias"}, h), vector({up + ".bias"}, f), vector({down + "dense.bias"}, h),
            vector({out + "LayerNorm.weight"}, h), vector({out + "LayerNorm.bias"}, h), vector({down + "LayerNorm.weight"}, h), vector({down + "LayerNorm.bias"}, h)};
  }

  checkpoint const& from_;
  encoder_config const& c_;
  encoder_weights kind_;
  std::string prefix_;
  mutable uint32_t print_of_last_ = 0;
};
}  // namespace detail

SMALTI_INLINE encoder_tensors load_encoder_tensors(checkpoint const& from, encoder_config const& c, encoder_weights kind) { return detail::encoder_loader(from, c, kind).load(); }

}  // namespace smalti
#endif
