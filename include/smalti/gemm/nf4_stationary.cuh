#pragma once
// y (M, N) = e(x (M, K) · Ŵᵀ + …) for one to four tokens and NF4 weights on a device: x is stationary, in registers, a slice of K a warp, and the rows
// of W stream past it. No barrier is met between the tables and the sums.
//
// Few tokens leave the eight columns of mma.m16n8k16 idle. Here column n holds block n % unit of token n / unit, and of a product of 64 columns of W only the
// column of their own block is kept: so a lane meets four rows and two blocks of a unit, and each absmax is looked up once in a warp.

#include "../cuda/ptx_pairs.cuh"
#include "nf4_kernel.cuh"
#include "nf4_staged_terms.cuh"
#include "nf4_stationary_tile.hpp"

namespace smalti {
namespace detail {

/// Bits Shift … Shift + 7 of four levels, a byte each.
template <class X, int First, int Shift>
inline constexpr uint32_t nf4_level_bytes = [] {
  uint32_t v = 0;
  for (int i = 0; i < 4; ++i) v |= uint32_t(nf4_levels16<X, First> >> (16 * i + Shift) & 0xff) << 8 * i;
  return v;
}();

/// As nf4_table::decode, but by byte permutations, whose selectors the codes are: 22 instructions more, four wavefronts of shared memory less.
template <class X>
SMALTI_D void nf4_permute_levels(uint32_t (&a)[4], uint32_t codes) {
  constexpr uint32_t bytes[2][4] = {{nf4_level_bytes<X, 0, 0>, nf4_level_bytes<X, 4, 0>, nf4_level_bytes<X, 8, 0>, nf4_level_bytes<X, 12, 0>},
                                    {nf4_level_bytes<X, 0, 8>, nf4_level_bytes<X, 4, 8>, nf4_level_bytes<X, 8, 8>, nf4_level_bytes<X, 12, 8>}};
  uint32_t const eighths = codes & 0x77777777, even = codes << 4;             // less their top bits · the even ones at the top of a byte
  SMALTI_UNROLL for (int h = 0; h < 2; ++h) {                                 // four codes
    uint32_t const at = h ? eighths >> 16 : eighths, upper = ptx::select_bytes(even, codes, h ? 0xfbea : 0xd9c8);  // 0xff for a code of 8 or more
    uint32_t v[2];                                                            // their levels' low bytes · high bytes
    SMALTI_UNROLL for (int i = 0; i < 2; ++i) v[i] = (ptx::select_bytes(bytes[i][2], bytes[i][3], at) & upper) | (ptx::select_bytes(bytes[i][0], bytes[i][1], at) & ~upper);
    a[2 * h] = ptx::select_bytes(v[0], v[1], 0x4051), a[2 * h + 1] = ptx::select_bytes(v[0], v[1], 0x6273);
  }
}

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

/// The entry of `nested` that a panel's first row begins in, and how many elements behind that entry's first.
template <class Problem>
SMALTI_D index nf4_first_entry(Problem const& p, nf4_panels<nested_scales> const& w, int panel) { return index(panel) * nf4_panel::rows * p.k >> w.scales.span; }
template <class Problem>
SMALTI_D int nf4_first_place(Problem const& p, nf4_panels<nested_scales> const& w, int panel) { return int(index(panel) * nf4_panel::rows * p.k & ((index(1) << w.scales.span) - 1)); }
template <class Problem>
SMALTI_D int nf4_first_place(Problem const&, nf4_panels<plain_scales> const&, int) { return 0; }

template <class X, class Y>
int nf4_span(nf4_problem<X, Y, plain_scales> const&) { return 0; }
template <class X, class Y>
int nf4_span(nf4_problem<X, Y, nested_scales> const& p) {
  return p.pair ? min(p.sum[0].w.scales.span, p.sum[1].w.scales.span) : p.sum[0].w.scales.span;
}

/// On their way into shared memory, by one warp: a half's map (256) and the entries of `nested` that rows from that of panel0 on touch, zeros behind the last.
template <class Problem, class Scales>
SMALTI_D void nf4_fetch_nested(Problem const& p, nf4_panels<Scales> const& w, int panel0, float* map, float* nested, int entries) {
  if constexpr (std::is_same_v<Scales, nested_scales>) {
    index const first = nf4_first_entry(p, w, panel0), last = (index(p.n) * p.k - 1) >> w.scales.span;
    SMALTI_UNROLL for (int i = 0; i < 2; ++i) ptx::cp_async_16(map + 4 * (ptx::lane() + 32 * i), w.scales.map + 4 * (ptx::lane() + 32 * i), true);
    SMALTI_ROLLED for (int i = ptx::lane(); i < entries; i += 32) ptx::cp_async_4(nested + i, w.scales.nested + min(first + i, last), first + i <= last);
  }
}

}  // namespace detail

#if defined(__CUDACC__)
/// Grid: (split, groups of panels), clusters of (split, 1). Terms: some sum has dense ones. What is ahead of the loop is short on purpose: sixteen warps run it, and none multiplies meanwhile.
template <class Config, bool Terms, class X, class Y, class Scales, epilogue Out>
__global__ void __launch_bounds__(Config::threads, 1)
nf4_stationary_kernel(__grid_constant__ detail::nf4_stationary_plan const plan, __grid_constant__ nf4_problem<X, Y, Scales> const p,
                      __grid_constant__ Out const out) {
#if defined(__CUDA_ARCH__)
  constexpr int unit = Config::unit;
  using reader = detail::nf4_scale_reader<Scales>;
  extern __shared__ __align__(1024) unsigned char shared[];
  unsigned char* const smem = shared + (detail::nf4_table::reserved - ptx::smem_address(shared) & 0xffff);  // nothing on Hopper, 1024 bytes before it
  auto const floats = [&](int at) { return reinterpret_cast<float*>(smem + at); };
  int const pair = p.pair, warp = ptx::warp(), lane = ptx::lane(), g = lane / 4, q = lane % 4, half = warp & pair, part = warp >> pair;
  int const rank = blockIdx.x, split = plan.tile.split, slice0 = rank * plan.run, run = min(plan.run, plan.slices - slice0), parts = plan.tile.parts;
  int const panel0 = blockIdx.y * plan.tile.panels, panels = min(plan.tile.panels, plan.panels - panel0), rows = panels * nf4_panel::rows;
  auto const& sum = p.sum[half];

  // Weights first: they do not wait for anything. Scales lie like codes, fewer bytes of them.
  constexpr int shrink = nf4_panel::code_bytes / reader::bytes;
  int const own_step = unit == 4 ? q % 2 : 0;                                 // of a slice, the one whose scales the lane needs
  index const panel_at = index(panel0) * plan.stride;
  int const slice_at = (slice0 + part) * (unit * nf4_panel::code_bytes / 2);
  unsigned char const* code = sum.w.code + (panel_at + slice_at) + 16 * lane;
  unsigned char const* scale = reader::of(sum.w) + (panel_at + slice_at) / shrink + own_step * reader::bytes + reader::lane_offset();
  uint4 codes[unit][2];                                                       // of the unit to come, as [block][tile]
  typename reader::held coming = {};
  if (part < run) {
    SMALTI_UNROLL for (int b = 0; b < 2 * unit; ++b) codes[b / 2][b % 2] = ptx::load_lines_16(code + 512 * b);
    coming = reader::fetch(scale);
  }

  // A box (rows) of sums for every token and slice in the block that finishes the token: token % split. Boxes of others come by mail.
  uint64_t* const arrived = reinterpret_cast<uint64_t*>(smem + plan.barrier);
  auto const finished = [&](int of) { return p.m - of + split - 1 >> plan.split_log2; };  // how many tokens a block finishes: of, of + split, …; not below 0
  if (split > 1) {
    if (ptx::thread() == 0 && finished(rank) > 0) {
      int const foreign = (plan.slices - max(0, run)) << pair;                       // boxes of a token that others fill
      ptx::expect_mail(arrived, finished(rank) * foreign * rows * 4);
    }
    ptx::cluster_open();
  }
  ptx::launch_dependents();
  // By asynchronous copies: what came into registers here would be waited for with the weights, which share a scoreboard with it.
  float *const map = floats(plan.map) + half * 256, *const nested = floats(plan.nested) + half * plan.entries, *const raw = floats(plan.raw), *const gain = floats(plan.gain);
  if (part == 0) detail::nf4_fetch_nested(p, sum.w, panel0, map, nested, plan.entries);
  if (p.norm.weight) detail::nf4_fetch_gain(p, gain, slice0 * unit * nf4_panel::half, plan.run * unit * nf4_panel::half);
  // Terms of the tokens that the block finishes: B comes while x is awaited, t while one warp multiplies its last unit.
  bool const adds = Terms && sum.terms && plan.terms[half].row && finished(rank) > 0;
  auto const fetch_b = [&] {
    if (adds) detail::nf4_fetch_b<nf4_panel::rows>(smem, plan.terms[half], sum.dense[0], panel0 * nf4_panel::rows, rows, p.n, part * 32 + lane, 32 * parts);
    if (Terms) ptx::cp_async_commit();
  };
  auto const fetch_t = [&] {
    if (p.ready) ptx::wait_for_previous();
    detail::nf4_fetch_t(smem, plan.terms[half], sum.dense[0], p.m, rank, split);
    ptx::cp_async_commit();
  };
  detail::nf4_table const table{smem};
  table.check();
  table.fill<X>();

  // What the loop begins with, computed while the kernel ahead still runs.
  uint32_t const pairs = table.own_pairs(), shared_at = ptx::smem_address(smem);
  auto const box = [&](int token) { return shared_at + plan.sums + (half * plan.boxed + (token >> plan.split_log2)) * plan.boxes; };
  int const own_token = unit == 4 ? q / 2 : q, place = ptx::here(detail::nf4_first_place(p, sum.w, panel0) + g * p.k + (slice0 * (unit / 2) + own_step) * nf4_panel::step);
  uint32_t const x_at = ptx::here(int(shared_at + plan.x + (min(g / unit, p.m - 1) * plan.run * unit + g % unit) * detail::nf4_staged_half + 4 * q));  // beyond M: repeated, never stored
  uint32_t const own_box = ptx::here(int(box(own_token) + slice0 * plan.row_sum + 4 * g + (unit == 4 ? 64 * (q % 2) : 0)));

  // x: a warp brings what it multiplies, eight columns a lane; of a pair's two warps the first for both.                                              (64, 8) = xᵀ for every block of a slice
  int const column0 = (slice0 * unit + lane / 8) * nf4_panel::half + lane % 8 * 8;                         // this lane's of the block's first slice
  unsigned char* const staged = smem + plan.x + lane / 8 * detail::nf4_staged_half + lane % 8 * 16;
  bool const brings = lane < 8 * unit && part < run && half == 0;
  auto const each_slice = [&](auto f) {                                       // f(where in shared memory, token, column)
    SMALTI_ROLLED for (int token = 0; token < p.m; ++token)
      SMALTI_ROLLED for (int slice = part; slice < run; slice += parts)
        if (brings) f(staged + (token * plan.run + slice) * (unit * detail::nf4_staged_half), token, slice * (unit * nf4_panel::half));
  };
  unsigned char* const first_to = staged + part * (unit * detail::nf4_staged_half);
  bool const first_inside = column0 + part * (unit * nf4_panel::half) < p.k;
  X const* const first_from = ptx::here(first_inside ? p.x + column0 + part * (unit * nf4_panel::half) : p.x);
  // Tables, map and nested scales are awaited by a barrier ahead of x, which a warp then awaits for itself.
  ptx::cp_async_commit();
  bool const flagged = Terms && p.ready;
  if (flagged) ptx::cp_async_wait<0>(), ptx::await_flag(p.ready);             // which is a barrier, too
  else ptx::wait_for_previous();
  auto const meet = [&] {
    ptx::cp_async_commit();
    if (!flagged) ptx::cp_async_wait<1>(), ptx::sync_block();
    fetch_b(), ptx::cp_async_wait<Terms>();
  };
  if (p.norm.weight) {
    detail::nf4_fetch_raw(p, raw);
    meet(), ptx::sync_block();
    detail::nf4_add_squares(p, raw, floats(plan.meet));
    ptx::sync_block();
    float by = 0;
    int of = -1;
    each_slice([&](unsigned char* to, int token, int column) {
      bool const inside = column0 + column < p.k;
      if (token != of) by = detail::nf4_inverse_norm(p, token, floats(plan.meet)), of = token;
      *reinterpret_cast<uint4*>(to) = inside ? detail::nf4_normalised<X>(raw + token * p.k + column0 + column, gain + lane * 8 + column, by) : uint4{};
    });
  } else {
    if (brings) ptx::cp_async_16(first_to, first_from, first_inside);         // all that most have to bring
    if (p.m > 1 || run > parts) {
      X const* const from = p.x + column0;
      each_slice([&](unsigned char* to, int token, int column) {
        bool const inside = column0 + column < p.k;
        if (to != first_to) ptx::cp_async_16(to, inside ? from + token * p.row_x + column : p.x, inside);
      });
    }
    meet();
  }
  if (pair) ptx::barrier_sync(1 + part, 64);                                  // for both warps that multiply it
  else ptx::sync_warp();
  if (split > 1) ptx::cluster_opened();

  detail::nf4_lane_scales<Scales> const scales(sum.w, map, nested);
  auto const put = [&](uint32_t to, int token, int stride, auto const&... v) {
    int const finisher = token & (split - 1);
    int i = 0;
    if (finisher == rank) return (ptx::store_shared(to + stride * i++, v), ...);
    uint32_t const there = ptx::address_in_block(to, finisher), mail = ptx::address_in_block(shared_at + plan.barrier, finisher);
    (ptx::send(there + stride * i++, v, mail), ...);
  };
  bool const fetches = adds && part == parts - 1;
  bool const never = plan.slices < 0;                                         // see hold_loads
  int const turn = parts * (unit * nf4_panel::code_bytes / 2) - (panels - 1) * plan.stride;  // bytes of codes from a slice's last panel to the next slice's first
  SMALTI_ROLLED for (int slice = part; slice < run; slice += parts) {
    uint32_t x[8];                                                            // xᵀ                       (64, 8)
    SMALTI_UNROLL for (int j = 0; j < 8; ++j) x[j] = ptx::load_shared_now(x_at + slice * (unit * detail::nf4_staged_half) + 16 * j);
    int at = place + slice * (unit / 2 * nf4_panel::step);
    uint32_t to = own_box + slice * plan.row_sum;
    SMALTI_ROLLED for (int panel = 0; panel < panels; ++panel, at += nf4_panel::rows * p.k, to += 4 * nf4_panel::rows) {
      bool const turns = panel + 1 == panels, more = !turns || slice + parts < run;
      int const further = turns ? turn : plan.stride;
      code = ptx::here(code + further), scale = ptx::here(scale + further / shrink);
      float s[4][2], v[4][2];                                                 // rows 8i + g, the lane's two blocks
      scales.template get<unit == 2>(coming, at, p.k, s);
      if (more) coming = reader::fetch(scale);
      // The next unit is asked for early: small ones at once, large ones, for which there are no registers beside those that are multiplied, half by half.
      uint4 now[unit][2];
      if (unit == 2) {
        SMALTI_UNROLL for (int i = 0; i < 2 * unit; ++i) now[i / 2][i % 2] = codes[i / 2][i % 2];
        if (more) SMALTI_UNROLL for (int i = 0; i < 2 * unit; ++i) codes[i / 2][i % 2] = ptx::load_lines_16(code + 512 * i);
        if constexpr (!Terms) ptx::hold_loads(never);
        else if (fetches && !more) fetch_t();                                 // which holds loads as well
      }
      SMALTI_UNROLL for (int b = 0; b < unit; ++b) {
        SMALTI_UNROLL for (int tile = 0; tile < 2; ++tile) {
          uint32_t a[4][4];                                                   // Ŵ / absmax               (16, 64)
          uint4 const c = unit == 2 ? now[b][tile] : codes[b][tile];
          table.decode(a[0], c.x, pairs), table.decode(a[1], c.y, pairs), table.decode(a[2], c.z, pairs);
          if (unit == 4 && b % 2 == 0 && tile == 1) detail::nf4_permute_levels<X>(a[3], c.w);  // two words of 32: shared memory binds, until there are more of them
          else table.decode(a[3], c.w, pairs);
          float d[4] = {};
          SMALTI_UNROLL for (int j = 0; j < 4; ++j) ptx::mma_m16n8k16<X>(d, a[j], x[2 * j], x[2 * j + 1]);
          SMALTI_UNROLL for (int i = 0; i < 2; ++i)                           // columns 2q and 2q + 1 of d: keep that of block b
            if (b < 2 || q % 2) v[2 * tile + i][b % 2] = d[2 * i + b % 2];
        }
        if (unit == 4 && more) codes[b][0] = ptx::load_lines_16(code + 1024 * b), codes[b][1] = ptx::load_lines_16(code + 1024 * b + 512);
        if constexpr (unit == 4) {
          if (!Terms ? b % 2 : b == 3) ptx::hold_loads(never);
          else if (Terms && b == 1 && fetches && !more) fetch_t();            // as above
        }
      }
      float all[4];                                                           // rows 8i + g
      SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
        all[i] = v[i][0] * s[i][0] + v[i][1] * s[i][1];
        if (unit == 2) all[i] *= sum.scale;
      }
      if constexpr (unit == 4) {                                              // two lanes share them: each completes two rows and gives away its part of the others
        float own[2];
        SMALTI_UNROLL for (int i = 0; i < 2; ++i) own[i] = ((q % 2 ? all[2 + i] : all[i]) + __shfl_xor_sync(~0u, q % 2 ? all[i] : all[2 + i], 1)) * sum.scale;
        if (own_token < p.m) put(to, own_token, 32, own[0], own[1]);
      } else if (own_token < p.m) {
        put(to, own_token, 32, all[0], all[1], all[2], all[3]);
      }
    }
  }
  if (fetches && part >= run) fetch_t();
  if (p.ready) ptx::wait_for_previous();                                      // terms, and what others may read when this kernel has ended
  if (Terms) ptx::cp_async_wait<0>();

  int const mine = finished(rank);
  if (mine <= 0) return;
  ptx::sync_block();
  if (split > 1) ptx::await_mail(arrived);
  bool const aligned = p.row_y % 4 == 0 && reinterpret_cast<uint64_t>(p.y) % 8 == 0;
  int const eighth = ptx::thread() % 8;
  for (int own = 0; own < mine; ++own) {
    int const token = own * split + rank;
    auto const total = [&](int h, int n) {                                    // by eight lanes, each every eighth box
      unsigned char const* const first = smem + plan.sums + (h * plan.boxed + own) * plan.boxes + 4 * n;
      auto const of = [&](int i) { return *reinterpret_cast<float4 const*>(first + i * plan.row_sum); };
      float4 v = {};
      SMALTI_ROLLED for (int i = eighth; i < plan.slices; i += 8) v = detail::add(v, of(i));
      if (Terms && p.sum[h].terms) v = detail::add(v, detail::nf4_terms_of_four<nf4_panel::rows>(smem, plan.terms[h], p.sum[h], panel0 * nf4_panel::rows, panel0 * nf4_panel::rows + n, p.n, token));
      SMALTI_UNROLL for (int d = 4; d; d /= 2)
        v = detail::add(v, {__shfl_xor_sync(~0u, v.x, d), __shfl_xor_sync(~0u, v.y, d), __shfl_xor_sync(~0u, v.z, d), __shfl_xor_sync(~0u, v.w, d)});
      return v;
    };
    for (int n = 4 * (ptx::thread() / 8); n < rows; n += blockDim.x / 2) {     // whole warps: rows are a multiple of 32
      int const column = panel0 * nf4_panel::rows + n, left = p.n - column;
      float4 const v = total(0, n);
      float o[4] = {v.x, v.y, v.z, v.w};
      if (pair) {
        float4 const up = total(1, n);
        float const u[4] = {up.x, up.y, up.z, up.w};
        SMALTI_UNROLL for (int j = 0; j < 4; ++j) o[j] = silu{}(o[j], 0, 0) * u[j];
      }
      if (eighth) continue;
      SMALTI_UNROLL for (int j = 0; j < 4; ++j)
        if (j < left) o[j] = out(o[j], p.row0 + token, column + j);
      detail::store_four(p.y + token * p.row_y + column, o, aligned, left);
    }
  }
#endif
}

/// Launches with the tile given; as nf4_launch.
template <class Config, bool Terms, class X, class Y, class Scales, epilogue Out>
status nf4_stationary_launch(on_cuda const& where, nf4_problem<X, Y, Scales> const& p, nf4_stationary_tile tile, bool programmatic, Out const& out) {
  nf4_work const work = nf4_work_of(p);
  int const span = detail::nf4_span(p);
  if (!fits<Config>(tile, work, span, where.device)) return {"gemm.12", "the tile does not fit the block's threads or shared memory"};
  dim3 const grid(unsigned(tile.split), unsigned(ceil_div(work.panels / work.halves, tile.panels)));
  auto* const kernel = nf4_stationary_kernel<Config, Terms, X, Y, Scales, Out>;
  detail::nf4_stationary_plan plan = detail::nf4_plan<Config>(tile, work, span);
  int bytes = detail::nf4_slack_bytes + plan.bytes;
  if (Terms) {
    int at = plan.bytes;
    for (int h = 0; h <= p.pair; ++h) detail::nf4_stage_terms(plan.terms[h], at, p.sum[h], tile.panels * nf4_panel::rows, nf4_panel::rows, 8, p.n, p.m);
    if (int const all = detail::nf4_slack_bytes + at; all <= where.device.smem) bytes = all;
    else plan.terms[0] = plan.terms[1] = {};
  }
  return detail::nf4_start(where, kernel, grid, 32 * tile.parts * work.halves, bytes, programmatic, plan, p, out);
}
#endif

}  // namespace smalti
