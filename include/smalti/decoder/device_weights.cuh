#pragma once
// A checkpoint's matrices on a device: streamed there tensor by tensor, and turned into the kind asked for by the device. Names and
// layout as weights.hpp has them.

#include <optional>
#include <variant>
#include <vector>
#include "../gemm/device_dense.cuh"
#include "../gemm/device_nf4.cuh"
#include "../math/rope.cuh"
#include "../quant/device_int8.cuh"
#include "device_batch.cuh"

namespace smalti {

/// Activations on a device are bf16, and so are weights that are not quantised.
using device_weight = std::variant<device_dense<bf16>, device_nf4, device_int8>;
inline int rows_of(device_weight const& w) { return std::visit([](auto const& held) { return held.n; }, w); }
inline std::size_t bytes_of(device_weight const& w) { return std::visit([](auto const& held) { return bytes_of(held); }, w); }

/// One module of a group, as far as adapters care.
struct device_module {
  std::string name;
  int n, k;
  std::vector<lora> adapters = {};  ///< on the host; what is on stands in the group
};
inline int rows_of(device_module const& m) { return m.n; }
inline int columns_of(device_module const& m) { return m.k; }

/// Adapters of one product, as one pair of matrices: t = x · Aᵀ, y += t · Bᵀ. Scales are in A.
struct device_adapters {
  int rank = 0;                        ///< of all together, a multiple of 8
  device_dense<bf16> a = {};           ///< (rank, K)
  struct share {
    int first = 0, rank = 0;           ///< the columns of t that this product adds, a multiple of 8 from a multiple of 8 on
    device_buffer<bf16> b = {};        ///< (N, rank): 0 where a module has no part in a column
    term_bands bands = {};             ///< which columns a module has a part in
  };
  std::vector<share> of;               ///< for each product
  device_buffer<int> owner = {};       ///< (rank) the adapter that a column belongs to; −2: none
  mutable device_buffer<unsigned> ready = {};  ///< (1) see launch_options; working memory
};

/// Modules that read the same x. Modules of one kind that are multiplied alike are one weight, rows one after another: (q, k, v).
struct device_linear {
  std::vector<device_module> parts;
  std::vector<device_weight> products;      ///< each of some of the parts, in their order
  device_buffer<float> bias = {};           ///< (Σ n), or empty
  device_adapters active, all;              ///< those that are on · every one, for batches that name them by row; empty where all are on

  device_adapters const& adapters(bool per_row) const { return per_row && all.rank ? all : active; }
};
inline std::size_t bytes_of(device_linear const& g) {
  std::size_t n = 0;
  for (auto const& w : g.products) n += bytes_of(w);
  return n;
}

/// In place of a checkpoint: values like a trained model's, made where they are used. For measuring; says nothing.
struct random_source {
  uint64_t seed = 1;
};

/// As the host's, see weights.hpp. Waits for the stream: the file's memory may go. Throws what those throw, and quant.5, cuda.
device_weight load_weight(on_cuda const& where, checkpoint const& c, std::string const& name, int n, int k, weight_kind kind, nf4_options const& nf4);
device_linear load_linear(on_cuda const& where, checkpoint const& c, std::vector<module_shape> const& modules, int k, bool biased, weight_kind kind, nf4_options const& nf4);
device_buffer<float> load_vector(on_cuda const& where, checkpoint const& c, std::string const& name, int n);
device_weight load_weight(on_cuda const& where, random_source const& c, std::string const& name, int n, int k, weight_kind kind, nf4_options const& nf4);
device_linear load_linear(on_cuda const& where, random_source const& c, std::vector<module_shape> const& modules, int k, bool biased, weight_kind kind, nf4_options const& nf4);
device_buffer<float> load_vector(on_cuda const& where, random_source const& c, std::string const& name, int n);

void refresh_adapters(on_cuda const& where, device_linear& g, std::vector<bool> const& on);
/// Weights that were quantised become bf16.
void update_weights(on_cuda const& where, device_linear& g, int number, float sign, weight_kind quantised_become);

}  // namespace smalti

#if defined(__CUDACC__) && (SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER_CUDA))
  #include "device_kernels.cuh"

namespace smalti {
namespace detail {

inline unsigned grid_of(index count) { return unsigned(max(index(1), min(index(2112), ceil_div(count, index(256))))); }

/// Bytes of a file to the device through page-locked memory, two pieces on their way at a time: reading the file and copying overlap.
class upload_stream {
 public:
  explicit upload_stream(on_cuda const& where) : where_(where), memory_(2 * piece) {
    for (auto& e : sent_) require_cuda(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "upload");
  }
  upload_stream(upload_stream const&) = delete;
  ~upload_stream() {
    for (auto e : sent_) (void)cudaEventDestroy(e);
  }
  void operator()(void* to, void const* from, std::size_t bytes) {
    for (std::size_t at = 0; at < bytes; at += piece, turn_ ^= 1) {
      std::size_t const n = std::min(piece, bytes - at);
      char* const stage = memory_.as<char>() + std::size_t(turn_) * piece;
      require_cuda(cudaEventSynchronize(sent_[turn_]), "upload");
      std::memcpy(stage, static_cast<char const*>(from) + at, n);
      require_cuda(cudaMemcpyAsync(static_cast<char*>(to) + at, stage, n, cudaMemcpyHostToDevice, where_.stream), "upload");
      require_cuda(cudaEventRecord(sent_[turn_], where_.stream), "upload");
    }
  }

 private:
  static constexpr std::size_t piece = 16 << 20;
  on_cuda where_;
  pinned_memory memory_;
  cudaEvent_t sent_[2] = {};
  int turn_ = 0;
};

/// A tensor's values, as bf16 on the device. T: as the file has them.
template <class T>
device_dense<bf16> rounded(on_cuda const& where, device_buffer<T> const& from, int n, int k) {
  auto to = make_device_dense<bf16>(n, k);
  decoder_round_kernel<<<grid_of(index(n) * k), 256, 0, where.stream>>>(to.at.data(), from.data(), index(n) * k);
  return require_cuda(cudaGetLastError(), "round a weight"), std::move(to);
}

/// A dense matrix on the device in the kind asked for.
template <class T>
device_weight device_convert(on_cuda const& where, device_buffer<T> from, int n, int k, weight_kind kind, nf4_options const& nf4) {
  auto const w = row_major<T const>(from.data(), n, k);
  if (kind == weight_kind::nf4) {
    auto const q = quantise_nf4(where, w, nf4);
    auto p = pack(where, q);
    require_cuda(cudaStreamSynchronize(where.stream), "pack NF4");
    return p;
  }
  if (kind == weight_kind::int8) return quantise_int8(where, w);
  if constexpr (std::is_same_v<T, bf16>) return device_dense<bf16>{n, k, std::move(from)};
  else {
    auto to = rounded(where, from, n, k);
    require_cuda(cudaStreamSynchronize(where.stream), "round a weight");
    return to;
  }
}

template <class T>
device_buffer<T> upload_tensor(on_cuda const& where, tensor const& t, std::vector<index> const& shape) {
  if (t.shape != shape) (void)copy_of<T>(t, shape);  // throws, with both shapes
  device_buffer<T> to(std::size_t(t.count()));
  upload_stream send(where);
  send(to.data(), t.bytes.data(), to.bytes());
  require_cuda(cudaStreamSynchronize(where.stream), "upload a weight");
  return to;
}

/// NF4 in the file's order with its scales as plain floats: what weights with offsets of their own need to become one.
inline device_nf4_data plain(on_cuda const& where, device_nf4_data w) {
  if (!w.nested()) return w;
  w.absmax = device_buffer<float>(std::size_t(w.blocks()));
  decoder_unnest_kernel<<<grid_of(w.blocks()), 256, 0, where.stream>>>(w.absmax.data(), w.absmax_code.data(), w.nested_absmax.data(), w.nested_map.data(), w.nested_offset,
                                                                       w.nested_block, w.blocks());
  require_cuda(cudaGetLastError(), "scales of a weight"), require_cuda(cudaStreamSynchronize(where.stream), "scales of a weight");
  w.absmax_code = {}, w.nested_absmax = {}, w.nested_map = {}, w.nested_offset = 0;
  return w;
}

template <class T>
void append_rows(on_cuda const& where, device_buffer<T>& to, std::size_t& at, device_buffer<T> const& from) {
  require_cuda(cudaMemcpyAsync(to.data() + at, from.data(), from.bytes(), cudaMemcpyDeviceToDevice, where.stream), "join weights"), at += from.size();
}

/// Weights of one kind and one K, rows one after another. NF4: the same values, bit for bit.
inline device_weight join_rows(on_cuda const& where, std::vector<device_weight> parts) {
  if (parts.size() == 1) return std::move(parts[0]);
  int n = 0;
  for (auto const& p : parts) n += rows_of(p);
  device_weight joined = std::visit([&](auto const& first) -> device_weight {
    using W = std::remove_cvref_t<decltype(first)>;
    auto const total = [&](auto&& size) {
      std::size_t sum = 0;
      for (auto const& p : parts) sum += size(std::get<W>(p));
      return sum;
    };
    if constexpr (std::is_same_v<W, device_nf4>) {
      device_nf4_data all{.n = n, .k = first.k, .block = first.block};
      all.code = device_buffer<uint8_t>(std::size_t(index(n) * first.k / 2)), all.absmax = device_buffer<float>(std::size_t(all.blocks()));
      std::size_t code = 0, scale = 0;
      for (auto const& p : parts) {
        auto const one = plain(where, unpack(where, std::get<W>(p)));
        append_rows(where, all.code, code, one.code), append_rows(where, all.absmax, scale, one.absmax);
        require_cuda(cudaStreamSynchronize(where.stream), "join weights");
      }
      auto p = pack(where, all);
      require_cuda(cudaStreamSynchronize(where.stream), "join weights");
      return p;
    } else {
      W all{n, first.k};
      std::size_t at = 0, scale = 0;
      if constexpr (std::is_same_v<W, device_int8>) {
        all.code = device_buffer<int8_t>(total([](W const& w) { return w.code.size(); })), all.scale = device_buffer<float>(std::size_t(n));
        for (auto const& p : parts) append_rows(where, all.code, at, std::get<W>(p).code), append_rows(where, all.scale, scale, std::get<W>(p).scale);
      } else {
        all.at = device_buffer<bf16>(total([](W const& w) { return w.at.size(); }));
        for (auto const& p : parts) append_rows(where, all.at, at, std::get<W>(p).at);
      }
      require_cuda(cudaStreamSynchronize(where.stream), "join weights");
      return all;
    }
  }, parts[0]);
  return joined;
}

/// A group from its modules' weights. Two modules are a gate and its values: they stay apart, since one launch multiplies both.
inline device_linear group_of(on_cuda const& where, std::vector<module_shape> const& modules, int k, std::vector<device_weight> weights) {
  device_linear g;
  for (auto const& m : modules) g.parts.push_back({m.name, m.n, k});
  bool alike = modules.size() != 2;
  for (auto const& w : weights) alike = alike && w.index() == weights[0].index();
  for (auto const& w : weights)
    if (auto const* q = std::get_if<device_nf4>(&w); alike && q) alike = q->block == std::get<device_nf4>(weights[0]).block;
  if (alike) g.products.push_back(join_rows(where, std::move(weights)));
  else g.products = std::move(weights);
  return g;
}

inline device_nf4_data upload_file_nf4(on_cuda const& where, nf4_data const& w) {
  auto to = upload(where, w);
  require_cuda(cudaStreamSynchronize(where.stream), "upload NF4");
  return to;
}

}  // namespace detail

SMALTI_INLINE device_weight load_weight(on_cuda const& where, checkpoint const& c, std::string const& name, int n, int k, weight_kind kind, nf4_options const& nf4) {
  auto const dense_of = [&](auto const& quantised) {
    device_buffer<bf16> plain(std::size_t(index(n) * k));
    require(dequantise(where, quantised, row_major(plain.data(), n, k)));
    require(explain(cudaStreamSynchronize(where.stream)));
    return plain;
  };
  if (detail::is_nf4(c, name)) {
    auto const q = detail::upload_file_nf4(where, detail::load_nf4(c, name, n, k));
    if (kind != weight_kind::as_stored && kind != weight_kind::nf4) return detail::device_convert(where, dense_of(q), n, k, kind, nf4);
    auto p = pack(where, q);
    detail::require_cuda(cudaStreamSynchronize(where.stream), "pack NF4");
    return p;
  }
  tensor const& t = c.at(name);
  switch (t.type) {
    case dtype::i8: {
      auto q = upload(where, detail::load_int8(c, name, n, k));
      detail::require_cuda(cudaStreamSynchronize(where.stream), "upload INT8");
      if (kind != weight_kind::as_stored && kind != weight_kind::int8) return detail::device_convert(where, dense_of(q), n, k, kind, nf4);
      return q;
    }
    case dtype::bf16: return detail::device_convert(where, detail::upload_tensor<bf16>(where, t, {n, k}), n, k, kind, nf4);
    case dtype::f16: return detail::device_convert(where, detail::upload_tensor<f16>(where, t, {n, k}), n, k, kind, nf4);
    case dtype::f32: return detail::device_convert(where, detail::upload_tensor<float>(where, t, {n, k}), n, k, kind, nf4);
    default: {
      auto const plain = to_float(t, {n, k});
      auto on_device = upload(where, plain);
      detail::require_cuda(cudaStreamSynchronize(where.stream), "upload a weight");
      return detail::device_convert(where, std::move(on_device), n, k, kind, nf4);
    }
  }
}

SMALTI_INLINE device_linear load_linear(on_cuda const& where, checkpoint const& c, std::vector<module_shape> const& modules, int k, bool biased, weight_kind kind, nf4_options const& nf4) {
  std::vector<device_weight> weights;
  std::vector<float> bias;
  for (auto const& m : modules) {
    weights.push_back(load_weight(where, c, m.name + ".weight", m.n, k, kind, nf4));
    if (!biased) continue;
    auto const b = to_float(c.at(m.name + ".bias"), {m.n});
    bias.insert(bias.end(), b.begin(), b.end());
  }
  auto g = detail::group_of(where, modules, k, std::move(weights));
  g.bias = upload(where, bias.data(), bias.size());
  detail::require_cuda(cudaStreamSynchronize(where.stream), "upload a bias");
  return g;
}

SMALTI_INLINE device_buffer<float> load_vector(on_cuda const& where, checkpoint const& c, std::string const& name, int n) {
  auto const v = to_float(c.at(name), {n});
  auto to = upload(where, v);
  detail::require_cuda(cudaStreamSynchronize(where.stream), "upload a norm");
  return to;
}

SMALTI_INLINE device_weight load_weight(on_cuda const& where, random_source const& c, std::string const& name, int n, int k, weight_kind kind, nf4_options const& nf4) {
  device_buffer<bf16> w(std::size_t(index(n) * k));
  uint64_t seed = c.seed;
  for (char one : name) seed = (seed * 31 + uint64_t(uint8_t(one))) & 0xffffff;
  detail::decoder_random_kernel<<<2112, 256, 0, where.stream>>>(w.data(), index(n) * k, seed, 0.02f);
  detail::require_cuda(cudaGetLastError(), "random weights");
  return detail::device_convert(where, std::move(w), n, k, kind, nf4);
}
SMALTI_INLINE device_linear load_linear(on_cuda const& where, random_source const& c, std::vector<module_shape> const& modules, int k, bool, weight_kind kind, nf4_options const& nf4) {
  std::vector<device_weight> weights;
  for (auto const& m : modules) weights.push_back(load_weight(where, c, m.name + ".weight", m.n, k, kind, nf4));
  return detail::group_of(where, modules, k, std::move(weights));
}
SMALTI_INLINE device_buffer<float> load_vector(on_cuda const& where, random_source const&, std::string const&, int n) {
  buffer<float> const one(std::size_t(n), 1.f);
  auto to = upload(where, one);
  detail::require_cuda(cudaStreamSynchronize(where.stream), "upload a norm");
  return to;
}

namespace detail {
/// The adapters of a group that `wanted` names, side by side.
inline device_adapters stack_adapters(on_cuda const& where, device_linear const& g, std::vector<bool> const& wanted) {
  struct piece { int part, adapter, rank, at; };
  std::vector<piece> pieces;
  device_adapters to;
  for (std::size_t product = 0, part = 0; product < g.products.size(); ++product) {
    int const first = to.rank;
    for (int row = 0; row < rows_of(g.products[product]); row += g.parts[part++].n)
      for (std::size_t a = 0; a < wanted.size(); ++a)
        if (int const r = wanted[a] ? g.parts[part].adapters[a].rank : 0; r > 0) pieces.push_back({int(part), int(a), r, to.rank}), to.rank += r;
    to.rank = round_up(to.rank, 8), to.of.push_back({first, to.rank - first});
  }
  if (to.rank == 0) return {};
  int const k = g.parts[0].k;
  buffer<bf16> a(std::size_t(index(to.rank) * k), bf16(0.f));
  buffer<int> owner(std::size_t(to.rank), -2);
  for (auto const& s : pieces) {
    lora const& l = g.parts[std::size_t(s.part)].adapters[std::size_t(s.adapter)];
    for (index i = 0; i < index(s.rank) * k; ++i) a[std::size_t(index(s.at) * k + i)] = bf16(l.scale * l.a[std::size_t(i)]);
    for (int i = 0; i < s.rank; ++i) owner[std::size_t(s.at + i)] = s.adapter;
  }
  to.a = {to.rank, k, upload(where, a)}, to.owner = upload(where, owner), to.ready = device_buffer<unsigned>(1);
  require_cuda(cudaStreamSynchronize(where.stream), "upload an adapter");
  for (std::size_t product = 0, part = 0; product < g.products.size(); ++product) {
    int const n = rows_of(g.products[product]), rank = to.of[product].rank, first = to.of[product].first;
    buffer<bf16> b(std::size_t(index(n) * rank), bf16(0.f));
    term_bands bands;
    for (int row = 0, column = 0; row < n; row += g.parts[part++].n) {
      for (auto const& s : pieces) {
        if (s.part != int(part)) continue;
        column = s.at - first + s.rank;
        auto const& from = g.parts[part].adapters[std::size_t(s.adapter)].b;                                                  // (n, rank)
        for (int r = 0; r < g.parts[part].n; ++r)
          for (int i = 0; i < s.rank; ++i) b[std::size_t(index(row + r) * rank + s.at - first + i)] = bf16(from[std::size_t(index(r) * s.rank + i)]);
      }
      if (bands.count < 3) bands.row[bands.count] = row + g.parts[part].n, bands.column[bands.count] = column;
      ++bands.count;
    }
    if (bands.count > 1 && bands.count <= 3) to.of[product].bands = bands;
    to.of[product].b = upload(where, b);
    require_cuda(cudaStreamSynchronize(where.stream), "upload an adapter");
  }
  return to;
}
}  // namespace detail

SMALTI_INLINE void refresh_adapters(on_cuda const& where, device_linear& g, std::vector<bool> const& on) {
  g.active = detail::stack_adapters(where, g, on);
  std::vector<bool> const every(on.size(), true);
  g.all = on == every ? device_adapters{} : detail::stack_adapters(where, g, every);
}

SMALTI_INLINE void update_weights(on_cuda const& where, device_linear& g, int number, float sign, weight_kind) {
  std::size_t part = 0;
  for (auto& w : g.products) {
    int const n = rows_of(w), k = g.parts[0].k;
    for (int row = 0; row < n; row += g.parts[part++].n) {
      lora const& l = g.parts[part].adapters[std::size_t(number)];
      if (l.rank == 0) continue;
      if (!std::holds_alternative<device_dense<bf16>>(w)) {
        auto plain = make_device_dense<bf16>(n, k);
        std::visit([&](auto const& held) {
          if constexpr (std::is_same_v<std::remove_cvref_t<decltype(held)>, device_nf4>) require(dequantise(where, unpack(where, held), plain.rows()));
          else if constexpr (std::is_same_v<std::remove_cvref_t<decltype(held)>, device_int8>) require(dequantise(where, held, plain.rows()));
        }, w);
        detail::require_cuda(cudaStreamSynchronize(where.stream), "merge an adapter");
        w = std::move(plain);
      }
      auto const a = upload(where, l.a);
      auto const b = upload(where, l.b);
      bf16* const at = std::get<device_dense<bf16>>(w).at.data() + index(row) * k;
      detail::decoder_merge_kernel<<<detail::grid_of(index(g.parts[part].n) * k), 256, 0, where.stream>>>(at, a.data(), b.data(), index(g.parts[part].n) * k, k, l.rank, sign * l.scale);
      detail::require_cuda(cudaGetLastError(), "merge an adapter"), detail::require_cuda(cudaStreamSynchronize(where.stream), "merge an adapter");
    }
  }
}

}  // namespace smalti
#endif
