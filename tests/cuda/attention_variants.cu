// Every variant on Hopper's engine, against the same variant in double precision.

#include "attention_common.cuh"

namespace smalti::test {

/// A user's own: odd keys are dropped for odd heads, and scores may become −∞ without a mask.
struct mine : full {
  SMALTI_HD float score(float s, score_at at) const { return at.k % 7 == 3 || at.q % 50 == 9 ? -INFINITY : s + 0.01f * float(at.k % 5); }
  SMALTI_HD constexpr bool keep(score_at at) const { return at.head % 2 == 0 || at.k % 2 == 0; }
  SMALTI_HD constexpr cover covers(int, int, int, int) const { return cover::some; }
};
/// Blocks of 64 keys by a checkerboard: block-sparse attention is nothing but `covers`.
struct checkers : full {
  SMALTI_HD constexpr bool keep(score_at at) const { return (at.q / 256 + at.k / 384) % 2 == 0; }
  SMALTI_HD constexpr cover covers(int q0, int q1, int k0, int k1) const {
    if (q0 / 256 != (q1 - 1) / 256 || k0 / 384 != (k1 - 1) / 384) return cover::some;
    return (q0 / 256 + k0 / 384) % 2 == 0 ? cover::all : cover::none;
  }
};

template <class V>
void both_ways(char const* name, V const& v) {
  if (!on_hopper()) return;
  on_cuda const w{nullptr, sm_90a};
  check<hopper<64>, bf16>(w, name, {2, 4, 2, 700, 700, 64}, v);
  check<hopper<64>, bf16>(w, name, {1, 4, 2, 130, 203, 64}, v);
}

TEST_CASE("masks") {
  both_ways("window", window{130, 73});
  both_ways("causal & window", causal{} & window{130});
  both_ways("streaming", causal{} & streaming(40, 8));
  both_ways("checkers", checkers{});
}
TEST_CASE("scores") {
  both_ways("softcap", causal{} & window{64} & softcap{5.f});
  device_array<float> const slope(std::vector<float>{0.5f, 0.25f, 0.125f, 0.0625f});
  both_ways("alibi", causal{} & alibi{slope.at});
  both_ways("a user's own", mine{});
}
TEST_CASE("sinks and dropout") {
  device_array<float> const logit(std::vector<float>{-1, 0, 2, 600});
  both_ways("sinks", causal{70} & sinks{logit.at});
  both_ways("sinks alone", causal{-650} & sinks{logit.at});
  both_ways("dropout: the host's mask", causal{} & dropout(0.25f, 11));
}

}  // namespace smalti::test
