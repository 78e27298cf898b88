#pragma once
// Hopper's engine through NVRTC. Its copy engine wants descriptions of Q, K, V and O, which the driver makes on the host; the launch's plan
// is a struct of device code, so a kernel of one thread lays it out and this compiler need not know it.

#include <smalti/attention/problem.hpp>
#include <smalti/attention/sm90_tile.hpp>
#include <smalti/cuda/tensor_map.cuh>

#include <algorithm>

#include "compile.hpp"

namespace nvrtc {
using namespace smalti;

/// Compiled beside the engine. What make_plan of sm90.cuh does for one contiguous problem under a causal mask.
inline constexpr char const* hopper_source = R"(
#include <smalti/attention/sm90.cuh>
using namespace smalti;
template <int D, class Tuning>
__global__ void lay_out(detail::sm90_plan<bf16>* to, int* bytes, CUtensorMap q, CUtensorMap k, CUtensorMap v, CUtensorMap o, CUtensorMap o_row, attention_problem<bf16> p, unsigned* ticket) {
  constexpr attention_tile T = Tuning{}(attention_shape{D, 2}, sm_90a);
  detail::sm90_plan<bf16> plan{};
  plan.q = q, plan.k = k, plan.v = v, plan.o = o, plan.o_row = o_row, plan.problem = p, plan.ticket = ticket;
  plan.rows = T.q, plan.copy_rows = T.kv, plan.whole = plan.last_first = true, plan.divide(int(p.q.extent[2]), true);
  plan.slices = p.slices(), plan.blocks = ceil_div(int(p.q.extent[2]), T.q);
  plan.section = int(min(max((index(8) << 20) / (p.k.extent[2] * D * 4), index(1)), index(plan.slices)));  // K and V of 8 MB share the L2 cache
  plan.tail = (plan.slices - 1) / plan.section * plan.section;
  *to = plan, bytes[0] = int(sizeof plan), bytes[1] = int(sizeof(detail::sm90_storage<T, D, D, bf16>));
}
)";

inline std::string hopper_tuning(attention_tile t) {
  return "smalti::fixed<smalti::attention_tile{" + std::to_string(t.q) + "," + std::to_string(t.kv) + "," + std::to_string(t.stages) + "," +
         std::to_string(t.warps) + "}>";
}

/// names[0]: the engine, names[1]: lay_out.
inline code compile_hopper(attention_tile t, int head_dim, std::vector<std::string> const& folders) {
  auto const d = std::to_string(head_dim), tuning = hopper_tuning(t);
  return compile(hopper_source,
                 {"smalti::attention_sm90_kernel<" + d + "," + d + "," + tuning + ",smalti::bf16,smalti::causal>", "lay_out<" + d + "," + tuning + ">"},
                 "sm_90a", folders);
}

/// A launch of that engine, ready to be repeated.
struct hopper_launch {
  std::vector<unsigned char> plan = std::vector<unsigned char>(4096);
  int bytes[2] = {};  ///< of the plan · of shared memory
  unsigned* ticket = nullptr;
  dim3 grid, block;

  hopper_launch(cudaKernel_t lay_out, attention_tile t, attention_problem<bf16> p) {
    CUtensorMap q, k, v, o, o_row;
    for (auto s : {detail::tensor_map(q, p.q, 64), detail::tensor_map(k, p.k, t.kv), detail::tensor_map(v, p.v, t.kv), detail::tensor_map(o, p.o, 16),
                   detail::tensor_map(o_row, p.o, 1)})
      if (!s) throw std::runtime_error(s.why);
    void* room = nullptr;
    int* sizes = nullptr;
    require(cudaMalloc(&room, plan.size())), require(cudaMalloc(&sizes, sizeof bytes)), require(cudaMalloc(&ticket, sizeof *ticket));
    require(cudaMemset(ticket, 0, sizeof *ticket));
    void* arguments[] = {&room, &sizes, &q, &k, &v, &o, &o_row, &p, &ticket};
    require(cudaLaunchKernel(reinterpret_cast<void const*>(lay_out), dim3(1), dim3(1), arguments, 0, nullptr));
    require(cudaMemcpy(bytes, sizes, sizeof bytes, cudaMemcpyDeviceToHost));
    if (bytes[0] > int(plan.size())) throw std::runtime_error("a plan of more than 4 KiB");  // nor would it be a kernel's parameter
    require(cudaMemcpy(plan.data(), room, std::size_t(bytes[0]), cudaMemcpyDeviceToHost));
    cudaFree(room), cudaFree(sizes);
    int processors = 0;
    require(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
    grid = dim3(unsigned(std::min(ceil_div(int(p.q.extent[2]), t.q) * p.slices(), processors))), block = dim3(unsigned(128 + 32 * t.warps));
  }
  ~hopper_launch() { cudaFree(ticket); }
  hopper_launch(hopper_launch const&) = delete;
};

}  // namespace nvrtc
