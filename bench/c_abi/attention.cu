// The C interface's one switch. Each dtype, mask and engine is compiled in a unit of its own (instance.cu).

#include "attention.h"

#include <cuda_runtime.h>
#include <smalti/core/status.hpp>

#include <string>
#include <vector>

#if !defined(SMALTI_COMMIT)
  #define SMALTI_COMMIT "unknown"
#endif
#define SMALTI_TEXT(x) #x
#define SMALTI_VERSION_TEXT(major, minor) "CUDA " SMALTI_TEXT(major) "." SMALTI_TEXT(minor)

namespace smalti::c_abi {
template <int Dtype, int Mask, int Engine>
status run(smalti_attention_problem const& c);     // instance.cu
status decode(smalti_attention_problem const& c);  // decode.cu
status fp8(smalti_attention_problem const& c);     // fp8.cu

/// run of a dtype and mask, both engines.
#define SMALTI_ENGINES(dtype, mask) {run<dtype, mask, smalti_common>, run<dtype, mask, smalti_best>}
constexpr decltype(&run<0, 0, 0>) table[2][2][2] = {{SMALTI_ENGINES(smalti_bf16, smalti_full), SMALTI_ENGINES(smalti_bf16, smalti_causal)},
                                                    {SMALTI_ENGINES(smalti_f16, smalti_full), SMALTI_ENGINES(smalti_f16, smalti_causal)}};

status call(smalti_attention_problem const& c) {
  if (c.engine == smalti_decode) return decode(c);
  if (c.dtype == smalti_e4m3 && c.engine == smalti_best && (c.mask == smalti_full || c.mask == smalti_causal)) return fp8(c);
  if (c.dtype < 0 || c.dtype > 1 || c.mask < 0 || c.mask > 1 || (c.engine != smalti_common && c.engine != smalti_best))
    return {"c_abi", "no such dtype, mask or engine"};
  return table[c.dtype][c.mask][c.engine == smalti_best](c);
}

char const* first_kernel(cudaGraph_t graph) {
  std::size_t count = 0;
  cudaGraphGetNodes(graph, nullptr, &count);
  std::vector<cudaGraphNode_t> nodes(count);
  cudaGraphGetNodes(graph, nodes.data(), &count);
  for (auto node : nodes) {
    char const* name = nullptr;
    cudaGraphNodeType type{};
    cudaKernelNodeParams kernel{};
    if (cudaGraphNodeGetType(node, &type) == cudaSuccess && type == cudaGraphNodeTypeKernel && cudaGraphKernelNodeGetParams(node, &kernel) == cudaSuccess &&
        cudaFuncGetName(&name, kernel.func) == cudaSuccess)
      return name;
  }
  return nullptr;
}
}  // namespace smalti::c_abi

char const* smalti_attention(smalti_attention_problem const* c) {
  thread_local std::string message;
  auto const s = smalti::c_abi::call(*c);
  if (s) return nullptr;
  message = std::string(s.id) + ": " + s.why;
  return message.c_str();
}

// A captured call is a graph that nobody launches; its first kernel node knows its function.
char const* smalti_attention_kernel(smalti_attention_problem const* c) {
  char const* name = nullptr;
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return nullptr;
  if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
    auto captured = *c;
    captured.stream = stream;
    bool const ran = bool(smalti::c_abi::call(captured));
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess && ran) name = smalti::c_abi::first_kernel(graph);
  }
  if (graph) cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  cudaGetLastError();  // a refusal leaves nothing behind
  return name;
}

char const* smalti_commit(void) { return SMALTI_COMMIT; }
char const* smalti_toolkit(void) { return SMALTI_VERSION_TEXT(__CUDACC_VER_MAJOR__, __CUDACC_VER_MINOR__); }
