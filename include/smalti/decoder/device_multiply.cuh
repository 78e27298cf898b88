#pragma once
// Products of a decoder on a device: a group's weights of whatever kind, its adapters in the same sums (Hu et al. 2021, eq. 3), and
// what is to happen on the way out. Compiled by device_products.cuh.

#include "../gemm/cuda.cuh"
#include "../gemm/llm_int8.cuh"
#include "device_inputs.cuh"
#include "device_kernels.cuh"
#include "device_weights.cuh"

#if defined(__CUDACC__)
namespace smalti::detail {

inline void mark(device_batch& batch, char const* name, device_linear const& g, index m) {
  if (!batch.before) return;
  double bytes = double(bytes_of(g)) + double(g.adapters(batch.per_row()).a.at.bytes()), flops = 0;
  for (auto const& s : g.adapters(batch.per_row()).of) bytes += double(s.b.bytes());
  for (auto const& p : g.parts) flops += 2. * double(m) * p.n * p.k, bytes += 2. * double(m) * p.n;
  mark(batch, name, bytes + 2. * double(m) * g.parts[0].k, flops);
}

/// t (M, rank) = x · Aᵀ of the adapters that the batch's rows pass; null where there are none.
struct device_input {
  bf16 const* at = nullptr;
  unsigned const* ready = nullptr;  ///< raised by the kernel that computes t: see launch_options
};
status adapter_input(on_cuda const& where, device_input& t, view<bf16 const, 2> x, device_linear const& g, device_batch& batch);
status adapter_input(on_cuda const& where, device_input& t, normalised_rows const& x, device_linear const& g, device_batch& batch);

/// What a product adds for adapters: columns of t = x · Aᵀ.
inline view<bf16 const, 2> share_of(device_adapters const& a, std::size_t product, device_input const& t, int m) {
  if (!t.at || a.of[product].rank == 0) return {nullptr, {m, 0}, {0, 1}};
  return {t.at + a.of[product].first, {m, a.of[product].rank}, {a.rank, 1}};                                                     // (M, rank of the share)
}

/// No columns: nothing to add.
inline terms<1> nothing_added(index m) { return smalti::product(view<bf16 const, 2>{nullptr, {m, 0}, {0, 1}}, row_major(static_cast<bf16 const*>(nullptr), 0, 0)); }
/// t · Bᵀ of a product with n rows, where there is something to add.
inline terms<1> added_to(device_adapters const& a, std::size_t product, device_input const& t, int m, int n) {
  auto const own = share_of(a, product, t, m);
  if (!own.at) return nothing_added(m);
  terms<1> sum = smalti::product(own, row_major(a.of[product].b.data(), n, a.of[product].rank));
  sum.all[0].bands = a.of[product].bands;
  return sum;
}

/// run(one, two) with the terms of adapters, where there are some: added(p) is that of product p.
template <class One, class Two, class Added, class Run>
status with_terms(device_adapters const& a, device_input const& t, One const& one, Two const& two, Added const& added, Run const& run) {
  if (!t.at) return run(one, two);
  if (a.of[0].rank && a.of[1].rank) return run(one + added(0), two + added(1));
  return a.of[0].rank ? run(one + added(0), two) : run(one, two + added(1));
}

/// Whether the products of a group, `halves` of them in a launch, can normalise x themselves, and inputs of adapters with them.
inline bool normalises(on_cuda const& where, device_linear const& g, index m, int halves, device_batch& batch) {
  bool able = g.adapters(batch.per_row()).rank == 0 || normal_inputs_fit(g.parts[0].k);
  for (auto const& w : g.products)
    if (able) able = std::holds_alternative<device_nf4>(w) && normalises_rows(where, std::get<device_nf4>(w), m, halves);
  return able;
}

inline bool by_llm_int8(device_weight const& w, index m, device_batch const& batch) { return std::holds_alternative<device_int8>(w) && m > few_tokens && batch.int8_outliers() >= 0; }

/// Three to eight rows keep the kernel for few tokens. By itself a product of four is 7 % faster with x resident, but a step of four sequences is not: 1,615 instead of 1,712
/// tokens/s, where sixteen gain (5,149 instead of 5,043; two H200, context 512, bf16 head).
inline launch_options nf4_overlapped(index m, unsigned const* ready) {
  return {.programmatic = true, .strategy = m > 2 && m <= 8 ? nf4_strategy::few : nf4_strategy::tuned, .ready = ready};
}

template <class Y, int Count>
status multiply_nf4(on_cuda const& where, view<Y, 2> y, nf4_terms<Count> const& sum, device_epilogue const& e, unsigned const* ready = nullptr) {
  return gemm<nf4_kernels{.of_f16 = false}>(where, y, sum, e, nf4_overlapped(y.extent[0], ready));  // where y is float, x is bf16 all the same
}

/// y (M, N) = e(x · Wᵀ + t · Bᵀ); added has no columns where there is nothing to add.
template <class Y>
status multiply(on_cuda const& where, view<Y, 2> y, view<bf16 const, 2> x, device_weight const& w, terms<1> const& added, device_epilogue const& e, device_batch& batch,
                unsigned const* ready = nullptr) {
  int const n = rows_of(w), rank = added.all[0].w.k;
  return std::visit([&](auto const& held) -> status {
    using W = std::remove_cvref_t<decltype(held)>;
    if constexpr (std::is_same_v<W, device_nf4>) {
      return rank ? multiply_nf4(where, y, product(x, held) + added, e, ready) : multiply_nf4(where, y, product(x, held), e);
    } else {
      if constexpr (std::is_same_v<W, device_dense<bf16>>) {
        bool const adds = e.residual.at && static_cast<void const*>(e.residual.at) == static_cast<void const*>(y.at);
        if (x.extent[0] > few_tokens && batch.tall && !e.bias && (adds || !e.residual.at)) {
          status s = batch.tall(where, borrow_activations(x), borrow(held.rows()), y.at, dtype_of<Y>, y.stride[0], e.scale, adds ? 1.f : 0.f);
          if (s && rank) s = batch.tall(where, added.all[0].x, added.all[0].w, y.at, dtype_of<Y>, y.stride[0], e.scale, 1.f);
          return s;
        }
      }
      if constexpr (std::is_same_v<W, device_int8>)
        if (by_llm_int8(w, x.extent[0], batch)) {
          std::size_t const bytes = llm_int8_bytes(x.extent[0], n, held.k);
          llm_int8 const how{.threshold = batch.int8_outliers(), .scratch = batch.lend<uint8_t>(device_batch::weights, bytes), .bytes = bytes};
          return rank ? gemm(where, y, product(x, held) + added, e, how) : gemm(where, y, product(x, held), e, how);
        }
      return rank ? gemm(where, y, product(x, held) + added, e, overlapped) : gemm(where, y, product(x, held), e, overlapped);
    }
  }, w);
}


/// y (M, Σ N) = group of x, normalised on the way: see normalises.
template <class Y>
status multiply_group(on_cuda const& where, view<Y, 2> y, normalised_rows const& x, device_linear const& g, device_batch& batch) {
  device_input t;
  if (status s = adapter_input(where, t, x, g, batch); !s) return s;
  device_epilogue e{.bias = g.bias.data()};
  device_adapters const& a = g.adapters(batch.per_row());
  for (std::size_t p = 0; p < g.products.size(); ++p) {
    auto const& held = std::get<device_nf4>(g.products[p]);
    view<Y, 2> const part{y.at, {y.extent[0], held.n}, {y.stride[0], 1}};
    auto const added = added_to(a, p, t, int(y.extent[0]), held.n);
    auto const run = [&](auto const& sum) { return multiply_nf4(where, part, sum, e, p == 0 ? t.ready : nullptr); };
    if (status s = added.all[0].x.at ? run(product(x, held) + added) : run(product(x, held)); !s) return s;
    y.at += held.n, e.bias = e.bias ? e.bias + held.n : nullptr;
  }
  return {};
}

/// y (M, Σ N) = e(group of x), column by column of the group.
template <class Y>
status multiply_group(on_cuda const& where, view<Y, 2> y, view<bf16 const, 2> x, device_linear const& g, device_epilogue e, device_batch& batch) {
  device_input t;
  if (status s = adapter_input(where, t, x, g, batch); !s) return s;
  e.bias = g.bias.data();
  auto const& a = g.adapters(batch.per_row());
  for (std::size_t p = 0; p < g.products.size(); ++p) {
    int const n = rows_of(g.products[p]);
    view<Y, 2> const part{y.at, {y.extent[0], n}, {y.stride[0], 1}};
    if (status s = multiply(where, part, x, g.products[p], added_to(a, p, t, int(x.extent[0]), n), e, batch, p == 0 ? t.ready : nullptr); !s) return s;
    y.at += n, e.bias = e.bias ? e.bias + n : nullptr;
  }
  return {};
}

}  // namespace smalti::detail
#endif
