// What other instructions cost beside products of the tensor cores (Hopper): how fast one kind issues while a warpgroup multiplies without pause, and how fast that multiplies meanwhile.
//   contention [--commit HASH] [--date DAY]   lines of JSON, one a kind of instruction and number of warps
//
// One block; its first warpgroup starts chains of eight products and waits for each, one or two warpgroups more (that many warps a scheduler) repeat one instruction on 32 registers.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <smalti/cuda/ptx_fp8.cuh>
#include <smalti/cuda/ptx_wgmma.cuh>

#include "device.hpp"

namespace smalti::bench {
namespace {

void must(cudaError_t e) { if (e != cudaSuccess) std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(e)), std::exit(1); }

enum class products { none, bf16_n128, e4m3_n128 };
constexpr int chain = 8, clocks = 64;  // products of a chain · of the tensor cores for one (64, 128), at their rate
constexpr int registers = 32, most_repeats = 800;

// An instruction on register i of x; c: a number.
#define SMALTI_INSTRUCTION(type, name, text, ...)                                              \
  struct type {                                                                                \
    static constexpr char const* called = name;                                                \
    static SMALTI_D void run(uint32_t (&x)[registers], int i, uint32_t c) {                    \
      [[maybe_unused]] uint32_t const other = x[(i + 1) % registers];                          \
      asm volatile(text : "+r"(x[i]) : __VA_ARGS__);                                           \
    }                                                                                          \
  };
SMALTI_INSTRUCTION(fma_f32, "fma.f32", "{ .reg .f32 a, b; mov.b32 a, %0; mov.b32 b, %1; fma.rn.f32 a, a, b, b; mov.b32 %0, a; }", "r"(c))
SMALTI_INSTRUCTION(add_f32, "add.f32", "{ .reg .f32 a, b; mov.b32 a, %0; mov.b32 b, %1; add.rn.f32 a, a, b; mov.b32 %0, a; }", "r"(c))
SMALTI_INSTRUCTION(max_f32, "max.f32", "{ .reg .f32 a, b; mov.b32 a, %0; mov.b32 b, %1; max.f32 a, a, b; mov.b32 %0, a; }", "r"(other))
SMALTI_INSTRUCTION(ex2_f32, "ex2.f32", "{ .reg .f32 a; mov.b32 a, %0; ex2.approx.ftz.f32 a, a; mov.b32 %0, a; }", "r"(c))
SMALTI_INSTRUCTION(fma_f16x2, "fma.f16x2", "fma.rn.f16x2 %0, %0, %1, %1;", "r"(c))
SMALTI_INSTRUCTION(add_f16x2, "add.f16x2", "add.rn.f16x2 %0, %0, %1;", "r"(other))
SMALTI_INSTRUCTION(cvt_f16x2, "cvt.f16x2.f32", "{ .reg .f32 a, b; mov.b32 a, %0; mov.b32 b, %1; cvt.rn.f16x2.f32 %0, a, b; }", "r"(other))
SMALTI_INSTRUCTION(prmt, "prmt", "prmt.b32 %0, %0, %1, 0x5140;", "r"(other))
SMALTI_INSTRUCTION(xor_b32, "xor", "xor.b32 %0, %0, %1;", "r"(other))
SMALTI_INSTRUCTION(add_s32, "add.s32", "add.s32 %0, %0, %1;", "r"(other))
SMALTI_INSTRUCTION(mad_s32, "mad.s32", "mad.lo.s32 %0, %0, %1, %1;", "r"(c))
#undef SMALTI_INSTRUCTION

struct measured {
  long long time, chains;  // clocks of the first other warp · chains of products that ended meanwhile
};

/// chains: enough that products last longer than the others.
template <products P, class Instruction>
__global__ void __launch_bounds__(384, 1) contention_kernel(int repeats, int chains, measured* result, uint32_t* sink) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) unsigned char smem[];
  __shared__ int volatile done;
  for (int i = threadIdx.x; i < 8192; i += blockDim.x) reinterpret_cast<uint4*>(smem)[i] = {};
  if (threadIdx.x == 0) done = 0;
  ptx::fence_async_proxy();
  __syncthreads();
  if (threadIdx.x < 128) {
    if constexpr (P != products::none) {
      float d[16][4] = {};
      uint64_t const a = ptx::wgmma_operand(smem), b = ptx::wgmma_operand(smem + 65536);
      for (int n = 0; n < chains; ++n) {
        ptx::pin(d);
        ptx::wgmma_fence();
        SMALTI_UNROLL for (int i = 0; i < chain; ++i) {
          uint64_t const left = ptx::wgmma_advance(a, i % 4 * 32), right = ptx::wgmma_advance(b, i % 4 * 32);
          if constexpr (P == products::e4m3_n128) ptx::wgmma_e4m3(d, left, right, true);
          else ptx::wgmma<bf16>(d, left, right, true);
        }
        ptx::wgmma_commit(), ptx::wgmma_wait<0>(), ptx::pin(d);
        if (threadIdx.x == 0) done = n + 1;
      }
      float sum = 0;
      for (auto& row : d) for (float v : row) sum += v;
      if (sum != 0) *sink = 1;
    }
    return;
  }
  uint32_t x[registers];
  uint32_t const c = sink[1];
  SMALTI_UNROLL for (int i = 0; i < registers; ++i) x[i] = sink[2] + threadIdx.x * i;
  for (long long const begin = clock64(); clock64() < begin + 2000;) {}  // until the products are under way
  int const before = done;
  long long const begin = clock64();
  for (int r = 0; r < repeats; ++r)
    SMALTI_UNROLL for (int i = 0; i < registers; ++i) Instruction::run(x, i, c);
  long long const time = clock64() - begin;
  if (threadIdx.x == 128) *result = {time, done - before};
  uint32_t all = 0;
  SMALTI_UNROLL for (int i = 0; i < registers; ++i) all ^= x[i];
  if (all == 0x9e3779b9) *sink = 1;
#endif
}

struct rates {
  double instructions, products;  ///< of a scheduler, a clock · of the tensor cores' rate
};
template <products P, class Instruction>
rates measure(int warps) {
  auto* const kernel = contention_kernel<P, Instruction>;
  constexpr int bytes = 131072, repeats = std::is_same_v<Instruction, ex2_f32> ? most_repeats / 4 : most_repeats;
  static measured* result = nullptr;
  static uint32_t* sink = nullptr;
  if (!result) must(cudaMalloc(&result, sizeof *result)), must(cudaMalloc(&sink, 64)), must(cudaMemset(sink, 0, 64));
  must(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  for (int i = 0; i < 2; ++i) kernel<<<1, 128 * (1 + warps), bytes>>>(repeats, 1000, result, sink);  // the first brings the code
  must(cudaGetLastError());
  measured got;
  must(cudaMemcpy(&got, result, sizeof got, cudaMemcpyDeviceToHost));
  return {double(repeats) * registers * warps / double(got.time), double(got.chains) * chain * clocks / double(got.time)};
}

template <class Instruction>
void lines(std::string const& commit, std::string const& date) {
  cudaDeviceProp board;
  must(cudaGetDeviceProperties(&board, 0));
  for (int warps : {1, 2}) {
    rates const alone = measure<products::none, Instruction>(warps), bf = measure<products::bf16_n128, Instruction>(warps), e4 = measure<products::e4m3_n128, Instruction>(warps);
    for (auto [type, beside] : {std::pair{"bf16", bf}, std::pair{"e4m3", e4}})
      std::printf("{\"bench\": \"contention\", \"case\": {\"instruction\": \"%s\", \"warps\": %d, \"products\": \"%s\"}, \"unit\": \"a clock\", \"ours\": %.3f, \"peer\": \"alone\", \"peer_value\": %.3f, "
                  "\"ratio\": %.3f, \"tensor_cores\": %.3f, \"limit\": null, \"board\": \"%s\", \"toolkit\": \"CUDA %d.%d\", \"commit\": \"%s\", \"date\": \"%s\", \"command\": \"build/cuda/bench/contention\"}\n",
                  Instruction::called, warps, type, beside.instructions, alone.instructions, beside.instructions / alone.instructions, beside.products, board.name, CUDART_VERSION / 1000,
                  CUDART_VERSION % 100 / 10, commit.c_str(), date.c_str());
  }
}

}  // namespace
}  // namespace smalti::bench

int main(int words, char** word) {
  using namespace smalti::bench;
  std::string commit, date;
  for (int i = 1; i < words; ++i) {
    if (!std::strcmp(word[i], "--help")) return std::puts("contention [--commit HASH] [--date DAY]\nWhat other instructions cost beside products of the tensor cores, in lines of JSON. Needs an sm_90a board."), 0;
    if (i + 1 < words && !std::strcmp(word[i], "--commit")) commit = word[i + 1];
    if (i + 1 < words && !std::strcmp(word[i], "--date")) date = word[i + 1];
  }
  int major = 0;
  must(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  if (major != 9) return std::fprintf(stderr, "contention: compute capability 9.0 is needed, this board has %d.x\n", major), 1;
  lines<fma_f32>(commit, date), lines<add_f32>(commit, date), lines<max_f32>(commit, date), lines<ex2_f32>(commit, date), lines<fma_f16x2>(commit, date), lines<add_f16x2>(commit, date);
  lines<cvt_f16x2>(commit, date), lines<prmt>(commit, date), lines<xor_b32>(commit, date), lines<add_s32>(commit, date), lines<mad_s32>(commit, date);
}
