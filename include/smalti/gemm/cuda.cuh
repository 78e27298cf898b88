#pragma once
// y = e(Σ s · x · Wᵀ) on a device, for NF4 weights: the terms, the checks and the choice of a kernel.

#include "device_nf4.cuh"
#include "nf4_resident.cuh"
#include "nf4_stationary.cuh"
#include "nf4_wide.cuh"
#include "terms.hpp"

namespace smalti {

/// scale · x (M, K) · Ŵᵀ and Count terms with plain 16-bit weights: LoRA, one adapter or several that are stacked.
template <int Count>
struct nf4_terms {
  activations x;
  device_nf4 const* w;
  float scale;
  term dense[Count > 0 ? Count : 1];
  nf4_norm norm = {};
};

/// Rows of x (M, K), fp32, that a product normalises before it multiplies: x · weight / √(mean(x²) + eps), rounded to 16 bits. The kernel
/// ahead may write x, not the weight of the norm.
struct normalised_rows {
  view<float const, 2> x;  ///< rows contiguous, beginning at multiples of 16 bytes
  nf4_norm norm;
};
inline constexpr int most_normalised_rows = 2;  ///< M, at most: every block normalises them anew

/// x (M, K) · Ŵᵀ, both on the device and borrowed.
template <class T>
nf4_terms<0> product(view<T, 2> x, device_nf4 const& w) { return {borrow_activations(x), &w, 1.f, {}}; }
inline nf4_terms<0> product(normalised_rows const& x, device_nf4 const& w) { return {borrow_activations(x.x), &w, 1.f, {}, x.norm}; }

template <int Count>
nf4_terms<Count> operator*(float s, nf4_terms<Count> t) {
  t.scale *= s;
  for (auto& one : t.dense) one.scale *= s;
  return t;
}
template <int A, int B>
nf4_terms<A + B> operator+(nf4_terms<A> const& a, terms<B> const& b) {
  nf4_terms<A + B> sum{a.x, a.w, a.scale, {}, a.norm};
  for (int i = 0; i < A; ++i) sum.dense[i] = a.dense[i];
  for (int i = 0; i < B; ++i) sum.dense[A + i] = b.all[i];
  return sum;
}

/// Which kernels compute a product: mma.sync with x in registers, for up to four tokens, or in shared memory, which reads W once for 64; or wgmma (sm_90a) with
/// x resident in shared memory, for up to 16, or on its way through it, for more.
enum class nf4_strategy { tuned, stationary, resident, few, wide };

/// What a product is compiled for: the kernels of each strategy, the scales of its weights (absmax double quantised, or plain fp32) and, where y is float, the types of x. All of it
/// takes nvcc several times as long as what one program needs (bench/compile_cost.py), the kernels for many tokens longest: one that decodes a few tokens says `gemm<nf4_kernels{.wide = false}>`.
/// What is left out is not chosen; a call that nothing else can serve is refused (gemm.37).
struct nf4_kernels {
  bool stationary = true, resident = true, few = true, wide = true;
  bool nested = true, plain = true;
  bool of_bf16 = true, of_f16 = true;
};
inline constexpr nf4_kernels all_nf4_kernels{};

/// How a product is launched.
struct launch_options {
  bool programmatic = false;                     ///< programmatic dependent launch (sm_90a): see gemm
  nf4_tile tile = {};                            ///< of the kernel for few tokens; panels 0: the tuned one
  nf4_stationary_tile stationary_tile = {};      ///< of the one that keeps x in registers; likewise
  nf4_resident_tile resident_tile = {};          ///< of the one with x resident in shared memory; slots 0: the tuned one
  nf4_strategy strategy = nf4_strategy::tuned;
  nf4_wide_tile wide_tile = {};                  ///< of the one for many; groups 0: the tuned one
  nf4_lent lent = {};                            ///< memory that products of 129 tokens and more may work in; without it, or with too little, they choose another way
  unsigned const* ready = nullptr;               ///< where the kernel ahead computes t of terms from this x: it takes this flag down before this launch can start,
                                                 ///< and raises it once all ahead of itself has ended. This launch then waits for that kernel only before its terms
};

namespace detail {

template <class X>
bool pairs_aligned(X const* at, index rows, index stride) {
  return reinterpret_cast<std::uintptr_t>(at) % 4 == 0 && (rows <= 1 || stride % 2 == 0);
}

/// Errors: gemm.1, 2, 3, 10, 11, 13; the sum of `m` rows and `n` columns may then be computed.
template <class X, int Count>
status nf4_check(nf4_terms<Count> const& sum, index m, index n) {
  device_nf4 const& w = *sum.w;
  if (sum.x.columns != w.k) return {"gemm.1", "x must have as many columns as the weight"};
  if (sum.x.rows != m || w.n != n) return {"gemm.2", "y must have the rows of x and, as columns, the rows of the weight"};
  if (!sum.x.at || !w.code.data()) return {"gemm.3", "an operand is null"};
  bool const raw = sum.norm.weight != nullptr;
  if (sum.x.type != (raw ? dtype::f32 : dtype_of<X>)) return {"gemm.10", "x, t and the weights of terms must be of one type"};
  if (raw && (m > most_normalised_rows || reinterpret_cast<std::uintptr_t>(sum.norm.weight) % 16))
    return {"gemm.35", "a product normalises at most two rows, by a weight that begins at a multiple of 16 bytes"};
  if (reinterpret_cast<std::uintptr_t>(sum.x.at) % 16 || sum.x.column_stride != 1 || (m > 1 && sum.x.row_stride % (raw ? 4 : 8)))
    return {"gemm.11", "rows of x must be contiguous and begin at multiples of 16 bytes"};
  for (int i = 0; i < Count; ++i) {
    term const& t = sum.dense[i];
    constexpr auto plain = std::is_same_v<X, bf16> ? weight_form::rows_bf16 : weight_form::rows_f16;
    if (t.x.columns != t.w.k) return {"gemm.1", "t must have as many columns as its weight"};
    if (t.x.rows != m || t.w.n != n) return {"gemm.2", "a term must have the rows of x and the rows of the weight"};
    if (!t.x.at || !t.w.at) return {"gemm.3", "an operand is null"};
    if (t.x.type != dtype_of<X> || t.w.form != plain) return {"gemm.10", "x, t and the weights of terms must be of one type"};
    if (t.w.k < 2 || t.w.k % 2 || t.x.column_stride != 1 || t.w.column_stride != 1 || !pairs_aligned(static_cast<X const*>(t.x.at), m, t.x.row_stride) ||
        !pairs_aligned(static_cast<X const*>(t.w.at), n, t.w.row_stride))
      return {"gemm.13", "a term's rank must be even, its rows contiguous and beginning at multiples of 4 bytes"};
  }
  return {};
}

/// One sum as the kernel wants it, after every check.
template <class X, class Scales, int Count>
status nf4_sum(nf4_operand<X, Scales>& to, nf4_terms<Count> const& sum, index m, index n) {
  static_assert(Count <= nf4_operand<X, Scales>::most_terms, "gemm.13: at most four dense terms beside the product");
  if (auto s = nf4_check<X>(sum, m, n); !s) return s;
  to.w = panels_of<Scales>(*sum.w), to.scale = sum.scale, to.terms = Count;
  for (int i = 0; i < Count; ++i) {
    term const& t = sum.dense[i];
    to.dense[i] = {static_cast<X const*>(t.x.at), static_cast<X const*>(t.w.at), t.x.row_stride, t.w.row_stride, t.w.k, t.scale, t.bands};
  }
  return {};
}

inline int processors() {
  int device = 0, count = 0;
  if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess) return 132;
  return count;
}

/// `count` tokens of a problem, from `first` on.
template <class X, class Y, class Scales>
nf4_problem<X, Y, Scales> tokens_of(nf4_problem<X, Y, Scales> p, index first, index count) {
  p.x = p.x ? p.x + first * p.row_x : nullptr, p.raw = p.raw ? p.raw + first * p.row_x : nullptr, p.y += first * p.row_y, p.m = int(count), p.row0 = int(first);
  for (auto& sum : p.sum)
    for (int i = 0; i < sum.terms; ++i) sum.dense[i].t += first * sum.dense[i].row_t;
  return p;
}

/// The tile of the kernel that keeps x in registers: the caller's, or the tuned one; panels 0: none fits.
template <class X, class Y, class Scales>
nf4_stationary_choice nf4_choose(on_cuda const& where, nf4_problem<X, Y, Scales> const& p, launch_options const& how) {
  nf4_work const work = nf4_work_of(p);
  if (how.stationary_tile.panels) return {nf4_stationary_unit(work), how.stationary_tile};
  return nf4_stationary_tuned(work, nf4_span(p), where.device, processors());
}

template <nf4_kernels Made>
constexpr bool nf4_made(nf4_strategy s) {
  using enum nf4_strategy;
  return s == stationary ? Made.stationary : s == resident ? Made.resident : s == few ? Made.few : s == wide ? Made.wide : true;
}
inline status nf4_left_out() { return {"gemm.37", "this product was compiled without the kernel, the scales or the type that it needs"}; }

template <nf4_kernels Made, class Y, class X, class Scales, int A, int B, epilogue E>
status nf4_run(on_cuda const& where, view<Y, 2> y, nf4_terms<A> const& first, nf4_terms<B> const* second, E const& out, launch_options const& how) {
  index const m = y.extent[0], n = y.extent[1];
  if (m > 0x3fffffff) return {"gemm.9", "more than 2^30 rows of x in one product"};
  bool const raw = first.norm.weight;
  nf4_problem<X, Y, Scales> p{raw ? nullptr : static_cast<X const*>(first.x.at), y.at, first.x.row_stride, y.stride[0], int(m), int(n), first.w->k, second != nullptr, {}};
  if (raw) p.raw = static_cast<float const*>(first.x.at), p.norm = first.norm;
  p.ready = how.ready;
  if (reinterpret_cast<std::uintptr_t>(how.lent.at) % 256) return {"gemm.36", "memory lent to a product begins at a multiple of 256 bytes"};
  if (auto s = nf4_sum(p.sum[0], first, m, n); !s) return s;
  if (second) {
    if (auto s = nf4_sum(p.sum[1], *second, m, n); !s) return s;
    if (second->x.at != first.x.at || second->x.row_stride != first.x.row_stride || second->norm.weight != first.norm.weight || second->norm.eps != first.norm.eps || second->w->nested() != first.w->nested())
      return {"gemm.15", "the halves of a pair must share x and keep their scales alike"};
  }
  if (m > 1 && y.stride[0] < n) return {"gemm.11", "rows of y must not overlap"};
  bool const forced = how.strategy == nf4_strategy::stationary, free = how.strategy == nf4_strategy::tuned;
  if (raw && !forced && !free) return {"gemm.35", "the kernels for many rows take x normalised"};
  if (!nf4_made<Made>(how.strategy)) return nf4_left_out();
  if constexpr (Made.stationary) {
    if ((forced || free) && m <= (forced ? most_stationary_tokens : tuned_stationary_tokens) && !how.tile.panels)
      if (nf4_stationary_choice const choice = nf4_choose(where, p, how); choice.tile.panels)
        return with_nf4_stationary_config(choice.unit, [&]<class Config>() { return nf4_stationary_launch<Config, (A + B > 0)>(where, p, choice.tile, how.programmatic, out); });
    if (raw) return {"gemm.35", "rows of x are too long to be normalised within the product on this device"};
    if (forced) return {"gemm.12", "too many tokens, or too many columns, to be kept in registers"};
  }
  if (raw) return nf4_left_out();
  bool const rests = how.strategy == nf4_strategy::resident;
  if (rests && m > most_resident_tokens) return {"gemm.12", "too many tokens to rest in shared memory"};
  if constexpr (Made.resident) {
    if ((rests || (free && m >= tuned_resident_from && m <= most_resident_tokens && p.row_x > 0)) && where.device.has(feature::wgmma) && !how.tile.panels) {
      nf4_resident_tile const tile = how.resident_tile.slots ? how.resident_tile : nf4_resident_choose(where, p);
      if (tile.slots) return with_nf4_resident_config(m, [&]<class Config>() { return nf4_resident_launch<Config, (A + B > 0)>(where, p, tile, how.programmatic, out); });
      if (rests) return {"gemm.12", "rows of x are too long to rest in shared memory"};
    }
  }
  if constexpr (Made.wide) {
    bool const free_wide = free && (nf4_many_tokens(m) || !Made.few) && p.row_x > 0;  // one row of x for all: no tensor map
    if ((how.strategy == nf4_strategy::wide || free_wide) && where.device.has(feature::wgmma) && !how.tile.panels) {
      nf4_wide_choice const choice = how.wide_tile.groups ? nf4_wide_choice{int(m), how.wide_tile} : nf4_wide_tuned(nf4_work_of(p), processors(), nf4_wide_pairs_tiles(p, how.lent));
      if constexpr (A + B == 0 && sizeof(Y) == 2)
        if (choice.tile == nf4_wide_pairs) return nf4_wide_pairs_launch<nf4_wide_256>(where, p, how.lent, how.programmatic, out);
      return with_nf4_wide_config(choice.tokens, [&]<class Config>() {
        using own = std::conditional_t<(A + B > 0 && nf4_wide_has_tails<Config>), nf4_wide_tailed<Config>, Config>;
        return nf4_wide_launch<own>(where, p, choice.tile, processors(), how.programmatic, out);
      });
    }
  }
  if constexpr (Made.few) {
    for (index begin = 0; begin < m; begin += nf4_most_tokens) {  // W is read anew for every 64 tokens
      auto const part = tokens_of(p, begin, min(m - begin, index(nf4_most_tokens)));
      nf4_work const work = nf4_work_of(part);
      status const s = with_nf4_config(part.m, [&]<class Config>() {
        nf4_tile const tile = how.tile.panels ? how.tile : nf4_tuned(Config::engine, work, where.device, processors());
        return nf4_launch<Config>(where, part, tile, how.programmatic && begin == 0, out);
      });
      if (!s) return s;
    }
    return {};
  }
  return nf4_left_out();
}

template <nf4_kernels Made, class Y, int A, int B, epilogue E>
status nf4_dispatch(on_cuda const& where, view<Y, 2> y, nf4_terms<A> const& first, nf4_terms<B> const* second, E const& out, launch_options const& how) {
  index const m = y.extent[0], n = y.extent[1];
  if (m == 0) return {};
  if (!y.at || !first.w) return {"gemm.3", "an operand is null"};
  if (y.stride[1] != 1 && n > 1) return {"gemm.11", "rows of y must be contiguous"};
  auto const typed = [&]<class X>(X) -> status {
    bool const nested = first.w->nested();
    if constexpr (Made.nested)
      if (nested) return nf4_run<Made, Y, X, nested_scales>(where, y, first, second, out, how);
    if constexpr (Made.plain)
      if (!nested) return nf4_run<Made, Y, X, plain_scales>(where, y, first, second, out, how);
    return nf4_left_out();
  };
  // Y picks the type of x where it is 16-bit itself; sums that leave as fp32 may come from either.
  if constexpr (!std::is_same_v<Y, float>) return typed(Y{});
  else {
    if constexpr (Made.of_f16)
      if (first.x.type == dtype::f16) return typed(f16{});
    if constexpr (Made.of_bf16)
      if (first.x.type != dtype::f16) return typed(bf16{});
    return nf4_left_out();
  }
}

}  // namespace detail

/// Whether a product of `m` rows with W can normalise them: not too many, and a row short enough for the device. halves: 2 for gemm_swiglu.
inline bool normalises_rows(on_cuda const& where, device_nf4 const& w, index m, int halves = 1) {
  nf4_work const work{int(m), nf4_panel::panels(w.n) * halves, w.k, halves, true};
  int const span = w.nested() ? std::countr_zero(unsigned(w.block)) + std::countr_zero(unsigned(w.nested_block)) : 0;
  return m >= 1 && m <= most_normalised_rows && nf4_stationary_tuned(work, span, where.device, detail::processors()).tile.panels > 0;
}

/// y (M, N) = e(s · x (M, K) · Ŵᵀ + Σ s_i · t_i (M, r_i) · B_iᵀ) on the stream of `where`. x, t and B are bf16 or f16, all
/// of one type; y is of that type or float. Sums are fp32, in an order that does not change from run to run; y is rounded once.
/// y may alias the residual of the epilogue, never an x. M = 0 does nothing. Everything, also what the epilogue points at, is device
/// memory. Asynchronous, allocates nothing, may be captured in a graph. With `programmatic` it may start before the work ahead
/// of it in the stream has ended, which may write x, t, B and what the epilogue reads, but not the NF4 weight nor that of a norm.
/// Errors: gemm.1 (x against W), gemm.2 (y), gemm.3 (null), gemm.9 (M), gemm.10 (types), gemm.11 (alignment), gemm.12 (tile),
/// gemm.13 (a term), gemm.35 (normalised rows), gemm.36 (memory lent), gemm.37 (left out of Made), cuda; then y is untouched.
template <nf4_kernels Made = all_nf4_kernels, class Y, int Count, epilogue E = identity>
status gemm(on_cuda const& where, view<Y, 2> y, nf4_terms<Count> const& sum, E const& out = {}, launch_options const& how = {}) {
  static_assert(std::is_same_v<Y, float> || std::is_same_v<Y, bf16> || std::is_same_v<Y, f16>, "gemm.6: y is float, bf16 or f16");
  return detail::nf4_dispatch<Made>(where, y, sum, static_cast<nf4_terms<0> const*>(nullptr), out, how);
}

/// y (M, N) = e(silu(gate) ⊙ up) (Shazeer 2020, "GLU Variants", eq. 6), both sums in one launch over one x. As gemm otherwise; and
/// gemm.15 (the halves differ in x or in how scales are kept).
template <nf4_kernels Made = all_nf4_kernels, class Y, int A, int B, epilogue E = identity>
status gemm_swiglu(on_cuda const& where, view<Y, 2> y, nf4_terms<A> const& gate, nf4_terms<B> const& up, E const& out = {}, launch_options const& how = {}) {
  static_assert(std::is_same_v<Y, float> || std::is_same_v<Y, bf16> || std::is_same_v<Y, f16>, "gemm.6: y is float, bf16 or f16");
  return detail::nf4_dispatch<Made>(where, y, gate, &up, out, how);
}

}  // namespace smalti
