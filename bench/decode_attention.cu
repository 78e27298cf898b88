// Decode attention in a CUDA graph over rotating buffers, so that neither launches nor the L2 cache flatter it: JSON lines.
//   bench_decode_attention [B×KV …] [--heads 32] [--kv-heads 8] [--queries 1] [--page 0] [--split 0] [--copies] [--serial | --early]
// GB/s counts K and V once. `limit` is the datasheet's bandwidth of an H200.

#include <smalti/attention/decode.cuh>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace smalti;

void require(cudaError_t e, int line) {
  if (e != cudaSuccess) std::fprintf(stderr, "line %d: %s\n", line, cudaGetErrorString(e)), std::exit(1);
}
#define SMALTI_REQUIRE(x) require((x), __LINE__)

__device__ unsigned hashed(unsigned x) {
  x ^= x >> 16, x *= 0x7feb352du, x ^= x >> 15, x *= 0x846ca68bu;
  return x ^ x >> 16;
}
__global__ void fill_normal(bf16* to, std::size_t n, unsigned seed) {  // Box-Muller over a hash
  for (std::size_t i = blockIdx.x * std::size_t(blockDim.x) + threadIdx.x; i < n; i += std::size_t(gridDim.x) * blockDim.x) {
    unsigned const at = unsigned(i) * 2 + seed * 2654435761u;
    float const u = (hashed(at) + 1.f) * 2.3283064e-10f, t = hashed(at + 1) * 1.4629180e-9f;
    to[i] = bf16(sqrtf(-2.f * logf(u)) * cosf(t));
  }
}
template <class T>
T* device(std::size_t n) {
  void* p = nullptr;
  SMALTI_REQUIRE(cudaMalloc(&p, std::max(n, std::size_t(1)) * sizeof(T)));
  return static_cast<T*>(p);
}

struct settings {
  int B = 1, KV = 8192, heads = 32, kv_heads = 8, queries = 1, page = 0, split = 0;
  bool copies = false, serial = false, early = false;
};

template <attention_shape S, class Tuning>
void run(char const* tile, settings n) {
  std::size_t const elements = std::size_t(n.B) * n.kv_heads * n.KV * S.head_dim, bytes = 4 * elements;
  int const sets = int(std::clamp<std::size_t>((std::size_t(1) << 29) / bytes + 1, 4, 64)), calls = std::max(sets, 8);
  std::size_t const nq = std::size_t(n.B) * n.heads * n.queries * S.head_dim;
  bf16 *const kv = device<bf16>(2 * elements * sets), *const q = device<bf16>(nq), *const o = device<bf16>(nq);
  fill_normal<<<2048, 256>>>(kv, 2 * elements * sets, 1), fill_normal<<<256, 256>>>(q, nq, 2);
  on_cuda where{nullptr, sm_90a};
  SMALTI_REQUIRE(cudaStreamCreateWithFlags(&where.stream, cudaStreamNonBlocking));
  int const pages = n.page ? n.KV / n.page : 0;
  std::vector<int> table(std::size_t(n.B) * pages);
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = int(i * 7919 % table.size());  // scattered
  int* const ids = device<int>(table.size());
  SMALTI_REQUIRE(cudaMemcpy(ids, table.data(), table.size() * 4, cudaMemcpyHostToDevice));
  auto problem = [&](int i) {
    bf16 *const k = kv + 2 * elements * (i % sets), *const v = k + elements;
    auto const cache = [&](bf16* at) {
      return n.page ? row_major<bf16 const>(at, n.B * pages, n.kv_heads, n.page, S.head_dim) : row_major<bf16 const>(at, n.B, n.kv_heads, n.KV, S.head_dim);
    };
    return attention_problem<bf16>{row_major<bf16 const>(q, n.B, n.heads, n.queries, S.head_dim), cache(k), cache(v), row_major(o, n.B, n.heads, n.queries, S.head_dim),
                                   {}, 1 / std::sqrt(float(S.head_dim)), {}, n.page ? page_table{ids, n.page, pages} : page_table{}};
  };
  decode_options const options{.split = n.split, .programmatic = !n.serial, .early = n.early, .copies = n.copies};
  std::size_t const room = decode_workspace_bytes<Tuning>(where, problem(0), options);
  decode_workspace const w{device<char>(room), room};
  SMALTI_REQUIRE(cudaMemset(w.at, 0, room));
  SMALTI_REQUIRE(cudaDeviceSynchronize());
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  SMALTI_REQUIRE(cudaStreamBeginCapture(where.stream, cudaStreamCaptureModeGlobal));
  for (int i = 0; i < calls; ++i)
    if (auto s = decode_attention_for<S, Tuning>(where, problem(i), w, full{}, options); !s) std::fprintf(stderr, "%s: %s\n", s.id, s.why), std::exit(1);
  SMALTI_REQUIRE(cudaStreamEndCapture(where.stream, &graph));
  SMALTI_REQUIRE(cudaGraphInstantiate(&exec, graph, 0));
  cudaEvent_t a, b;
  SMALTI_REQUIRE(cudaEventCreate(&a)), SMALTI_REQUIRE(cudaEventCreate(&b));
  std::vector<float> us;
  for (int i = 0; i < 25; ++i) {
    float ms;
    SMALTI_REQUIRE(cudaEventRecord(a, where.stream)), SMALTI_REQUIRE(cudaGraphLaunch(exec, where.stream)), SMALTI_REQUIRE(cudaEventRecord(b, where.stream));
    SMALTI_REQUIRE(cudaEventSynchronize(b)), SMALTI_REQUIRE(cudaEventElapsedTime(&ms, a, b));
    if (i >= 4) us.push_back(ms * 1000 / float(calls));
  }
  std::sort(us.begin(), us.end());
  float const t = us[us.size() / 2];
  std::printf("{\"bench\": \"decode_attention\", \"case\": {\"batch\": %d, \"keys\": %d, \"heads\": %d, \"kv_heads\": %d, \"head_dim\": %d, \"queries\": %d, \"page\": %d, "
              "\"split\": %d, \"source\": \"%s\", \"tile\": \"%s\", \"launch\": \"%s\"}, \"unit\": \"GB/s\", \"ours\": %.0f, \"us\": %.2f, \"limit\": 4800}\n",
              n.B, n.KV, n.heads, n.kv_heads, S.head_dim, n.queries, n.page, n.split, n.copies ? "cp.async" : "tma", tile, n.serial ? "serial" : n.early ? "early" : "programmatic",
              double(bytes) / t / 1e3, t);
  std::fflush(stdout);
  SMALTI_REQUIRE(cudaGraphExecDestroy(exec)), SMALTI_REQUIRE(cudaGraphDestroy(graph)), SMALTI_REQUIRE(cudaStreamDestroy(where.stream));
  for (void* p : {static_cast<void*>(kv), static_cast<void*>(q), static_cast<void*>(o), static_cast<void*>(ids), w.at}) SMALTI_REQUIRE(cudaFree(p));
}

}  // namespace

int main(int argc, char** argv) {
  settings n;
  std::vector<std::pair<int, int>> shapes;
  for (int i = 1; i < argc; ++i) {
    std::string const a = argv[i];
    auto const value = [&] { return i + 1 < argc ? std::atoi(argv[++i]) : 0; };
    if (a == "--heads") n.heads = value();
    else if (a == "--kv-heads") n.kv_heads = value();
    else if (a == "--queries") n.queries = value();
    else if (a == "--page") n.page = value();
    else if (a == "--split") n.split = value();
    else if (a == "--copies") n.copies = true;
    else if (a == "--serial") n.serial = true;
    else if (a == "--early") n.early = true;
    else if (int b, m; std::sscanf(a.c_str(), "%dx%d", &b, &m) == 2) shapes.push_back({b, m});
    else return std::fprintf(stderr, "unknown argument %s\n", a.c_str()), 1;
  }
  if (shapes.empty()) shapes = {{1, 1024}, {1, 8192}, {1, 32768}, {16, 1024}, {16, 8192}, {16, 32768}, {64, 1024}, {64, 8192}};
  for (auto [b, m] : shapes) {
    n.B = b, n.KV = m;
    run<attention_shape{128, 2}, decode_tuned>("tuned", n);
#if defined(SMALTI_SWEEP)
    run<attention_shape{128, 2}, fixed_decode<decode_tile{32, 1, 4}>>("32x1x4", n);
    run<attention_shape{128, 2}, fixed_decode<decode_tile{32, 2, 4}>>("32x2x4", n);
    run<attention_shape{128, 2}, fixed_decode<decode_tile{16, 3, 4}>>("16x3x4", n);
    run<attention_shape{128, 2}, fixed_decode<decode_tile{32, 1, 8}>>("32x1x8", n);
#endif
  }
}
