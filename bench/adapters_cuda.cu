// What an adapter costs beside an NF4 product on a device, its x · Aᵀ included: one for all rows, and eight for the rows of a batch, in the
// product's sums or behind it by rows. Lines of JSON, a case and a peer each; every way was compared with the others first.
//   adapters_cuda [--commit HASH] [--date DAY]

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <smalti/decoder/device_inputs.cuh>
#include <smalti/decoder/device_kernels.cuh>
#include <smalti/gemm/cuda.cuh>
#include <smalti/gemm/dense.cuh>
#include <smalti/gemm/lora_rows.cuh>

namespace smalti::bench {
namespace {

void must(cudaError_t e) { if (e != cudaSuccess) std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(e)), std::exit(1); }
void must(status s) { if (!s) std::fprintf(stderr, "%s: %s\n", s.id, s.why), std::exit(1); }

on_cuda const gpu = [] {
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  on_cuda where{nullptr, major == 9 ? sm_90a : sm_80};
  must(cudaStreamCreateWithFlags(&where.stream, cudaStreamNonBlocking));
  return where;
}();

device_buffer<bf16> random_buffer(std::size_t n, uint64_t seed, float size) {
  device_buffer<bf16> b(n);
  detail::decoder_random_kernel<<<2112, 256, 0, gpu.stream>>>(b.data(), index(n), seed, size);
  return must(cudaGetLastError()), std::move(b);
}

constexpr int rank = 16, most = 8, most_rows = 64;  ///< of an adapter · adapters · of x
struct shape { int n, k; };
constexpr shape shapes[] = {{28672, 4096}, {4096, 14336}, {6144, 4096}, {4096, 4096}};

/// One layer's weight with eight adapters, stacked for products and apart for rows.
struct layer {
  device_nf4 w;
  device_dense<bf16> a, a_first;   // (8 · 16, K) · (16, K)
  device_buffer<bf16> b;           // (N, 8 · 16)
  device_buffer<bf16> b_first;     // (N, 16): the first adapter's
  device_loras<bf16> rows, first;  // of eight · of the first alone
  mutable device_buffer<unsigned> ready = device_buffer<unsigned>(1);  // see launch_options
};

/// b (N, 16) of adapter i ← columns of the stack.
__global__ void unstack(bf16* to, bf16 const* from, int n, int i) {
  for (int at = int(blockIdx.x * blockDim.x + threadIdx.x); at < n * rank; at += int(gridDim.x * blockDim.x)) to[at] = from[at / rank * rank * most + i * rank + at % rank];
}

layer make_layer(shape s, device_nf4 const& w, uint64_t seed) {
  layer l{copy(gpu, w), {most * rank, s.k, random_buffer(std::size_t(most) * rank * s.k, seed, 0.02f)}, make_device_dense<bf16>(rank, s.k), random_buffer(std::size_t(s.n) * most * rank, seed + 1, 0.02f),
          device_buffer<bf16>(std::size_t(s.n) * rank), {s.n, s.k, rank}, {s.n, s.k, rank}};
  unstack<<<512, 256, 0, gpu.stream>>>(l.b_first.data(), l.b.data(), s.n, 0);
  must(cudaMemcpyAsync(l.a_first.at.data(), l.a.at.data(), l.a_first.at.bytes(), cudaMemcpyDeviceToDevice, gpu.stream));
  l.rows.values = device_buffer<bf16>(std::size_t(most) * rank * s.n);
  std::vector<lora_entry<bf16>> entries;
  for (int i = 0; i < most; ++i) {
    bf16* const b = l.rows.values.data() + std::size_t(i) * rank * s.n;
    unstack<<<512, 256, 0, gpu.stream>>>(b, l.b.data(), s.n, i);
    entries.push_back({l.a.at.data() + std::size_t(i) * rank * s.k, b, rank, 1.f});
  }
  l.rows.entries = upload(gpu, entries.data(), entries.size()), l.first.entries = upload(gpu, entries.data(), 1);
  must(cudaGetLastError()), must(cudaStreamSynchronize(gpu.stream));
  return l;
}

struct inputs {
  device_buffer<bf16> x, t = device_buffer<bf16>(most_rows * most * rank), y;
  device_buffer<int> of_row, of_column, zero;                       // adapters of rows (in turn) and of the stack's columns · all rows the first
  row_groups eight{most_rows, most}, one{most_rows, 1};
};

/// t (M, r) = x · Aᵀ for the first `r` rows of A; columns of other adapters 0 where rows name theirs.
void shrink(on_cuda const& on, layer const& l, inputs& in, int m, int r, bool by_row, bool dense) {
  auto const x = row_major<bf16 const>(in.x.data(), m, l.w.k);
  auto const to = row_major(in.t.data(), m, r);
  int const* const of_row = by_row ? in.of_row.data() : nullptr;
  if (!dense || m <= detail::input_rows) return must(detail::launch_inputs(on, {to, x, l.a.at.data(), l.w.k, in.of_column.data(), of_row, l.ready.data()}));
  must(gemm(on, to, product(x, r == rank ? l.a_first : l.a), identity{}, detail::overlapped));
  if (by_row) must(detail::launch(on, detail::overlapped, detail::decoder_mask_kernel, dim3(unsigned(m)), 128, 0, to.at, r, static_cast<int const*>(in.of_column.data()), of_row));
}

enum class way { bare, one_in_sums, eight_in_sums, one_by_rows, eight_by_rows, one_dense, eight_dense, ways };
constexpr char const* name_of(way w) {
  constexpr char const* names[] = {"bare", "in the sums", "in the sums", "by rows", "by rows", "in the sums, t dense", "in the sums, t dense"};
  return names[int(w)];
}

void run(on_cuda const& on, way how, layer const& l, inputs& in, int m) {
  launch_options early{.programmatic = true};
  auto const y = row_major(in.y.data(), m, l.w.n);
  auto const bare = product(row_major<bf16 const>(in.x.data(), m, l.w.k), l.w);
  if (how != way::bare && how != way::one_by_rows && how != way::eight_by_rows) {
    bool const all = how == way::eight_in_sums || how == way::eight_dense;
    int const r = all ? most * rank : rank;
    bool const dense = how == way::one_dense || how == way::eight_dense, raises = detail::inputs_raise(on, m, r, l.w.k) && (!dense || m <= detail::input_rows);
    shrink(on, l, in, m, r, all, dense);
    early.ready = raises ? l.ready.data() : nullptr;
    return must(gemm(on, y, bare + product(row_major<bf16 const>(in.t.data(), m, r), row_major<bf16 const>(all ? l.b.data() : l.b_first.data(), l.w.n, r)), identity{}, early));
  }
  must(gemm(on, y, bare, identity{}, early));
  if (how == way::bare) return;
  bool const all = how == way::eight_by_rows;
  must(add_loras(on, y, row_major<bf16 const>(in.x.data(), m, l.w.k), all ? l.rows : l.first, all ? in.eight : in.one, row_major(in.t.data(), m, rank), detail::overlapped));
}

std::vector<float> result(way how, layer const& l, inputs& in, int m) {
  must(cudaMemsetAsync(in.y.data(), 0xff, in.y.bytes(), gpu.stream)), must(cudaMemsetAsync(in.t.data(), 0xff, in.t.bytes(), gpu.stream));
  run(gpu, how, l, in, m);
  auto const all = download(gpu, in.y);
  std::vector<float> y;
  for (std::size_t i = 0; i < std::size_t(m) * std::size_t(l.w.n); ++i) y.push_back(float(all[i]));
  return y;
}
/// ‖a − b‖ / ‖b‖.
double distance(std::vector<float> const& a, std::vector<float> const& b) {
  double off = 0, norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) off += (double(a[i]) - b[i]) * (double(a[i]) - b[i]), norm += double(b[i]) * b[i];
  return std::isnan(off) ? INFINITY : std::sqrt(off / norm);
}

/// Median µs of one of the layers' calls, in a graph that goes through all of them.
double time(way how, std::vector<layer> const& layers, inputs& in, int m) {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  must(cudaStreamBeginCapture(gpu.stream, cudaStreamCaptureModeThreadLocal));
  for (auto const& l : layers) run(gpu, how, l, in, m);
  must(cudaStreamEndCapture(gpu.stream, &graph)), must(cudaGraphInstantiate(&exec, graph, 0));
  cudaEvent_t begin, end;
  must(cudaEventCreate(&begin)), must(cudaEventCreate(&end));
  std::vector<float> ms;
  for (int i = 0; i < 40; ++i) {
    must(cudaEventRecord(begin, gpu.stream)), must(cudaGraphLaunch(exec, gpu.stream)), must(cudaEventRecord(end, gpu.stream)), must(cudaEventSynchronize(end));
    float t;
    must(cudaEventElapsedTime(&t, begin, end));
    if (i >= 15) ms.push_back(t);
  }
  must(cudaGraphExecDestroy(exec)), must(cudaGraphDestroy(graph)), must(cudaEventDestroy(begin)), must(cudaEventDestroy(end));
  std::sort(ms.begin(), ms.end());
  return 1e3 * ms[ms.size() / 2] / double(layers.size());
}

void measure(std::string const& commit, std::string const& date) {
  cudaDeviceProp board;
  must(cudaGetDeviceProperties(&board, 0));
  auto const line = [&](shape s, int m, int adapters, way how, double ours, char const* peer, double theirs) {
    std::printf("{\"bench\": \"adapters_cuda\", \"case\": {\"n\": %d, \"k\": %d, \"m\": %d, \"rank\": %d, \"adapters\": %d, \"way\": \"%s\"}, \"unit\": \"us\", \"ours\": %.2f, \"peer\": \"%s\", "
                "\"peer_value\": %.2f, \"ratio\": %.3f, \"limit\": null, \"board\": \"%s\", \"toolkit\": \"CUDA %d.%d\", \"commit\": \"%s\", \"date\": \"%s\", \"command\": \"adapters_cuda\"}\n",
                s.n, s.k, m, rank, adapters, name_of(how), ours, peer, theirs, theirs / ours, board.name, CUDART_VERSION / 1000, CUDART_VERSION % 100 / 10, commit.c_str(), date.c_str());
    std::fflush(stdout);
  };
  for (shape s : shapes) {
    auto const plain = random_buffer(std::size_t(s.n) * s.k, 7, 0.02f);
    auto const w = pack(gpu, quantise_nf4(gpu, row_major<bf16 const>(plain.data(), s.n, s.k)));
    std::vector<layer> layers;
    while (layers.size() < 8 || double(layers.size()) * double(bytes_of(w)) < 2e8) layers.push_back(make_layer(s, w, 20 + 2 * layers.size()));
    inputs in{random_buffer(std::size_t(most_rows) * s.k, 1, 1.f)};
    in.y = device_buffer<bf16>(std::size_t(most_rows) * s.n);
    std::vector<int> of_row, of_column;
    for (int i = 0; i < most_rows; ++i) of_row.push_back(i % most);
    for (int i = 0; i < most * rank; ++i) of_column.push_back(i / rank);
    in.of_row = upload(gpu, of_row.data(), of_row.size()), in.of_column = upload(gpu, of_column.data(), of_column.size());
    in.zero = device_buffer<int>(most_rows);
    must(cudaMemsetAsync(in.zero.data(), 0, in.zero.bytes(), gpu.stream)), must(cudaStreamSynchronize(gpu.stream));
    for (int m : {1, 4, 16, 32, 64}) {
      must(sort_rows(gpu, in.eight, in.of_row.data(), m)), must(sort_rows(gpu, in.one, in.zero.data(), m));
      auto const one = result(way::one_in_sums, layers[0], in, m), eight = result(way::eight_in_sums, layers[0], in, m), bare = result(way::bare, layers[0], in, m);
      // y is rounded to bf16 once in the sums and twice behind them: 2^-9 / √3 of it each; an adapter changes y by 0.3 % (weights of 0.02, rank 16) or more.
      double off = std::max(distance(result(way::one_by_rows, layers[0], in, m), one), distance(result(way::eight_by_rows, layers[0], in, m), eight));
      off = std::max({off, distance(result(way::one_dense, layers[0], in, m), one), distance(result(way::eight_dense, layers[0], in, m), eight)});
      if (!(off < 4e-3) || !(distance(bare, one) > 2 * off)) std::fprintf(stderr, "%d x %d, M %d: ways differ by %g, an adapter changes %g\n", s.n, s.k, m, off, distance(bare, one)), std::exit(1);
      double t[int(way::ways)];
      for (int i = 0; i < int(way::ways); ++i) t[i] = time(way(i), layers, in, m);
      bool const few = m <= detail::input_rows;  // there t has a kernel of its own, and dense is not another way
      double const single = std::min({t[int(way::one_in_sums)], t[int(way::one_by_rows)], t[int(way::one_dense)]});
      for (way how : {way::one_in_sums, way::one_by_rows, way::one_dense})
        if (how != way::one_dense || !few) line(s, m, 1, how, t[int(how)], "bare product", t[0]);
      for (way how : {way::eight_in_sums, way::eight_by_rows, way::eight_dense})
        if (m >= most && (how != way::eight_dense || !few)) line(s, m, most, how, t[int(how)], "bare product", t[0]), line(s, m, most, how, t[int(how)], "single adapter", single);
    }
  }
}

}  // namespace
}  // namespace smalti::bench

int main(int count, char** word) {
  std::string commit, date;
  for (int i = 1; i + 1 < count; i += 2) {
    if (!std::strcmp(word[i], "--commit")) commit = word[i + 1];
    if (!std::strcmp(word[i], "--date")) date = word[i + 1];
  }
  try {
    smalti::bench::measure(commit, date);
  } catch (std::exception const& e) {
    return std::fprintf(stderr, "adapters_cuda: %s\n", e.what()), 1;
  }
}
