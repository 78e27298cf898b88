#pragma once
// What the shards of a sweep and its program share: the legal tiles of one engine and head dimension, each with its launch.

#include <smalti/attention.cuh>

#include <vector>

namespace smalti::bench {

inline constexpr attention_shape swept_shape{SWEEP_HEAD_DIM, 2};  // bf16

/// Tiles that Hopper's engine may be swept over; 16 query rows need a warp, so most of the product is no tile.
inline constexpr auto wgmma_space = sweep<attention_tile>(/*q*/ axis{128, 192, 256}, /*kv*/ axis{64, 80, 96, 112, 128, 144, 160, 176, 192}, /*stages*/ axis{2, 3},
                                                          /*warps*/ axis{8, 12, 16});

#if SWEEP_ENGINE == 90
inline constexpr char const* engine_name = "sm_90a";
inline constexpr auto candidates = wgmma_space.where([](attention_tile t) { return fits_wgmma(t, swept_shape, sm_90a) == misfit::none; });
inline constexpr attention_tile in_table = tuned_sm90{}(swept_shape, sm_90a);

template <attention_tile T, class Variant>
status launch(on_cuda const& where, attention_problem<bf16> const& p, Variant const& variant) {
  return attention_sm90<swept_shape.head_dim, swept_shape.values(), fixed<T>>(where, p, variant);
}
#else
inline constexpr char const* engine_name = "sm_80";
inline constexpr auto candidates = attention_candidates<swept_shape, sm_80>;
inline constexpr attention_tile in_table = tuned{}(swept_shape, sm_90a);

/// Not attention<fixed<T>>, which would compile every tile for every head dimension.
template <attention_tile T, class Variant>
status launch(on_cuda const& where, attention_problem<bf16> const& p, Variant const& variant) {
  return detail::launch_sm80<swept_shape.head_dim, swept_shape.values(), fixed<T>>(where, p, variant);
}
#endif

/// One compiled tile.
struct entry {
  attention_tile tile;
  status (*full_)(on_cuda const&, attention_problem<bf16> const&, full const&);
  status (*causal_)(on_cuda const&, attention_problem<bf16> const&, causal const&);

  status operator()(on_cuda const& where, attention_problem<bf16> const& p, bool is_causal) const {
    return is_causal ? causal_(where, p, causal{}) : full_(where, p, full{});
  }
};

/// Filled by the shards before main begins, in no particular order.
inline std::vector<entry>& entries() {
  static std::vector<entry> all;
  return all;
}

/// Adds every SWEEP_SHARDS-th candidate from `Shard` on.
template <int Shard>
struct shard {
  template <attention_tile T>
  void add() { entries().push_back({T, launch<T, full>, launch<T, causal>}); }
  shard() {
    [this]<std::size_t... I>(std::index_sequence<I...>) {  // not for_each<list>: the whole list would stand in every symbol
      (add<candidates[Shard + I * SWEEP_SHARDS]>(), ...);
    }(std::make_index_sequence<candidates.shard(Shard, SWEEP_SHARDS).size()>{});
  }
};

}  // namespace smalti::bench
