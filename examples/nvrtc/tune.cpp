// Tuning at run time: compiles attention tiles while the program runs, times each on this board and names the fastest. No nvcc anywhere: this file is for an
// ordinary C++ compiler, the kernels are for NVRTC: the common engine's (mma.sync), which every board since sm_80 runs, and on Hopper those of its own engine.
//   example_nvrtc_tune [--compile-only] [--seq 4096] [--include FOLDER …] [tile …]
// A tile: q,kv,stages,warps, or hopper:q,kv,stages,warps; without one, two of each. --include: where smalti/ and cuda/std/ are, if not where they were
// when this was built.

#include "compile.hpp"
#include "hopper.hpp"

#include <smalti/attention/problem.hpp>
#include <smalti/attention/tile.hpp>
#include <smalti/attention/variant.hpp>
#include <smalti/core/dtype.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>

namespace {
using namespace smalti;
using nvrtc::require;

constexpr attention_shape shape{128, 2};
constexpr int batch = 4, heads = 16;
std::vector<std::string> folders{SMALTI_INCLUDE, CUDA_INCLUDE "/cccl", CUDA_INCLUDE};

/// A tile, and which engine is to run it.
struct choice {
  attention_tile tile;
  bool hopper;
};

nvrtc::code compile(choice const& c, std::string const& arch) {
  auto const t = c.tile;
  if (c.hopper) return nvrtc::compile_hopper(t, shape.head_dim, folders);
  std::string const tile = std::to_string(t.q) + "," + std::to_string(t.kv) + "," + std::to_string(t.stages) + "," + std::to_string(t.warps);
  auto const d = std::to_string(shape.head_dim);
  return nvrtc::compile("#include <smalti/attention/sm80.cuh>\n",
                        {"smalti::attention_kernel<" + d + "," + d + ",smalti::fixed<smalti::attention_tile{" + tile + "}>,smalti::bf16,smalti::causal>"}, arch, folders);
}

/// Q, K, V and O of one problem on the device.
struct operands {
  bf16* at[4] = {};
  attention_problem<bf16> problem{};
  explicit operands(int seq) {
    std::size_t const n = std::size_t(batch) * heads * seq * shape.head_dim;
    std::vector<bf16> x(n);
    std::minstd_rand random(1);
    std::normal_distribution<float> normal;
    for (auto*& a : at) {
      require(cudaMalloc(&a, n * sizeof(bf16)));
      if (a != at[3]) {
        for (auto& e : x) e = bf16(normal(random));
        require(cudaMemcpy(a, x.data(), n * sizeof(bf16), cudaMemcpyHostToDevice));
      }
    }
    auto rows = [&](auto* a) { return row_major(a, batch, heads, seq, shape.head_dim); };
    auto input = [&](bf16 const* a) { return rows(a); };
    problem = {input(at[0]), input(at[1]), input(at[2]), rows(at[3]), {}, 1 / std::sqrt(float(shape.head_dim))};
  }
  ~operands() {
    for (auto* a : at) cudaFree(a);
  }
  operands(operands const&) = delete;
};

/// Milliseconds of a launch, the median of nine after 300 ms of the same, when the clock has settled; and O in `out`.
float time_of(nvrtc::code const& code, choice const& c, operands& on, std::vector<bf16>& out) {
  attention_tile const t = c.tile;
  cudaLibrary_t library;
  cudaKernel_t kernel, lay_out;
  require(cudaLibraryLoadData(&library, code.cubin.data(), nullptr, nullptr, 0, nullptr, nullptr, 0));
  require(cudaLibraryGetKernel(&kernel, library, code.names[0].c_str()));
  int smem = smem_bytes(t, shape);
  dim3 grid(batch * heads, unsigned(ceil_div(int(on.problem.q.extent[2]), t.q))), block(unsigned(32 * t.warps));
  void* first = &on.problem;
  std::unique_ptr<nvrtc::hopper_launch> plan;
  if (c.hopper) {
    require(cudaLibraryGetKernel(&lay_out, library, code.names[1].c_str()));
    plan = std::make_unique<nvrtc::hopper_launch>(lay_out, t, on.problem);
    smem = plan->bytes[1], grid = plan->grid, block = plan->block, first = plan->plan.data();
  }
  auto const* function = reinterpret_cast<void const*>(kernel);
  require(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, smem));
  causal variant;
  void* arguments[] = {first, &variant};
  require(cudaMemset(on.at[3], 0xff, out.size() * sizeof(bf16)));  // NaN
  cudaEvent_t begin, end;
  require(cudaEventCreate(&begin)), require(cudaEventCreate(&end));
  auto timed = [&] {
    float ms = 0;
    require(cudaEventRecord(begin));
    require(cudaLaunchKernel(function, grid, block, arguments, std::size_t(smem), nullptr));
    require(cudaEventRecord(end)), require(cudaEventSynchronize(end)), require(cudaEventElapsedTime(&ms, begin, end));
    return ms;
  };
  for (float spent = 0; spent < 300;) spent += timed();
  std::vector<float> ms(9);
  for (auto& x : ms) x = timed();
  std::nth_element(ms.begin(), ms.begin() + 4, ms.end());
  require(cudaMemcpy(out.data(), on.at[3], out.size() * sizeof(bf16), cudaMemcpyDeviceToHost));
  cudaEventDestroy(begin), cudaEventDestroy(end);
  require(cudaLibraryUnload(library));
  return ms[4];
}

int run(std::vector<choice> const& tiles, int seq, bool compile_only) {
  // Code for Hopper's own instruction set knows that board's larger shared memory.
  int major = 9, minor = 0;
  if (!compile_only) {
    require(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    require(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0));
  }
  std::string const name = "sm_" + std::to_string(major) + std::to_string(minor) + (major == 9 ? "a" : "");
  arch const board = major == 9 ? sm_90a : major == 8 && minor == 6 ? sm_86 : major == 8 && minor == 9 ? sm_89 : sm_80;
  std::vector<bf16> first, out(compile_only ? 0 : std::size_t(batch) * heads * seq * shape.head_dim);
  auto const on = compile_only ? nullptr : std::make_unique<operands>(seq);
  choice best = tiles.front();
  float fastest = INFINITY;
  for (auto const& c : tiles) {
    auto const t = c.tile;
    if (c.hopper && board != sm_90a) {
      std::printf("%d × %d: Hopper's engine needs Hopper\n", t.q, t.kv);
      continue;
    }
    if (auto s = explain(c.hopper ? fits_wgmma(t, shape, board) : fits(t, shape, board)); !s) {
      std::printf("%d × %d: %s %s\n", t.q, t.kv, s.id, s.why);
      continue;
    }
    auto const start = std::chrono::steady_clock::now();
    auto const code = compile(c, name);
    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%-6s %3d × %3d, %d stages, %2d warps: compiled for %s in %.1f s, %zu bytes", c.hopper ? "hopper" : "common", t.q, t.kv, t.stages, t.warps, name.c_str(), seconds, code.cubin.size());
    if (!compile_only) {
      float const ms = time_of(code, c, *on, out);
      if (first.empty()) first = out;
      float largest = 0, worst = 0;
      for (std::size_t i = 0; i < out.size(); ++i) largest = std::max(largest, std::fabs(float(first[i]))), worst = std::max(worst, std::fabs(float(out[i]) - float(first[i])));
      std::printf("; %.3f ms, %.0f TFLOP/s, differs from the first by %.1e", double(ms), 2.0 * batch * heads * double(seq) * seq * shape.head_dim / double(ms) / 1e9, double(worst));
      if (!(worst <= largest / 64)) throw std::runtime_error("a tile changed the result");
      if (ms < fastest) fastest = ms, best = c;
    }
    std::printf("\n"), std::fflush(stdout);
  }
  if (!compile_only) std::printf("fastest: %s %d × %d, %d stages, %d warps\n", best.hopper ? "hopper" : "common", best.tile.q, best.tile.kv, best.tile.stages, best.tile.warps);
  return 0;
}
}  // namespace

int main(int n, char** arg) try {
  std::vector<choice> tiles;
  int seq = 4096;
  bool compile_only = false;
  for (int i = 1; i < n; ++i) {
    attention_tile t{};
    bool const hopper = !std::strncmp(arg[i], "hopper:", 7);
    if (!std::strcmp(arg[i], "--compile-only")) compile_only = true;
    else if (!std::strcmp(arg[i], "--seq") && i + 1 < n && std::sscanf(arg[i + 1], "%d", &seq) == 1 && seq > 0) ++i;
    else if (!std::strcmp(arg[i], "--include") && i + 1 < n) folders.insert(folders.begin(), arg[++i]);
    else if (std::sscanf(arg[i] + (hopper ? 7 : 0), "%d,%d,%d,%d", &t.q, &t.kv, &t.stages, &t.warps) == 4) tiles.push_back({t, hopper});
    else return std::fprintf(stderr, "usage: %s [--compile-only] [--seq N] [--include FOLDER …] [[hopper:]q,kv,stages,warps …]\n", arg[0]), 2;
  }
  if (tiles.empty())
    tiles = {{{.q = 64, .kv = 64, .stages = 2, .warps = 4}, false}, {{.q = 128, .kv = 64, .stages = 2, .warps = 8}, false},
             {{.q = 128, .kv = 128, .stages = 2, .warps = 8}, true}, {{.q = 192, .kv = 80, .stages = 2, .warps = 12}, true}};
  return run(tiles, seq, compile_only);
} catch (std::exception const& e) {
  return std::fprintf(stderr, "%s\n", e.what()), 1;
}
