// t = x · Aᵀ of the adapters that rows pass (decoder/device_inputs.cuh), against sums in double: ranks that end within sixteen rows, K from one
// piece on, rows with and without an adapter; t poisoned, and the same bits again.

#include <catch2/catch.hpp>
#include <smalti/cuda/device_buffer.cuh>
#include <smalti/decoder/device_inputs.cuh>
#include <smalti/decoder/device_kernels.cuh>
#include <smalti/gemm/cuda.cuh>
#include <cmath>
#include <cstring>
#include <vector>
#include "device_where.cuh"

namespace smalti {
namespace {

on_cuda const gpu = test::board();

std::vector<bf16> random_values(std::size_t n, unsigned seed) {
  std::vector<bf16> v;
  for (std::size_t i = 0; i < n; ++i) seed = seed * 1664525u + 1013904223u, v.push_back(bf16(float(int(seed >> 16) % 2001 - 1000) / 1000.f));
  return v;
}

TEST_CASE("inputs of adapters are the sums of the rows that pass them, and 0 elsewhere") {
  for (int m : {1, 2, 3, 8, 9, 16, 17, 33, 64})
    for (int k : {8, 40, 384, 4096, 14336, 28672})
      for (int rank : {8, 16, 24, 136, 272}) {
        if (rank > 136 && m != 3 && m != 16) continue;
        auto const x = random_values(std::size_t(m) * std::size_t(k), 1), a = random_values(std::size_t(rank) * std::size_t(k), 2);
        std::vector<int> of_column, of_row;
        for (int i = 0; i < rank; ++i) of_column.push_back(i % 24 == 23 ? -2 : i / 12);  // adapters that share sixteen rows, and columns of none
        for (int i = 0; i < m; ++i) of_row.push_back((i * 7 + i / 3) % 6 - 1);
        auto const xs = upload(gpu, x.data(), x.size()), as = upload(gpu, a.data(), a.size());
        auto const columns = upload(gpu, of_column.data(), of_column.size()), rows = upload(gpu, of_row.data(), of_row.size());
        device_buffer<bf16> t(std::size_t(m) * std::size_t(rank));
        for (bool by_row : {true, false}) {
          CAPTURE(m, k, rank, by_row);
          buffer<bf16> got[2];
          for (auto& one : got) {
            REQUIRE(cudaMemset(t.data(), 0xff, t.bytes()) == cudaSuccess);
            REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
            auto const s = detail::launch_inputs(gpu, {row_major(t.data(), m, rank), row_major(xs.data(), m, k), as.data(), k, columns.data(), by_row ? rows.data() : nullptr});
            REQUIRE((s || (UNSCOPED_INFO(s.why), false)));
            one = download(gpu, t);
          }
          CHECK(std::memcmp(got[0].data(), got[1].data(), t.bytes()) == 0);
          double worst = 0;
          for (int i = 0; i < m; ++i)
            for (int r = 0; r < rank; ++r) {
              double want = 0, size = 0;
              bool const passes = !by_row || of_column[std::size_t(r)] == of_row[std::size_t(i)];
              for (int c = 0; c < k && passes; ++c) {
                double const product = double(float(x[std::size_t(i) * std::size_t(k) + std::size_t(c)])) * double(float(a[std::size_t(r) * std::size_t(k) + std::size_t(c)]));
                want += product, size += product * product;
              }
              float const v = float(got[0][std::size_t(i) * std::size_t(rank) + std::size_t(r)]);
              // rounded to bf16 once, at most 2^-8 of it; sums in fp32 err by less than their parts' norm times √K · 2^-24, here 2^-17 of it at most
              double const off = passes ? std::fabs(v - want) / (std::fabs(want) / 256 + std::sqrt(size) / 65536 + 1e-30) : v == 0.f ? 0. : 1e9;
              worst = std::max(worst, std::isnan(off) ? 1e9 : off);
            }
          CHECK(worst <= 1.01);
        }
      }
}

TEST_CASE("inputs of adapters of rows that are normalised on the way") {
  for (int m : {1, 2})
    for (int k : {8, 384, 4096, 8192})
      for (int rank : {2, 8, 24, 192, 264}) {
        auto const xs = random_values(std::size_t(m) * std::size_t(k), 1), a = random_values(std::size_t(rank) * std::size_t(k), 2), gains = random_values(std::size_t(k), 3);
        std::vector<float> x, weight;
        for (auto v : xs) x.push_back(3 * float(v) + 0.001f);
        for (auto v : gains) weight.push_back(1 + 0.3f * float(v));
        std::vector<int> of_column, of_row;
        for (int i = 0; i < rank; ++i) of_column.push_back(i / 12);
        for (int i = 0; i < m; ++i) of_row.push_back(i);
        auto const d_x = upload(gpu, x.data(), x.size()), d_weight = upload(gpu, weight.data(), weight.size());
        auto const as = upload(gpu, a.data(), a.size());
        auto const columns = upload(gpu, of_column.data(), of_column.size()), rows = upload(gpu, of_row.data(), of_row.size());
        device_buffer<bf16> t(std::size_t(m) * std::size_t(rank));
        for (bool by_row : {true, false}) {
          CAPTURE(m, k, rank, by_row);
          REQUIRE(cudaMemset(t.data(), 0xff, t.bytes()) == cudaSuccess);
          REQUIRE(bool(detail::launch_thin_inputs(gpu, {row_major(t.data(), m, rank), {}, row_major<float const>(d_x.data(), m, k), d_weight.data(), 1e-5f, as.data(), k, columns.data(),
                                                        by_row ? rows.data() : nullptr})));
          auto const got = download(gpu, t);
          double worst = 0;
          for (int i = 0; i < m; ++i) {
            double squares = 0;
            for (int c = 0; c < k; ++c) squares += double(x[std::size_t(i * k + c)]) * x[std::size_t(i * k + c)];
            for (int r = 0; r < rank; ++r) {
              double want = 0, size = 0;
              for (int c = 0; c < k; ++c) {
                double const h = float(bf16(float(x[std::size_t(i * k + c)] / std::sqrt(squares / k + 1e-5) * weight[std::size_t(c)]))), product = h * float(a[std::size_t(r * k + c)]);
                want += product, size += product * product;
              }
              // a value of h may round the other way, 2^-7 of it at most: a few of them, in squares
              double const v = float(got[std::size_t(i * rank + r)]), off = by_row && of_column[std::size_t(r)] != of_row[std::size_t(i)]
                  ? (v == 0 ? 0. : 1e9) : std::fabs(v - want) / (std::fabs(want) / 256 + std::sqrt(size) / 256 + 1e-30);
              worst = std::max(worst, std::isnan(off) ? 1e9 : off);
            }
          }
          CHECK(worst <= 1.01);
        }
      }
}

/// x ← x · Ŵᵀ + (x · Aᵀ) · Bᵀ again and again, each launch beside the one ahead: a product that the flag let begin too early would read rows of x that are not there yet.
TEST_CASE("a product beside the launch that computes inputs of adapters waits for what it reads") {
  constexpr int n = 4096, turns = 6;
  int const rank = GENERATE(32, 72, 136);
  cudaStream_t stream;
  REQUIRE(cudaStreamCreate(&stream) == cudaSuccess);
  on_cuda const on{stream, gpu.device};
  auto const random = [&](std::size_t count, uint64_t seed, float size) {
    device_buffer<bf16> b(count);
    detail::decoder_random_kernel<<<512, 256, 0, stream>>>(b.data(), index(count), seed, size);
    return b;
  };
  auto const whole = random(std::size_t(n) * n, 1, 0.015f), a = random(std::size_t(rank) * n, 2, 0.015f), b = random(std::size_t(n) * rank, 3, 0.1f), x = random(std::size_t(64) * n, 4, 1.f);
  auto const w = pack(on, quantise_nf4(on, row_major<bf16 const>(whole.data(), n, n)));
  std::vector<int> of_column, of_row;
  for (int i = 0; i < rank; ++i) of_column.push_back(i / 16);
  for (int i = 0; i < 64; ++i) of_row.push_back(i % 3 - 1);
  auto const columns = upload(on, of_column.data(), of_column.size()), rows = upload(on, of_row.data(), of_row.size());
  device_buffer<bf16> t(std::size_t(64) * rank), y(std::size_t(turns) * 64 * n);
  device_buffer<unsigned> ready(turns);
  for (int m : {1, 4, 16, 24, 40, 64})
    for (bool by_row : {false, true}) {
      CAPTURE(m, by_row);
      auto const chain = [&](bool beside) {
        for (int i = 0; i < turns; ++i) {
          auto const from = row_major<bf16 const>(i ? y.data() + std::size_t(i - 1) * 64 * n : x.data(), m, n);
          auto const to = row_major(t.data(), m, rank);
          unsigned* const flag = beside && detail::inputs_raise(on, m, rank, n) ? ready.data() + i : nullptr;
          REQUIRE(bool(detail::launch_inputs(on, {to, from, a.data(), n, columns.data(), by_row ? rows.data() : nullptr, flag})));
          auto const sum = product(from, w) + product(row_major<bf16 const>(t.data(), m, rank), row_major<bf16 const>(b.data(), n, rank));
          REQUIRE(bool(gemm<nf4_kernels{.plain = false}>(on, row_major(y.data() + std::size_t(i) * 64 * n, m, n), sum, identity{}, {.programmatic = beside, .ready = flag})));
        }
      };
      REQUIRE(cudaMemsetAsync(y.data(), 0xff, y.bytes(), stream) == cudaSuccess);
      chain(false);
      auto const want = download(on, y);
      cudaGraph_t graph;
      cudaGraphExec_t exec;
      REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
      chain(true);
      REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
      REQUIRE(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
      for (int again = 0; again < 4; ++again) {
        REQUIRE(cudaMemsetAsync(y.data(), 0xff, y.bytes(), stream) == cudaSuccess);
        REQUIRE(cudaGraphLaunch(exec, stream) == cudaSuccess);
        auto const got = download(on, y);
        CHECK(std::memcmp(got.data(), want.data(), y.bytes()) == 0);
      }
      cudaGraphExecDestroy(exec), cudaGraphDestroy(graph);
    }
  cudaStreamDestroy(stream);
}

}  // namespace
}  // namespace smalti
