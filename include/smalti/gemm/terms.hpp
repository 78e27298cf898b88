#pragma once
// What a product computes: a sum of terms scale · x · Wᵀ. LoRA (Hu et al. 2021, eq. 3) is such a sum, y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ:
// one accumulator whose K axis is the concatenation of the terms'.

#include "weight.hpp"

namespace smalti {

/// The left operand (rows, columns) without its type: float, bf16 or f16.
struct activations {
  void const* at;
  dtype type;
  index rows, columns, row_stride, column_stride;
};
template <class T>
activations borrow_activations(view<T, 2> x) {
  using element = std::remove_const_t<T>;
  static_assert(std::is_same_v<element, float> || std::is_same_v<element, bf16> || std::is_same_v<element, f16>, "gemm.6: x is float, bf16 or f16");
  return {x.at, dtype_of<element>, x.extent[0], x.extent[1], x.stride[0], x.stride[1]};
}

/// `count` rows of x from `first` on.
inline activations rows(activations x, index first, index count) {
  x.at = static_cast<char const*>(x.at) + first * x.row_stride * index(bytes_of(x.type)), x.rows = count;
  return x;
}

/// Rows of W that pass columns of x of their own: those of band i, up to row[i], columns up to column[i], each from where the band before ended. Elsewhere W is
/// zero, which a kernel may skip or multiply. count 0: nothing is known.
struct term_bands {
  int count = 0;
  int row[3] = {}, column[3] = {};
};

/// scale · x (M, K) · Wᵀ, W (N, K).
struct term {
  activations x;
  weight_view w;
  float scale = 1.f;
  term_bands bands = {};
};

/// Σ terms. All share M and N; each has its own K.
template <int Count>
struct terms {
  term all[Count];
};

/// x (M, K) · Wᵀ: x a view, W a packed weight of any kind, a packed_weight, or a plain view (N, K). Both are borrowed.
template <class T, class W>
terms<1> product(view<T, 2> x, W const& w) { return {{{borrow_activations(x), borrow(w), 1.f}}}; }

template <int Count>
terms<Count> operator*(float s, terms<Count> t) {
  for (auto& one : t.all) one.scale *= s;
  return t;
}

template <int A, int B>
terms<A + B> operator+(terms<A> const& a, terms<B> const& b) {
  terms<A + B> sum;
  for (int i = 0; i < A; ++i) sum.all[i] = a.all[i];
  for (int i = 0; i < B; ++i) sum.all[A + i] = b.all[i];
  return sum;
}

}  // namespace smalti
