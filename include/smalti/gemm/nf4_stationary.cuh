#pragma once
// y (M, N) = e(x (M, K) · Ŵᵀ + …) for one to four tokens and NF4 weights on a device: x is stationary, in registers, a slice of K a warp, and the rows
// of W stream past it. No barrier is met between the tables and the sums.
//
// Few tokens leave the eight columns of mma.m16n8k16 idle. Here column n holds block n % unit of token n / unit, and of a product of 64 columns of W only the
// column of their own block is kept: so a lane meets four rows and two blocks of a unit, and each absmax is looked up once in a warp.

#include "nf4_kernel.cuh"
#include "nf4_stationary_tile.hpp"

namespace smalti {
namespace detail {

/// A warp's way over its units: down the panels of a slice, then those of its next one. The address is this lane's.
struct nf4_walk {
  unsigned char const* at;
  index stride, turn;  // to the next panel, the next slice; bytes
  int panel, slice;    // slice: counted in the block's run

  SMALTI_D void move(int panels, int parts) {
    bool const last = ++panel == panels;
    at += last ? turn : stride, panel = last ? 0 : panel, slice += last ? parts : 0;
  }
};

/// Scales of a lane, of its rows 8i + lane / 4 of a panel and two blocks of 64 columns, from what nf4_scale_reader fetches.
template <class Scales>
struct nf4_lane_scales;

template <>
struct nf4_lane_scales<plain_scales> {
  SMALTI_D nf4_lane_scales(nf4_panels<plain_scales> const&, float const*, float const*) {}
  template <bool>
  SMALTI_D void get(nf4_scale_reader<plain_scales>::held const& h, int, int, float (&s)[4][2]) const {
    SMALTI_UNROLL for (int j = 0; j < 2; ++j) {
      s[0][j] = __uint_as_float(h.half[j].x), s[1][j] = __uint_as_float(h.half[j].y);
      s[2][j] = __uint_as_float(h.half[j].z), s[3][j] = __uint_as_float(h.half[j].w);
    }
  }
};

template <>
struct nf4_lane_scales<nested_scales> {
  uint32_t map, nested;  // shared addresses: of the map, of the entries that the block's rows touch
  int span;
  float offset;

  SMALTI_D nf4_lane_scales(nf4_panels<nested_scales> const& w, float const* map, float const* entries)
      : map(ptx::smem_address(map)), nested(ptx::smem_address(entries)), span(w.scales.span), offset(w.scales.offset) {}
  /// place: of the lane's first row and column, counted from the first element of the first entry; Straddles: its two blocks may lie in different entries.
  template <bool Straddles>
  SMALTI_D void get(nf4_scale_reader<nested_scales>::held const& h, int place, int k, float (&s)[4][2]) const {
    auto const group = [&](int at) { return __uint_as_float(ptx::load_shared<0>(nested + (at >> span) * 4)); };
    auto const entry = [&](uint32_t codes, int i) { return __uint_as_float(ptx::load_shared<0>(map + ((i ? codes >> (8 * i - 2) : codes << 2) & 0x3fc))); };
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
      float const one = group(place + 8 * i * k), other = Straddles ? group(place + 8 * i * k + nf4_panel::half) : one;
      s[i][0] = fmaf(entry(h.code.x, i), one, offset), s[i][1] = fmaf(entry(h.code.y, i), other, offset);
    }
  }
};

template <class X, class Y>
int nf4_span(nf4_problem<X, Y, plain_scales> const&) { return 0; }
template <class X, class Y>
int nf4_span(nf4_problem<X, Y, nested_scales> const& p) {
  return p.pair ? min(p.sum[0].w.scales.span, p.sum[1].w.scales.span) : p.sum[0].w.scales.span;
}

/// On their way into shared memory, by the threads of a half: its map (256) and the entries of `nested` that rows from that of panel0 on touch,
/// zeros behind the last. The block's first element, counted from that of the first entry.
template <class Problem, class Scales>
SMALTI_D int nf4_fetch_nested(Problem const& p, nf4_panels<Scales> const& w, int panel0, float* map, float* nested, int entries, int thread, int threads) {
  if constexpr (std::is_same_v<Scales, nested_scales>) {
    int const span = w.scales.span;
    index const origin = index(panel0) * nf4_panel::rows * p.k, first = origin >> span, last = (index(p.n) * p.k - 1) >> span;
    for (int i = thread; i < 64; i += threads) ptx::cp_async_16(map + 4 * i, w.scales.map + 4 * i, true);
    for (int i = thread; i < entries; i += threads) ptx::cp_async_4(nested + i, w.scales.nested + (first + i <= last ? first + i : 0), first + i <= last);
    return int(origin - (first << span));
  }
  return 0;
}

}  // namespace detail

#if defined(__CUDACC__)
/// Grid: (split, groups of panels), clusters of (split, 1).
template <class Config, class X, class Y, class Scales, epilogue Out>
__global__ void __launch_bounds__(Config::threads, 1)
nf4_stationary_kernel(__grid_constant__ detail::nf4_stationary_plan const plan, __grid_constant__ nf4_problem<X, Y, Scales> const p,
                      __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH__)
  constexpr int unit = Config::unit;
  using reader = detail::nf4_scale_reader<Scales>;
  extern __shared__ __align__(1024) unsigned char shared[];
  unsigned char* const smem = shared + (detail::nf4_table::reserved - ptx::smem_address(shared) & 0xffff);  // nothing on Hopper, 1024 bytes before it
  auto const floats = [&](int at) { return reinterpret_cast<float*>(smem + at); };
  int const pair = p.pair, lane = ptx::lane(), g = lane / 4, q = lane % 4, half = ptx::warp() & pair, part = ptx::warp() >> pair;
  int const panel0 = blockIdx.y * plan.tile.panels, panels = min(plan.tile.panels, nf4_panel::panels(p.n) - panel0);
  int const split = plan.tile.split, rank = blockIdx.x, slice0 = rank * plan.run, run = min(plan.run, plan.slices - slice0);
  int const parts = plan.tile.parts, active = min(parts, run);                // of a half's warps, those with a slice
  auto const& sum = p.sum[half];

  // Weights first: they do not wait for anything.
  int const steps = nf4_panel::steps(p.k), step0 = (slice0 + part) * (unit / 2);
  int const own_step = unit == 4 ? q % 2 : 0;                                 // of a slice, the one whose scales the lane needs
  auto const walk = [&](unsigned char const* from, int bytes, int step, int lane_offset) {
    index const stride = index(steps) * bytes;
    return detail::nf4_walk{from + panel0 * stride + step * index(bytes) + lane_offset, stride, parts * (unit / 2) * bytes - (panels - 1) * stride, 0, part};
  };
  detail::nf4_walk code = walk(sum.w.code, nf4_panel::code_bytes, step0, 16 * lane);
  detail::nf4_walk scale = walk(reader::of(sum.w), reader::bytes, step0 + own_step, reader::lane_offset());
  uint4 codes[unit][2];                                                       // of the unit to come, as [block][tile]
  typename reader::held coming = {};
  if (code.slice < run) {
    SMALTI_UNROLL for (int b = 0; b < 2 * unit; ++b) codes[b / 2][b % 2] = ptx::load_once_16(code.at + 512 * b);
    coming = reader::fetch(scale.at);
  }
  code.move(panels, parts), scale.move(panels, parts);

  uint64_t* const arrived = reinterpret_cast<uint64_t*>(smem + plan.barrier);
  int const rows = plan.tile.panels * nf4_panel::rows, all = rows << pair;
  int mine = 0;                                                               // tokens that the block finishes: rank, rank + split, …
  for (int token = rank; token < p.m; token += split) ++mine;
  if (split > 1) {
    if (ptx::thread() == 0 && mine) ptx::expect_mail(arrived, mine * split * all * 4);
    ptx::cluster_open();
  }
  ptx::launch_dependents();
  // By asynchronous copies: what came into registers here would be waited for with the weights, which share a scoreboard with it.
  float *const map = floats(plan.map) + half * 256, *const nested = floats(plan.nested) + half * plan.entries;
  int const place0 = detail::nf4_fetch_nested(p, sum.w, panel0, map, nested, plan.entries, 32 * part + lane, 32 * parts);
  ptx::cp_async_commit();
  if (rank == 0 && part < active)
    for (int i = part; i < panels; i += active) detail::nf4_prefetch_terms(sum, panel0 + i, p.n);
  detail::nf4_table const table{smem};
  table.check();
  table.fill<X>();

  int const token = min(g / unit, p.m - 1);                                   // whose values of x the lane holds; beyond M: repeated, never stored
  ptx::wait_for_previous();                                                   // x may be the previous kernel's output
  float const by = p.norm.weight ? detail::nf4_inverse_norm(p, token, floats(plan.meet)) : 0.f;
  auto const fragments = [&](uint32_t (&x)[8], int slice) {
    detail::nf4_fragments<X>(x, p, token, ((slice0 + slice) * unit + g % unit) * nf4_panel::half + 2 * q, by);
  };
  uint32_t x[8], next_x[8];                                                   // xᵀ                       (64, 8)
  if (part < run) fragments(next_x, part);
  ptx::cp_async_wait<0>();
  ptx::sync_block();                                                          // tables, map and nested scales are here

  detail::nf4_lane_scales<Scales> const scales(sum.w, map, nested);
  uint32_t const pairs = table.own_pairs();
  float* const own_sums = floats(plan.sums) + ptx::warp() * p.m * plan.row_sum;
  float acc[4] = {};                                                          // rows 8i + g
  SMALTI_ROLLED for (int slice = part; slice < run; slice += parts) {
    bool const last = slice + parts >= run;
    SMALTI_UNROLL for (int j = 0; j < 8; ++j) x[j] = next_x[j];
    int at = place0 + g * p.k + ((slice0 + slice) * (unit / 2) + own_step) * nf4_panel::step;
    float* to = own_sums + (unit == 4 ? q / 2 : q) * plan.row_sum + g;
    SMALTI_ROLLED for (int panel = 0; panel < panels; ++panel, at += nf4_panel::rows * p.k, to += nf4_panel::rows) {
      float s[4][2], v[4][2];                                                 // rows 8i + g, the lane's two blocks
      scales.template get<unit == 2>(coming, at, p.k, s);
      bool const more = code.slice < run;
      if (more) coming = reader::fetch(scale.at);
      if (panel + 1 == panels && !last) fragments(next_x, slice + parts);
      SMALTI_UNROLL for (int b = 0; b < unit; ++b) {
        SMALTI_UNROLL for (int tile = 0; tile < 2; ++tile) {
          uint32_t a[4][4];                                                   // Ŵ / absmax               (16, 64)
          uint4 const c = codes[b][tile];
          table.decode(a[0], c.x, pairs), table.decode(a[1], c.y, pairs), table.decode(a[2], c.z, pairs), table.decode(a[3], c.w, pairs);
          float d[4] = {};
          SMALTI_UNROLL for (int j = 0; j < 4; ++j) ptx::mma_m16n8k16<X>(d, a[j], x[2 * j], x[2 * j + 1]);
          SMALTI_UNROLL for (int i = 0; i < 2; ++i)                           // columns 2q and 2q + 1 of d: keep that of block b
            if (b < 2 || q % 2) v[2 * tile + i][b % 2] = d[2 * i + b % 2];
        }
        if (more) codes[b][0] = ptx::load_once_16(code.at + 1024 * b), codes[b][1] = ptx::load_once_16(code.at + 1024 * b + 512);
      }
      code.move(panels, parts), scale.move(panels, parts);
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) acc[i] += v[i][0] * s[i][0] + v[i][1] * s[i][1];
      if (panels == 1 && !last) continue;                                     // more of the same rows to come
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
        if (unit == 4) acc[i] += __shfl_xor_sync(~0u, acc[i], 1);
        acc[i] *= sum.scale;
      }
      if ((unit == 4 ? q / 2 : q) < p.m && (unit == 2 || q % 2 == 0))
        SMALTI_UNROLL for (int i = 0; i < 4; ++i) to[8 * i] = slice != part && panels > 1 ? to[8 * i] + acc[i] : acc[i];
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) acc[i] = 0;
    }
  }
  if (rank == 0 && part < active && sum.terms) {
    __syncwarp();
    for (int i = part; i < panels; i += active) {
      float terms[2][1][4] = {};
      detail::nf4_add_terms(terms, sum, panel0 + i, p.n, p.m);
      SMALTI_UNROLL for (int j = 0; j < 8; ++j)
        if (int const one = 2 * q + j % 2; one < p.m)
          own_sums[one * plan.row_sum + i * nf4_panel::rows + j / 4 * 16 + j / 2 % 2 * 8 + g] += terms[j / 4][0][j % 4];
    }
  }

  if (split > 1) ptx::cluster_opened();
  ptx::sync_block();
  auto const of_parts = [&](int token, int n) {                               // n: of both halves' rows
    float const* from = floats(plan.sums) + ((n >= rows) * p.m + token) * plan.row_sum + (n >= rows ? n - rows : n);
    float4 v = {};
    _Pragma("unroll 8") for (int i = 0; i < active; ++i, from += (p.m << pair) * plan.row_sum)
      v = detail::add(v, *reinterpret_cast<float4 const*>(from));
    return v;
  };
  if (split > 1) {                                                            // token t is finished by block t % split of the cluster
    int to = 0, box = 0;
    for (int token = 0; token < p.m; ++token) {
      float* const there = floats(plan.mail) + (box * split + rank) * all;
      for (int n = 4 * ptx::thread(); n < all; n += 4 * blockDim.x) ptx::send(reinterpret_cast<float4*>(there + n), of_parts(token, n), arrived, to);
      if (++to == split) to = 0, ++box;
    }
    if (!mine) return;
    ptx::await_mail(arrived);
  }
  bool const aligned = p.row_y % 4 == 0 && reinterpret_cast<uint64_t>(p.y) % 8 == 0;
  for (int box = 0; box < mine; ++box) {
    int const token = box * split + rank;
    auto const total = [&](int n) {
      if (split == 1) return of_parts(token, n);
      float4 v = {};
      float const* from = floats(plan.mail) + box * split * all + n;
      SMALTI_ROLLED for (int i = 0; i < split; ++i, from += all) v = detail::add(v, *reinterpret_cast<float4 const*>(from));
      return v;
    };
    for (int n = 4 * ptx::thread(); n < rows; n += 4 * blockDim.x) {
      int const column = panel0 * nf4_panel::rows + n, left = p.n - column;
      float4 const v = total(n);
      float o[4] = {v.x, v.y, v.z, v.w};
      if (pair) {
        float4 const up = total(rows + n);
        float const u[4] = {up.x, up.y, up.z, up.w};
        SMALTI_UNROLL for (int j = 0; j < 4; ++j) o[j] = silu{}(o[j], 0, 0) * u[j];
      }
      SMALTI_UNROLL for (int j = 0; j < 4; ++j)
        if (j < left) o[j] = out(o[j], p.row0 + token, column + j);
      detail::store_four(p.y + token * p.row_y + column, o, aligned, left);
    }
  }
#endif
}

/// Launches with the tile given; as nf4_launch.
template <class Config, class X, class Y, class Scales, epilogue Out>
status nf4_stationary_launch(on_cuda const& where, nf4_problem<X, Y, Scales> const& p, nf4_stationary_tile tile, bool programmatic, Out const& out) {
  nf4_work const work = nf4_work_of(p);
  int const span = detail::nf4_span(p);
  if (!fits<Config>(tile, work, span, where.device)) return {"gemm.12", "the tile does not fit the block's threads or shared memory"};
  dim3 const grid(unsigned(tile.split), unsigned(ceil_div(work.panels / work.halves, tile.panels)));
  auto* const kernel = nf4_stationary_kernel<Config, X, Y, Scales, Out>;
  return detail::nf4_start(where, kernel, grid, 32 * tile.parts * work.halves, smem_bytes<Config>(tile, work, span), programmatic,
                           detail::nf4_plan<Config>(tile, work, span), p, out);
}
#endif

}  // namespace smalti
