// Hopper's 8-bit engine, its own code on host threads, one a lane: as sm90_emulated.cpp, and the order in which P and Vᵀ meet.

#define SMALTI_PTX_EMULATOR "../../../tests/support/hopper_emulator.hpp"
#include <smalti/attention/sm90_fp8_consume.cuh>
#include <smalti/attention/sm90_fp8_produce.cuh>

#include "oracle.hpp"

namespace smalti::test {

template <class E>
CUtensorMap describe(view<E, 4> a, int rows) {
  CUtensorMap m;
  m.at = reinterpret_cast<char*>(const_cast<std::remove_const_t<E>*>(a.at)), m.rows = rows, m.bytes = int(sizeof(E));
  for (int i = 0; i < 4; ++i) m.extent[i] = a.extent[3 - i], m.stride[i] = a.stride[3 - i];
  return m;
}

/// Quantises random operands, runs one launch of `grid` persistent blocks, and compares with the host on what the codes stand for.
template <int D, class Variant>
void emulate(sizes n, Variant const& variant, attention_lengths lengths = {}, unsigned grid = 1, float growth = 0) {
  constexpr attention_tile T = tuned_fp8{}({D, 1}, sm_90a);
  using storage = detail::fp8_storage<T, D, bf16>;
  operands<float> x(n);
  x.problem.lengths = lengths;
  auto const& f = x.problem;
  for (std::size_t i = 0; i < x.k.size(); ++i) x.k[i] *= 1 + growth * float(n.keys - int(i) / n.d % n.keys) / float(n.keys);  // scores that grow along the walk, which is downwards
  index const slots = e4m3_slots(n.keys), heads = f.k.extent[1];
  std::vector<e4m3> q(std::size_t(f.q.size())), k(std::size_t(f.k.size())), v(std::size_t(heads * D * slots));
  std::vector<bf16> o(std::size_t(f.o.size()), bf16(NAN));
  std::vector<float> lse(std::size_t(f.lse.size()), NAN), scale(std::size_t(f.q.extent[1] + 2 * heads));
  view<float, 2> const q_scale = row_major(scale.data(), 1, f.q.extent[1]), k_scale = row_major(q_scale.at + f.q.extent[1], 1, heads), v_scale = row_major(k_scale.at + heads, 1, heads);
  view<e4m3, 4> const q8 = row_major(q.data(), 1, f.q.extent[1], f.q.extent[2], D), k8 = row_major(k.data(), 1, heads, f.k.extent[2], D), v8 = row_major(v.data(), 1, heads, D, slots);
  REQUIRE(quantise_e4m3(on_cpu{}, q8, q_scale, f.q));
  REQUIRE(quantise_e4m3(on_cpu{}, k8, k_scale, f.k));
  REQUIRE(quantise_values_e4m3(on_cpu{}, v8, v_scale, f.v));
  for (index h = 0; h < f.q.extent[1]; ++h)  // what the codes stand for
    for (index i = 0; i < f.q.extent[2]; ++i)
      for (index d = 0; d < D; ++d) const_cast<float&>(f.q(0, h, i, d)) = float(q8(0, h, i, d)) * q_scale(0, h);
  for (index h = 0; h < heads; ++h)
    for (index i = 0; i < f.k.extent[2]; ++i)
      for (index d = 0; d < D; ++d) {
        const_cast<float&>(f.k(0, h, i, d)) = float(k8(0, h, i, d)) * k_scale(0, h);
        const_cast<float&>(f.v(0, h, i, d)) = float(v8(0, h, d, e4m3_slot(i))) * v_scale(0, h);
      }

  auto const for_all = [&](view<float, 2> const& s) {  // one scale a head, whatever the sequence
    return view<float const, 2>{s.at, {lengths.q_starts ? lengths.count : 1, s.extent[1]}, {0, 1}};
  };
  detail::fp8_plan<bf16> plan{};
  plan.problem = {.q = q8, .k = k8, .v = v8, .o = row_major(o.data(), 1, f.o.extent[1], f.o.extent[2], D), .lse = row_major(lse.data(), 1, f.o.extent[1], f.o.extent[2]),
                  .scale = f.scale, .q_scale = for_all(q_scale), .k_scale = for_all(k_scale), .v_scale = for_all(v_scale), .lengths = lengths};
  REQUIRE(plan.problem.check());
  plan.rows = T.q, plan.whole = !lengths.kv_starts && !lengths.kv_used;
  plan.q = describe(plan.problem.q, 64), plan.k = describe(plan.problem.k, T.kv), plan.v = describe(plan.problem.v, D);
  plan.o = describe(plan.problem.o, 16), plan.o_row = describe(plan.problem.o, 1);
  plan.slices = lengths.q_starts ? plan.problem.heads() : plan.problem.slices(), plan.section = plan.slices;
  plan.blocks = lengths.q_starts ? n.queries / T.q + lengths.count : ceil_div(n.queries, T.q);
  for (unsigned i = 0; i < grid; ++i) {
    auto const smem = std::make_unique<storage>();
    std::memset(static_cast<void*>(smem.get()), 0xff, sizeof(storage));  // NaN
    auto const prepare = [&](char*) {
      for (int s = 0; s < 2; ++s) ptx::mbarrier_init(&smem->q_full[s], 1), ptx::mbarrier_init(&smem->q_empty[s], T.warps);
      for (int s = 0; s < T.stages; ++s) {
        ptx::mbarrier_init(&smem->k_full[s], 1), ptx::mbarrier_init(&smem->k_empty[s], T.warps);
        ptx::mbarrier_init(&smem->v_full[s], 1), ptx::mbarrier_init(&smem->v_empty[s], T.warps);
      }
    };
    ptx::run_specialised(T.warps, i, grid, {reinterpret_cast<char*>(smem.get())}, prepare,
                         [&](char*) { detail::fp8_producer<T, D, bf16, Variant>{plan, variant, *smem}.run(); },
                         [&](char*) { detail::fp8_consumer<T, D, bf16, Variant>{plan, variant, *smem, ptx::warpgroup() - 1}.run(); });
  }
  CAPTURE(n.queries, n.keys, D);
  REQUIRE(attention(on_cpu{}, f, variant));
  double square = 0, difference = 0, worst_lse = 0;
  for (std::size_t i = 0; i < o.size(); ++i) {
    REQUIRE(std::isfinite(float(o[i])));
    double const e = double(float(o[i])) - f.o.at[i];
    square += double(f.o.at[i]) * f.o.at[i], difference += e * e;
  }
  for (std::size_t i = 0; i < lse.size(); ++i) worst_lse = std::fmax(worst_lse, lse[i] == f.lse.at[i] ? 0 : double(std::fabs(lse[i] - f.lse.at[i])));
  CHECK(std::sqrt(difference / square) < 0.036);  // P rounded to 3 bits: 2^-4 at most, 2^-4/√3 in the mean
  CHECK(worst_lse < (growth > 0 ? 2e-3 : 5e-5));
}

TEST_CASE("Hopper's 8-bit engine, emulated: several items for a block, odd sizes; warpgroups that take turns, one of them idle") {
  emulate<64>({.heads = 2, .queries = 150, .keys = 131, .d = 64}, full{}, {}, 2);
  emulate<128>({.heads = 3, .queries = 150, .keys = 131, .d = 128}, full{}, {}, 2);
}
TEST_CASE("Hopper's 8-bit engine, emulated: a causal mask with a window") { emulate<128>({.queries = 140, .keys = 300, .d = 128}, causal{160} & window{150}); }

TEST_CASE("Hopper's 8-bit engine, emulated: scores that outgrow their maximum, some by more than a float holds") {
  emulate<64>({.queries = 100, .keys = 600, .d = 64}, full{}, {}, 1, 10);
  emulate<64>({.queries = 100, .keys = 600, .d = 64}, full{}, {}, 1, 300);
  emulate<128>({.queries = 300, .keys = 300, .d = 128}, causal{}, {}, 1, 100);
}
TEST_CASE("Hopper's 8-bit engine, emulated: packed sequences; a partly filled tile before two items without keys, and a sink") {
  static int const q[] = {0, 7, 20, 33, 60}, k[] = {0, 32, 32, 32, 144}, position[] = {24, 0, 0, 70};
  static float const logit[2] = {0.5f, 3};
  attention_lengths const lengths{.count = 4, .q_starts = q, .kv_starts = k, .positions = position};
  emulate<64>({.heads = 2, .heads_kv = 1, .queries = 60, .keys = 144, .d = 64}, causal{} & sinks{logit}, lengths);
  emulate<128>({.heads = 2, .heads_kv = 1, .queries = 60, .keys = 144, .d = 128}, causal{} & sinks{logit}, lengths);
}

}  // namespace smalti::test
