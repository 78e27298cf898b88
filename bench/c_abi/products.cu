// The bodies of products.h.

#include "products.h"
#include <smalti/gemm/dense.cuh>
#include <smalti/gemm/nf4_dequantise.cuh>
#include <smalti/gemm/cuda.cuh>
#include <memory>
#include <string>
#include <variant>

#if !defined(SMALTI_COMMIT)
  #define SMALTI_COMMIT "unknown"
#endif

using namespace smalti;

struct smalti_weight {
  std::variant<device_nf4, device_int8> packed;
  device_nf4_data file = {};     // of NF4: in the file's order
  smalti_nf4_file shown = {};
};

namespace {
thread_local std::string why;

on_cuda const gpu = [] {
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  return on_cuda{nullptr, major == 9 ? sm_90a : sm_80};
}();

char const* explained(status s) { return s ? nullptr : (why = std::string(s.id) + ": " + s.why).c_str(); }

template <class F>
smalti_weight* made(F&& f) try {
  auto w = std::make_unique<smalti_weight>(f());
  detail::require_cuda(cudaDeviceSynchronize(), "make a weight");
  return w.release();
} catch (std::exception const& e) {
  return why = e.what(), nullptr;
}

smalti_weight of(device_nf4_data file) {
  smalti_weight w{pack(gpu, file), std::move(file)};
  auto const& f = w.file;
  w.shown = {f.n, f.k, f.code.data(), f.absmax.data(), f.absmax_code.data(), f.nested_absmax.data(), f.nested_map.data(), f.nested_offset};
  return w;
}
template <class T>
device_buffer<T> copied(void const* from, std::size_t count) {
  if (!from) return {};
  device_buffer<T> to(count);
  detail::require_cuda(cudaMemcpy(to.data(), from, to.bytes(), cudaMemcpyDeviceToDevice), "copy a weight");
  return to;
}
}  // namespace

extern "C" {

smalti_weight* smalti_nf4(void const* w, int n, int k, int double_quant) {
  return made([&] { return of(quantise_nf4(gpu, row_major(static_cast<bf16 const*>(w), n, k), {.double_quant = double_quant != 0})); });
}
smalti_weight* smalti_nf4_of(smalti_nf4_file const* f) {
  return made([&] {
    std::size_t const blocks = std::size_t(f->n) * std::size_t(f->k) / 64;
    device_nf4_data to{.n = f->n, .k = f->k};
    to.code = copied<uint8_t>(f->code, blocks * 32), to.absmax = copied<float>(f->absmax, blocks), to.absmax_code = copied<uint8_t>(f->absmax_code, blocks);
    to.nested_absmax = copied<float>(f->nested_absmax, (blocks + 255) / 256), to.nested_map = copied<float>(f->nested_map, 256), to.nested_offset = f->nested_offset;
    return of(std::move(to));
  });
}
smalti_weight* smalti_int8(void const* w, int n, int k) {
  return made([&] { return smalti_weight{quantise_int8(gpu, row_major(static_cast<bf16 const*>(w), n, k))}; });
}
void smalti_free(smalti_weight* w) { delete w; }
smalti_nf4_file const* smalti_nf4_file_of(smalti_weight const* w) { return &w->shown; }
char const* smalti_why(void) { return why.c_str(); }

char const* smalti_dequantise(smalti_weight const* w, void* out, int wide) try {
  status s;
  if (auto const* q = std::get_if<device_int8>(&w->packed)) {
    s = wide ? dequantise(gpu, *q, row_major(static_cast<float*>(out), q->n, q->k)) : dequantise(gpu, *q, row_major(static_cast<bf16*>(out), q->n, q->k));
  } else {
    auto const& p = std::get<device_nf4>(w->packed);
    if (!wide) s = dequantise(gpu, p, row_major(static_cast<bf16*>(out), p.n, p.k));
    else {
      auto const back = unpack(gpu, p);
      s = dequantise(gpu, back, row_major(static_cast<float*>(out), p.n, p.k));
      if (s) s = explain(cudaDeviceSynchronize());
    }
  }
  if (s) s = explain(cudaDeviceSynchronize());
  return explained(s);
} catch (std::exception const& e) {
  return (why = e.what()).c_str();
}

char const* smalti_product(smalti_weight const* w, void const* x, void* y, int m, int programmatic, void* stream) {
  on_cuda on = gpu;
  on.stream = static_cast<cudaStream_t>(stream);
  bool const order = programmatic != 0;
  if (auto const* q = std::get_if<device_nf4>(&w->packed))
    return explained(gemm(on, row_major(static_cast<bf16*>(y), m, q->n), product(row_major(static_cast<bf16 const*>(x), m, q->k), *q), identity{}, launch_options{.programmatic = order}));
  auto const& i = std::get<device_int8>(w->packed);
  return explained(gemm(on, row_major(static_cast<bf16*>(y), m, i.n), product(row_major(static_cast<bf16 const*>(x), m, i.k), i), identity{}, launch_order{.programmatic = order}));
}

char const* smalti_commit(void) { return SMALTI_COMMIT; }
char const* smalti_toolkit(void) {
  static std::string const name = "CUDA " + std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 100 / 10);
  return name.c_str();
}

}  // extern "C"
