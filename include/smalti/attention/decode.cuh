#pragma once
// Decode attention on a device: few queries of each sequence over long, perhaps paged, keys. Flash-Decoding (Dao et al. 2023),
// GQA packing (Ainslie et al. 2023), PagedAttention (Kwon et al. 2023, §4), speculative decoding (Leviathan et al. 2023).

#include "../cuda/tensor_map.cuh"
#include "../cuda/where.cuh"
#include "decode_join.cuh"

namespace smalti {

struct decode_options {
  int keys = 0;               ///< no sequence has more keys (more are not read); 0: as many as the cache has room for
  int queries = 0;            ///< packed queries (lengths.q_starts): no sequence has more; without q_starts not used
  int split = 0;              ///< > 0, a multiple of 32: parts of exactly so many keys, so that a sequence's result has the same
                              ///< bits whatever else is in the batch; 0: as few parts as fill the device
  bool programmatic = false;  ///< start while the stream's previous kernel drains (sm_90a); results are ordered all the same
  bool early = false;         ///< with it, a promise: that kernel writes no key, value, length or page id that this call reads (it
                              ///< may write q and what `append` brings), so the cache is read before it has ended
  bool copies = false;        ///< cp.async even where the copy engine could serve: to compare
};

/// Device memory of the caller's, 16-byte aligned: zero before its first use, in use by one stream at a time. Each call leaves
/// its first 64 KiB zero, so it may serve problem after problem.
struct decode_workspace {
  void* at = nullptr;
  std::size_t bytes = 0;
};

namespace detail {

inline constexpr index decode_tickets = 16384;  ///< (sequence, KV head, block of rows) that may share keys between blocks

template <class Kind, class T>
status plan_of(on_cuda const& where, attention_problem<T> const& p, decode_options const& o, decode_plan& plan) {
  int device = 0, processors = 0;
  cudaError_t e = cudaGetDevice(&device);
  if (e == cudaSuccess) e = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (e != cudaSuccess) return explain(e);
  decode_tile const t = Kind::tile(where.device);
  if (auto s = explain(fits(t, Kind::shape, where.device)); !s) return s;
  index const room = p.pages.pages ? index(p.pages.max_pages) * p.pages.page_size : p.k.extent[2];
  index const keys = o.keys > 0 ? min(index(o.keys), room) : room, queries = p.lengths.q_starts ? o.queries : p.q.extent[2];
  if (queries < 0 || queries * p.group() > 1 << 20 || (p.lengths.q_starts && queries == 0 && p.q.extent[2] > 0))
    return {"attn.20", "packed queries need options.queries; at most 2^20 rows for a KV head"};
  if (o.split < 0 || o.split % 32 != 0 || o.keys < 0) return {"attn.20", "options.split must be a multiple of 32, options.keys not negative"};
  plan = plan_decode(t, index(p.batch()) * p.heads_kv(), p.group(), int(queries), int(keys), o.split, processors, Kind::boxes ? 3 : 1);
  if (Kind::boxes)
    while (plan.stages > 1 && plan.together * decode_smem_bytes({t.step, plan.stages, t.warps}, Kind::shape) > where.device.smem) --plan.stages;
  return {};
}

inline index decode_items(decode_plan const& plan, index batch, index heads_kv) { return batch * heads_kv * plan.blocks; }

/// Tickets, states, partial sums. Nothing where no keys are shared.
inline std::size_t decode_bytes(decode_plan const& plan, index items, int Dv) {
  if (plan.parts == 1) return 0;
  return std::size_t(decode_tickets) * 4 + std::size_t(items) * plan.parts * plan.rows_of_block() * (sizeof(softmax_state) + std::size_t(Dv) * 4);
}

template <class T>
bool decode_aligned(view<T, 4> const& a) {
  bool ok = reinterpret_cast<std::uintptr_t>(a.at) % 16 == 0;
  for (int d = 0; d < 3; ++d) ok = ok && (a.extent[d] <= 1 || a.stride[d] * index(sizeof(T)) % 16 == 0);
  return ok;
}

/// As tensor_map, but without the promotion of requests to 256 bytes in L2, which costs a stream of rows 5 % (H200, 2026-11).
template <class T>
bool decode_map(CUtensorMap& map, view<T const, 4> a, int rows) {
  constexpr auto type = std::is_same_v<T, f16> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  cuuint64_t const extent[] = {cuuint64_t(a.extent[3]), cuuint64_t(a.extent[2]), cuuint64_t(a.extent[1]), cuuint64_t(a.extent[0])};
  auto const bytes = [&](int d) { return a.extent[d] > 1 ? cuuint64_t(a.stride[d]) * 2 : cuuint64_t(16); };  // the stride of a single one is free
  cuuint64_t const stride[] = {bytes(2), bytes(1), bytes(0)};
  cuuint32_t const box[] = {64, cuuint32_t(rows), 1, 1}, step[] = {1, 1, 1, 1};
  return tensor_map_encoder() && tensor_map_encoder()(&map, type, 4, const_cast<T*>(a.at), extent, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                                      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

/// Whether the copy engine can fetch whole boxes: pages of eight rows or more, by powers of two.
template <class T>
bool decode_maps_of(on_cuda const& where, attention_problem<T> const& p, int step, decode_maps& maps, decode_box& box) {
  int const page = p.pages.pages ? p.pages.page_size : step;
  if (!where.device.has(feature::tma) || page < 8 || (page & (page - 1)) != 0) return false;
  box.rows = min(page, step);
  for (box.page_shift = 0; 1 << box.page_shift < page;) ++box.page_shift;
  for (box.boxes_shift = 0; box.rows << box.boxes_shift < step;) ++box.boxes_shift;
  return decode_map(maps.k, p.k, box.rows) && decode_map(maps.v, p.v, box.rows);
}

template <class Kind, class T, class Variant>
status launch_decode(on_cuda const& where, decode_call<T>& call, typename Kind::maps const& maps, decode_workspace const& w, Variant const& variant,
                     decode_options const& o) {
  constexpr attention_shape S = Kind::shape;
  auto const& p = call.problem;
  if (auto s = plan_of<Kind>(where, p, o, call.plan); !s) return s;
  if (call.plan.rows == 0 || p.batch() == 0) return {};
  index const items = decode_items(call.plan, p.batch(), p.heads_kv());
  if (p.batch() > 65535 || index(p.heads_kv()) * call.plan.blocks > 65535) return {"attn.13", "more than 65535 sequences or blocks of rows in one launch"};
  std::size_t const bytes = decode_bytes(call.plan, items, S.values());
  if (bytes > w.bytes || (bytes && (!w.at || reinterpret_cast<std::uintptr_t>(w.at) % 16 != 0)) || (bytes && items > decode_tickets))
    return {"attn.19", "the workspace is missing, misaligned or smaller than decode_workspace_bytes, or split keys meet more than 16384 KV heads"};
  if (bytes) {
    call.partial = reinterpret_cast<float*>(static_cast<char*>(w.at) + decode_tickets * 4);
    call.states = reinterpret_cast<softmax_state*>(call.partial + items * call.plan.parts * call.plan.rows_of_block() * S.values());
  }
  auto* const kernel = decode_kernel<Kind, T, Variant>;
  decode_tile t = Kind::tile(where.device);
  if (Kind::boxes) t.stages = call.plan.stages;
  int const smem = max(decode_smem_bytes(t, S), Kind::boxes ? where.device.smem / (call.plan.together + 1) + 1 : 0);  // and no more of them at once
  if (auto s = explain(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem)); !s) return s;
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization, early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t how{};
  how.gridDim = dim3(unsigned(call.plan.parts), unsigned(p.heads_kv() * call.plan.blocks), unsigned(p.batch()));
  how.blockDim = dim3(unsigned(32 * t.warps)), how.dynamicSmemBytes = std::size_t(smem), how.stream = where.stream;
  how.attrs = &early, how.numAttrs = o.programmatic && where.device >= sm_90a;
  return explain(cudaLaunchKernelEx(&how, kernel, call, maps, variant));
}

template <attention_shape S, class Tuning, class T, class Variant>
status run_decode(on_cuda where, attention_problem<T> const& p, decode_workspace const& w, Variant const& variant, decode_options const& o,
                  decode_append<T> const& append) {
  where.device = code_arch(where.device);
  decode_call<T> call{.room = p.pages.pages ? p.pages.max_pages * p.pages.page_size : int(p.k.extent[2]), .early = o.early && o.programmatic,
                      .appends = bool(append.k), .lengths = p.lengths, .pages = p.pages, .tickets = static_cast<unsigned*>(w.at), .problem = p, .append = append};
  using boxes = decode_kind<S.head_dim, S.values(), true, Tuning>;
  using copies = decode_kind<S.head_dim, S.values(), false, Tuning>;
  decode_maps maps;
  if (!o.copies && decode_maps_of(where, p, boxes::tile(where.device).step, maps, call.box)) return launch_decode<boxes>(where, call, maps, w, variant, o);
  return launch_decode<copies>(where, call, {}, w, variant, o);
}

template <class T>
status check_append(attention_problem<T> const& p, decode_append<T> const& a) {
  if (a.rope.cos && (!a.rope.sin || a.rope.dim < 4 || a.rope.dim % 4 != 0 || a.rope.dim > p.k.extent[3] || a.rope.positions < 1))
    return {"math.1", "rope: columns by fours, at most D, and a table with a row"};
  if (!a.k && !a.v) return {};
  if (a.to_k.at != p.k.at || a.to_v.at != p.v.at || a.k.extent[3] != p.k.extent[3] || a.v.extent[3] != p.v.extent[3] || a.k.extent[1] != p.k.extent[1] ||
      a.v.extent[1] != p.k.extent[1] || a.k.extent[2] != p.q.extent[2] || a.v.extent[2] != p.q.extent[2] || a.k.extent[0] != p.q.extent[0] ||
      a.v.extent[0] != p.q.extent[0])
    return {"attn.20", "new keys and values have the rows of Q and the heads and columns of the cache, and go to the cache that is read"};
  return {};
}

}  // namespace detail

/// Bytes that decode_attention needs for such a problem on the current device: a bound for every content of its lengths.
template <class Tuning = decode_tuned, class T>
std::size_t decode_workspace_bytes(on_cuda const& where, attention_problem<T> const& p, decode_options const& o = {}) {
  std::size_t bytes = 0;
  if (!p.check()) return 0;
  on_cuda const there{where.stream, detail::code_arch(where.device)};
  auto const ask = [&]<int D, int Dv>() {
    decode_plan plan{};
    auto const need = [&](status s) { bytes = max(bytes, s ? detail::decode_bytes(plan, detail::decode_items(plan, p.batch(), p.heads_kv()), Dv) : 0); };
    need(detail::plan_of<decode_kind<D, Dv, true, Tuning>>(there, p, o, plan)), need(detail::plan_of<decode_kind<D, Dv, false, Tuning>>(there, p, o, plan));
  };
  if (p.q.extent[3] == 192 && p.v.extent[3] == 128) ask.template operator()<192, 128>();
  else dispatch<64, 96, 128, 256>(int(p.q.extent[3]), [&]<int D> { ask.template operator()<D, D>(); });
  return bytes;
}

/// decode_attention for one shape, where a program wants no other compiled.
template <attention_shape S, class Tuning = decode_tuned, class T, attention_variant Variant = full>
status decode_attention_for(on_cuda const& where, attention_problem<T> const& p, decode_workspace const& workspace, Variant const& variant = {},
                            decode_options const& options = {}, decode_append<T> const& append = {}) {
  static_assert(sizeof(T) == 2, "attn.3: devices compute in 16-bit elements");
  if (auto s = p.check(); !s) return s;
  if (auto s = detail::check_append(p, append); !s) return s;
  if (S.head_dim != p.q.extent[3] || S.values() != p.v.extent[3]) return {"attn.10", "the problem's head dimensions are not the shape's"};
  if (!detail::decode_aligned(p.q) || !detail::decode_aligned(p.k) || !detail::decode_aligned(p.v) || !detail::decode_aligned(p.o))
    return {"attn.11", "rows must begin at multiples of 16 bytes"};
  return detail::run_decode<S, Tuning>(where, p, workspace, variant, options, append);
}

/// O = softmax(variant(Q Kᵀ · scale)) V where a sequence has few queries: `attention` on the same problem, faster, and with pages.
/// T: bf16 or f16; D = Dv one of 64, 96, 128, 256, or 192/128. Lengths, pages and what a variant points at are device memory and
/// may change between replays of a graph. The new keys of `append`, if any, are written first. Asynchronous, allocates nothing.
/// Errors: attn.3-5 (tile), attn.6-11, 13-15 (operands), attn.19, attn.20, math.1, cuda; nothing is written then.
template <class Tuning = decode_tuned, class T, attention_variant Variant = full>
status decode_attention(on_cuda const& where, attention_problem<T> const& p, decode_workspace const& workspace, Variant const& variant = {},
                        decode_options const& options = {}, decode_append<T> const& append = {}) {
  int const D = int(p.q.extent[3]), Dv = int(p.v.extent[3]);
  status result{"attn.10", "head_dim is not one of 64, 96, 128, 256, or 192 with values of 128"};
  if (D == 192 && Dv == 128) return decode_attention_for<attention_shape{192, 2, 128}, Tuning>(where, p, workspace, variant, options, append);
  if (D == Dv)
    dispatch<64, 96, 128, 256>(D, [&]<int N> { result = decode_attention_for<attention_shape{N, 2, N}, Tuning>(where, p, workspace, variant, options, append); });
  return result;
}

}  // namespace smalti
