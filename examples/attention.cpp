// An attention call in somebody's own program: operands are views, a variant says what, a tile says how.

#include <smalti/attention.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

// A variant of one's own is three small functions; nothing in the kernels knows about this one. Documents packed into one
// sequence, each blind to the others (block-diagonal attention).
struct same_document : smalti::full {
  int const* document;  // of each position
  explicit same_document(int const* d) : document(d) {}
  bool keep(smalti::score_at at) const { return document[at.q] == document[at.k]; }
  smalti::cover covers(int q0, int q1, int k0, int k1) const {  // sorted, so that whole tiles are skipped
    if (document[q1 - 1] < document[k0] || document[k1 - 1] < document[q0]) return smalti::cover::none;
    return document[q0] == document[q1 - 1] && document[k0] == document[k1 - 1] && document[q0] == document[k0] ? smalti::cover::all : smalti::cover::some;
  }
};

int main() {
  using namespace smalti;
  int const B = 2, H = 8, Hkv = 2, N = 100, D = 64;  // grouped queries: 8 query heads share 2 key heads
  auto ramp = [](int n, float step) {
    std::vector<float> x(std::size_t(n), 0.f);
    for (int i = 0; i < n; ++i) x[std::size_t(i)] = std::sin(step * float(i));
    return x;
  };
  auto const q = ramp(B * H * N * D, .1f), k = ramp(B * Hkv * N * D, .2f), v = ramp(B * Hkv * N * D, .3f);
  std::vector<float> o(q.size());

  attention_problem<float> const p{
      .q = row_major<float const>(q.data(), B, H, N, D),
      .k = row_major<float const>(k.data(), B, Hkv, N, D),
      .v = row_major<float const>(v.data(), B, Hkv, N, D),
      .o = row_major(o.data(), B, H, N, D),
      .lse = {},
      .scale = 1 / std::sqrt(float(D)),
  };
  auto show = [&](char const* what, status s) {
    std::printf("%-44s %s  o[0][0][99][0] = %+.6f\n", what, s.why, o[std::size_t(99 * D)]);
    return s ? 0 : 1;
  };

  // 1. The tuned tile for this shape and machine, on the calling thread; on_cpu{pool} uses a pool that you own.
  int failures = show("causal", attention(on_cpu{}, p, causal{}));

  // 2. Variants compose; an empty tile is never visited, a full one is never masked.
  failures += show("causal & window{32} & softcap{5}", attention(on_cpu{}, p, causal{} & window{32} & softcap{5.f}));

  // 3. Your own.
  std::vector<int> document(N);
  for (int i = 0; i < N; ++i) document[std::size_t(i)] = i / 40;
  failures += show("causal & same_document", attention(on_cpu{}, p, causal{} & same_document(document.data())));

  // 4. Name a tile yourself, or let the compiler enumerate every tile that can run: the result stays, the speed changes.
  for_each<attention_candidates<attention_shape{D, 4}, avx2>.shard(0, 8)>([&]<attention_tile T> {
    char name[64];
    std::snprintf(name, sizeof name, "tile{.q = %d, .kv = %d, .split = %d}", T.q, T.kv, T.split);
    return failures += show(name, attention<fixed<T>>(on_cpu{}, p, causal{})), false;
  });
  return failures;
}
