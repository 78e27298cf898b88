#pragma once
// Hopper's engine, after FlashAttention-3 (Shah et al. 2024): one thread copies, each consumer warpgroup owns 64 query rows. A step starts
// S = Q K_jᵀ and O += P_{j+1} V_{j+1} together and does the softmax of S while the second still runs (tiles are walked
// downwards, j+1 before j). Blocks are persistent, and the step that begins an item also ends the item before it.

#include "../cuda/ptx_sm90.cuh"
#include "../cuda/tensor_map.cuh"
#include "../cuda/where.cuh"
#include "sm80.cuh"  // warp_block: a warpgroup's accumulator is mma.m16n8's, once per warp
#include "sm90_tile.hpp"

namespace smalti::detail {

/// What the host prepares for one launch.
struct sm90_plan {
  CUtensorMap q, k, v, o;
  view<float, 3> lse;      ///< (B, H, Nq) or empty
  int seq_q, seq_kv;       ///< rows
  int heads, heads_kv;
  int slices, blocks;      ///< batch × heads · query blocks of each
  int section;             ///< slices whose K and V share the L2 cache
  float scale;             ///< > 0
  unsigned* ticket;        ///< work counter, 0 between launches; null: a fixed round of items for each block

  struct work { int q0, head, head_kv, batch; };

  SMALTI_HD int items() const { return slices * blocks; }

  /// Section by section; within one, the last query blocks (the longest under a causal mask) of every slice first.
  SMALTI_D work item(int i, int rows) const {
    int const s = i / (section * blocks), rest = i % (section * blocks), width = min(section, slices - s * section);
    int const slice = s * section + rest % width, block = blocks - 1 - rest / width, h = slice % heads;
    return {block * rows, h, h * heads_kv / heads, slice / heads};
  }
};

template <attention_tile T, int D>
struct sm90_storage {
  static constexpr int groups = T.warps / 4, panels = D / 64;  // 64 columns = 128 bytes = one swizzled row
  static constexpr int q_stages = 2;                            // the next item's Q arrives while this one is in use
  alignas(1024) bf16 q[q_stages][groups][panels][64][64], o[groups][panels][64][64];
  alignas(1024) bf16 k[T.stages][panels][T.kv][64], v[T.stages][panels][T.kv][64];
  uint64_t q_full[q_stages], q_empty[q_stages];
  uint64_t k_full[T.stages], k_empty[T.stages], v_full[T.stages], v_empty[T.stages];
  int item[q_stages];  // what q holds; −1: nothing more
};

/// A position in a ring of buffers, and the parity its barriers have on this lap.
template <int Stages>
struct ring_at {
  int stage = 0, lap = 0;
  SMALTI_D void advance() {
    if (++stage == Stages) stage = 0, lap ^= 1;
  }
};

/// Online softmax in base 2: P = 2^(c·S − c·m), one FFMA and one ex2 each, c = scale · log₂e > 0. The sums stay one per
/// thread until the end: they are linear, so the four lanes that share a row may add theirs then. m need not be the true
/// maximum, only near it: it moves when a score passes it by 2^8, so O is rescaled a few times a row instead of every tile
/// (FlashAttention-4). f32 sums and the relative precision of bf16 do not notice a factor of 256.
struct exp2_softmax {
  static constexpr float slack = 8.f;  // log₂ of the largest P
  float m[2] = {-INFINITY, -INFINITY}, l[2] = {}, decay[2] = {1.f, 1.f};

  /// S → P. True if any row of this warp wants O multiplied by `decay`. Only a masked tile can leave a row without any key.
  template <bool Masked, int N>
  SMALTI_D bool step(warp_block<N>& s, float c) {
    float const top[2] = {s.max(0), s.max(1)};
    bool const moved = ptx::any(c * (top[0] - m[0]) > slack || c * (top[1] - m[1]) > slack);
    if (moved)
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
        float const before = m[r];
        m[r] = fmaxf(before, top[r]);
        decay[r] = before == m[r] ? 1.f : ptx::exp2_approx(c * (before - m[r]));
        l[r] *= decay[r];
      }
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) {
      float const shift = Masked && m[r] == -INFINITY ? 0.f : c * m[r];
      s.map(r, [=](float x) { return ptx::exp2_approx(fmaf(c, x, -shift)); });
      float sum[2] = {};
      SMALTI_UNROLL for (int n = 0; n < N / 8; ++n) sum[0] += s.x[n][2 * r], sum[1] += s.x[n][2 * r + 1];
      l[r] += sum[0] + sum[1];
    }
    return moved;
  }
  SMALTI_D void finish() {
    SMALTI_UNROLL for (int r = 0; r < 2; ++r) l[r] += ptx::shfl_xor(l[r], 1), l[r] += ptx::shfl_xor(l[r], 2);
  }
  SMALTI_D float inverse(int r) const { return l[r] > 0.f ? 1.f / l[r] : 0.f; }
  SMALTI_D float logsumexp(int r, float c) const { return l[r] > 0.f ? 0.6931471805599453f * (c * m[r] + log2f(l[r])) : -INFINITY; }
};

/// What producer and consumers must agree on: which tiles of keys a block of queries visits, last first.
template <attention_tile T, class Variant>
struct sm90_walk {
  sm90_plan const& plan;
  Variant const& variant;
  int q0;
  int first = first_tile(variant, q0);  ///< below it the mask keeps nothing
  int j = tiles(plan, variant, q0);     ///< the tile to visit; < 0: no more
  cover covers = cover::none;

  SMALTI_D explicit operator bool() const { return j >= 0; }
  SMALTI_D void advance() {
    for (--j; j >= first; --j) {
      int const k0 = j * T.kv, k1 = k0 + T.kv;
      covers = variant.covers(q0, q0 + T.q, k0, min(k1, plan.seq_kv));
      if (covers == cover::all && k1 > plan.seq_kv) covers = cover::some;  // the tail of the last tile needs masking
      if (covers != cover::none) return;
    }
    j = -1;
  }

 private:
  SMALTI_D static int first_tile(Variant const& variant, int q0) { return max(keys_of(variant, q0).begin, 0) / T.kv; }
  SMALTI_D static int tiles(sm90_plan const& plan, Variant const& variant, int q0) {
    return ceil_div(max(min(plan.seq_kv, keys_of(variant, q0 + T.q - 1).end), 0), T.kv);
  }
};

/// One thread: keeps the copy engine ahead of the consumers, across the items of a persistent block.
template <attention_tile T, int D, class Variant>
SMALTI_D void sm90_produce(sm90_plan const& plan, Variant const& variant, sm90_storage<T, D>& smem) {
  using storage = sm90_storage<T, D>;
  ring_at<storage::q_stages> q;
  ring_at<T.stages> k, v;
  struct tile { sm90_plan::work at; int j; } last{{}, -1};  // K is on its way, V is not
  auto fetch = [](auto& panels, CUtensorMap const& map, uint64_t* full, int row, int head, int batch) {
    SMALTI_UNROLL for (int c = 0; c < storage::panels; ++c) ptx::tma_load(panels[c], &map, full, 64 * c, row, head, batch);
  };
  auto fetch_v = [&] {
    if (last.j < 0) return;
    ptx::mbarrier_wait(&smem.v_empty[v.stage], v.lap ^ 1);
    ptx::mbarrier_arrive_expecting(&smem.v_full[v.stage], sizeof(smem.v[0]));
    fetch(smem.v[v.stage], plan.v, &smem.v_full[v.stage], last.j * T.kv, last.at.head_kv, last.at.batch);
    v.advance(), last.j = -1;
  };

  for (int i = blockIdx.x;; i = plan.ticket ? int(atomicAdd(plan.ticket, 1u) + gridDim.x) : i + gridDim.x) {
    ptx::mbarrier_wait(&smem.q_empty[q.stage], q.lap ^ 1);
    smem.item[q.stage] = i < plan.items() ? i : -1;
    if (i >= plan.items()) {  // each block draws one ticket too many; the last of them clears the counter for the next launch
      ptx::mbarrier_arrive(&smem.q_full[q.stage]);
      if (plan.ticket && i == plan.items() + int(gridDim.x) - 1) atomicExch(plan.ticket, 0u);
      return fetch_v();
    }
    auto const w = plan.item(i, T.q);
    ptx::mbarrier_arrive_expecting(&smem.q_full[q.stage], sizeof(smem.q[0]));
    for (int g = 0; g < storage::groups; ++g) fetch(smem.q[q.stage][g], plan.q, &smem.q_full[q.stage], w.q0 + 64 * g, w.head, w.batch);
    q.advance();

    sm90_walk<T, Variant> walk{plan, variant, w.q0};
    walk.advance();
    if (!walk) fetch_v();           // an item without keys: the consumers finish the one before it first
    for (; walk; walk.advance()) {  // in the order of use: K of a tile, then V of the tile before it
      ptx::mbarrier_wait(&smem.k_empty[k.stage], k.lap ^ 1);
      ptx::mbarrier_arrive_expecting(&smem.k_full[k.stage], sizeof(smem.k[0]));
      fetch(smem.k[k.stage], plan.k, &smem.k_full[k.stage], walk.j * T.kv, w.head_kv, w.batch);
      k.advance();
      fetch_v();
      last = {w, walk.j};
    }
  }
}

/// One warpgroup: 64 query rows of every item.
template <attention_tile T, int D, class Variant>
struct sm90_consumer {
  using storage = sm90_storage<T, D>;
  static constexpr int groups = storage::groups;
  static constexpr bool take_turns = groups > 2;  // on the tensor cores. Measured: three gain up to 8 %, two lose up to 4 %
  sm90_plan const& plan;
  Variant const& variant;
  storage& smem;
  int const group;

  ring_at<storage::q_stages> q{};
  ring_at<T.stages> k{}, v{};
  warp_block<T.kv> s{};           // S_ij, then P_ij                                     (64, Bk)
  uint32_t p[T.kv / 16][4] = {};  // P_ij as the A operand of the next product           (64, Bk)
  warp_block<D> o{};              // O_i                                                 (64, D)
  exp2_softmax softmax{};         // m_i, l_i                                            (64)
  sm90_plan::work out{};          // what o belongs to
  bool accumulate = false;        // whether o holds anything yet

  SMALTI_D void release(uint64_t* empty) const {
    if (ptx::lane() == 0) ptx::mbarrier_arrive(empty);
  }
  SMALTI_D void my_turn() const { if (take_turns) ptx::barrier_sync(1 + group, 256); }
  SMALTI_D void your_turn() const { if (take_turns) ptx::barrier_arrive(1 + (group + 1) % groups, 256); }

  SMALTI_D void start_scores() {  // S = Q Kᵀ
    ptx::pin(s.x);
    ptx::wgmma_fence();
    SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) {
      uint64_t const a = ptx::wgmma_operand(smem.q[q.stage][group][d / 4]), b = ptx::wgmma_operand(smem.k[k.stage][d / 4]);
      ptx::wgmma(s.x, ptx::wgmma_advance(a, d % 4 * 32), ptx::wgmma_advance(b, d % 4 * 32), d > 0);
    }
    ptx::wgmma_commit();
  }
  SMALTI_D void start_output() {  // O += P V, or O = P V
    ptx::pin(o.x), ptx::pin(p);
    ptx::wgmma_fence();
    uint64_t const b = ptx::wgmma_operand(smem.v[v.stage], sizeof(smem.v[0][0]));
    SMALTI_UNROLL for (int i = 0; i < T.kv / 16; ++i) ptx::wgmma(o.x, p[i], ptx::wgmma_advance(b, i * 16 * 128), accumulate || i > 0);
    ptx::wgmma_commit();
  }
  SMALTI_D void finish_scores() {
    ptx::pin(s.x);
    release(&smem.k_empty[k.stage]), k.advance();
  }
  SMALTI_D void finish_output() {
    ptx::wgmma_wait<0>(), ptx::pin(o.x), ptx::pin(p);
    release(&smem.v_empty[v.stage]), v.advance();
  }

  /// The factor that turns a score into a power of two. A variant that leaves scores alone costs nothing.
  SMALTI_D float factor() const { return 1.4426950408889634f * (leaves_scores<Variant> ? plan.scale : 1.f); }

  template <bool Masked>
  SMALTI_D bool probabilities(int j) {  // S → P, m, l
    s.k0 = j * T.kv;
    if constexpr (!leaves_scores<Variant>) s.for_each([&](float& x, score_at at) { x = variant.score(plan.scale * x, at); });
    if constexpr (Masked)
      s.for_each([&](float& x, score_at at) { x = at.k < plan.seq_kv && variant.keep(at) ? x : -INFINITY; });
    return softmax.step<Masked>(s, factor());
  }
  SMALTI_D void pack() {
    SMALTI_UNROLL for (int i = 0; i < T.kv / 16; ++i)
      SMALTI_UNROLL for (int c = 0; c < 4; ++c)
        p[i][c] = ptx::pack<bf16>(s.x[2 * i + c / 2][c % 2 * 2], s.x[2 * i + c / 2][c % 2 * 2 + 1]);
  }

  /// The very first tile of this block: nothing to overlap with.
  template <bool Masked>
  SMALTI_D void first_step(sm90_walk<T, Variant>& walk) {
    int const j = walk.j;
    ptx::mbarrier_wait(&smem.k_full[k.stage], k.lap);
    start_scores();
    walk.advance();
    ptx::wgmma_wait<0>();
    finish_scores();
    softmax = {}, accumulate = false;
    probabilities<Masked>(j);
    pack();
  }

  /// S of this tile and the output of the tile before it, at once; then this tile's softmax under that second product. The
  /// tile before may be the last of another item, which is then finished here: no bubble between items.
  template <bool Masked, bool Fresh>
  SMALTI_D void step(sm90_walk<T, Variant>& walk) {
    int const j = walk.j;
    ptx::mbarrier_wait(&smem.k_full[k.stage], k.lap);
    my_turn();
    start_scores();
    ptx::mbarrier_wait(&smem.v_full[v.stage], v.lap);
    start_output();
    your_turn();
    walk.advance();
    ptx::wgmma_wait<1>();
    finish_scores();
    auto const before = softmax;
    if (Fresh) softmax = {};
    bool const moved = probabilities<Masked>(j);
    finish_output();
    pack();
    if constexpr (Fresh) store(before);
    else if (moved)
      SMALTI_UNROLL for (int r = 0; r < 2; ++r) o.map(r, [f = softmax.decay[r]](float x) { return f * x; });
    accumulate = !Fresh;
  }

  /// The output of the last tile, alone.
  SMALTI_D void flush() {
    ptx::mbarrier_wait(&smem.v_full[v.stage], v.lap);
    start_output();
    finish_output();
    store(softmax);
  }

  SMALTI_D void run() {
    if (take_turns && group == 0) ptx::barrier_arrive(1, 256);  // the first turn is ours
    bool pending = false;  // O += P V of the tile before is still to be started
    for (;; q.advance()) {
      ptx::mbarrier_wait(&smem.q_full[q.stage], q.lap);
      int const i = ptx::uniform(smem.item[q.stage]);
      if (i < 0) break;
      auto const w = plan.item(i, T.q);
      sm90_walk<T, Variant> walk{plan, variant, w.q0};
      walk.advance();
      s.head = w.head, s.batch = w.batch, s.q0 = w.q0 + 64 * group + 16 * (ptx::warp() % 4);
      bool const masked = walk.covers == cover::some, any = bool(walk);
      if (any && pending) {
        if (masked) step<true, true>(walk);
        else step<false, true>(walk);
      } else {
        if (pending) flush();
        if (any && masked) first_step<true>(walk);
        if (any && !masked) first_step<false>(walk);
      }
      out = w, pending = any;
      while (walk) {  // no branch on the lane in here: the buffers' addresses stay in uniform registers
        if (walk.covers == cover::some) step<true, false>(walk);
        else step<false, false>(walk);
      }
      if (!any) o = {}, store({});  // the mask keeps nothing
      release(&smem.q_empty[q.stage]);
    }
    if (pending) flush();
    if (leader()) ptx::tma_store_wait_read();
  }

  SMALTI_D bool leader() const { return threadIdx.x % 128 == 0; }
  SMALTI_D void sync_group() const { ptx::barrier_sync(1 + groups + group, 128); }

  /// O / l → shared memory → the copy engine, which leaves out rows past the end and has until the next item's end.
  SMALTI_D void store(exp2_softmax done) {
    done.finish();
    if (leader()) ptx::tma_store_wait_read();  // the item before this one
    sync_group();
    float const inverse[2] = {done.inverse(0), done.inverse(1)};
    int const row = 16 * (ptx::warp() % 4) + ptx::lane() % 16;
    SMALTI_UNROLL for (int n = 0; n < D / 16; ++n) {
      auto const &l = o.x[2 * n], &r = o.x[2 * n + 1];
      uint32_t const t[4] = {ptx::pack<bf16>(inverse[0] * l[0], inverse[0] * l[1]), ptx::pack<bf16>(inverse[1] * l[2], inverse[1] * l[3]),
                             ptx::pack<bf16>(inverse[0] * r[0], inverse[0] * r[1]), ptx::pack<bf16>(inverse[1] * r[2], inverse[1] * r[3])};
      int const chunk = (2 * n + ptx::lane() / 16) % 8 ^ row % 8;  // the 128-byte swizzle
      ptx::stmatrix_x4(&smem.o[group][n / 4][row][8 * chunk], t);
    }
    ptx::fence_async_proxy();
    sync_group();
    int const q0 = out.q0 + 64 * group;
    if (leader()) {
      SMALTI_UNROLL for (int c = 0; c < storage::panels; ++c) ptx::tma_store(&plan.o, smem.o[group][c], 64 * c, q0, out.head, out.batch);
      ptx::tma_store_commit();
    }
    if (plan.lse && ptx::lane() % 4 == 0)
      SMALTI_UNROLL for (int r = 0; r < 2; ++r)
        if (int const i = q0 + 16 * (ptx::warp() % 4) + ptx::lane() / 4 + 8 * r; i < plan.seq_q)
          plan.lse(out.batch, out.head, i) = done.logsumexp(r, factor());
  }
};

}  // namespace smalti::detail

#if defined(__CUDACC__)
namespace smalti {

/// Persistent: one block an SM. One warpgroup copies and gives its registers to the others.
template <int D, class Tuning, attention_variant Variant>
__global__ void __launch_bounds__(128 + 32 * Tuning{}(attention_shape{D, 2}, sm_90a).warps, 1)
attention_sm90_kernel(__grid_constant__ detail::sm90_plan const plan, __grid_constant__ Variant const variant) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr attention_tile T = Tuning{}(attention_shape{D, 2}, sm_90a);
  using storage = detail::sm90_storage<T, D>;
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& smem = *reinterpret_cast<storage*>(bytes);

  if (threadIdx.x == 0) {
    for (auto* map : {&plan.q, &plan.k, &plan.v, &plan.o}) ptx::tma_prefetch(map);
    // full: the producer arrives, and bytes · empty: every consumer warp arrives
    for (int i = 0; i < storage::q_stages; ++i) ptx::mbarrier_init(&smem.q_full[i], 1), ptx::mbarrier_init(&smem.q_empty[i], T.warps);
    for (int i = 0; i < T.stages; ++i) {
      ptx::mbarrier_init(&smem.k_full[i], 1), ptx::mbarrier_init(&smem.k_empty[i], T.warps);
      ptx::mbarrier_init(&smem.v_full[i], 1), ptx::mbarrier_init(&smem.v_empty[i], T.warps);
    }
    ptx::mbarrier_init_fence();
  }
  ptx::sync_block();

  int const group = ptx::warpgroup() - 1;
  if (group < 0) {
    ptx::registers_lower_to<T.warps == 12 ? 32 : 24>();
    if (threadIdx.x == 0) detail::sm90_produce<T, D>(plan, variant, smem);
  } else {
    ptx::registers_raise_to<T.warps == 12 ? 160 : 240>();
    detail::sm90_consumer<T, D, Variant>{plan, variant, smem, group}.run();
  }
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture: never a silent nothing
#endif
}

/// O = softmax(variant(Q Kᵀ · scale)) V on Hopper: bf16, D 64 or 128, whole contiguous sequences, no sinks or dropout.
/// Asynchronous, allocates nothing. Errors: attn.1-5 (tile), attn.6-9, 11-15 (operands), attn.16, attn.18, cuda.
template <int D, class Tuning = tuned_sm90, attention_variant Variant = full>
status attention_sm90(on_cuda const& where, attention_problem<bf16> const& p, Variant const& variant = {}) {
  static_assert(!has_weight<Variant> && !has_sink<Variant>, "attn.16: the sm_90a engine has no sinks or dropout yet");
  constexpr attention_tile T = Tuning{}(attention_shape{D, 2}, sm_90a);
  if (auto s = p.check(); !s) return s;
  if (auto s = explain(fits_wgmma(T, {D, 2}, sm_90a)); !s) return s;
  if (p.lengths.q_starts || p.lengths.kv_starts || p.lengths.kv_used || p.lengths.positions || p.pages.pages)
    return {"attn.16", "the sm_90a engine takes whole contiguous sequences"};
  if (!(p.scale > 0.f) || p.q.extent[3] != D || p.v.extent[3] != D || p.k.extent[2] == 0)
    return {"attn.12", "wgmma attention needs scale > 0, head_dim = D and a key"};
  if (p.slices() == 0 || p.q.extent[2] == 0) return {};
  detail::sm90_plan plan{};
  for (auto s : {detail::tensor_map(plan.q, p.q, 64), detail::tensor_map(plan.k, p.k, T.kv), detail::tensor_map(plan.v, p.v, T.kv),
                 detail::tensor_map(plan.o, p.o, 64)})
    if (!s) return s;
  plan.lse = p.lse, plan.seq_q = int(p.q.extent[2]), plan.seq_kv = int(p.k.extent[2]);
  plan.heads = p.heads(), plan.heads_kv = p.heads_kv();
  plan.slices = p.slices(), plan.blocks = ceil_div(plan.seq_q, T.q), plan.scale = p.scale, plan.ticket = where.ticket;
  index const kv_bytes = index(plan.seq_kv) * D * 2 * 2;  // K and V of one key head
  plan.section = int(min(max(index(8 << 20) / kv_bytes, index(1)) * p.group(), index(plan.slices)));

  int device = 0, processors = 0;
  auto* const kernel = attention_sm90_kernel<D, Tuning, Variant>;
  constexpr int smem = sizeof(detail::sm90_storage<T, D>);
  static_assert(smem <= smem_bytes_wgmma(T, {D, 2}));
  cudaFuncAttributes code{};
  cudaError_t e = cudaFuncGetAttributes(&code, kernel);
  if (e == cudaSuccess && code.binaryVersion < 90) return {"attn.18", "this program holds no sm_90a code for this board"};
  if (e == cudaSuccess) e = cudaGetDevice(&device);
  if (e == cudaSuccess) e = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (e == cudaSuccess) e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem);
  if (e == cudaSuccess) {
    kernel<<<min(plan.items(), processors), 128 + 32 * T.warps, smem, where.stream>>>(plan, variant);
    e = cudaGetLastError();
  }
  return explain(e);
}

}  // namespace smalti
#endif
