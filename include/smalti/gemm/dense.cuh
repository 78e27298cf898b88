#pragma once
// y = e(Σ s · x · Wᵀ) on a device for plain and INT8 weights: the terms, the checks and the choice of a kernel. (NF4: cuda.cuh.)
// Floor: the bytes of W once, for up to 16 rows of x; 128256 × 4096 in bf16 is 1.05 GB, 244 µs at 4.3 TB/s.

#include "../math/rows.cuh"
#include "dense_kernel.cuh"
#include "dense_plain.cuh"
#include "device_dense.cuh"
#include "../quant/device_int8.cuh"
#include "terms.hpp"

namespace smalti {

/// scale · x (M, K) · Wᵀ and Count terms with plain weights of x's type: LoRA, one adapter or several that are stacked. Weight: device_dense<T>
/// or device_int8.
template <int Count, class Weight>
struct dense_terms {
  activations x;
  Weight const* w;
  float scale;
  term dense[Count > 0 ? Count : 1];
};

/// x (M, K) · Wᵀ, both on the device and borrowed.
template <class X, class T>
dense_terms<0, device_dense<T>> product(view<X, 2> x, device_dense<T> const& w) { return {borrow_activations(x), &w, 1.f, {}}; }
template <class X>
dense_terms<0, device_int8> product(view<X, 2> x, device_int8 const& w) { return {borrow_activations(x), &w, 1.f, {}}; }

template <int Count, class Weight>
dense_terms<Count, Weight> operator*(float s, dense_terms<Count, Weight> t) {
  t.scale *= s;
  for (auto& one : t.dense) one.scale *= s;
  return t;
}
template <int A, int B, class Weight>
dense_terms<A + B, Weight> operator+(dense_terms<A, Weight> const& a, terms<B> const& b) {
  dense_terms<A + B, Weight> sum{a.x, a.w, a.scale, {}};
  for (int i = 0; i < A; ++i) sum.dense[i] = a.dense[i];
  for (int i = 0; i < B; ++i) sum.dense[A + i] = b.all[i];
  return sum;
}

namespace detail {

template <class Weight> inline constexpr dtype weight_type = dtype::i8;
template <class T> inline constexpr dtype weight_type<device_dense<T>> = dtype_of<T>;

inline void const* memory_of(device_int8 const& w) { return w.code.data(); }
inline float const* row_scales(device_int8 const& w) { return w.scale.data(); }
template <class T> void const* memory_of(device_dense<T> const& w) { return w.at.data(); }
template <class T> float const* row_scales(device_dense<T> const&) { return nullptr; }

inline dtype type_of(weight_form f) {
  return f == weight_form::rows_f32 ? dtype::f32 : f == weight_form::rows_bf16 ? dtype::bf16 : f == weight_form::rows_f16 ? dtype::f16 : dtype::u8;
}

/// Everything that can be told before a kernel is chosen. Errors: gemm.1, 2, 3, 10.
template <int Count, class Weight>
status check_dense(dense_terms<Count, Weight> const& sum, index m, index n) {
  static_assert(Count <= 4, "gemm.13: at most four dense terms beside the product");
  Weight const& w = *sum.w;
  if (sum.x.columns != w.k) return {"gemm.1", "x must have as many columns as the weight"};
  if (sum.x.rows != m || w.n != n) return {"gemm.2", "y must have the rows of x and, as columns, the rows of the weight"};
  if (!sum.x.at || !memory_of(w)) return {"gemm.3", "an operand is null"};
  for (int i = 0; i < Count; ++i) {
    term const& t = sum.dense[i];
    if (t.x.columns != t.w.k) return {"gemm.1", "t must have as many columns as its weight"};
    if (t.x.rows != m || t.w.n != n) return {"gemm.2", "a term must have the rows of x and the rows of the weight"};
    if (!t.x.at || !t.w.at) return {"gemm.3", "an operand is null"};
    if (type_of(t.w.form) == dtype::u8) return {"gemm.10", "the weights of terms on a device are plain rows"};
  }
  return {};
}

/// Whether the fast kernel takes it: x in X, everything in whole 16 bytes; a term's pairs in whole words.
template <class X, class W, int Count, class Weight>
bool as_rows(row_operand<X, W>& to, dense_terms<Count, Weight> const& sum) {
  auto const aligned = [](void const* at, index bytes_apart, index rows, int bytes) {
    return reinterpret_cast<std::uintptr_t>(at) % unsigned(bytes) == 0 && (rows <= 1 || bytes_apart % bytes == 0);
  };
  if (sum.x.type != dtype_of<X> || sum.x.column_stride != 1 || sum.w->k % (16 / int(sizeof(W))) || !aligned(sum.x.at, sum.x.row_stride * 2, sum.x.rows, 16)) return false;
  to = {static_cast<W const*>(memory_of(*sum.w)), row_scales(*sum.w), sizeof(W) == 1 ? sum.scale * int8_step : sum.scale, Count, {}};
  for (int i = 0; i < Count; ++i) {
    term const& t = sum.dense[i];
    if (t.x.type != dtype_of<X> || type_of(t.w.form) != dtype_of<X> || t.w.k % 2 || t.x.column_stride != 1 || t.w.column_stride != 1 ||
        !aligned(t.x.at, t.x.row_stride * 2, t.x.rows, 4) || !aligned(t.w.at, t.w.row_stride * 2, t.w.n, 4)) return false;
    to.dense[i] = {static_cast<X const*>(t.x.at), static_cast<X const*>(t.w.at), t.x.row_stride, t.w.row_stride, t.w.k, t.scale};
  }
  return true;
}

template <int Count, class Weight>
plain_sum as_plain(dense_terms<Count, Weight> const& sum) {
  plain_sum to{1 + Count, {}};
  auto const rows = [](activations const& x) { return plain_rows{x.at, x.type, x.row_stride, x.column_stride}; };
  constexpr dtype type = weight_type<Weight>;
  to.all[0] = {rows(sum.x), {memory_of(*sum.w), type, sum.w->k, 1}, sum.w->k, type == dtype::i8 ? sum.scale * int8_step : sum.scale, row_scales(*sum.w)};
  for (int i = 0; i < Count; ++i) {
    term const& t = sum.dense[i];
    to.all[1 + i] = {rows(t.x), {t.w.at, type_of(t.w.form), t.w.row_stride, t.w.column_stride}, t.w.k, t.scale, nullptr};
  }
  return to;
}

template <class Y, int A, int B, class Weight, epilogue E>
status dense_run(on_cuda const& where, view<Y, 2> y, dense_terms<A, Weight> const& first, dense_terms<B, Weight> const* second, E const& out, launch_order order) {
  static_assert(device_element<Y>, "gemm.6: y is float, bf16 or f16");
  index const m = y.extent[0], n = y.extent[1];
  if (m == 0) return {};
  if (!y.at || !first.w || (second && !second->w)) return {"gemm.3", "an operand is null"};
  if (auto s = check_dense(first, m, n); !s) return s;
  if (second)
    if (auto s = check_dense(*second, m, n); !s) return s;
  if (n > INT32_MAX || m > INT32_MAX || (y.stride[1] != 1 && n > 1)) return {"gemm.11", "rows of y must be contiguous"};
  if (m > 1 && y.stride[0] < n) return {"gemm.11", "rows of y must not overlap"};
  bool const paired = !second || (second->x.at == first.x.at && second->x.row_stride == first.x.row_stride && second->x.type == first.x.type && second->w->k == first.w->k);
  auto const fast = [&]<class X, class W>(X, W, bool& done) -> status {
    row_problem<X, W, Y> p{static_cast<X const*>(first.x.at), y.at, first.x.row_stride, y.stride[0], int(m), int(n), first.w->k, second != nullptr, {}};
    done = paired && as_rows(p.sum[0], first) && (!second || as_rows(p.sum[1], *second));
    return done ? launch_rows(where, p, order, out) : status{};
  };
  auto const typed = [&]<class X>(X x, bool& done) {
    constexpr dtype type = weight_type<Weight>;
    if constexpr (type == dtype::i8) return fast(x, int8_t{}, done);
    else if constexpr (type == dtype_of<X>) return fast(x, x, done);
    else return status{};
  };
  bool done = false;
  status s;
  // Y picks the type of x where it is 16-bit itself; sums that leave as fp32 may come from either.
  if constexpr (sizeof(Y) == 2) s = typed(Y{}, done);
  else s = first.x.type == dtype::f16 ? typed(f16{}, done) : typed(bf16{}, done);
  if (done) return s;
  dim3 const grid(unsigned(ceil_div(n, index(8))), unsigned(min(index(65535), ceil_div(m, index(4)))));
  return launch(where, order, plain_kernel<Y, E>, grid, 256, 0, y, as_plain(first), second ? as_plain(*second) : plain_sum{}, out);
}

}  // namespace detail

/// y (M, N) = e(s · x (M, K) · Wᵀ + Σ s_i · t_i (M, r_i) · B_iᵀ) on the stream of `where`; W a device_dense or device_int8 (multiplied by its
/// codes, which 16 bits hold exactly; its scale enters the fp32 sum). Operands of any of float, bf16, f16; at the speed of memory for M ≤ 16
/// where x, y (or fp32) and W (or INT8) are of one 16-bit type and rows of x and W are whole multiples of 16 bytes; beyond M 16 in
/// tiles of 16 tokens. Sums are fp32, in an order that does not change from run to run; y is rounded once. y may alias the residual
/// of the epilogue, never an x. M = 0 does nothing. Everything, also what the epilogue points at, is device memory. Asynchronous,
/// allocates nothing, may be captured in a graph. With `order.programmatic` it may start before the work ahead of it in the
/// stream has ended, which may write x, t, B and what the epilogue reads, but not W.
/// Errors: gemm.1 (x against W), gemm.2 (y), gemm.3 (null), gemm.10 (terms), gemm.11 (rows of y), cuda; then y is untouched.
template <class Y, int Count, class Weight, epilogue E = identity>
status gemm(on_cuda const& where, view<Y, 2> y, dense_terms<Count, Weight> const& sum, E const& out = {}, launch_order order = {}) {
  return detail::dense_run(where, y, sum, static_cast<dense_terms<0, Weight> const*>(nullptr), out, order);
}

/// y (M, N) = e(silu(gate) ⊙ up) (Shazeer 2020, "GLU Variants", eq. 6), both sums in one launch. As gemm otherwise.
template <class Y, int A, int B, class Weight, epilogue E = identity>
status gemm_swiglu(on_cuda const& where, view<Y, 2> y, dense_terms<A, Weight> const& gate, dense_terms<B, Weight> const& up, E const& out = {}, launch_order order = {}) {
  return detail::dense_run(where, y, gate, &up, out, order);
}

}  // namespace smalti
