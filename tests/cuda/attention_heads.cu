// Hopper's engine at every pair of head dimensions, in bf16 and f16.
//   test_cuda_attention_heads_cuda "[small]"  the cases for a sanitizer (script/sanitize_cuda)

#include "attention_common.cuh"

namespace smalti::test {

/// Keys that grow along the walk, which is downwards: scores outgrow their maximum by 2^12 and more, or by more than a float holds.
template <class T>
__global__ void grow(view<T const, 4> k, float by) {
  index const n = k.extent[2], D = k.extent[3], all = k.extent[0] * k.extent[1] * n * D;
  for (index i = blockIdx.x * index(blockDim.x) + threadIdx.x; i < all; i += index(gridDim.x) * blockDim.x) {
    T& x = const_cast<T&>(k(int(i / D / n / k.extent[1]), int(i / D / n % k.extent[1]), int(i / D % n), int(i % D)));
    x = T(float(x) * (1 + by * float(n - i / D % n) / float(n)));
  }
}
template <class T, int By>
void growing(operands<T>& c) {
  grow<<<128, 256>>>(c.p.k, float(By));
}

template <int D, int Dv, class T>
void shapes() {
  on_cuda const w{nullptr, sm_90a};
  using engine = hopper<D, Dv>;
  check<engine, T>(w, "full", {2, 4, 2, 512, 777, D, Dv}, causal{1 << 20});
  check<engine, T>(w, "causal", {2, 20, 4, 640, 640, D, Dv}, causal{});
  check<engine, T>(w, "causal, cache before it", {1, 4, 2, 77, 500, D, Dv}, causal{423});
  check<engine, T>(w, "causal, empty rows, many items", {2, 100, 50, 300, 200, D, Dv}, causal{-130});
  for (auto [n, m] : {std::pair{1, 1}, {113, 203}, {239, 1}, {799, 3}, {1023, 1024}}) check<engine, T>(w, "odd sizes", {1, 2, 1, n, m, D, Dv}, causal{1 << 20});
  constexpr int from = pairs_from({D, 2, Dv}, false), masked_from = pairs_from({D, 2, Dv}, true);
  if constexpr (from > 0) check<engine, T>(w, "long: blocks in pairs", {1, 3, 1, from + 104, from + 34, D}, full{});
  if constexpr (masked_from > 0) check<engine, T>(w, "long, causal: blocks in pairs", {1, 3, 1, masked_from + 104, masked_from + 34, D}, causal{-70});
  check<engine, T>(w, "growing scores", {1, 4, 2, 300, 777, D, Dv}, causal{1 << 20}, {}, growing<T, 10>);
  check<engine, T>(w, "scores that grow fast", {1, 4, 2, 777, 777, D, Dv}, causal{}, {.tokens_first = true}, growing<T, 100>);
  check<engine, T>(w, "tokens first in memory", {2, 4, 2, 200, 333, D, Dv}, causal{}, {.tokens_first = true});
}

TEST_CASE("head dimensions, bf16") {
  if (!on_hopper()) return;
  shapes<64, 64, bf16>(), shapes<96, 96, bf16>(), shapes<128, 128, bf16>(), shapes<192, 192, bf16>(), shapes<256, 256, bf16>(), shapes<192, 128, bf16>();
}
TEST_CASE("head dimensions, f16") {
  if (!on_hopper()) return;
  shapes<64, 64, f16>(), shapes<128, 128, f16>(), shapes<256, 256, f16>();
}

/// More items than the board has processors; rows behind the sequence's end; a diagonal inside a block; rows without a key; packed sequences.
template <int D, int Dv, class T>
void small() {
  on_cuda const w{nullptr, sm_90a};
  using engine = hopper<D, Dv>;
  check<engine, T>(w, "several items a block", {1, 140, 70, 70, 90, D, Dv}, causal{20});
  check<engine, T>(w, "a diagonal, idle rows", {1, 2, 1, 400, 410, D, Dv}, causal{10});
  check<engine, T>(w, "rows without a key", {1, 2, 2, 200, 100, D, Dv}, causal{-70});
  check<hopper<D, Dv, in_pairs<tuned_sm90_masked>>, T>(w, "in pairs", {1, 140, 70, 420, 300, D, Dv}, causal{100});
  check<engine, T>(w, "growing scores", {1, 2, 2, 150, 300, D, Dv}, causal{150}, {}, growing<T, 100>);
  device_array<int> const qs(std::vector<int>{0, 1, 90, 90, 200}), ks(std::vector<int>{0, 77, 170, 170, 300}), at(std::vector<int>{76, 4, 0, 20});
  check<engine, T>(w, "packed", {1, 4, 2, 200, 300, D, Dv}, causal{}, {.lengths = {.count = 4, .q_starts = qs.at, .kv_starts = ks.at, .positions = at.at}});
}
TEST_CASE("small shapes, for a sanitizer", "[.][small]") {
  if (!on_hopper()) return;
  small<64, 64, bf16>(), small<128, 128, bf16>(), small<256, 256, bf16>(), small<192, 128, bf16>(), small<128, 128, f16>();
}

}  // namespace smalti::test
