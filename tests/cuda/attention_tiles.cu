// All tiles of Hopper's engine agree; and its speed.
//   test_cuda_attention_tiles_cuda "[.time]"   TFLOP/s with the clock settled by 300 ms of the same work

#include "attention_common.cuh"

namespace smalti::test {

template <int D, attention_tile T>
void tile() {
  static_assert(fits_wgmma(T, {D, 2}, sm_90a) == misfit::none);
  using engine = hopper<D, D, fixed<T>>;
  on_cuda const w{nullptr, sm_90a};
  check<engine, bf16>(w, "full", {2, 4, 2, 512, 777, D}, causal{1 << 20});
  check<engine, bf16>(w, "causal, many items", {2, 40, 8, 640, 640, D}, causal{});
  check<engine, bf16>(w, "causal, small items", {4, 100, 50, 128, 128, D}, causal{});
}

TEST_CASE("all tiles agree") {
  if (!on_hopper()) return;
  tile<128, attention_tile{.q = 128, .kv = 64, .stages = 3, .warps = 8}>();
  tile<128, attention_tile{.q = 128, .kv = 96, .stages = 2, .warps = 8}>();
  tile<128, attention_tile{.q = 192, .kv = 64, .stages = 2, .warps = 12}>();
  tile<128, attention_tile{.q = 192, .kv = 80, .stages = 2, .warps = 12}>();
  tile<128, attention_tile{.q = 128, .kv = 176, .stages = 2, .warps = 8}>();
  tile<64, attention_tile{.q = 128, .kv = 128, .stages = 2, .warps = 8}>();
  tile<64, attention_tile{.q = 192, .kv = 112, .stages = 3, .warps = 12}>();
  tile<64, attention_tile{.q = 192, .kv = 128, .stages = 2, .warps = 12}>();
  tile<64, attention_tile{.q = 256, .kv = 64, .stages = 4, .warps = 16, .cluster = 2}>();
  tile<128, attention_tile{.q = 192, .kv = 80, .stages = 2, .warps = 12, .cluster = 2}>();
  tile<256, attention_tile{.q = 128, .kv = 80, .stages = 2, .warps = 8, .cluster = 2}>();
  tile<256, attention_tile{.q = 128, .kv = 64, .stages = 2, .warps = 8, .cluster = 2}>();
}

template <int D, class Variant>
void time_sm90(Variant variant, bool is_causal) {
  std::printf("D%-3d %-6s", D, is_causal ? "causal" : "full");
  int const H = 2048 / D;
  std::size_t const n = std::size_t(16384) * 2048;
  device_array<bf16> q(n), k(n), v(n), o(n);
  device_array<unsigned> ticket(1);
  fill_normal<<<2048, 256>>>(q.at, n, 11), fill_normal<<<2048, 256>>>(k.at, n, 12), fill_normal<<<2048, 256>>>(v.at, n, 13);
  require_cuda(cudaMemset(ticket.at, 0, 4));
  for (int S : {1024, 4096, 16384}) {
    int const B = 16384 / S;
    attention_problem<bf16> const p{row_major<bf16 const>(q.at, B, H, S, D), row_major<bf16 const>(k.at, B, H, S, D), row_major<bf16 const>(v.at, B, H, S, D),
                                    row_major(o.at, B, H, S, D), {}, 1 / std::sqrt(float(D))};
    cudaEvent_t a, b;
    require_cuda(cudaEventCreate(&a)), require_cuda(cudaEventCreate(&b));
    auto timed = [&](int launches) {
      require_cuda(cudaEventRecord(a));
      for (int i = 0; i < launches; ++i) REQUIRE(attention_sm90<D>(on_cuda{nullptr, sm_90a, ticket.at}, p, variant));
      require_cuda(cudaEventRecord(b)), require_cuda(cudaEventSynchronize(b));
      float t;
      require_cuda(cudaEventElapsedTime(&t, a, b));
      return t;
    };
    for (float spent = 0; spent < 300;) spent += timed(10);  // ms: until the power limit has settled the clock
    std::vector<float> ms;
    int const batch = S > 1024 ? 1 : 10;  // the device's time, not the launch's
    for (int i = 0; i < 21; ++i) ms.push_back(timed(batch) / float(batch));
    std::nth_element(ms.begin(), ms.begin() + 10, ms.end());
    std::printf("  S%-5d %6.1f", S, 4.0 * B * H * double(S) * S * D / (is_causal ? 2 : 1) / ms[10] / 1e9);
  }
  std::printf("  TFLOP/s\n");
}

/// Device time of one small problem: a graph of 100.
void time_small() {
  operands<bf16> c({2, 8, 8, 512, 512, 64});
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  cudaEvent_t a, b;
  require_cuda(cudaEventCreate(&a)), require_cuda(cudaEventCreate(&b)), require_cuda(cudaStreamCreate(&stream));
  require_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < 100; ++i) REQUIRE(attention_sm90<64>(on_cuda{stream, sm_90a}, c.p, full{}));
  require_cuda(cudaStreamEndCapture(stream, &graph)), require_cuda(cudaGraphInstantiate(&replay, graph, 0));
  std::vector<float> ms(21);
  for (auto& t : ms) {
    require_cuda(cudaEventRecord(a, stream)), require_cuda(cudaGraphLaunch(replay, stream)), require_cuda(cudaEventRecord(b, stream));
    require_cuda(cudaEventSynchronize(b)), require_cuda(cudaEventElapsedTime(&t, a, b));
  }
  std::nth_element(ms.begin(), ms.begin() + 10, ms.end());
  std::printf("B2 H8 S512 D64 full: %.2f us of device time\n", ms[10] * 10);
}

TEST_CASE("speed of the sm_90a engine", "[.time]") {
  if (!on_hopper()) return;
  time_small();
  time_sm90<128>(full{}, false), time_sm90<128>(causal{}, true), time_sm90<64>(full{}, false), time_sm90<64>(causal{}, true);
  time_sm90<256>(full{}, false), time_sm90<256>(causal{}, true);
}

}  // namespace smalti::test
