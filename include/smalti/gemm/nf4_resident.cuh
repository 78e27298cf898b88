#pragma once
// y (M, N) = e(x (M, K) · Ŵᵀ + …) for three to 16 tokens and NF4 weights on Hopper: a block's run of x rests in shared memory, the right operand of wgmma, and
// the rows of W stream past it, decoded into registers, the left one. So x is read once for 64 rows of W, where mma.sync reads it once for 16 or 32.
//
// Levels are multiplied unscaled; absmax multiplies the fp32 sums of 64 columns, as in nf4_sm80.cuh. One product of 64 columns is on its way while the next
// are decoded. No barrier of the block is met between the tables and the end: sums go by mail to the block that finishes them.

#include <atomic>
#include "../cuda/tensor_map.cuh"
#include "nf4_resident_tile.hpp"
#include "nf4_stationary.cuh"
#include "nf4_wide_consume.cuh"

namespace smalti {
namespace detail {

/// absmax of two rows of W, g and g + 8 of a tile of 16, and both blocks of a step: what one lane prepares for its warp.
template <class Scales>
struct nf4_resident_scales;

template <>
struct nf4_resident_scales<plain_scales> {
  struct held { uint2 half[2]; };
  SMALTI_D nf4_resident_scales(nf4_panels<plain_scales> const&, float const*, float const*) {}
  /// step: of all panels; g: row % 8.
  static SMALTI_D held fetch(nf4_panels<plain_scales> const& w, index step, int g, int tile) {
    float const* const from = w.scales.absmax + step * nf4_panel::scales + 8 * g + 2 * tile;
    return {{ptx::load_once_8(from), ptx::load_once_8(from + 4)}};
  }
  /// {row g, block 0; row g, block 1; row g + 8, block 0; row g + 8, block 1}.
  SMALTI_D float4 get(held const& h, int, int, int) const {
    return {__uint_as_float(h.half[0].x), __uint_as_float(h.half[1].x), __uint_as_float(h.half[0].y), __uint_as_float(h.half[1].y)};
  }
};

template <>
struct nf4_resident_scales<nested_scales> {
  struct held { uint2 code; };
  uint32_t map, nested;  // shared addresses: of the map, of the entries that the cluster's rows touch
  int span;
  float offset;

  SMALTI_D nf4_resident_scales(nf4_panels<nested_scales> const& w, float const* map, float const* entries)
      : map(ptx::smem_address(map)), nested(ptx::smem_address(entries)), span(w.scales.span), offset(w.scales.offset) {}
  static SMALTI_D held fetch(nf4_panels<nested_scales> const& w, index step, int g, int) {
    return {ptx::load_once_8(w.scales.code + step * nf4_panel::scales + 8 * g)};
  }
  /// place: of row g and the step's first column, counted from the first element of the first entry.
  SMALTI_D float4 get(held const& h, int tile, int place, int k) const {
    uint32_t const code[2] = {h.code.x >> 16 * tile, h.code.y >> 16 * tile};
    auto const one = [&](int row, int block) {
      float const entry = __uint_as_float(ptx::load_shared<0>(map + (row ? code[block] >> 6 & 0x3fc : code[block] << 2 & 0x3fc)));
      return fmaf(entry, __uint_as_float(ptx::load_shared<0>(nested + (place + 8 * k * row + nf4_panel::half * block >> span) * 4)), offset);
    };
    return {one(0, 0), one(0, 1), one(1, 0), one(1, 1)};
  }
};

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
/// Grid: (split, clusters), clusters of (split, 1).
template <class Config, class X, class Y, class Scales, epilogue Out>
__global__ void __launch_bounds__(Config::threads, 1)
nf4_resident_kernel(__grid_constant__ detail::nf4_resident_plan<X, Y, Scales> const plan, __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int groups = Config::groups, tokens = Config::tokens, tiles = tokens / 8, chunk = detail::nf4_resident_cut::chunk;
  constexpr int block_bytes = tokens * 128;                                   // of x, 64 columns
  using scales_type = detail::nf4_resident_scales<Scales>;
  extern __shared__ __align__(1024) unsigned char smem[];
  auto const& p = plan.problem;
  auto const& cut = plan.cut;
  auto const floats = [&](int at) { return reinterpret_cast<float*>(smem + at); };
  int const pair = p.pair, lane = ptx::lane(), g = lane / 4, q = lane % 4, group = ptx::warpgroup(), w = ptx::uniform(ptx::warp() % 4);
  int const split = gridDim.x, rank = blockIdx.x, slot0 = blockIdx.y * cut.tile.slots, slots = min(cut.tile.slots, cut.slots - slot0);
  int const run = cut.steps_of(rank), step0 = rank * cut.run, all = slots * run, share = ceil_div(all, groups);
  int const first = group * share, count = max(0, min(share, all - first));   // of the block's steps, this warpgroup's
  int const panels = nf4_panel::panels(p.n), inverse = (1 << 20) / max(run, 1) + 1;

  // Weights first: they do not wait for anything.
  struct place { int slot, step; };
  auto const at = [&](int t) {                                                // the t-th of this warpgroup's steps
    int const slot = unsigned(first + t) * unsigned(inverse) >> 20;
    return place{slot, first + t - slot * run};
  };
  auto const packed = [&](place a) { return min(2 * (slot0 + a.slot >> pair) + w / 2, panels - 1) * cut.steps + step0 + a.step; };  // of all panels
  auto const fetch = [&](uint4 (&to)[2], int t) {
    place const a = at(t);
    unsigned char const* const from = (pair && a.slot % 2 ? p.sum[1].w.code : p.sum[0].w.code) + index(packed(a)) * nf4_panel::code_bytes + w % 2 * 512 + 16 * lane;
    to[0] = ptx::load_once_16(from), to[1] = ptx::load_once_16(from + 1024);
  };
  struct prepared { typename scales_type::held raw; int place, which; };      // of a lane: step lane / 8 of four, row lane % 8
  auto const fetch_scales = [&](int t) {
    place const a = at(min(t + lane / 8, count - 1));
    int const which = a.slot & pair, row = (a.slot >> pair) * 64 + 16 * w + lane % 8;
    return prepared{scales_type::fetch(which ? p.sum[1].w : p.sum[0].w, packed(a), lane % 8, w % 2), row * p.k + (step0 + a.step) * nf4_panel::step, which};
  };
  uint4 codes[chunk][2];                                                      // of the next four steps, both blocks
  prepared coming = {};
  if (count > 0) {
    SMALTI_UNROLL for (int i = 0; i < chunk; ++i)
      if (i < count) fetch(codes[i], i);
    coming = fetch_scales(0);
  }

  uint64_t *const arrived = reinterpret_cast<uint64_t*>(smem + cut.barriers), *const here = arrived + 1;  // mail · each chunk of x
  int const pairs = (p.m + 1) / 2, mine = (pairs - rank + split - 1) / split;  // pairs of tokens: all · those that the block finishes, rank, rank + split, …
  bool const terms = detail::nf4_has_terms(p);
  if (threadIdx.x == 0) {
    SMALTI_ROLLED for (int i = 0; i < ceil_div(run, chunk); ++i) ptx::mbarrier_init(here + i, 1);
    ptx::expect_mail(arrived, mine * 512 * cut.sent[slots < cut.tile.slots]);
  }
  if (split > 1) ptx::cluster_open();
  ptx::launch_dependents();
  int origin[2];                                                              // of the places of rows in `nested`
  SMALTI_UNROLL for (int half = 0; half < 2; ++half)
    origin[half] = half > pair ? origin[0] : detail::nf4_fetch_nested(p, p.sum[half].w, 2 * (slot0 >> pair), floats(cut.map) + 256 * half, floats(cut.nested) + cut.entries * half,
                                                                      cut.entries, ptx::thread(), Config::threads);
  ptx::cp_async_commit();
  detail::nf4_table const table{smem};
  table.check();
  if (ptx::warp() == 0) {
    if (threadIdx.x == 0) {
      ptx::tma_prefetch(&plan.x);
      if (p.ready) {
        ptx::await_flag_alone(p.ready);
        ptx::fence_async_proxy_global();
      } else {
        ptx::wait_for_previous();                                             // x may be the previous kernel's output
      }
      SMALTI_ROLLED for (int i = 0; i < ceil_div(run, chunk); ++i) {
        ptx::mbarrier_arrive_expecting(here + i, 2 * chunk * block_bytes);
        ptx::tma_load(smem + cut.x + 2 * chunk * block_bytes * i, &plan.x, here + i, 0, 0, 2 * (step0 + chunk * i), 0);
      }
    }
    ptx::sync_warp();
  } else {
    table.fill<X>(1);
  }
  if (terms && rank == 0)
    for (int i = ptx::warp(); i < 2 * slots; i += Config::threads / 32)
      if (int const panel = 2 * (slot0 + i / 2 >> pair) + i % 2; panel < panels) detail::nf4_prefetch_terms(p.sum[i / 2 & pair], panel, p.n);
  ptx::cp_async_wait<0>();
  ptx::sync_block();                                                          // tables, map and nested scales are here
  if (split > 1) ptx::cluster_opened();

  auto const prepare = [&](prepared const& c, int which_room) {
    scales_type const scales(c.which ? p.sum[1].w : p.sum[0].w, floats(cut.map) + 256 * c.which, floats(cut.nested) + cut.entries * c.which);
    reinterpret_cast<float4*>(smem + cut.scales)[(2 * ptx::warp() + which_room) * 32 + lane] = scales.get(c.raw, w % 2, (c.which ? origin[1] : origin[0]) + c.place, p.k);
  };
  int const boxes = split * cut.places + (terms ? cut.tile.slots : 0), inverse_split = 256 / split + 1;
  auto const send = [&](float const (&acc)[tiles][4], int box) {              // to the blocks that finish them
    SMALTI_UNROLL for (int n = 0; n < tiles; ++n)
      if (int const two = 4 * n + q; two < pairs) {
        int const turn = two * inverse_split >> 8, to = two - turn * split;
        float2* const there = reinterpret_cast<float2*>(smem + cut.mail) + (turn * boxes + box) * 64 + 16 * w + g;
        ptx::send(there, {acc[n][0], acc[n][1]}, arrived, to), ptx::send(there + 8, {acc[n][2], acc[n][3]}, arrived, to);
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
    prepare(coming, 0);
    if (count > chunk) coming = fetch_scales(chunk);
    ptx::sync_warp();
    place now = at(0);
    for (int t0 = 0; t0 < count; t0 += chunk) {
      SMALTI_UNROLL for (int i = 0; i < chunk; ++i) {
        int const t = t0 + i;
        if (t >= count) break;
        if (i == 1 && t0 + chunk < count) {                                   // the scales of the next four steps
          prepare(coming, (t0 / chunk + 1) % 2);
          if (t0 + 2 * chunk < count) coming = fetch_scales(t0 + 2 * chunk);
        }
        if (t < run) ptx::mbarrier_wait(here + now.step / chunk, 0);          // later all of x is here
        float4 const v = reinterpret_cast<float4 const*>(smem + cut.scales)[(2 * ptx::warp() + t0 / chunk % 2) * 32 + 8 * i + g];
        uint64_t const b = ptx::wgmma_advance(x, now.step * (2 * block_bytes));
        decode(even, codes[i][0]);
        settle(odd);
        if (now.step == 0 && t > 0) {
          send(acc, rank * cut.places + now.slot - 1 + group);
          SMALTI_UNROLL for (int j = 0; j < 4 * tiles; ++j) acc[j / 4][j % 4] = 0;
        }
        start(even, b);
        s[0] = v.x, s[1] = v.z;
        decode(odd, codes[i][1]);
        if (t + chunk < count) fetch(codes[i], t + chunk);
        settle(even);
        start(odd, ptx::wgmma_advance(b, block_bytes));
        s[0] = v.y, s[1] = v.w;
        if (++now.step == run) now.step = 0, ++now.slot;
      }
      ptx::sync_warp();
    }
    settle(odd);
    send(acc, rank * cut.places + at(count - 1).slot + group);
  }
  ptx::wait_for_previous();                                                   // terms and the epilogue read what it may write
  if (terms)
    for (int slot = rank + split * group; slot < slots; slot += split * groups) {
      SMALTI_UNROLL for (int j = 0; j < 4 * tiles; ++j) acc[j / 4][j % 4] = 0;
      detail::nf4_wide_terms(acc, p.sum[slot & pair], (slot0 + slot >> pair) * 64 + 16 * w, p.n, 0, p.m);
      send(acc, split * cut.places + slot);
    }

  if (mine <= 0) return;
  ptx::await_mail(arrived);
  bool const aligned = p.row_y % 4 == 0 && reinterpret_cast<uint64_t>(p.y) % 8 == 0;
  int const quads = (slots >> pair) * 16;                                     // of rows
  for (int i = ptx::thread(); i < mine * quads; i += Config::threads) {
    int const turn = i / quads, row = i % quads * 4, token = 2 * (turn * split + rank);
    float const* const of_turn = floats(cut.mail) + turn * boxes * 128 + row % 64 * 2;
    auto const total = [&](float (&v)[8], int slot, float scale) {            // four rows × two tokens
      auto const add = [&](int box) {
        float4 const a = *reinterpret_cast<float4 const*>(of_turn + box * 128), b = *reinterpret_cast<float4 const*>(of_turn + box * 128 + 4);
        v[0] += a.x, v[1] += a.y, v[2] += a.z, v[3] += a.w, v[4] += b.x, v[5] += b.y, v[6] += b.z, v[7] += b.w;
      };
      SMALTI_UNROLL for (int j = 0; j < 8; ++j) v[j] = 0;
      for (int block = 0; block < split; ++block) {
        int const steps = cut.steps_of(block), part = ceil_div(slots * steps, groups);
        SMALTI_UNROLL for (int j = 0; j < groups; ++j)
          if (j * part < (slot + 1) * steps && (j + 1) * part > slot * steps) add(block * cut.places + slot + j);
      }
      SMALTI_UNROLL for (int j = 0; j < 8; ++j) v[j] *= scale;
      if (terms) add(split * cut.places + slot);
    };
    int const slot = row / 64 << pair, column = (slot0 >> pair) * 64 + row, left = p.n - column;
    float v[8];
    total(v, slot, p.sum[0].scale);
    if (pair) {
      float up[8];
      total(up, slot + 1, p.sum[1].scale);
      SMALTI_UNROLL for (int j = 0; j < 8; ++j) v[j] = silu{}(v[j], 0, 0) * up[j];
    }
    SMALTI_UNROLL for (int e = 0; e < 2; ++e)
      if (token + e < p.m && left > 0) {
        float o[4] = {v[e], v[2 + e], v[4 + e], v[6 + e]};
        SMALTI_UNROLL for (int j = 0; j < 4; ++j)
          if (j < left) o[j] = out(o[j], p.row0 + token + e, column + j);
        detail::store_four(p.y + (token + e) * p.row_y + column, o, aligned, left);
      }
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
  nf4_clusters const clusters = detail::nf4_count_clusters(nf4_resident_kernel<nf4_resident_config<16>, X, Y, Scales, identity>, nf4_resident_config<16>::threads, where.device.smem);
  return nf4_resident_tuned(nf4_work_of(p), detail::nf4_span(p), detail::nf4_has_terms(p), where.device, clusters);
}

/// Launches with the tile given; as nf4_launch. Errors: gemm.11 (what the copy engine cannot express), gemm.12 (tile), cuda.
template <class Config, class X, class Y, class Scales, epilogue Out>
status nf4_resident_launch(on_cuda const& where, nf4_problem<X, Y, Scales> const& p, nf4_resident_tile tile, bool programmatic, Out const& out) {
  nf4_work const work = nf4_work_of(p);
  int const span = detail::nf4_span(p);
  bool const terms = detail::nf4_has_terms(p);
  if (!fits<Config>(tile, work, span, terms, where.device)) return {"gemm.12", "the tile does not fit the block's threads or shared memory"};
  detail::nf4_resident_plan<X, Y, Scales> plan{{}, p, detail::nf4_cut<Config>(tile, work, span, terms)};
  if (auto s = detail::nf4_resident_map(plan.x, p.x, p.m, p.k, p.row_x, Config::tokens, 2 * plan.cut.chunk); !s) return s;
  dim3 const grid(unsigned(tile.split), unsigned(ceil_div(plan.cut.slots, tile.slots)));
  return detail::nf4_start(where, nf4_resident_kernel<Config, X, Y, Scales, Out>, grid, Config::threads, plan.cut.bytes, programmatic, plan, out);
}
#endif

}  // namespace smalti
