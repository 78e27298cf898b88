// LLM.int8 products on a device, beside cuBLAS in bf16 in the same program, at the clock that the power limit settles on. Weights rotate, so
// that the cache does not hold them.
//   int8_cuda [--commit HASH] [--date DAY] [--only M]   lines of JSON, one a case
//   int8_cuda parts [M]                                 the steps and every engine, and cuBLAS in integers

#if __has_include(<cublas_v2.h>)
  #include <cublas_v2.h>
  #include <dlfcn.h>
  #define HAVE_CUBLAS
#endif

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <smalti/gemm/llm_int8.cuh>

#include "device.hpp"

namespace smalti::bench {
namespace {

void must(cudaError_t e) { if (e != cudaSuccess) std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(e)), std::exit(1); }
void must(status s) { if (!s) std::fprintf(stderr, "%s: %s\n", s.id, s.why), std::exit(1); }

on_cuda const gpu = [] {
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  return on_cuda{nullptr, major == 9 ? sm_90a : sm_80};
}();

constexpr int most_rows = 4096;
struct shape { int n, k; };
constexpr shape shapes[] = {{28672, 4096}, {4096, 14336}, {6144, 4096}, {4096, 4096}};

/// One call with weights number 0, 1, … in turn.
template <class F>
double microseconds(F&& call) {
  int turn = 0;
  double const s = settled_seconds([&] { call(turn++); }, 0.15, 9);
  if (s < 0) must(cudaGetLastError()), std::fprintf(stderr, "no time\n"), std::exit(1);
  return 1e6 * s;
}

/// cuBLAS if this machine has it: y (m, n) = x · wᵀ in bf16, or of 8-bit codes into 32-bit sums.
struct cublas {
#if defined(HAVE_CUBLAS)
  cublasHandle_t handle = nullptr;
  decltype(&cublasGemmEx_64) multiply = nullptr;
  cublas() {
    void* library = nullptr;
    for (char const* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"})
      if (!library) library = dlopen(name, RTLD_NOW);
    if (!library) return;
    auto const create = reinterpret_cast<decltype(&cublasCreate)>(dlsym(library, "cublasCreate_v2"));
    multiply = reinterpret_cast<decltype(multiply)>(dlsym(library, "cublasGemmEx_64"));
    if (!create || !multiply || create(&handle) != CUBLAS_STATUS_SUCCESS) handle = nullptr;
  }
  bool operator()(shape s, int m, void const* x, void const* w, void* y, bool integers) const {
    float const one = 1, zero = 0;
    int const one_int = 1, zero_int = 0;
    auto const from = integers ? CUDA_R_8I : CUDA_R_16BF;
    return multiply(handle, CUBLAS_OP_T, CUBLAS_OP_N, s.n, m, s.k, integers ? static_cast<void const*>(&one_int) : &one, w, from, s.k, x, from, s.k,
                    integers ? static_cast<void const*>(&zero_int) : &zero, y, integers ? CUDA_R_32I : CUDA_R_16BF, s.n, integers ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                    CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS;
  }
#else
  void* handle = nullptr;
  bool operator()(shape, int, void const*, void const*, void*, bool) const { return false; }
#endif
};

/// Plain weights in bf16 and in INT8, and tokens with outliers in `outliers` columns, as large models have them.
struct operands {
  shape s;
  int copies;
  device_array<bf16> w, x, y;
  std::vector<device_int8> eight;
  device_buffer<uint8_t> scratch;
  operands(shape s, int outliers)
      : s(s), copies(max(2, int(200e6 / (double(s.n) * s.k)) + 1)), w(std::size_t(s.n) * s.k * std::size_t(copies), 4), x(std::size_t(most_rows) * s.k, 1), y(2 * std::size_t(most_rows) * s.n),
        scratch(llm_int8_bytes(most_rows, s.n, s.k)) {
    if (!w.at || !x.at || !y.at) std::fprintf(stderr, "no room\n"), std::exit(1);
    for (int i = 0; i < copies; ++i) eight.push_back(quantise_int8(gpu, row_major<bf16 const>(w.at + index(i) * s.n * s.k, s.n, s.k)));
    bf16 const far(30.f);
    for (int i = 0; i < outliers; ++i)
      for (int m = 0; m < most_rows; m += 7) must(cudaMemcpy(x.at + index(m) * s.k + index(i) * (s.k / max(outliers, 1)) + 5, &far, 2, cudaMemcpyHostToDevice));
    must(cudaDeviceSynchronize());
  }
  view<bf16 const, 2> tokens(int m) const { return row_major<bf16 const>(x.at, m, s.k); }
  view<bf16, 2> out(int m) const { return row_major(y.at, m, s.n); }
  llm_int8 how() { return {.scratch = scratch.data(), .bytes = scratch.size()}; }
  double plain(cublas const& peer, int m) {
    return !peer.handle ? 0 : microseconds([&](int i) { if (!peer(s, m, x.at, w.at + index(i % copies) * s.n * s.k, y.at, false)) std::fprintf(stderr, "cuBLAS refused\n"), std::exit(1); });
  }
  double ours(int m) { return microseconds([&](int i) { must(gemm(gpu, out(m), product(tokens(m), eight[std::size_t(i % copies)]), identity{}, how())); }); }
  double rows(int m) { return microseconds([&](int i) { must(gemm(gpu, out(m), product(tokens(m), eight[std::size_t(i % copies)]))); }); }
};

void measure(std::string const& commit, std::string const& date, std::string const& command, int only) {
  cudaDeviceProp board;
  must(cudaGetDeviceProperties(&board, 0));
  cublas const peer;
  for (shape s : shapes) {
    operands with(s, 8);
    for (int m : {1, 16, 64, 256, 1024, 2048, 4096}) {
      if (only && m != only) continue;
      double const theirs = with.plain(peer, m), limit = std::max(1e6 * (double(s.n) * s.k + 2. * m * s.k + 2. * m * s.n) / 4.8e12, 2. * s.n * s.k * m / 1979e6);
      auto const line = [&](char const* strategy, double ours) {
        std::printf("{\"bench\": \"int8_cuda\", \"case\": {\"n\": %d, \"k\": %d, \"m\": %d, \"strategy\": \"%s\"}, \"unit\": \"us\", \"ours\": %.2f, "
                    "\"peer\": \"cuBLAS bf16\", \"peer_value\": %.2f, \"ratio\": %.3f, \"limit\": %.2f, \"board\": \"%s\", \"toolkit\": \"CUDA %d.%d\", \"commit\": \"%s\", "
                    "\"date\": \"%s\", \"command\": \"%s\"}\n",
                    s.n, s.k, m, strategy, ours, theirs, theirs / ours, limit, board.name, CUDART_VERSION / 1000, CUDART_VERSION % 100 / 10, commit.c_str(), date.c_str(), command.c_str());
        std::fflush(stdout);
      };
      if (m <= 64) line("rows", with.rows(m));
      if (m >= 16) line("LLM.int8", with.ours(m));
    }
  }
}

template <int Columns>
double wide(operands& of, int m) {
  return microseconds([&](int i) {
    int8_problem<bf16, bf16> p;
    must(detail::int8_prepare(p, of.out(m), product(of.tokens(m), of.eight[std::size_t(i % of.copies)]), of.how()));
    must(int8_wide_launch<Columns>(gpu, p, detail::multiprocessors(), identity{}));
  });
}

void parts(int only) {
  cublas const peer;
  for (shape s : shapes) {
    operands none(s, 0), some(s, 8);
    for (int m : {64, 256, 1024, 2048, 4096}) {
      if (only ? m != only : m == 2048 && s.n < 10000 && s.k < 10000) continue;
      int8_problem<bf16, bf16> p;
      must(detail::int8_prepare(p, none.out(m), product(none.tokens(m), none.eight[0]), none.how()));
      double const op = 2. * s.n * s.k * m / 1e6, bf = none.plain(peer, m);
      double const codes = microseconds([&](int) { must(detail::int8_quantise(gpu, p, 6.f)); });
      double const all_none = none.ours(m), all = some.ours(m);
      std::printf("%dx%d M %d: bf16 %.1f us (%.0f TFLOP/s); all, no outliers %.1f (x%.3f), 8 outliers %.1f (x%.3f); quantise %.1f\n", s.n, s.k, m, bf, op / bf, all_none, bf / all_none, all, bf / all, codes);
      std::fflush(stdout);
      double eight = 0;
      if (peer.handle) eight = microseconds([&](int i) { (void)peer(s, m, p.room.code, none.eight[std::size_t(i % none.copies)].code.data(), none.y.at, true); });
      double const block = microseconds([&](int) { must(int8_block_launch(gpu, p, identity{})); });
      std::printf("  products alone: cuBLAS s8 %.1f (%.0f TOP/s), mma.sync %.1f (%.0f)", eight, op / eight, block, op / block);
      if (gpu.device >= sm_90a) {
        double const t[] = {wide<128>(none, m), wide<64>(none, m)};
        for (int i = 0; i < 2; ++i) std::printf(", %d rows of W %.1f (%.0f)", 128 >> i, t[i], op / t[i]);
      }
      std::printf("\n"), std::fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace smalti::bench

int main(int count, char** word) {
  std::string commit = "uncommitted", date = "undated", command = "int8_cuda";
  int only = 0;
  for (int i = 1; i < count; ++i) command += std::string(" ") + word[i];
  if (count > 1 && !std::strcmp(word[1], "parts")) return smalti::bench::parts(count > 2 ? std::atoi(word[2]) : 0), 0;
  for (int i = 1; i + 1 < count; i += 2) {
    if (!std::strcmp(word[i], "--commit")) commit = word[i + 1];
    if (!std::strcmp(word[i], "--date")) date = word[i + 1];
    if (!std::strcmp(word[i], "--only")) only = std::atoi(word[i + 1]);
  }
  smalti::bench::measure(commit, date, command, only);
}
