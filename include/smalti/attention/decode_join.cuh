#pragma once
// ⊕ of what the warps of a block and the blocks of a sequence found in their keys, and the output. The last block to finish joins
// the parts, in the order of the keys: the same bits whoever is last. Flash-Decoding (Dao et al. 2023); laws as in join.hpp.

#include "decode_kernel.cuh"

namespace smalti::detail {

/// Four columns of Σ e^(s − m) v with the state of its row.
struct decode_sum {
  softmax_state state;
  float4 o = {0, 0, 0, 0};

  /// All at once: one maximum, then exponentials that do not wait for one another. Run once, so short: a block fetches these
  /// instructions from afar.
  template <int N>
  SMALTI_D void add(softmax_state const (&s)[N], float4 const (&x)[N]) {
    float m = state.m;
    SMALTI_UNROLL for (int j = 0; j < N; ++j) m = fmaxf(m, s[j].m);
    float const shift = m == -INFINITY ? 0.f : m * 1.44269504f;
    auto const decay = [&](float from) { return ptx::exp2_approx(fmaf(from, 1.44269504f, -shift)); };
    float const mine = decay(state.m);
    o = {mine * o.x, mine * o.y, mine * o.z, mine * o.w}, state = {m, mine * state.l};
    SMALTI_UNROLL for (int j = 0; j < N; ++j) {
      float const w = decay(s[j].m);
      o = {fmaf(w, x[j].x, o.x), fmaf(w, x[j].y, o.y), fmaf(w, x[j].z, o.z), fmaf(w, x[j].w, o.w)}, state.l = fmaf(w, s[j].l, state.l);
    }
  }
};

/// O ← o / l, L ← m + log l for four columns of packed row r of the block. A row that kept no key is 0, by definition.
template <class E, class Variant>
SMALTI_D void decode_store(decode_call<E> const& call, decode_share const& s, int r, int c, decode_sum const& sum, Variant const& variant) {
  auto const& p = call.problem;
  int const outer = p.lengths.q_starts ? 0 : s.batch, head = s.head(r), row = p.q_first(s.batch) + s.token(r);
  softmax_state all = sum.state;
  if constexpr (has_sink<Variant>) all.add(variant.sink(head));
  float const f = sum.state.l == 0.f ? 0.f : softmax_state::decay(sum.state.m, all.m) / all.l;
  uint2 const packed = {ptx::pack<E>(f * sum.o.x, f * sum.o.y), ptx::pack<E>(f * sum.o.z, f * sum.o.w)};
  *reinterpret_cast<uint2*>(&p.o(outer, head, row, c)) = packed;
  if (p.lse && c == 0) p.lse(outer, head, row) = all.logsumexp();
}

/// f(row, column) for every four columns of the block's rows, over the block's threads.
template <int Dv, class F>
SMALTI_D void decode_each(int rows, F f) {
  for (int i = ptx::thread(); i < rows * (Dv / 4); i += int(blockDim.x)) f(i / (Dv / 4), i % (Dv / 4) * 4);
}

/// Leaves the warp's rows where the others find them. meet: (warps·16, merge row), states: (warps·16)
template <attention_shape S>
SMALTI_D void decode_leave(decode_block<S.values()> const& o, online_softmax<2> const& softmax, int rows, float* meet, softmax_state* states) {
  SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
    int const row = ptx::lane() / 4 + 8 * r, at = 16 * ptx::warp() + row;
    if (row >= rows) continue;
    SMALTI_UNROLL for (int n = 0; n < S.values() / 8; ++n)
      *reinterpret_cast<float2*>(meet + at * decode_merge_row(S) + 8 * n + 2 * (ptx::lane() % 4)) = {o.x[n][2 * r], o.x[n][2 * r + 1]};
    if (ptx::lane() % 4 == 0) states[at] = {softmax.m[r], softmax.l[r]};
  }
}

/// The block's part is in `meet`; the parts of a sequence end up in O.
template <attention_shape S, decode_tile T, class E, class Variant>
SMALTI_D void decode_join(decode_call<E> const& call, decode_share const& s, int team_warps, float const* meet, softmax_state const* states,
                          Variant const& variant) {
  int const block_rows = call.plan.rows_of_block();
  index const part0 = index(s.item) * call.plan.parts * block_rows;  // row of the workspace
  decode_each<S.values()>(s.rows, [&](int r, int c) {
    decode_sum sum;
    softmax_state state[T.warps];
    float4 o[T.warps] = {};
    SMALTI_UNROLL for (int j = 0; j < T.warps; ++j) {
      int const at = 16 * (r / 16 + j * team_warps) + r % 16;
      if (at >= 16 * T.warps) continue;
      state[j] = states[at], o[j] = *reinterpret_cast<float4 const*>(meet + at * decode_merge_row(S) + c);
    }
    sum.add(state, o);
    if (s.parts == 1) return decode_store(call, s, r, c, sum, variant);
    index const row = part0 + index(blockIdx.x) * block_rows + r;
    *reinterpret_cast<float4*>(call.partial + row * S.values() + c) = sum.o;
    if (c == 0) call.states[row] = sum.state;
  });
  if (s.parts == 1) return;

  __shared__ bool last;
  __syncthreads();
  if (ptx::thread() == 0) last = ptx::draw_ticket(&call.tickets[s.item]) == unsigned(s.parts - 1);
  __syncthreads();
  if (!last) return;
  if (ptx::thread() == 0) call.tickets[s.item] = 0;
  decode_each<S.values()>(s.rows, [&](int r, int c) {
    decode_sum sum;
    constexpr int ahead = 16;  // parts on their way
    float const* o_at = call.partial + (part0 + r) * S.values() + c;
    softmax_state const* state_at = call.states + part0 + r;
    for (int left = s.parts; left > 0; left -= ahead) {
      softmax_state state[ahead];
      float4 o[ahead] = {};
      SMALTI_UNROLL for (int j = 0; j < ahead; ++j) {
        if (j < left) {
          float2 const ml = __ldcg(reinterpret_cast<float2 const*>(state_at));
          state[j] = {ml.x, ml.y}, o[j] = __ldcg(reinterpret_cast<float4 const*>(o_at));
        }
        o_at += block_rows * S.values(), state_at += block_rows;
      }
      sum.add(state, o);
    }
    decode_store(call, s, r, c, sum, variant);
  });
}

}  // namespace smalti::detail

#if defined(__CUDACC__)
namespace smalti {

/// Which kernel: a type, since nvcc cannot pass aggregates to kernels as template arguments. Boxes: the copy engine brings keys
/// and values, else cp.async.
template <int D, int Dv, bool Boxes, class Tuning>
struct decode_kind {
  static constexpr attention_shape shape{D, 2, Dv};
  static constexpr bool boxes = Boxes;
  using maps = std::conditional_t<Boxes, detail::decode_maps, detail::decode_no_maps>;
  SMALTI_HD static constexpr decode_tile tile(arch a) {
    if (!Boxes) a.features &= ~unsigned(feature::tma);
    return Tuning{}(shape, a);
  }
};

/// Grid: (parts, KV heads × blocks of rows, sequences).
template <class Kind, class E, attention_variant Variant>
__global__ void __launch_bounds__(32 * Kind::tile(this_arch()).warps, 1)
decode_kernel(__grid_constant__ detail::decode_call<E> const call, __grid_constant__ typename Kind::maps const from, __grid_constant__ Variant const variant) {
#if defined(__CUDA_ARCH__)
  using namespace detail;
  constexpr attention_shape S = Kind::shape;
  constexpr decode_tile T = Kind::tile(this_arch());
  if constexpr (fits(T, S, this_arch()) == misfit::none && (!Kind::boxes || this_arch().has(feature::tma))) {
    extern __shared__ __align__(16) char smem_raw[];
    char* const ring = smem_raw + (1024 - ptx::smem_address(smem_raw) % 1024) % 1024;  // the swizzle counts from multiples of 1024
    decode_tile used = T;
    if constexpr (Kind::boxes) used.stages = call.plan.stages;
    auto* const landed = reinterpret_cast<uint64_t*>(ring + decode_ring_bytes(used, S));
    auto* const states = reinterpret_cast<softmax_state*>(landed + 2 * T.warps * used.stages);

    int const warp = ptx::uniform(ptx::warp()), tw = call.plan.team, shift = tw >> 1;  // a team is 1, 2 or 4 warps: shift is its logarithm
    decode_team team{warp >> shift, warp & (tw - 1), tw, T.step * T.warps >> shift, (T.step == 32 ? 5 : 4) + (T.warps == 8 ? 3 : 2) - shift};
    auto source = [&] {
      if constexpr (Kind::boxes) {
        int const stages = used.stages << shift;  // of a team
        return decode_boxes<S, T, E>{from, call.box, call.pages, team, stages, ring + team.id * stages * decode_step_bytes(T, S), landed + 2 * team.id * stages};
      } else {
        return decode_copies<S, T, E>{call.pages, call.problem, team, ring + team.id * T.stages * decode_step_bytes(T, S)};
      }
    }();
    source.open();
    // Where nothing on the device says which keys there are, that is known before the previous kernel has ended.
    auto const& l = call.lengths;
    bool const known = keeps_all<Variant> && !l.q_starts && !l.kv_starts && !l.kv_used && !l.positions && !call.pages.pages;
    if (!call.early && !known) ptx::wait_for_previous();
    decode_share const share = find_share<T.step>(call, variant);
    if (share.parts == 0) return;
    bool const packed = call.lengths.kv_starts;
    team.outer = packed ? 0 : share.batch, team.first = packed ? call.lengths.kv_starts[share.batch] : 0, team.group = share.group;
    team.seen = {share.seen.begin, share.keys.end};
    decode_walk<S, T, decltype(source), Variant> walk(source, team, share, variant);
    if (!call.early && known) {
      walk.prefetch();
      ptx::wait_for_previous();
    }
    if (call.appends && (int(blockIdx.x) == share.parts - 1 || share.keys.end > share.length - share.tokens)) {
      ptx::wait_for_previous();
      append(call.problem, call.append, share.batch, share.group, share.tokens, share.length,
             {blockIdx.x == 0 ? 0 : share.keys.begin, int(blockIdx.x) == share.parts - 1 ? share.length : share.keys.end});
      __syncthreads();
    }
    walk.start();
    ptx::wait_for_previous();    // before this line nothing touches what the previous kernel may have written, or may read
    if (!call.plan.alone) ptx::launch_dependents();
    online_softmax<2> softmax;
    decode_warp<S, T, E> const w(call, share, 16 * team.warp);
    decode_block<S.values()> o{.in_use = w.in_use};
    walk.run(w, call.problem.scale, softmax, o);

    __syncthreads();             // everybody has finished with the ring
    float* const meet = reinterpret_cast<float*>(ring);
    decode_leave<S>(o, softmax, share.rows - 16 * team.warp, meet, states);
    __syncthreads();
    decode_join<S, T>(call, share, tw, meet, states, variant);
  } else {
    __trap();  // the host refuses before the launch
  }
#endif
}

}  // namespace smalti
#endif
