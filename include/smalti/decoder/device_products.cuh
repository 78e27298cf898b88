#pragma once
// The bodies of a decoder's products and row operations on a device. In the compiled mode those that end in bf16 and those that end in
// f32 are two units, for each carries every engine of the products.

#include "device_ops.cuh"

#if defined(__CUDACC__) && (SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER_PRODUCTS))
  #include "../math/activations.cuh"
  #include "../math/norm.cuh"
  #include "device_inputs.cuh"
  #include "device_multiply.cuh"

namespace smalti {
namespace detail {
SMALTI_INLINE status adapter_input(on_cuda const& where, device_input& t, view<bf16 const, 2> x, device_linear const& g, device_batch& batch) {
  device_adapters const& a = g.adapters(batch.per_row());
  int const m = int(x.extent[0]);
  if ((t = {}), a.rank == 0) return {};
  auto const to = row_major(batch.lend<bf16>(device_batch::terms, std::size_t(index(m) * a.rank)), m, a.rank);                // (M, rank)
  t.at = to.at;
  bool const by_row = batch.per_row();
  int const* const owner = a.owner.data();
  int const* const of_row = by_row ? static_cast<int const*>(batch.at().adapter) : nullptr;
  if (inputs_fit(x, a.rank, by_row)) {
    t.ready = inputs_raise(where, m, a.rank, g.parts[0].k) ? a.ready.data() : nullptr;
    return launch_inputs(where, {to, x, a.a.at.data(), g.parts[0].k, owner, of_row, a.ready.data()});
  }
  if (m > few_tokens && batch.tall) {
    if (status s = batch.tall(where, borrow_activations(x), borrow(a.a.rows()), to.at, dtype::bf16, a.rank, 1.f, 0.f); !s) return s;
  } else if (status s = gemm(where, to, product(x, a.a), device_epilogue{}, overlapped); !s) return s;
  if (!by_row) return {};
  return launch(where, overlapped, decoder_mask_kernel, dim3(unsigned(m)), 128, 0, to.at, a.rank, owner, of_row);
}
SMALTI_INLINE status adapter_input(on_cuda const& where, device_input& t, normalised_rows const& x, device_linear const& g, device_batch& batch) {
  device_adapters const& a = g.adapters(batch.per_row());
  int const m = int(x.x.extent[0]);
  if ((t = {}), a.rank == 0) return {};
  bf16* const to = batch.lend<bf16>(device_batch::terms, std::size_t(index(m) * a.rank));                                     // (M, rank)
  t.at = to;
  t.ready = inputs_raise(where, m, a.rank, g.parts[0].k) ? a.ready.data() : nullptr;
  int const* const of_row = batch.per_row() ? static_cast<int const*>(batch.at().adapter) : nullptr;
  return launch_thin_inputs(where, {row_major(to, m, a.rank), {}, x.x, x.norm.weight, x.norm.eps, a.a.at.data(), g.parts[0].k, a.owner.data(), of_row, a.ready.data()});
}
}  // namespace detail

SMALTI_INLINE status embed(on_cuda const& where, view<float, 2> y, device_weight const& table, device_batch& batch, float scale) {
  auto const* const rows = std::get_if<device_dense<bf16>>(&table);
  if (!rows) return {"model.8", "the embedding is quantised; on a device it must be stored in 16 or 32 bits"};
  detail::mark(batch, "embedding", double(y.size()) * 6);
  return embed(where, y, embedding(*rows), batch.at().token, scale);  // not overlapped: what follows may read the batch at once
}
SMALTI_INLINE status normalise(on_cuda const& where, view<bf16, 2> y, view<float const, 2> x, device_buffer<float> const& weight, float eps, device_batch& batch) {
  detail::mark(batch, "RMSNorm", double(y.size()) * 6);
  index const m = x.extent[0], n = x.extent[1];
  if (m <= detail::norm_rows && n <= detail::norm_columns && n % 8 == 0)
    return detail::launch(where, detail::overlapped, detail::decoder_norm_kernel, dim3(unsigned(m)), int(round_up(n / 8, index(32))), 0, y, x, weight.data(), eps);
  return rms_norm(where, y, x, weight.data(), eps, detail::overlapped);
}
SMALTI_INLINE status normalise_heads(on_cuda const& where, view<bf16, 2> x, int d, device_buffer<float> const& weight, float eps, device_batch& batch) {
  detail::mark(batch, "RMSNorm of heads", double(x.size()) * 4);
  return normalise_heads(where, view<bf16, 3>{x.at, {x.extent[0], x.extent[1] / d, d}, {x.stride[0], d, 1}}, weight.data(), eps, detail::overlapped);
}
SMALTI_INLINE status last_rows(on_cuda const& where, view<float, 2> y, view<float const, 2> x, device_batch& batch) {
  detail::mark(batch, "last rows", double(y.size()) * 8);
  return gather_rows(where, y, x, batch.at().last, detail::overlapped);
}
SMALTI_INLINE status project(on_cuda const& where, query_key_value<bf16> const& y, view<bf16 const, 2> x, device_linear const& g, device_batch& batch) {
  detail::mark(batch, "q, k, v", g, x.extent[0]);
  view<bf16, 2> const all{y.q.at, {y.q.extent[0], y.q.stride[0]}, {y.q.stride[0], 1}};
  return detail::multiply_group(where, all, x, g, {}, batch);
}
SMALTI_INLINE status project(on_cuda const& where, query_key_value<bf16> const& y, normalised_input<on_cuda> const& x, device_linear const& g, device_batch& batch) {
  if (!detail::normalises(where, g, x.x.extent[0], 1, batch)) {
    if (status s = normalise(where, x.h, x.x, x.weight, x.eps, batch); !s) return s;
    return project(where, y, x.normal(), g, batch);
  }
  detail::mark(batch, "RMSNorm, q, k, v", g, x.x.extent[0]);
  view<bf16, 2> const all{y.q.at, {y.q.extent[0], y.q.stride[0]}, {y.q.stride[0], 1}};
  return detail::multiply_group(where, all, normalised_rows{x.x, {x.weight.data(), x.eps}}, g, batch);
}

SMALTI_INLINE status swiglu(on_cuda const& where, view<bf16, 2> y, normalised_input<on_cuda> const& x, device_linear const& g, device_batch& batch) {
  auto const* const gate = std::get_if<device_nf4>(&g.products[0]);
  auto const* const up = std::get_if<device_nf4>(&g.products[1]);
  if (!gate || !up || gate->nested() != up->nested() || !g.bias.empty() || !detail::normalises(where, g, x.x.extent[0], 2, batch)) {
    if (status s = normalise(where, x.h, x.x, x.weight, x.eps, batch); !s) return s;
    return swiglu(where, y, x.normal(), g, batch);
  }
  detail::mark(batch, "RMSNorm, gate, up", g, x.x.extent[0]);
  normalised_rows const in{x.x, {x.weight.data(), x.eps}};
  detail::device_input t;
  if (status s = detail::adapter_input(where, t, in, g, batch); !s) return s;
  auto const& a = g.adapters(batch.per_row());
  int const m = int(y.extent[0]), n = int(y.extent[1]);
  auto const added = [&](std::size_t p) { return detail::added_to(a, p, t, m, n); };
  return detail::with_terms(a, t, product(in, *gate), product(in, *up), added, [&](auto const& first, auto const& second) {
    return gemm_swiglu(where, y, first, second, device_epilogue{}, detail::nf4_overlapped(m, t.ready));
  });
}

SMALTI_INLINE status swiglu(on_cuda const& where, view<bf16, 2> y, view<bf16 const, 2> x, device_linear const& g, device_batch& batch) {
  detail::mark(batch, "gate, up", g, x.extent[0]);
  detail::device_input t;
  if (status s = detail::adapter_input(where, t, x, g, batch); !s) return s;
  auto const& a = g.adapters(batch.per_row());
  int const m = int(x.extent[0]), n = int(y.extent[1]);
  device_weight const &gate = g.products[0], &up = g.products[1];
  bool alike = gate.index() == up.index() && g.bias.empty();
  if (auto const* q = std::get_if<device_nf4>(&gate); alike && q) alike = q->nested() == std::get<device_nf4>(up).nested();
  bool const tall = (std::holds_alternative<device_dense<bf16>>(gate) && m > detail::few_tokens && batch.tall) || detail::by_llm_int8(gate, m, batch);
  if (alike && !tall)
    return std::visit([&](auto const& w) -> status {
      using W = std::remove_cvref_t<decltype(w)>;
      auto const run = [&](auto const& first, auto const& second) {
        if constexpr (std::is_same_v<W, device_nf4>)
          return gemm_swiglu(where, y, first, second, device_epilogue{}, detail::nf4_overlapped(m, t.ready));
        else return gemm_swiglu(where, y, first, second, device_epilogue{}, detail::overlapped);
      };
      auto const one = product(x, w), two = product(x, std::get<W>(up));
      auto const added = [&](std::size_t p) { return detail::added_to(a, p, t, m, n); };
      return detail::with_terms(a, t, one, two, added, run);
    }, gate);
  auto const other = row_major(batch.lend<bf16>(device_batch::second, std::size_t(y.size())), m, n);                          // (M, ffn)
  for (int p = 0; p < 2; ++p) {
    float const* const bias = g.bias.empty() ? nullptr : g.bias.data() + p * n;
    if (status s = detail::multiply(where, p ? other : y, x, g.products[std::size_t(p)], detail::added_to(a, std::size_t(p), t, m, n), {.bias = bias}, batch); !s) return s;
  }
  return swiglu(where, y, y, other, detail::overlapped);
}

}  // namespace smalti
#endif

#if defined(__CUDACC__) && (SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER_SUMS))
  #include "device_multiply.cuh"

namespace smalti {

SMALTI_INLINE status project_head(on_cuda const& where, view<float, 2> y, view<bf16 const, 2> x, device_weight const& w, device_batch& batch, float scale) {
  detail::mark(batch, "head", double(bytes_of(w)) + double(y.size()) * 4, 2. * double(y.size()) * double(x.extent[1]));
  return detail::multiply(where, y, x, w, detail::nothing_added(x.extent[0]), {.scale = scale}, batch);
}
SMALTI_INLINE status project_head(on_cuda const& where, view<float, 2> y, normalised_input<on_cuda> const& x, device_weight const& w, device_batch& batch, float scale) {
  auto const* const held = std::get_if<device_nf4>(&w);
  if (!held || !normalises_rows(where, *held, x.x.extent[0])) {
    if (status s = normalise(where, x.h, x.x, x.weight, x.eps, batch); !s) return s;
    return project_head(where, y, x.normal(), w, batch, scale);
  }
  detail::mark(batch, "RMSNorm, head", double(bytes_of(w)) + double(y.size()) * 4, 2. * double(y.size()) * double(x.x.extent[1]));
  return detail::multiply_nf4(where, y, product(normalised_rows{x.x, {x.weight.data(), x.eps}}, *held), device_epilogue{.scale = scale});
}
SMALTI_INLINE status add_linear(on_cuda const& where, view<float, 2> y, view<bf16 const, 2> x, device_linear const& g, device_batch& batch, float scale) {
  detail::mark(batch, x.extent[1] > y.extent[1] ? "down" : "o", g, x.extent[0]);
  return detail::multiply_group(where, y, x, g, {.scale = scale, .residual = y}, batch);
}

}  // namespace smalti
#endif
