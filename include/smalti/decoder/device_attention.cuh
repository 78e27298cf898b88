#pragma once
// The bodies of a decoder's attention and of its choice of tokens on a device.

#include "device_ops.cuh"

#if defined(__CUDACC__) && (SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER_ATTENTION))
  #include "../attention/decode.cuh"
  #include "../attention/rotate_append.cuh"
  #include "../attention/sm90.cuh"
  #include "device_eager.cuh"
  #include "device_few.cuh"

namespace smalti {
namespace detail {

inline attention_problem<bf16> cached_problem(view<bf16, 2> o, view<bf16, 2> q, kv_cache<bf16, device_buffer>& cache, int layer, device_batch const& batch, float scale) {
  index const m = q.extent[0], d = cache.dim(), heads = q.extent[1] / d;
  auto const by_head = [&](view<bf16, 2> x) { return view<bf16, 4>{x.at, {1, heads, m, d}, {m * x.stride[0], d, x.stride[0], 1}}; };
  auto const& b = batch.at();
  return {.q = by_head(q), .k = cache.keys(layer), .v = cache.values(layer), .o = by_head(o), .lse = {}, .scale = scale,
          .lengths = {.count = batch.count(), .q_starts = b.q_starts, .kv_starts = nullptr, .kv_used = b.kv_used, .positions = b.first},
          .pages = {b.pages, cache.page_size(), cache.max_pages()}};
}

/// Few queries of each sequence: q and k turn, and k and v are stored, by the blocks that read them.
template <int D, class Variant>
status attend_few(on_cuda const& where, attention_problem<bf16> const& p, decode_append<bf16> const& append, device_batch& batch, Variant const& variant) {
  decode_options const how{.queries = batch.queries(), .programmatic = true, .early = bool(append.k.at)};
  std::size_t const bytes = decode_workspace_bytes(where, p, how);
  decode_workspace const memory{bytes ? batch.lend<char>(device_batch::splits, bytes) : nullptr, bytes};
  return decode_attention_for<attention_shape{D, 2, D}>(where, p, memory, variant, how, append);
}

template <int D, class Variant>
status attend_cached(on_cuda const& where, query_key_value<bf16> const& x, attention_problem<bf16> const& p, kv_cache<bf16, device_buffer>& cache, int layer, device_batch& batch,
                     device_rope_table const& rope, Variant const& variant, int window_width) {
  auto const heads = [&](view<bf16, 2> v) { return view<bf16, 3>{v.at, {v.extent[0], v.extent[1] / D, D}, {v.stride[0], D, 1}}; };
  int const group = p.group(), split = few_split(p.heads_kv(), batch.count(), p.pages.page_size * p.pages.max_pages);
  bool const pages = p.pages.page_size >= few_keys && std::has_single_bit(unsigned(p.pages.page_size));
  if (batch.queries() == 1 && split && pages && where.device >= sm_90a && rope.dim == D) {
    auto const& b = batch.at();
    int const page_log2 = std::countr_zero(unsigned(p.pages.page_size));
    few_attention const few{b.kv_used, b.pages, page_log2, p.pages.max_pages, 0, x.q.at, x.k.at, x.v.at, x.q.stride[0], p.o.at, p.o.stride[2],
                            cache.keys(layer), cache.values(layer), rope.angles(), p.scale * 1.4426950408889634f, window_width};
    status result;
    if (dispatch<1, 2, 3, 4, 8>(group, [&]<int G> { result = launch_few<D, G>(where, few, p.heads_kv(), batch.count(), split); })) return result;
  }
  if (batch.queries() <= few_queries && rope.dim % 4 == 0) {
    auto const fresh = [&](view<bf16, 2> v) { return view<bf16 const, 4>{v.at, {1, v.extent[1] / D, v.extent[0], D}, {0, D, v.stride[0], 1}}; };
    return attend_few<D>(where, p, {fresh(x.k), fresh(x.v), cache.keys(layer), cache.values(layer), rope.angles()}, batch, variant);
  }
  auto const& b = batch.at();
  paged_rows<bf16> const to{cache.keys(layer), cache.values(layer), p.pages, batch.count(), b.owner};
  if (status s = rotate_append(where, heads(x.q), heads(x.k), heads(x.v), b.position, rope, to, {}, overlapped); !s) return s;
  if (where.device.has(feature::wgmma) && p.pages.page_size % 8 == 0) return attention_sm90<D, D>(where, p, variant);
  return attend_few<D>(where, p, {}, batch, variant);
}

}  // namespace detail

SMALTI_INLINE status attend(on_cuda const& where, view<bf16, 2> o, query_key_value<bf16> const& x, kv_cache<bf16, device_buffer>& cache, int layer, device_batch& batch,
                            device_rope_table const& rope, attend_options const& how) {
  if (how.kind == attention_kind::eager) return detail::attend_eager(where, o, x, cache, layer, batch, rope, how);
  auto const [scale, window_width, kind] = how;
  double keys = 0;
  for (int n : batch.kv_used) keys += window_width ? min(n, window_width + batch.queries()) : n;
  detail::mark(batch, "attention", keys * cache.heads() * cache.dim() * 4 + double(o.size()) * 4,
               2. * double(o.size()) * keys / batch.count() * (batch.queries() > 1 ? 1 : 2));
  auto const p = detail::cached_problem(o, x.q, cache, layer, batch, scale);
  status result;
  bool const known = dispatch<64, 128>(cache.dim(), [&]<int D> {
    result = window_width ? detail::attend_cached<D>(where, x, p, cache, layer, batch, rope, causal{} & window{window_width}, window_width)
                          : detail::attend_cached<D>(where, x, p, cache, layer, batch, rope, causal{}, 0);
  });
  if (known) return result;
  int const d = cache.dim();
  if (d > 256) return {"attn.10", "head_dim is above 256"};
  auto const& b = batch.at();
  auto const heads = [&](view<bf16, 2> v) { return view<bf16, 3>{v.at, {v.extent[0], v.extent[1] / d, d}, {v.stride[0], d, 1}}; };
  paged_rows<bf16> const to{cache.keys(layer), cache.values(layer), p.pages, batch.count(), b.owner};
  if (status s = rotate_append(where, heads(x.q), heads(x.k), heads(x.v), b.position, rope, to, {}, detail::overlapped); !s) return s;
  return detail::launch(where, detail::overlapped, detail::decoder_attend_kernel, dim3(unsigned(o.extent[0]), unsigned(o.extent[1] / d)), 32, 0, o, view<bf16 const, 2>(x.q),
                        cache.keys(layer), cache.values(layer), detail::rows_in_pages{b.owner, b.position, b.pages, cache.page_size(), cache.max_pages()}, scale, window_width, d);
}

SMALTI_INLINE status choose_greedy(on_cuda const& where, view<float, 2> logits, device_batch& batch, chosen_token* chosen) {
  detail::mark(batch, "choice", double(logits.size()) * 4);
  auto* const parts = batch.lend<detail::best_logit>(device_batch::choice, std::size_t(batch.count()) * detail::choose_parts);
  if (status s = detail::launch(where, detail::overlapped, detail::decoder_best_kernel, dim3(detail::choose_parts, unsigned(batch.count())), 256, 0, view<float const, 2>(logits), parts); !s) return s;
  return detail::launch(where, detail::overlapped, detail::decoder_choose_kernel, dim3(unsigned(batch.count())), 32, 0, parts, chosen, batch.at());
}

}  // namespace smalti
#endif
