// The sm_80 engine's own code on host threads, one a lane: fragments, masks, the copy pipeline and bank conflicts, without a GPU.

#define SMALTI_PTX_EMULATOR "../../../tests/support/ptx_emulator.hpp"
#include <smalti/attention/sm80.cuh>

#include "oracle.hpp"

namespace smalti::test {

template <attention_tile T, int D, int Dv = D, class E = bf16, class Variant>
void emulate(sizes n, Variant const& variant, attention_lengths lengths = {}) {
  static_assert(require_fit<T, attention_shape{D, 2, Dv}, sm_80>::ok);
  operands<E> x(n);
  x.problem.lengths = lengths;
  using engine = detail::sm80_engine<T, D, Dv, E, Variant>;
  for (int slice = 0; slice < x.problem.slices(); ++slice) {
    auto const a = x.problem.slice(slice);
    for (int q0 = 0; q0 < a.seq_q; q0 += T.q) {
      auto smem = std::make_unique<typename engine::storage>();
      std::memset(static_cast<void*>(smem.get()), 0xff, sizeof *smem);  // NaN
      ptx::run_block(T.warps, [&] {
        engine{a, variant, *smem, q0}.run();
      });
    }
  }
  // P is rounded to E before the second product: as much again as the rounding of O, for every weight.
  CAPTURE(n.queries, n.keys, D, Dv);
  for (auto const e : x.o) REQUIRE(std::isfinite(float(e)));
  operands<E> host(n);
  host.problem.lengths = lengths;
  REQUIRE(attention(on_cpu{}, host.problem, variant));
  double worst = 0, worst_lse = 0;
  for (std::size_t i = 0; i < x.o.size(); ++i) worst = std::fmax(worst, std::fabs(float(x.o[i]) - float(host.o[i])));
  for (std::size_t i = 0; i < x.lse.size(); ++i)
    worst_lse = std::fmax(worst_lse, x.lse[i] == host.lse[i] ? 0 : double(std::fabs(x.lse[i] - host.lse[i])));
  CHECK(worst < 3.4 * (std::is_same_v<E, bf16> ? 0x1p-8 : 0x1p-11));  // |V| ≤ 3.4 here; half an ulp each of P and O
  CHECK(worst_lse < 2e-5);
  CHECK(ptx::bank_conflicts == 0);
}

TEST_CASE("the sm_80 engine, emulated") {
  emulate<attention_tile{32, 32, 1, 2}, 32>({.queries = 32, .keys = 32, .d = 32}, full{});
  emulate<attention_tile{32, 32, 2, 2}, 64>({.heads = 2, .queries = 37, .keys = 75, .d = 64}, full{});
  emulate<attention_tile{32, 32, 2, 2}, 64>({.heads = 2, .queries = 40, .keys = 70, .d = 64}, causal{30});
  emulate<attention_tile{16, 16, 3, 1}, 64>({.queries = 50, .keys = 90, .d = 64}, causal{} & window{20});
  emulate<attention_tile{32, 16, 2, 2}, 32>({.queries = 32, .keys = 48, .d = 32}, causal{-5});
  emulate<attention_tile{64, 32, 2, 2}, 64>({.queries = 90, .keys = 110, .d = 64}, causal{20});
  emulate<attention_tile{32, 16, 3, 1}, 32>({.queries = 61, .keys = 133, .d = 32}, causal{72} & window{20});
}

TEST_CASE("the sm_80 engine, emulated: half precision, values of another width") {
  emulate<attention_tile{32, 32, 2, 2}, 32, 32, f16>({.queries = 33, .keys = 70, .d = 32}, causal{37});
  emulate<attention_tile{16, 32, 2, 1}, 48, 32>({.queries = 16, .keys = 40, .d = 48, .dv = 32}, full{});
}

TEST_CASE("the sm_80 engine, emulated: tiles that a mask skips in the middle") {
  emulate<attention_tile{16, 16, 2, 1}, 16>({.queries = 16, .keys = 200, .d = 16}, causal{184} & streaming(20, 10));
  emulate<attention_tile{16, 16, 3, 1}, 16>({.queries = 16, .keys = 200, .d = 16}, causal{184} & streaming(20, 10));
}

TEST_CASE("the sm_80 engine, emulated: sinks, dropout and packed sequences agree with the host") {
  static float const logit[2] = {0.5f, 3};
  emulate<attention_tile{16, 32, 2, 1}, 16>({.heads = 2, .heads_kv = 1, .queries = 20, .keys = 50, .d = 16}, causal{30} & sinks{logit});
  emulate<attention_tile{16, 32, 2, 1}, 16>({.heads = 2, .queries = 20, .keys = 50, .d = 16}, causal{30} & dropout(0.3f, 5));
  static int const q[] = {0, 7, 20}, k[] = {0, 31, 50}, position[] = {24, 6};
  emulate<attention_tile{16, 16, 2, 1}, 16>({.heads = 2, .queries = 20, .keys = 50, .d = 16}, causal{} & window{12},
                                            {.count = 2, .q_starts = q, .kv_starts = k, .positions = position});
}

}  // namespace smalti::test
