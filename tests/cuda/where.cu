// A launch and its kernel must agree about the tile whatever the caller says of the board: on_cuda{} names sm_80, while the code that runs
// may be Hopper's.

#include <smalti/attention.cuh>
#include <smalti/attention/decode.cuh>

#include "attention_common.cuh"

namespace smalti::test {

__global__ void level_of(int* at) { *at = this_arch().level; }

TEST_CASE("the architecture of the code that a board runs") {
  device_array<int> at(1);
  level_of<<<1, 1>>>(at.at);
  CHECK(detail::code_arch(generic_cpu).level == at.host()[0]);
}

TEST_CASE("on_cuda{} in a program with code for a newer board") {
  constexpr int H = 4, N = 150, D = 128;
  std::vector<bf16> x[3];
  for (unsigned i = 0; i < 3; ++i)
    for (unsigned e = 0; e < unsigned(H) * N * D; ++e) x[i].push_back(bf16(std::sin(0.37f * float(e * (i + 1) % 1009))));
  auto const rows = [](auto* at, int n) { return row_major(at, 1, H, n, D); };
  std::vector<double> expected(x[0].size());
  for (int h = 0; h < H; ++h)
    for (int i = 0; i < N; ++i) {
      auto const at = [&](int of, int row, int c) { return double(float(x[of][(std::size_t(h) * N + std::size_t(row)) * D + std::size_t(c)])); };
      double* const o = &expected[(std::size_t(h) * N + std::size_t(i)) * D];
      double sum = 0;
      for (int j = 0; j <= i; ++j) {
        double s = 0;
        for (int c = 0; c < D; ++c) s += at(0, i, c) * at(1, j, c);
        double const weight = std::exp(0.1 * s);  // |0.1 s| ≤ 12.8
        sum += weight;
        for (int c = 0; c < D; ++c) o[c] += weight * at(2, j, c);
      }
      for (int c = 0; c < D; ++c) o[c] /= sum;
    }

  device_array<bf16> const q(x[0]), k(x[1]), v(x[2]), o(x[0].size());
  attention_problem<bf16> p{.q = rows(q.at, N), .k = rows(k.at, N), .v = rows(v.at, N), .o = rows(o.at, N), .lse = {}, .scale = 0.1f};
  o.poison();
  REQUIRE(attention<tuned_heads<D>>(on_cuda{}, p, causal{}));
  require_cuda(cudaDeviceSynchronize());
  auto const got = o.host();
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) worst = std::fmax(worst, std::fabs(double(float(got[i])) - expected[i]));
  CHECK(worst < 0x1p-7);  // |V| ≤ 1; P and O rounded to bf16

  // the last query of each head alone
  p.q = view<bf16 const, 4>{q.at + (N - 1) * D, {1, H, 1, D}, {index(H) * N * D, index(N) * D, D, 1}};
  p.o = row_major(o.at, 1, H, 1, D);
  device_array<unsigned char> const room(std::max<std::size_t>(decode_workspace_bytes(on_cuda{}, p), 1));
  require_cuda(cudaMemset(room.at, 0, room.n));
  o.poison();
  REQUIRE(decode_attention_for<attention_shape{D, 2}>(on_cuda{}, p, {room.at, room.n}, causal{N - 1}));
  require_cuda(cudaDeviceSynchronize());
  auto const one = o.host();
  worst = 0;
  for (int h = 0; h < H; ++h)
    for (int c = 0; c < D; ++c)
      worst = std::fmax(worst, std::fabs(double(float(one[std::size_t(h * D + c)])) - expected[(std::size_t(h) * N + N - 1) * D + std::size_t(c)]));
  CHECK(worst < 0x1p-7);
}

}  // namespace smalti::test
