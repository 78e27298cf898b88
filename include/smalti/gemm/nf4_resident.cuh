#pragma once
// y (M, N) = e(x (M, K) · Ŵᵀ + …) for three to 16 tokens and NF4 weights on Hopper: a block's run of x rests in shared memory, the right operand of wgmma, and
// the rows of W stream past it, decoded into registers, the left one. So x is read once for 64 rows of W, where mma.sync reads it once for 16 or 32.
//
// Levels are multiplied unscaled; absmax multiplies the fp32 sums of 64 columns, as in nf4_sm80.cuh. One product of 64 columns is on its way while the next
// are decoded. No barrier of the block is met between the tables and the end: sums go by mail to the block that finishes them.

#include <atomic>
#include "../cuda/tensor_map.cuh"
#include "nf4_resident_tile.hpp"
#include "nf4_staged_terms.cuh"
#include "nf4_stationary.cuh"
#include "nf4_wide_consume.cuh"

namespace smalti {
namespace detail {

/// absmax of two rows of W, g and g + 8 of a tile of 16, and both blocks of a step: {row g, block 0; row g, block 1; row g + 8, block 0; row g + 8, block 1}.
template <class Scales>
struct nf4_resident_scales;

template <>
struct nf4_resident_scales<plain_scales> {
  static constexpr int bytes = nf4_panel::scales * 4;  // of a step, as packed
  SMALTI_D nf4_resident_scales(nf4_panels<plain_scales> const&, float const*, float const*) {}
  /// step: in shared memory; g: row % 8.
  static SMALTI_D float4 get(unsigned char const* step, int g, int tile, int, int) {
    float const* const from = reinterpret_cast<float const*>(step) + 8 * g + 2 * tile;
    return {from[0], from[4], from[1], from[5]};
  }
};

template <>
struct nf4_resident_scales<nested_scales> {
  static constexpr int bytes = nf4_panel::scales;
  uint32_t map, nested;  // shared addresses: of the map, of the entries that the cluster's rows touch
  int span;
  float offset;

  SMALTI_D nf4_resident_scales(nf4_panels<nested_scales> const& w, float const* map, float const* entries)
      : map(ptx::smem_address(map)), nested(ptx::smem_address(entries)), span(w.scales.span), offset(w.scales.offset) {}
  /// place: of row g and the step's first column, counted from the first element of the first entry.
  SMALTI_D float4 get(unsigned char const* step, int g, int tile, int place, int k) const {
    uint2 const all = *reinterpret_cast<uint2 const*>(step + 8 * g);
    uint32_t const code[2] = {all.x >> 16 * tile, all.y >> 16 * tile};
    auto const one = [&](int row, int block) {
      float const entry = __uint_as_float(ptx::load_shared<0>(map + (row ? code[block] >> 6 & 0x3fc : code[block] << 2 & 0x3fc)));
      return fmaf(entry, __uint_as_float(ptx::load_shared<0>(nested + (place + 8 * k * row + nf4_panel::half * block >> span) * 4)), offset);
    };
    return {one(0, 0), one(0, 1), one(1, 0), one(1, 1)};
  }
};

SMALTI_D unsigned char const* nf4_packed_scales(nf4_panels<plain_scales> const& w) { return reinterpret_cast<unsigned char const*>(w.scales.absmax); }
SMALTI_D unsigned char const* nf4_packed_scales(nf4_panels<nested_scales> const& w) { return w.scales.code; }

/// For the copy engine: x as (K / 64, tokens, 64), `blocks` of 64 columns at a time, in rows of 128 bytes, swizzled. What is beyond M or K comes as zeros.
template <class X>
status nf4_resident_map(CUtensorMap& map, X const* x, int m, int k, index row, int tokens, int blocks) {
  constexpr auto type = std::is_same_v<X, f16> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  cuuint64_t const extent[] = {64, cuuint64_t(m), cuuint64_t(k / 64), 1}, along = m > 1 ? cuuint64_t(row) * 2 : 16;
  cuuint64_t const stride[] = {along, 128, 128};
  cuuint32_t const box[] = {64, cuuint32_t(tokens), cuuint32_t(blocks), 1}, step[] = {1, 1, 1, 1};
  if (!tensor_map_encoder()) return {"cuda", "the driver has no cuTensorMapEncodeTiled"};
  CUresult const r = tensor_map_encoder()(&map, type, 4, const_cast<X*>(x), extent, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                          CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return r == CUDA_SUCCESS ? status{} : status{"gemm.11", "the copy engine cannot express rows of x that lie so"};
}

template <class X, class Y, class Scales>
SMALTI_HD bool nf4_has_terms(nf4_problem<X, Y, Scales> const& p) { return p.sum[0].terms || (p.pair && p.sum[1].terms); }

template <class X, class Y, class Scales>
struct nf4_resident_plan {
  CUtensorMap x;
  nf4_problem<X, Y, Scales> problem;
  nf4_resident_cut cut;
};

}  // namespace detail

#if defined(__CUDACC__)
/// Grid: (split, clusters), clusters of (split, 1). Terms: some sum has dense ones. What is ahead of the loop is short on purpose: sixteen warps run it, and none multiplies meanwhile.
template <class Config, bool Terms, class X, class Y, class Scales, epilogue Out>
__global__ void __launch_bounds__(Config::threads, 1)
nf4_resident_kernel(__grid_constant__ detail::nf4_resident_plan<X, Y, Scales> const plan, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int groups = Config::groups, tokens = Config::tokens, tiles = tokens / 8, burst = Config::burst, finished = Config::finished, chunk = detail::nf4_resident_cut::chunk;
  constexpr int block_bytes = tokens * 128;                                   // of x, 64 columns
  using scales_type = detail::nf4_resident_scales<Scales>;
  extern __shared__ __align__(1024) unsigned char smem[];
  auto const& p = plan.problem;
  auto const& cut = plan.cut;
  auto const floats = [&](int at) { return reinterpret_cast<float*>(smem + at); };
  int const pair = p.pair, warp = ptx::uniform_warp(), lane = ptx::lane(), g = lane / 4, q = lane % 4, group = warp / 4, w = warp % 4;
  int const split = cut.tile.split, rank = blockIdx.x, slot0 = blockIdx.y * cut.tile.slots, slots = min(cut.tile.slots, cut.slots - slot0);
  int const run = cut.steps_of(rank), step0 = rank * cut.run, all = slots * run, share = ceil_div(all, groups);
  int const first = group * share, count = max(0, min(share, all - first));   // of the block's steps, this warpgroup's
  int const inverse = cut.inverse[run < cut.run];
  struct place { int slot, step; };
  auto const at = [&](int t) {                                                // the t-th of this warpgroup's steps
    int const slot = unsigned(first + t) * unsigned(inverse) >> 20;
    return place{slot, first + t - slot * run};
  };

  // Weights first: they do not wait for anything.
  auto const panel_of = [&](int slot) { return min(2 * (slot0 + slot >> pair) + w / 2, cut.panels - 1); };
  auto const codes_of = [&](int slot) {                                       // the lane's, of the slot's first step here
    return (pair & slot ? p.sum[1].w.code : p.sum[0].w.code) + index(panel_of(slot)) * cut.stride + (step0 * nf4_panel::code_bytes + w % 2 * 512 + 16 * lane);
  };
  place now = at(0);
  int ahead_slot = now.slot, ahead = run - now.step;                          // of the codes to come: slot · its steps that are left
  unsigned char const* from = codes_of(ahead_slot) + now.step * nf4_panel::code_bytes;
  auto const fetch = [&](uint4 (&to)[2], bool on) {
    ptx::load_once_16_if(on, to[0], from), ptx::load_once_16_if(on, to[1], from + 1024);
    from += nf4_panel::code_bytes;
    if (--ahead == 0) ahead = run, from = codes_of(++ahead_slot);
  };
  uint4 codes[burst][2] = {};                                                 // both blocks of each step
  SMALTI_UNROLL for (int i = 0; i < burst; ++i) fetch(codes[i], i < count);
  // Those behind them come into L2 meanwhile: a line a lane.
  if (lane < Config::early && burst + lane / 8 < count && lane / 8 < ahead) ptx::prefetch(from - 16 * lane + (lane / 4 * 1024 + lane % 4 * 128));

  uint64_t *const arrived = reinterpret_cast<uint64_t*>(smem + cut.barriers), *const here = arrived + 1;  // mail · x
  bool const last = slots < cut.tile.slots, terms = Terms && detail::nf4_has_terms(p);
  int const pairs = (p.m + 1) / 2, mine = (pairs - rank + split - 1) * cut.inverse_split >> 8;            // pairs of tokens: all · those that the block finishes, rank, rank + split, …
  if (ptx::thread() == 0) {
    ptx::mbarrier_init(here, 1), ptx::mbarrier_init_fence();
    if (split > 1) {
      int const own = (run > 0 ? cut.own[last][run < cut.run] : 0) + (terms ? max(0, slots - rank + split - 1) / split : 0);
      ptx::expect_mail(arrived, mine * 512 * (cut.sent[last] - own));
    }
  }
  if (split > 1) ptx::cluster_open();
  ptx::launch_dependents();
  detail::nf4_table const table{smem};
  table.check();
  if (warp == 0) {
    if (lane == 0 && run > 0) {
      int const copies = ceil_div(run, chunk);
      ptx::mbarrier_arrive_expecting(here, copies * (2 * chunk * block_bytes));
      if (p.ready) {
        ptx::await_flag_alone(p.ready);
        ptx::fence_async_proxy_global();
      } else {
        ptx::wait_for_previous();                                             // x may be the previous kernel's output
      }
      SMALTI_ROLLED for (int i = 0; i < copies; ++i) ptx::tma_load(smem + cut.x + 2 * chunk * block_bytes * i, &plan.x, here, 0, 0, 2 * (step0 + chunk * i), 0);
    }
    ptx::sync_warp();
  } else {
    // By asynchronous copies: what came into registers here would be waited for with the weights, which share a scoreboard with it.
    SMALTI_ROLLED for (int i = warp - 1; i < 2 * slots; i += Config::threads / 32 - 1) {
      int const slot = i / 2, panel = min(2 * (slot0 + slot >> pair) + i % 2, cut.panels - 1);
      unsigned char const* const packed = detail::nf4_packed_scales(p.sum[slot & pair].w) + (index(panel) * cut.steps + step0) * scales_type::bytes;
      SMALTI_ROLLED for (int j = 16 * lane; j < run * scales_type::bytes; j += 16 * 32) ptx::cp_async_16(smem + cut.raw + i * run * scales_type::bytes + j, packed + j, true);
    }
    if (int const half = Config::threads / 32 - 1 - warp; half <= pair)
      detail::nf4_fetch_nested(p, p.sum[half].w, 2 * (slot0 >> pair), floats(cut.map) + 256 * half, floats(cut.nested) + cut.entries * half, cut.entries);
    ptx::cp_async_commit();
    table.fill<X>(1);
  }
  ptx::cp_async_wait<0>();
  ptx::sync_block();                                                          // tables, scales, their map and nested ones are here
  // Terms: a warp has 16 rows of every slot that is its warpgroup's. B comes while x is on its way, t, a copy for each warp, under the last product.
  auto const each_term = [&](auto f) {                                        // f(slot, its sum, where operands wait, first row of W, that row in shared memory)
    if (!terms) return;
    int row = 64 * group + 16 * w;
    SMALTI_ROLLED for (int slot = rank + split * group; slot < slots; slot += split * groups, row += 64 * groups)
      f(slot, p.sum[slot & pair], cut.terms[slot & pair], (slot0 + slot >> pair) * 64 + 16 * w, row);
  };
  each_term([&](int, auto const& sum, auto const& to, int row, int at) {
    if (to.row) detail::nf4_fetch_b<16>(smem + at * to.row, to, sum.dense[0], row, 16, p.n, lane, 32);
    else if (sum.terms && row < p.n && w % 2 == 0) detail::nf4_prefetch_terms(sum, row / nf4_panel::rows, p.n);
  });
  auto const fetch_t = [&] {
    if (!terms || rank + split * group >= slots) return;
    ptx::wait_for_previous();
    for (int half = 0; half <= pair; ++half)
      if (auto const& to = cut.terms[half]; to.row) detail::nf4_fetch_t(smem + warp * p.m * to.row_t, to, p.sum[half].dense[0], p.m);
    ptx::cp_async_commit();
  };
  if (split > 1) ptx::cluster_opened();

  int const origin[2] = {detail::nf4_first_place(p, p.sum[0].w, 2 * (slot0 >> pair)) + step0 * nf4_panel::step, detail::nf4_first_place(p, p.sum[1].w, 2 * (slot0 >> pair)) + step0 * nf4_panel::step};
  // A lane prepares scales for its warp: of step lane / 8 of a burst, rows lane % 8 and lane % 8 + 8.
  float4* const prepared = reinterpret_cast<float4*>(smem + cut.scales) + warp * (2 * burst * 8);
  auto const prepare = [&](int t, int room) {
    if (lane >= 8 * burst) return;
    place const a = at(min(t + lane / 8, count - 1));
    int const which = a.slot & pair, row = (a.slot >> pair) * 64 + 16 * w + lane % 8;
    scales_type const scales(which ? p.sum[1].w : p.sum[0].w, floats(cut.map) + 256 * which, floats(cut.nested) + cut.entries * which);
    prepared[room * (burst * 8) + lane] = scales.get(smem + cut.raw + ((2 * a.slot + w / 2) * run + a.step) * scales_type::bytes, lane % 8, w % 2,
                                                     (which ? origin[1] : origin[0]) + row * p.k + a.step * nf4_panel::step, p.k);
  };
  auto const put = [&](float const (&acc)[tiles][4], int box) {               // to the blocks that finish them
    SMALTI_UNROLL for (int n = 0; n < tiles; ++n)
      if (int const two = 4 * n + q; two < pairs) {
        int const turn = two * cut.inverse_split >> 8, to = two - turn * split;
        float2* const there = reinterpret_cast<float2*>(smem + cut.mail) + (turn * cut.boxes + box) * 64 + 16 * w + g;
        float2 const v[2] = {{acc[n][0], acc[n][1]}, {acc[n][2], acc[n][3]}};
        if (to == rank) there[0] = v[0], there[8] = v[1];                     // also where there is no cluster, which send would need
        else ptx::send(there, v[0], arrived, to), ptx::send(there + 8, v[1], arrived, to);
      }
  };

  float acc[tiles][4] = {};                                                   // rows g, g + 8 × tokens 2q, 2q + 1 of every tile of 8
  if (count > 0) {
    uint32_t const own = table.own_pairs();
    uint64_t const x = ptx::wgmma_operand(smem + cut.x);
    float d[tiles][4] = {}, s[2] = {};                                        // of 64 columns, on their way · the scales they want
    uint32_t even[4][4], odd[4][4];                                           // Ŵ / absmax               (64, 64)
    auto const decode = [&](uint32_t (&to)[4][4], uint4 c) {
      detail::nf4_table::decode(to[0], c.x, own), detail::nf4_table::decode(to[1], c.y, own), detail::nf4_table::decode(to[2], c.z, own), detail::nf4_table::decode(to[3], c.w, own);
    };
    auto const settle = [&](uint32_t (&used)[4][4]) {
      ptx::wgmma_wait<0>(), ptx::pin(d), ptx::pin(used);
      SMALTI_UNROLL for (int i = 0; i < 4 * tiles; ++i) acc[i / 4][i % 4] = fmaf(d[i / 4][i % 4], s[i % 4 / 2], acc[i / 4][i % 4]);
    };
    auto const start = [&](uint32_t (&a)[4][4], uint64_t b) {
      ptx::pin(a), ptx::pin(d);
      ptx::wgmma_fence();
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) ptx::wgmma<X>(d, a[i], ptx::wgmma_advance(b, 32 * i), i > 0);
      ptx::wgmma_commit();
    };
    int room = 0, box = rank * cut.places + now.slot + group;
    prepare(0, 0);
    ptx::sync_warp();
    ptx::mbarrier_wait(here, 0);
    SMALTI_ROLLED for (int t = 0; t < count; t += burst) {
      // The next codes are asked for when these have arrived, for all loads in flight share a scoreboard: a wait would be for both.
      uint4 next[burst][2];
      from += codes[burst - 1][1].w & cut.never;
      SMALTI_UNROLL for (int i = 0; i < burst; ++i) fetch(next[i], t + burst + i < count);
      SMALTI_UNROLL for (int i = 0; i < burst; ++i) {
        if (t + i >= count) break;
        float4 const v = prepared[room * (burst * 8) + 8 * i + g];
        uint64_t const b = ptx::wgmma_advance(x, now.step * (2 * block_bytes));
        decode(even, codes[i][0]);
        settle(odd);
        if (now.step == 0 && t + i > 0) {
          put(acc, box++);
          SMALTI_UNROLL for (int j = 0; j < 4 * tiles; ++j) acc[j / 4][j % 4] = 0;
        }
        start(even, b);
        s[0] = v.x, s[1] = v.z;
        decode(odd, codes[i][1]);
        if (i == 0 && t + burst < count) prepare(t + burst, room ^ 1);
        settle(even);
        start(odd, ptx::wgmma_advance(b, block_bytes));
        s[0] = v.y, s[1] = v.w;
        if (++now.step == run) now.step = 0;
      }
      SMALTI_UNROLL for (int i = 0; i < burst; ++i) codes[i][0] = next[i][0], codes[i][1] = next[i][1];
      room ^= 1;
      ptx::sync_warp();
    }
    fetch_t();
    settle(odd);
    put(acc, box);
  } else {
    fetch_t();
  }
  ptx::wait_for_previous();                                                   // terms and the epilogue read what it may write
  if (terms) ptx::cp_async_wait<0>(), ptx::sync_warp();
  each_term([&](int slot, auto const& sum, auto const& from, int row, int at) {
    float v[tiles][4];
    detail::nf4_terms_of_tile<tiles>(v, smem + from.at + at * from.row, smem + from.t + warp * p.m * from.row_t, from, sum, row, p.n, p.m);
    put(v, split * cut.places + slot);
  });

  if (mine <= 0) return;
  ptx::sync_block();
  if (split > 1) ptx::await_mail(arrived);
  struct alignas(8 * finished) sums { float2 row[finished]; };                // each of two tokens
  int const places = (slots >> pair) * (64 / finished);
  for (int turn = 0, i = ptx::thread(); turn < mine; i -= places, ++turn)
    for (; i < places; i += Config::threads) {
      int const row = finished * i, token = 2 * (turn * split + rank);
      float const* const of_turn = floats(cut.mail) + turn * cut.boxes * 128 + row % 64 * 2;
      auto const total = [&](float2 (&v)[finished], int slot, float scale) {
        auto const add = [&](int box) {
          sums const a = *reinterpret_cast<sums const*>(of_turn + box * 128);
          SMALTI_UNROLL for (int j = 0; j < finished; ++j) v[j].x += a.row[j].x, v[j].y += a.row[j].y;
        };
        SMALTI_UNROLL for (int j = 0; j < finished; ++j) v[j] = {};
        SMALTI_ROLLED for (int block = 0; block < split; ++block) {
          int const steps = cut.steps_of(block), part = ceil_div(slots * steps, groups), begin = slot * steps, end = begin + steps;
          SMALTI_UNROLL for (int j = 0; j < groups; ++j)
            if (j * part < end && (j + 1) * part > begin) add(block * cut.places + slot + j);
        }
        SMALTI_UNROLL for (int j = 0; j < finished; ++j) v[j].x *= scale, v[j].y *= scale;
        if (terms) add(split * cut.places + slot);
      };
      int const slot = row / 64 << pair, column = (slot0 >> pair) * 64 + row, left = p.n - column;
      float2 v[finished];
      total(v, slot, p.sum[0].scale);
      if (pair) {
        float2 up[finished];
        total(up, slot + 1, p.sum[1].scale);
        SMALTI_UNROLL for (int j = 0; j < finished; ++j) v[j] = {silu{}(v[j].x, 0, 0) * up[j].x, silu{}(v[j].y, 0, 0) * up[j].y};
      }
      SMALTI_UNROLL for (int e = 0; e < 2; ++e)
        if (token + e < p.m && left > 0)
          SMALTI_UNROLL for (int j = 0; j < finished; ++j)
            if (j < left) p.y[(token + e) * p.row_y + column + j] = Y(out(e ? v[j].y : v[j].x, p.row0 + token + e, column + j));
    }
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture: never a silent nothing
#endif
}

namespace detail {
/// What the current device runs at a time of a kernel whose blocks fill a processor. Asked once for each device.
template <class... A>
nf4_clusters nf4_count_clusters(void (*kernel)(A...), int threads, int bytes) {
  static std::atomic<int> known[16][8];                                       // less one
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || device < 0 || device >= 16) return {{132}};
  nf4_clusters c{};
  for (int split = 1; split <= 8; ++split) {
    int held = known[device][split - 1].load(std::memory_order_relaxed) - 1;
    if (held < 0) {
      cudaLaunchAttribute attribute = {};
      attribute.id = cudaLaunchAttributeClusterDimension, attribute.val.clusterDim = {unsigned(split), 1, 1};
      cudaLaunchConfig_t how = {};
      how.gridDim = dim3(unsigned(split)), how.blockDim = dim3(unsigned(threads)), how.dynamicSmemBytes = std::size_t(bytes), how.attrs = &attribute, how.numAttrs = 1;
      bool const found = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) == cudaSuccess && cudaOccupancyMaxActiveClusters(&held, kernel, &how) == cudaSuccess;
      if (!found) (void)cudaGetLastError(), held = 0;
      known[device][split - 1].store(held + 1, std::memory_order_relaxed);
    }
    c.held[split - 1] = held;
  }
  return c;
}
}  // namespace detail

/// The tuned tile for the current device; slots 0: none fits.
template <class X, class Y, class Scales>
nf4_resident_tile nf4_resident_choose(on_cuda const& where, nf4_problem<X, Y, Scales> const& p) {
  nf4_clusters const clusters = detail::nf4_count_clusters(nf4_resident_kernel<nf4_resident_config<16>, false, X, Y, Scales, identity>, nf4_resident_config<16>::threads, where.device.smem);
  return nf4_resident_tuned(nf4_work_of(p), detail::nf4_span(p), detail::nf4_has_terms(p), where.device, clusters);
}

/// Launches with the tile given; as nf4_launch. Errors: gemm.11 (what the copy engine cannot express), gemm.12 (tile), cuda.
template <class Config, bool Terms, class X, class Y, class Scales, epilogue Out>
status nf4_resident_launch(on_cuda const& where, nf4_problem<X, Y, Scales> const& p, nf4_resident_tile tile, bool programmatic, Out const& out) {
  nf4_work const work = nf4_work_of(p);
  int const span = detail::nf4_span(p);
  bool const terms = Terms && detail::nf4_has_terms(p);
  if (!fits<Config>(tile, work, span, terms, where.device)) return {"gemm.12", "the tile does not fit the block's threads or shared memory"};
  detail::nf4_resident_plan<X, Y, Scales> plan{{}, p, detail::nf4_cut<Config>(tile, work, span, terms)};
  if (Terms) {
    int at = plan.cut.bytes;
    for (int h = 0; h <= p.pair; ++h) detail::nf4_stage_terms(plan.cut.terms[h], at, p.sum[h], 64 * ceil_div(tile.slots, tile.split), 16, 16, p.n, p.m * Config::threads / 32);
    if (at <= where.device.smem) plan.cut.bytes = at;
    else plan.cut.terms[0] = plan.cut.terms[1] = {};
  }
  if (auto s = detail::nf4_resident_map(plan.x, p.x, p.m, p.k, p.row_x, Config::tokens, 2 * plan.cut.chunk); !s) return s;
  dim3 const grid(unsigned(tile.split), unsigned(ceil_div(plan.cut.slots, tile.slots)));
  return detail::nf4_start(where, nf4_resident_kernel<Config, Terms, X, Y, Scales, Out>, grid, Config::threads, plan.cut.bytes, programmatic, plan, out);
}
#endif

}  // namespace smalti
