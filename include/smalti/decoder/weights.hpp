#pragma once
// A checkpoint's matrices as the weights a product can use: as stored, or turned into another kind while they are loaded, one
// tensor at a time. Names and layout: Hugging Face checkpoints; bitsandbytes' NF4 and INT8 keys (docs/guide.md, "Weights").

#include <string>
#include <vector>
#include "../gemm/lora.hpp"
#include "../io/checkpoint.hpp"

namespace smalti {

/// What linear weights become when they are loaded.
enum class weight_kind { as_stored, f32, bf16, nf4, int8 };

constexpr char const* name_of(weight_kind k) {
  constexpr char const* names[] = {"as stored", "f32", "bf16", "nf4", "int8"};
  return names[int(k)];
}

/// Tensor `name` as a weight (n, k), whichever way the file stores it. Peak memory beyond the result: one tensor in f32.
/// Throws io.* and model.8 (file against model), quant.1 (NaN or infinity), gemm.5 (NF4 and k is not a multiple of the block).
packed_weight load_weight(on_cpu const& where, checkpoint const& c, std::string const& name, int n, int k, weight_kind kind = weight_kind::as_stored, nf4_options const& nf4 = {});

/// Makes an adapter part of a weight (sign 1) or takes it out (−1): a dense weight keeps its type, a quantised one becomes
/// `quantised_become` (f32 or bf16). Errors: gemm.7, as an exception.
packed_weight with_update(on_cpu const& where, packed_weight w, lora const& a, float sign, weight_kind quantised_become);

/// One module: y = x·Wᵀ + bias, with the adapters that were attached to it.
struct linear_layer {
  std::string name;             ///< its module, e.g. "model.layers.0.self_attn.q_proj": what adapters call it
  packed_weight weight;         ///< (n, k)
  buffer<float> bias = {};      ///< (n), or empty
  std::vector<lora> adapters = {};           ///< one for each adapter of the model; rank 0 where that one leaves this layer alone
  std::vector<lora const*> active = {};      ///< those that every row passes, in the order in which they were attached
};
inline int rows_of(linear_layer const& l) { return rows_of(l.weight); }
inline int columns_of(linear_layer const& l) { return columns_of(l.weight); }

/// Modules that read the same x: (q, k, v), (gate, up), or one alone. A device may make one product of them.
struct linear_group {
  std::vector<linear_layer> parts;
};
inline std::size_t bytes_of(linear_group const& g) {
  std::size_t n = 0;
  for (auto const& l : g.parts) n += bytes_of(l.weight);
  return n;
}

/// A module to load: its name and its rows.
struct module_shape {
  std::string name;
  int n;
};

/// The modules' weights (n, k) and, where `biased`, biases. Throws as load_weight does.
linear_group load_linear(on_cpu const& where, checkpoint const& c, std::vector<module_shape> const& modules, int k, bool biased, weight_kind kind, nf4_options const& nf4);
/// A vector (n): norms.
buffer<float> load_vector(on_cpu const& where, checkpoint const& c, std::string const& name, int n);

/// After adapters were added or switched: `on` says which of them every row passes.
void refresh_adapters(on_cpu const& where, linear_group& g, std::vector<bool> const& on);
/// Makes adapter `number` part of the weights that it changes (sign 1) or takes it out (−1); see with_update.
void update_weights(on_cpu const& where, linear_group& g, int number, float sign, weight_kind quantised_become);

namespace detail {
/// A weight that bitsandbytes stored in 4 bits: codes, scales and the JSON of its state. Throws io.8, io.9 (keys, shapes),
/// model.8 (the state is not one that this library knows, or contradicts the model).
nf4_data load_nf4(checkpoint const& c, std::string const& name, int n, int k);
/// LLM.int8's layout: I8 rows and their absmax beside them, "<module>.SCB". Throws io.8, io.9.
int8_data load_int8(checkpoint const& c, std::string const& name, int n, int k);
inline bool is_nf4(checkpoint const& c, std::string const& name) { return c.contains(name + ".quant_state.bitsandbytes__nf4"); }
}  // namespace detail

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER)
  #include <cstring>
  #include "../io/json.hpp"

namespace smalti {

namespace detail {
SMALTI_INLINE nf4_data load_nf4(checkpoint const& c, std::string const& name, int n, int k) {
  auto const& state = c.at(name + ".quant_state.bitsandbytes__nf4");
  std::string const about = state.file + ": " + state.name;
  json const s = parse_json({reinterpret_cast<char const*>(state.bytes.data()), state.bytes.size()}, about);
  if (auto const type = field<std::string>(s, about, "quant_type"); type != "nf4")
    throw error("model.8", about + ": expected quant_type nf4, found " + type);
  auto const shape = field<std::vector<int>>(s, about, "shape");
  if (shape != std::vector<int>{n, k})
    throw error("model.8", about + ": expected the shape [" + std::to_string(n) + ", " + std::to_string(k) + "], found " + s["shape"].dump());
  nf4_data w{.n = n, .k = k, .block = field<int>(s, about, "blocksize")};
  check_nf4_shape(n, k, w.block);

  auto const& codes = c.at(name);  // U8 [n·k/2, 1], or the same bytes viewed as a wider type
  if (codes.bytes.size() != std::size_t(index(n) * k / 2))
    throw error("io.9", codes.file + ": tensor \"" + name + "\": expected " + std::to_string(index(n) * k / 2) + " bytes of NF4 codes, found " +
                            std::to_string(codes.bytes.size()));
  w.code = buffer<uint8_t>(codes.bytes.size());
  std::memcpy(w.code.data(), codes.bytes.data(), codes.bytes.size());
  auto const& levels = c.at(name + ".quant_map");
  auto const map = to_float(levels, {16});
  for (int i = 0; i < 16; ++i)
    if (map[i] != nf4_level[i])
      throw error("model.8", levels.file + ": " + levels.name + ": level " + std::to_string(i) + ": expected " + std::to_string(nf4_level[i]) +
                                 ", found " + std::to_string(map[i]));
  auto const& scales = c.at(name + ".absmax");
  if (scales.type != dtype::u8) {
    w.absmax = to_float(scales, {w.blocks()});
    return w;
  }
  w.absmax_code = copy_of<uint8_t>(scales, {w.blocks()});
  w.nested_block = field<int>(s, about, "nested_blocksize"), w.nested_offset = field<float>(s, about, "nested_offset");
  if (w.nested_block < 1) throw error("model.8", about + ": expected a nested_blocksize of at least 1, found " + std::to_string(w.nested_block));
  w.nested_absmax = to_float(c.at(name + ".nested_absmax"), {ceil_div(w.blocks(), index(w.nested_block))});
  w.nested_map = to_float(c.at(name + ".nested_quant_map"), {256});
  return w;
}

SMALTI_INLINE int8_data load_int8(checkpoint const& c, std::string const& name, int n, int k) {
  std::string const module = name.substr(0, name.size() - std::string_view("weight").size());
  return {n, k, copy_of<int8_t>(c.at(name), {n, k}), to_float(c.at(module + "SCB"), {n})};
}

/// A dense matrix in the kind asked for.
template <class T>
packed_weight convert(on_cpu const& where, view<T const, 2> w, weight_kind kind, nf4_options const& nf4) {
  index const n = w.extent[0], k = w.extent[1];
  auto const as = [&]<class U>(U) -> packed_weight {
    buffer<U> copy(std::size_t(n * k));
    for (index i = 0; i < n * k; ++i) copy[std::size_t(i)] = U(float(w.at[i]));
    return pack(row_major<U const>(copy.data(), n, k));
  };
  switch (kind) {
    case weight_kind::f32: return as(float{});
    case weight_kind::bf16: return as(bf16{});
    case weight_kind::nf4: return pack(quantise_nf4(where, w, nf4));
    case weight_kind::int8: return pack(quantise_int8(where, w));
    default: return pack(w);
  }
}

template <class Quantised>
packed_weight convert(on_cpu const& where, Quantised const& w, weight_kind stored, weight_kind kind, nf4_options const& nf4) {
  if (kind == weight_kind::as_stored || kind == stored) return pack(w);
  buffer<float> dense(std::size_t(index(w.n) * w.k));
  dequantise(where, w, row_major(dense.data(), w.n, w.k));
  return convert(where, row_major<float const>(dense.data(), w.n, w.k), kind, nf4);
}
}  // namespace detail

SMALTI_INLINE packed_weight load_weight(on_cpu const& where, checkpoint const& c, std::string const& name, int n, int k, weight_kind kind, nf4_options const& nf4) {
  if (detail::is_nf4(c, name)) return detail::convert(where, detail::load_nf4(c, name, n, k), weight_kind::nf4, kind, nf4);
  tensor const& t = c.at(name);
  switch (t.type) {
    case dtype::i8: return detail::convert(where, detail::load_int8(c, name, n, k), weight_kind::int8, kind, nf4);
    case dtype::bf16: return detail::convert(where, row_major<bf16 const>(copy_of<bf16>(t, {n, k}).data(), n, k), kind, nf4);
    case dtype::f16: return detail::convert(where, row_major<f16 const>(copy_of<f16>(t, {n, k}).data(), n, k), kind, nf4);
    default: return detail::convert(where, row_major<float const>(to_float(t, {n, k}).data(), n, k), kind, nf4);
  }
}

SMALTI_INLINE packed_weight with_update(on_cpu const& where, packed_weight w, lora const& a, float sign, weight_kind quantised_become) {
  return std::visit([&](auto const& held) -> packed_weight {
    int const n = held.n, k = held.k;
    auto plain = unpack(held);
    if constexpr (requires { plain.code; }) {  // quantised
      buffer<float> dense(std::size_t(index(n) * k));
      auto const m = row_major(dense.data(), n, k);
      dequantise(where, plain, m), require(sign > 0 ? merge(where, m, a) : unmerge(where, m, a));
      return detail::convert(where, view<float const, 2>(m), quantised_become, nf4_options{});
    } else {
      auto const m = row_major(plain.data(), n, k);
      require(sign > 0 ? merge(where, m, a) : unmerge(where, m, a));
      return pack(m);
    }
  }, w);
}

SMALTI_INLINE linear_group load_linear(on_cpu const& where, checkpoint const& c, std::vector<module_shape> const& modules, int k, bool biased, weight_kind kind, nf4_options const& nf4) {
  linear_group g;
  for (auto const& m : modules) {
    g.parts.push_back({m.name, load_weight(where, c, m.name + ".weight", m.n, k, kind, nf4)});
    if (biased) g.parts.back().bias = to_float(c.at(m.name + ".bias"), {m.n});
  }
  return g;
}
SMALTI_INLINE buffer<float> load_vector(on_cpu const&, checkpoint const& c, std::string const& name, int n) { return to_float(c.at(name), {n}); }

SMALTI_INLINE void refresh_adapters(on_cpu const&, linear_group& g, std::vector<bool> const& on) {
  for (auto& l : g.parts) {
    l.active.clear();
    for (std::size_t a = 0; a < on.size(); ++a)
      if (on[a] && l.adapters[a].rank > 0) l.active.push_back(&l.adapters[a]);
  }
}
SMALTI_INLINE void update_weights(on_cpu const& where, linear_group& g, int number, float sign, weight_kind quantised_become) {
  for (auto& l : g.parts)
    if (lora const& a = l.adapters[std::size_t(number)]; a.rank > 0) l.weight = with_update(where, std::move(l.weight), a, sign, quantised_become);
}

}  // namespace smalti
#endif
