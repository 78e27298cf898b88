// Hopper's engine, its own code on host threads, one a lane: the producer's walk, barriers and their phases, swizzled operands of wgmma,
// masks, the copies that land when they are waited for, and O's way out, without a GPU.

#define SMALTI_PTX_EMULATOR "../../../tests/support/hopper_emulator.hpp"
#include <smalti/attention/sm90_consume.cuh>
#include <smalti/attention/sm90_produce.cuh>

#include <numeric>
#include "oracle.hpp"

namespace smalti::test {

template <class E>
CUtensorMap describe(view<E, 4> a, int rows) {
  CUtensorMap m;
  m.at = reinterpret_cast<char*>(const_cast<std::remove_const_t<E>*>(a.at)), m.rows = rows, m.bytes = int(sizeof(E));
  for (int i = 0; i < 4; ++i) m.extent[i] = a.extent[3 - i], m.stride[i] = a.stride[3 - i];
  return m;
}

/// One launch of `grid` persistent blocks, one after the other; those of a cluster together.
template <attention_tile T, int D, int Dv, class E, class Variant>
void launch(attention_problem<E> const& p, Variant const& variant, unsigned grid) {
  static_assert(fits_wgmma(T, {D, 2, Dv}, sm_90a) == misfit::none);
  using storage = detail::sm90_storage<T, D, Dv, E, Variant>;
  detail::sm90_plan<E> plan{};
  plan.problem = p, plan.rows = T.q * T.cluster, plan.copy_rows = p.pages.pages ? std::gcd(T.kv / T.cluster, p.pages.page_size) : T.kv / T.cluster;
  plan.whole = !p.lengths.kv_starts && !p.lengths.kv_used && !p.pages.pages;
  plan.q = describe(p.q, 64), plan.k = describe(p.k, plan.copy_rows), plan.v = describe(p.v, plan.copy_rows), plan.o = describe(p.o, 16), plan.o_row = describe(p.o, 1);
  plan.slices = p.lengths.q_starts ? p.heads() : int(p.slices()), plan.section = plan.slices;
  plan.blocks = p.lengths.q_starts ? int(p.q.extent[2]) / plan.rows + p.lengths.count : ceil_div(int(p.q.extent[2]), plan.rows);
  plan.last_first = !keeps_all<Variant>, plan.divide(int(p.q.extent[2]), plan.last_first);
  unsigned ticket = 0;
  if (T.cluster > 1) plan.ticket = &ticket;
  for (unsigned i = 0; i < grid; i += T.cluster) {
    std::vector<std::unique_ptr<storage>> smem;
    std::vector<char*> memory;
    for (int r = 0; r < T.cluster; ++r) {
      smem.push_back(std::make_unique<storage>()), memory.push_back(reinterpret_cast<char*>(smem.back().get()));
      std::memset(memory.back(), 0xff, sizeof(storage));  // NaN
    }
    auto const in = [](char* at) -> storage& { return *reinterpret_cast<storage*>(at); };
    ptx::run_specialised(T.warps, i, grid, memory, [&](char* at) { in(at).init(); },
                         [&](char* at) { detail::sm90_producer<T, D, Dv, E, Variant>{plan, variant, in(at)}.run(); },
                         [&](char* at) { detail::sm90_consumer<T, D, Dv, E, Variant>{plan, variant, in(at), ptx::warpgroup() - 1}.run(); });
  }
}

template <attention_tile T, int D, int Dv = D, class E = bf16, class Variant>
void emulate(sizes n, Variant const& variant, attention_lengths lengths = {}, unsigned grid = 1, float growth = 0) {
  operands<E> x(n), host(n);
  for (auto* of : {&x, &host})  // scores that grow along the walk, which is downwards
    for (std::size_t i = 0; i < of->k.size(); ++i) of->k[i] = E(float(of->k[i]) * (1 + growth * float(n.keys - int(i) / n.d % n.keys) / float(n.keys)));
  x.problem.lengths = host.problem.lengths = lengths;
  launch<T, D, Dv>(x.problem, variant, grid);
  CAPTURE(n.queries, n.keys, D, Dv);
  REQUIRE(attention(on_cpu{}, host.problem, variant));
  double worst = 0, worst_lse = 0;
  for (std::size_t i = 0; i < x.o.size(); ++i) {
    REQUIRE(std::isfinite(float(x.o[i])));
    worst = std::fmax(worst, std::fabs(float(x.o[i]) - float(host.o[i])));
  }
  for (std::size_t i = 0; i < x.lse.size(); ++i) {
    double const want = host.lse[i], difference = x.lse[i] == host.lse[i] ? 0 : std::fabs(x.lse[i] - want);
    worst_lse = std::fmax(worst_lse, difference / std::fmax(1., std::fabs(want)));
  }
  double const ulp = std::is_same_v<E, bf16> ? 0x1p-8 : 0x1p-11;
  CHECK(worst < 3.4 * ulp * (growth > 0 ? 2 : 1));  // |V| ≤ 3.4 here; half an ulp each of P and O; where one key has all the weight, a whole one of O
  CHECK(worst_lse < 2e-5);
}

TEST_CASE("Hopper's engine, emulated: several items for a block, odd sizes") {
  emulate<attention_tile{128, 64, 2, 8}, 64>({.heads = 2, .queries = 200, .keys = 150, .d = 64}, full{}, {}, 2);
}

TEST_CASE("Hopper's engine, emulated: a causal mask with a window, three warpgroups that take turns") {
  emulate<attention_tile{192, 64, 2, 12}, 64>({.queries = 230, .keys = 260, .d = 64}, causal{30} & window{70});
}

TEST_CASE("Hopper's engine, emulated: warpgroups behind the sequence's end, and above a diagonal") {
  emulate<attention_tile{192, 64, 2, 12}, 64>({.queries = 230, .keys = 330, .d = 64}, full{});
  emulate<attention_tile{192, 80, 3, 12}, 64>({.queries = 390, .keys = 390, .d = 64}, causal{});
  emulate<attention_tile{256, 64, 3, 16}, 64>({.heads = 2, .queries = 390, .keys = 390, .d = 64}, causal{}, {}, 2);
}

TEST_CASE("Hopper's engine, emulated: two blocks that fetch keys and values for each other") {
  constexpr attention_tile pair{.q = 128, .kv = 64, .stages = 2, .warps = 8, .cluster = 2};
  emulate<pair, 64>({.heads = 3, .queries = 300, .keys = 150, .d = 64}, full{}, {}, 2);
  emulate<pair, 64>({.heads = 2, .queries = 390, .keys = 390, .d = 64}, causal{}, {}, 4);
  emulate<attention_tile{.q = 192, .kv = 64, .stages = 2, .warps = 12, .cluster = 2}, 128>({.heads = 2, .queries = 390, .keys = 500, .d = 128}, causal{110} & window{170}, {}, 2);
  emulate<attention_tile{.q = 128, .kv = 64, .stages = 2, .warps = 8, .cluster = 2}, 256>({.queries = 200, .keys = 170, .d = 256}, full{}, {}, 2);
  emulate<attention_tile{.q = 128, .kv = 64, .stages = 2, .warps = 8, .cluster = 2}, 256>({.heads = 2, .queries = 270, .keys = 240, .d = 256}, causal{-30}, {}, 2);
  static int const q[] = {0, 7, 20, 150}, k[] = {0, 31, 31, 131}, position[] = {24, 6, 0};
  emulate<pair, 64>({.heads = 2, .heads_kv = 1, .queries = 150, .keys = 131, .d = 64}, causal{}, {.count = 3, .q_starts = q, .kv_starts = k, .positions = position}, 2);
}

TEST_CASE("Hopper's engine, emulated: scores that outgrow their maximum, some by more than a float holds") {
  emulate<attention_tile{128, 64, 2, 8}, 64>({.queries = 100, .keys = 300, .d = 64}, full{}, {}, 1, 10);
  emulate<attention_tile{128, 64, 2, 8}, 64>({.queries = 300, .keys = 300, .d = 64}, causal{}, {}, 1, 100);
  emulate<attention_tile{128, 80, 2, 8}, 128, 128, f16>({.queries = 70, .keys = 330, .d = 128}, full{}, {}, 1, 30);
  emulate<attention_tile{192, 64, 2, 12}, 128>({.queries = 250, .keys = 200, .d = 128}, causal{-40}, {}, 1, 100);
}

TEST_CASE("Hopper's engine, emulated: half precision, values of another width, O stored without the copy engine") {
  emulate<attention_tile{128, 80, 2, 8}, 192, 128, f16>({.queries = 70, .keys = 90, .d = 192, .dv = 128}, causal{20});
}

TEST_CASE("Hopper's engine, emulated: one buffer for Q, whose numbers travel ahead of it; items without a key between others") {
  emulate<attention_tile{128, 64, 2, 8}, 256>({.heads = 2, .queries = 200, .keys = 170, .d = 256}, causal{-30}, {}, 2);
  emulate<attention_tile{128, 176, 2, 8}, 128>({.heads = 3, .queries = 150, .keys = 400, .d = 128}, causal{250});
  static int const q[] = {0, 7, 20, 33, 46}, k[] = {0, 31, 31, 31, 121}, position[] = {24, 0, 0, 77};
  emulate<attention_tile{128, 80, 2, 8}, 256>({.queries = 46, .keys = 121, .d = 256}, causal{}, {.count = 4, .q_starts = q, .kv_starts = k, .positions = position});
}

TEST_CASE("Hopper's engine, emulated: dropout, and a mask that is no interval") {
  emulate<attention_tile{128, 64, 3, 8}, 64>({.queries = 64, .keys = 300, .d = 64}, causal{236} & dropout(0.3f, 5));
  emulate<attention_tile{128, 64, 2, 8}, 64>({.queries = 20, .keys = 400, .d = 64}, causal{380} & streaming(20, 10));
}

TEST_CASE("Hopper's engine, emulated: packed sequences, one of them without keys, and a sink") {
  static int const q[] = {0, 7, 20, 150}, k[] = {0, 31, 31, 131}, position[] = {24, 6, 0};
  static float const logit[2] = {0.5f, 3};
  emulate<attention_tile{128, 64, 2, 8}, 64>({.heads = 2, .heads_kv = 1, .queries = 150, .keys = 131, .d = 64}, causal{} & sinks{logit},
                                             {.count = 3, .q_starts = q, .kv_starts = k, .positions = position});
}

}  // namespace smalti::test
