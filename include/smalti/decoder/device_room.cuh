#pragma once
// Whether a model fits a board, before anything is loaded; and which board and driver there are.

#include <string>
#include "device_batch.cuh"
#include "model.hpp"

namespace smalti {

/// Bytes of device memory that a model needs.
struct device_need {
  double layers = 0, embedding = 0, head = 0, cache = 0, work = 0;
  double total() const { return layers + embedding + head + cache + work; }
};

/// An estimate from the configuration alone; `context`: tokens of the cache; `chunk`: of a pass.
inline device_need need_of(decoder_config const& c, load_options const& o, int context, int chunk = 512) {
  auto const bits = [&](weight_kind kind) {
    if (kind == weight_kind::as_stored) kind = c.format == stored_format::nf4 ? weight_kind::nf4 : c.format == stored_format::int8 ? weight_kind::int8 : weight_kind::bf16;
    return kind == weight_kind::nf4 ? (o.nf4.double_quant ? 4.13 : 4.5) : kind == weight_kind::int8 ? 8. : 16.;
  };
  double const d = c.hidden, f = c.ffn, q = c.q_width(), kv = c.kv_width(), v = c.vocabulary, m = std::min(chunk, std::max(context, 1));
  device_need n;
  n.layers = c.layers * (d * (2 * q + 2 * kv + 3 * f)) * bits(o.weights) / 8;
  n.embedding = 2 * v * d;
  if (!c.tied) n.head = v * d * (o.head == weight_kind::as_stored ? 16 : bits(o.head)) / 8;
  n.cache = double(context) * c.layers * 2 * kv * 2;
  n.work = m * (4 * d + 2 * d + 2 * (2 * q + 2 * kv) + 2 * f) + 8 * v + 32e6;
  if (o.attention == attention_kind::eager) n.work += m * c.heads * double(context) * 2;                                                           // the scores themselves
  if (o.int8_outliers >= 0) n.work += m * (std::max(d, f) + 128) + 128 * std::max(f, 2 * kv + q);  // LLM.int8: codes, outlier columns of x and of W
  return n;
}

namespace detail {
inline std::string gib(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", bytes / 1073741824.);
  return text;
}
}  // namespace detail

/// Throws cuda.1: no board, or a driver older than the toolkit.
inline void check_device() {
  int driver = 0, runtime = 0;
  (void)cudaDriverGetVersion(&driver), (void)cudaRuntimeGetVersion(&runtime);
  auto const version = [](int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 100 / 10); };
  if (driver / 1000 < runtime / 1000)
    throw error("cuda.1", driver ? "the driver knows CUDA " + version(driver) + "; this program was built with " + version(runtime) + " and needs a driver of at least " +
                                       version(runtime / 1000 * 1000)
                                 : std::string("no driver for a CUDA device was found"));
  int boards = 0;
  if (cudaError_t const e = cudaGetDeviceCount(&boards); e != cudaSuccess || boards == 0)
    throw error("cuda.1", std::string("no usable CUDA device: ") + (e != cudaSuccess ? cudaGetErrorString(e) : "none is there"));
}

/// The current board with a stream of its own. Throws cuda.1.
class device_stream {
 public:
  device_stream() {
    check_device();
    int board = 0, major = 0;
    detail::require_cuda(cudaGetDevice(&board), "open a device"), detail::require_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, board), "open a device");
    where_.device = major == 9 ? sm_90a : sm_80;
    detail::require_cuda(cudaStreamCreateWithFlags(&where_.stream, cudaStreamNonBlocking), "open a device");
  }
  device_stream(device_stream const&) = delete;
  ~device_stream() { (void)cudaStreamDestroy(where_.stream); }
  on_cuda where() const { return where_; }

 private:
  on_cuda where_;
};

/// What a board's memory and tensor cores can do at most, for shares of it: measured on an H200 (copy, bf16 product), elsewhere from its clocks.
struct board_limit {
  double bytes_per_second, flops_per_second;
};
inline board_limit board_limits() {
  int board = 0, major = 0, count = 132, memory = 0, bus = 0, clock = 0;
  (void)cudaGetDevice(&board);
  auto const ask = [&](int& to, cudaDeviceAttr what) { (void)cudaDeviceGetAttribute(&to, what, board); };
  ask(major, cudaDevAttrComputeCapabilityMajor), ask(count, cudaDevAttrMultiProcessorCount), ask(memory, cudaDevAttrMemoryClockRate), ask(bus, cudaDevAttrGlobalMemoryBusWidth);
  ask(clock, cudaDevAttrClockRate);
  if (major == 9) return {0.88 * 2e3 * memory * bus / 8, 788e12 * count / 132};
  return {0.88 * 2e3 * memory * bus / 8, 2048e3 * double(clock) * count};
}

/// Throws cuda.1, and model.32: too little memory; how much is needed, and what would fit.
inline void check_device_room(decoder_config const& c, load_options const& o, int context) {
  check_device();
  std::size_t left = 0, all = 0;
  detail::require_cuda(cudaMemGetInfo(&left, &all), "memory of the device");
  if (context <= 0) context = min(c.max_positions, 4096);
  device_need const n = need_of(c, o, context);
  if (n.total() <= double(left)) return;
  std::string advice;
  load_options four = o;
  four.weights = four.head = weight_kind::nf4;
  double const fixed = n.total() - n.cache, token = n.cache / context, spare = double(left) - fixed;
  if (spare >= 128 * token) advice = "; a context of " + std::to_string(int(spare / token) / 128 * 128) + " tokens would fit";
  else if (double const least = need_of(c, four, context).total(); least < n.total() && least <= double(left)) advice = "; with NF4 weights and head it would need " + detail::gib(least);
  else advice = "; even NF4 would need " + detail::gib(least);
  throw error("model.32", c.architecture + " of " + std::to_string(c.layers) + " layers needs " + detail::gib(n.total()) + " of device memory (weights " +
                              detail::gib(n.layers + n.embedding + n.head) + ", cache of " + std::to_string(context) + " tokens " + detail::gib(n.cache) + ", working memory " +
                              detail::gib(n.work) + "); " + detail::gib(double(left)) + " of " + detail::gib(double(all)) + " are free" + advice);
}

}  // namespace smalti
