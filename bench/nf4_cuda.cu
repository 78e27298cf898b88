// NF4 products on a device, beside cuBLAS in bf16 in the same program: time of one call among consecutive calls in a graph, over
// weights that the cache cannot hold.
//   nf4_cuda [--commit HASH] [--date DAY] [--only M]   lines of JSON, one a case
//   nf4_cuda once N K M                                four launches, for a profiler
//   nf4_cuda sweep [M]                                 every way to cut that fills the chip, the best few of each shape
//   nf4_cuda wide [M]                                  the same of the kernel for many tokens, and cuBLAS

#if __has_include(<cublas_v2.h>)
  #include <dlfcn.h>
  #include <smalti/gemm/cublas.cuh>
  #define HAVE_CUBLAS
#endif

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <smalti/gemm/nf4_dense.cuh>

namespace smalti::bench {
namespace {

void must(cudaError_t e) { if (e != cudaSuccess) std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(e)), std::exit(1); }
void must(status s) { if (!s) std::fprintf(stderr, "%s: %s\n", s.id, s.why), std::exit(1); }

on_cuda const gpu = [] {
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  return on_cuda{nullptr, major == 9 ? sm_90a : sm_80};
}();

/// Values like a weight's or an activation's: zeros would draw less power than any real data.
template <class T>
__global__ void fill(T* to, std::size_t n, unsigned seed) {
  for (std::size_t i = blockIdx.x * std::size_t(blockDim.x) + threadIdx.x; i < n; i += std::size_t(gridDim.x) * blockDim.x) {
    float sum = 0;  // of four uniform numbers: near enough to normal
    uint64_t z = (i + 1 + (uint64_t(seed) << 40)) * 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull, z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    for (int j = 0; j < 4; ++j) sum += float((z >> 16 * j) & 0xffff) / 65536.f - 0.5f;
    to[i] = T(sum);
  }
}
template <class T>
device_buffer<T> random_buffer(std::size_t n, unsigned seed) {
  device_buffer<T> b(n);
  fill<<<1024, 256>>>(b.data(), n, seed);
  must(cudaGetLastError());
  return b;
}

/// Median µs of one of `calls` calls in a graph; call(where, i) enqueues the i-th.
template <class F>
double time_graph(int calls, F call, int replays = 15) {
  cudaStream_t stream;
  must(cudaStreamCreate(&stream));
  on_cuda const on{stream, gpu.device};
  for (int i = 0; i < 2; ++i) call(on, i);
  must(cudaStreamSynchronize(stream));
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < calls; ++i) call(on, i);
  must(cudaStreamEndCapture(stream, &graph));
  must(cudaGraphInstantiate(&exec, graph, 0));
  cudaEvent_t begin, end;
  must(cudaEventCreate(&begin)), must(cudaEventCreate(&end));
  std::vector<float> ms;
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // no case finds the board as hot as the one before left it
  for (int i = 0; i < replays + 2; ++i) {
    must(cudaEventRecord(begin, stream)), must(cudaGraphLaunch(exec, stream)), must(cudaEventRecord(end, stream));
    must(cudaEventSynchronize(end));
    float t;
    must(cudaEventElapsedTime(&t, begin, end));
    if (i >= 2) ms.push_back(t);
  }
  must(cudaGraphExecDestroy(exec)), must(cudaGraphDestroy(graph)), must(cudaStreamDestroy(stream));
  must(cudaEventDestroy(begin)), must(cudaEventDestroy(end));
  std::sort(ms.begin(), ms.end());
  return 1e3 * ms[ms.size() / 2] / calls;
}

/// n words of 16 bytes.
__global__ void copy_words(uint4* to, uint4 const* from, std::size_t n) {
  for (std::size_t i = blockIdx.x * std::size_t(4 * 256) + threadIdx.x; i < n; i += std::size_t(gridDim.x) * 4 * 256) {
    uint4 w[4];
    for (int j = 0; j < 4; ++j)
      if (i + j * 256 < n) w[j] = from[i + j * 256];
    for (int j = 0; j < 4; ++j)
      if (i + j * 256 < n) to[i + j * 256] = w[j];
  }
}
/// Bytes per µs of a copy, read and written: what the board's memory gives.
double copy_speed() {
  std::size_t const n = std::size_t(1) << 30;
  device_buffer<uint8_t> const from = random_buffer<uint8_t>(n, 1);
  device_buffer<uint8_t> to(n);
  return 2. * double(n) / time_graph(4, [&](on_cuda const& on, int) {
    copy_words<<<unsigned(n / 16 / 1024), 256, 0, on.stream>>>(reinterpret_cast<uint4*>(to.data()), reinterpret_cast<uint4 const*>(from.data()), n / 16);
    must(cudaGetLastError());
  }, 7);
}

constexpr int most_rows = 4096;  // of x
struct shape { int n, k; };
constexpr shape shapes[] = {{28672, 4096}, {4096, 14336}, {6144, 4096}, {4096, 4096}};

/// Copies of a random weight, enough to exceed the cache many times, and an adapter of rank 16.
struct weights {
  shape s;
  std::vector<device_nf4> copies;
  device_buffer<bf16> x, t, b, y;
  explicit weights(shape s) : s(s), x(random_buffer<bf16>(std::size_t(most_rows) * s.k, 1)), t(random_buffer<bf16>(most_rows * 64, 2)), b(random_buffer<bf16>(std::size_t(s.n) * 64, 3)), y(std::size_t(most_rows) * s.n) {
    auto const w = random_buffer<bf16>(std::size_t(s.n) * s.k, 4);
    auto const file = quantise_nf4(gpu, row_major(w.data(), s.n, s.k));
    copies.push_back(pack(gpu, file));
    while (copies.size() < 16 || copies.size() * bytes() < 400e6) copies.push_back(copy(gpu, copies[0]));
    must(cudaDeviceSynchronize());
  }
  double bytes() const { return double(index(s.n) * s.k / 2 + index(s.n) * s.k / 64 + index(s.n) * s.k / 64 / 256 * 4); }  // as stored
  template <class F>
  double time(F call, int m = 1) const {
    return time_graph(m > 512 ? 4 : int(copies.size()), [&](on_cuda const& on, int i) { must(call(on, copies[std::size_t(i) % copies.size()])); });
  }
  view<bf16 const, 2> tokens(int m) const { return row_major<bf16 const>(x.data(), m, s.k); }
  view<bf16, 2> out(int m) const { return row_major(const_cast<bf16*>(y.data()), m, s.n); }
};

/// cuBLAS if this machine has it; the program does without.
#if !defined(HAVE_CUBLAS)
struct cublas {
  void* handle = nullptr;
  struct none {
    status operator()(on_cuda const&, activations const&, weight_view const&, void*, dtype, index, float, float) const { return {}; }
  };
  none dense() const { return {}; }
  double time(shape, int) { return 0; }
};
#else
struct cublas {
  cublasHandle_t handle = nullptr;
  decltype(&cublasSetStream) set_stream = nullptr;
  decltype(&cublasSetWorkspace) set_workspace = nullptr;
  cublas_dense::multiplication* gemm_ex = nullptr;
  device_buffer<uint8_t> workspace;
  cublas() {
    void* library = nullptr;
    for (char const* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"})
      if (!library) library = dlopen(name, RTLD_NOW);
    if (!library) return;
    auto const create = reinterpret_cast<decltype(&cublasCreate)>(dlsym(library, "cublasCreate_v2"));
    set_stream = reinterpret_cast<decltype(set_stream)>(dlsym(library, "cublasSetStream_v2"));
    set_workspace = reinterpret_cast<decltype(set_workspace)>(dlsym(library, "cublasSetWorkspace_v2"));
    gemm_ex = reinterpret_cast<decltype(gemm_ex)>(dlsym(library, "cublasGemmEx"));
    if (create && set_stream && set_workspace && gemm_ex && create(&handle) == CUBLAS_STATUS_SUCCESS) workspace = device_buffer<uint8_t>(64 << 20);
  }
  cublas_dense dense() {
    set_workspace(handle, workspace.data(), workspace.size());
    return {handle, gemm_ex, set_stream};
  }
  double time(shape s, int m) {
    if (!handle) return 0;
    std::size_t const copies = std::max<std::size_t>(2, std::size_t(400e6 / (2. * s.n * s.k)) + 1), each = std::size_t(s.n) * s.k;
    auto const w = random_buffer<bf16>(copies * each, 5), x = random_buffer<bf16>(std::size_t(m) * s.k, 6);
    device_buffer<bf16> y(std::size_t(m) * s.n);
    float const one = 1, zero = 0;
    return time_graph(m > 512 ? 4 : int(std::max<std::size_t>(16, copies)), [&](on_cuda const& on, int i) {
      set_stream(handle, on.stream), set_workspace(handle, workspace.data(), workspace.size());
      if (gemm_ex(handle, CUBLAS_OP_T, CUBLAS_OP_N, s.n, m, s.k, &one, w.data() + std::size_t(i) % copies * each, CUDA_R_16BF, s.k, x.data(), CUDA_R_16BF, s.k, &zero,
                  y.data(), CUDA_R_16BF, s.n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) != CUBLAS_STATUS_SUCCESS)
        std::fprintf(stderr, "cuBLAS failed\n"), std::exit(1);
    });
  }
};
#endif

/// What products may work in.
struct lent_memory {
  device_buffer<uint8_t> room{nf4_lent_bytes};
  lent_memory() { must(cudaMemset(room.data(), 0, room.size())); }
  nf4_lent lend() const { return {const_cast<uint8_t*>(room.data()), room.size()}; }
};

void measure(std::string const& commit, std::string const& date, std::string const& command, int only) {
  cudaDeviceProp board;
  must(cudaGetDeviceProperties(&board, 0));
  double const speed = copy_speed();
  cublas peer;
  lent_memory const lent;
  double const square = peer.time({8192, 8192}, 8192), rate = square ? 2. * 8192 * 8192 * 8192 / square : 0;  // operations per µs
  std::fprintf(stderr, "copy: %.2f TB/s, cuBLAS 8192^3: %.0f TFLOP/s\n", speed / 1e6, rate / 1e6);
  auto const line = [&](char const* bench, shape s, int m, char const* launch, double ours, double theirs, double limit) {
    std::printf("{\"bench\": \"%s\", \"case\": {\"n\": %d, \"k\": %d, \"m\": %d, \"launch\": \"%s\"}, \"unit\": \"us\", \"ours\": %.2f, "
                "\"peer\": \"cuBLAS bf16\", \"peer_value\": %.2f, \"ratio\": %.3f, \"limit\": %.2f, \"board\": \"%s\", \"toolkit\": \"CUDA %d.%d\", \"commit\": \"%s\", "
                "\"date\": \"%s\", \"command\": \"%s\"}\n",
                bench, s.n, s.k, m, launch, ours, theirs, theirs / ours, limit, board.name, CUDART_VERSION / 1000, CUDART_VERSION % 100 / 10, commit.c_str(), date.c_str(), command.c_str());
    std::fflush(stdout);
  };
  for (shape s : shapes) {
    weights const w(s);
    device_buffer<uint8_t> scratch(scratch_bytes(w.copies[0]));
    for (int m : {1, 8, 16, 32, 64, 128, 256, 1024, 4096}) {
      if (only && m != only) continue;
      double const theirs = peer.time(s, m), limit = std::max(w.bytes() / speed, rate ? 2. * s.n * s.k * m / rate : 0.);
      auto const time = [&](bool programmatic, auto sum) {
        return w.time([&](on_cuda const& on, device_nf4 const& one) { return gemm(on, w.out(m), sum(one), identity{}, launch_options{.programmatic = programmatic, .lent = lent.lend()}); }, m);
      };
      auto const bare = [&](device_nf4 const& one) { return product(w.tokens(m), one); };
      line("nf4_cuda", s, m, "programmatic", time(true, bare), theirs, limit);
      if (m == 1 || m == 64) line("nf4_cuda", s, m, "one by one", time(false, bare), theirs, limit);
      if (m <= 16 || m == 256)
        line("nf4_cuda_lora", s, m, "programmatic", time(true, [&](device_nf4 const& one) {
          return bare(one) + 2.f * product(row_major<bf16 const>(w.t.data(), m, 16), row_major<bf16 const>(w.b.data(), s.n, 16));
        }), theirs, limit);
      if (m >= 1024 && peer.handle)
        line("nf4_cuda", s, m, "dequantised first", w.time([&](on_cuda const& on, device_nf4 const& one) {
          return gemm(on, w.out(m), bare(one), identity{}, dequantise_first{peer.dense(), scratch.data(), scratch.size()});
        }, m), theirs, limit);
    }
  }
}

template <class Config>
void sweep_config(weights const& w, int m) {
  constexpr nf4_engine e = Config::engine;
  struct row { double us; nf4_tile t; };
  std::vector<row> rows;
  nf4_problem<bf16, bf16, nested_scales> p{w.x.data(), w.out(m).at, w.s.k, w.s.n, m, w.s.n, w.s.k, false, {}};
  nf4_work const work = nf4_work_of(p);
  int const warps = e.threads / 32;
  for (int split : {1, 2, 4, 8})
    for (int panels = 1; panels <= warps; ++panels)
      for (int parts = 1; parts * panels <= warps; ++parts) {
        int const blocks = split * ceil_div(work.panels, panels), held = 132 * e.blocks;
        if (blocks > 2 * held || blocks < 88 || (blocks > held && blocks < held * 9 / 5) || parts * panels * 4 < warps * 3) continue;
        nf4_tile t = with_chunk({panels, parts, split}, e, work, gpu.device);
        if (!t.chunk) continue;
        for (int const rounds = t.chunk / parts; int share : {1, 2, 4, 8}) {  // of x in shared memory at a time
          if (share > 1 && rounds < share) break;
          t.chunk = ceil_div(rounds, share) * parts;
          if (!fits(e, t, work, gpu.device)) continue;
          rows.push_back({w.time([&](on_cuda const& on, device_nf4 const& one) {
            auto of = p;
            if (auto s = detail::nf4_sum(of.sum[0], product(w.tokens(m), one), m, w.s.n); !s) return s;
            return nf4_launch<Config>(on, of, t, true, identity{});
          }), t});
        }
      }
  std::sort(rows.begin(), rows.end(), [](row a, row b) { return a.us < b.us; });
  nf4_tile const tuned = nf4_tuned(e, work, gpu.device, 132);
  std::printf("%dx%d M %d config %d,%d,%d, %d tiles, tuned (%d,%d,%d,%d):", w.s.n, w.s.k, m, e.tiles, e.threads, e.blocks, int(rows.size()), tuned.panels, tuned.parts,
              tuned.split, tuned.chunk);
  for (int i = 0; i < min(6, int(rows.size())); ++i)
    std::printf("  %.2f (%d,%d,%d,%d)", rows[i].us, rows[i].t.panels, rows[i].t.parts, rows[i].t.split, rows[i].t.chunk);
  std::printf("\n"), std::fflush(stdout);
}

template <class Config>
void sweep_stationary(weights const& w, int m) {
  struct row { double us; nf4_stationary_tile t; };
  std::vector<row> rows;
  nf4_problem<bf16, bf16, nested_scales> p{w.x.data(), w.out(m).at, w.s.k, w.s.n, m, w.s.n, w.s.k, false, {}};
  nf4_work const work = nf4_work_of(p);
  for (int split : {1, 2, 4})
    for (int panels = 1; panels <= 8; ++panels)
      for (int parts : {7, 8, 10, 12, 14, 16}) {
        nf4_stationary_tile const t{panels, parts, split};
        int const blocks = split * ceil_div(work.panels, panels);
        if (blocks < 88 || blocks > 132) continue;
        auto const launch = [&](on_cuda const& on, device_nf4 const& one) {
          auto of = p;
          if (auto s = detail::nf4_sum(of.sum[0], product(w.tokens(m), one), m, w.s.n); !s) return s;
          return nf4_stationary_launch<Config, false>(on, of, t, true, identity{});
        };
        if (launch(gpu, w.copies[0])) rows.push_back({w.time(launch), t});
      }
  std::sort(rows.begin(), rows.end(), [](row a, row b) { return a.us < b.us; });
  auto const tuned = nf4_stationary_tuned(work, 14, gpu.device, 132);
  std::printf("%dx%d M %d stationary, unit %d, %d tiles, tuned %d (%d,%d,%d):", w.s.n, w.s.k, m, Config::unit, int(rows.size()), tuned.unit, tuned.tile.panels, tuned.tile.parts, tuned.tile.split);
  for (int i = 0; i < min(6, int(rows.size())); ++i) std::printf("  %.2f (%d,%d,%d)", rows[i].us, rows[i].t.panels, rows[i].t.parts, rows[i].t.split);
  std::printf("\n"), std::fflush(stdout);
}

template <class Config>
void sweep_wide(weights const& w, int m, cublas& peer, nf4_lent lent) {
  struct row { double us; nf4_wide_tile t; };
  std::vector<row> rows;
  auto const launch = [&](on_cuda const& on, device_nf4 const& one, nf4_wide_tile t, bool programmatic) -> status {
    nf4_problem<bf16, bf16, nested_scales> p{w.x.data(), w.out(m).at, w.s.k, w.s.n, m, w.s.n, w.s.k, false, {}};
    if (auto s = detail::nf4_sum(p.sum[0], product(w.tokens(m), one), m, w.s.n); !s) return s;
    if constexpr (Config::tokens == 256)
      if (t == nf4_wide_pairs) return nf4_wide_pairs_launch<Config>(on, p, lent, programmatic, identity{});
    return nf4_wide_launch<Config>(on, p, t, 132, programmatic, identity{});
  };
  auto const add = [&](nf4_wide_tile t) {
    if (launch(gpu, w.copies[0], t, false)) rows.push_back({w.time([&](on_cuda const& on, device_nf4 const& one) { return launch(on, one, t, true); }, m), t});
  };
  for (int groups = 1; groups <= Config::groups; ++groups)
    for (int split = 1; split <= 8; ++split)
      if (m <= 256 || split <= 2) add({groups, split});
  add(nf4_wide_pairs);  // refused but for 256 tokens
  std::sort(rows.begin(), rows.end(), [](row a, row b) { return a.us < b.us; });
  auto const tuned = nf4_wide_tuned({m, ceil_div(w.s.n, 32), w.s.k, 1}, 132, nf4_wide_lent::most);
  double const few = m <= 64 ? w.time([&](on_cuda const& on, device_nf4 const& one) {
    return gemm(on, w.out(m), product(w.tokens(m), one), identity{}, {.programmatic = true, .strategy = nf4_strategy::few});
  }) : 0;
  std::printf("%dx%d M %d tokens %d, cuBLAS %.2f, few %.2f, tuned %d (%d,%d,%d):", w.s.n, w.s.k, m, Config::tokens, peer.time(w.s, m), few, tuned.tokens, tuned.tile.groups, tuned.tile.split, tuned.tile.clusters);
  for (auto const& r : rows) std::printf("  %.2f (%d,%d,%d)", r.us, r.t.groups, r.t.split, r.t.clusters);
  std::printf("\n"), std::fflush(stdout);
}
void wide(int only) {
  cublas peer;
  lent_memory const lent;
  for (shape s : shapes) {
    weights const w(s);
    for (int m : {1, 16, 32, 64, 128, 256, 1024, 4096})
      if (!only || m == only)
        for (int tokens : {32, 64, 128, 256})
          if ((tokens <= 4 * m || tokens == 32) && m <= 4 * tokens + (tokens >= 128 ? 4096 : 0) && tokens < 2 * m + 32)
            with_nf4_wide_config(tokens, [&]<class Config>() { sweep_wide<Config>(w, m, peer, lent.lend()); });
  }
}

/// A few launches for a profiler.
void once(shape s, int m) {
  weights const w(s);
  for (int i = 0; i < 4; ++i) must(gemm(gpu, w.out(m), product(w.tokens(m), w.copies[std::size_t(i)])));
  must(cudaDeviceSynchronize());
}

void sweep(int only) {
  for (shape s : shapes) {
    weights const w(s);
    for (int m : {1, 8, 16, 32, 64}) {
      if (only && m != only) continue;
      if (m <= 2) sweep_stationary<nf4_stationary_config<4>>(w, m);
      if (m <= 4) sweep_stationary<nf4_stationary_config<2>>(w, m);
      if (m <= 8) sweep_config<nf4_config<1, 512>>(w, m);
      else if (m <= 16) sweep_config<nf4_config<2, 512>>(w, m), sweep_config<nf4_config<2, 384>>(w, m);
      else if (m <= 32) sweep_config<nf4_config<4, 512>>(w, m), sweep_config<nf4_config<4, 384>>(w, m);
      else sweep_config<nf4_config<8, 256>>(w, m);
    }
  }
}

}  // namespace
}  // namespace smalti::bench

int main(int count, char** word) {
  std::string commit, date, command = "build/cuda/bench/nf4_cuda";
  int only = 0;
  auto const number = [&](int i) { return count > i ? std::atoi(word[i]) : 0; };
  if (count > 1 && !std::strcmp(word[1], "sweep")) return smalti::bench::sweep(number(2)), 0;
  if (count > 1 && !std::strcmp(word[1], "wide")) return smalti::bench::wide(number(2)), 0;
  if (count > 4 && !std::strcmp(word[1], "once")) return smalti::bench::once({number(2), number(3)}, number(4)), 0;
  for (int i = 1; i + 1 < count; i += 2) {
    if (!std::strcmp(word[i], "--commit")) commit = word[i + 1];
    if (!std::strcmp(word[i], "--date")) date = word[i + 1];
    if (!std::strcmp(word[i], "--only")) only = std::atoi(word[i + 1]);
  }
  smalti::bench::measure(commit, date, command, only);
}
