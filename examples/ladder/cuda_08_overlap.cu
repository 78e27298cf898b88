// CUDA rung 8, overlap: the scores of the next block and the output of this one are under way together, and the softmax of the first runs
// under the second. Shah et al. 2024, "FlashAttention-3", §3.2, Algorithm 2.
//
// Within a warpgroup the tensor cores no longer wait for the exponentials. K and V have barriers of their own, since V of a block is
// wanted a step later. What binds now: every block of queries begins with an empty pipeline, and 64 queries fetch all keys anew.

#include "ladder_hopper.cuh"

using namespace ladder;
constexpr int Bq = 64, Bk = 128;

struct shared_memory {
  alignas(1024) bf16 q[Bq][D], k[2][Bk][D], v[2][Bk][D];
  uint64_t k_full[2], v_full[2];
};

__global__ void __launch_bounds__(128) attend(on_device p, __grid_constant__ maps const m) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& [q, k, v, k_full, v_full] = *reinterpret_cast<shared_memory*>(bytes);
  int const q0 = int(gridDim.x - 1 - blockIdx.x) * Bq, head = int(blockIdx.y), row = q0 + 16 * ptx::warp() + ptx::lane() / 4;
  int const blocks = smalti::ceil_div(smalti::min(q0 + Bq, p.N), Bk);
  auto const fetch_k = [&](int i) {
    ptx::mbarrier_arrive_expecting(&k_full[i % 2], int(sizeof(k[0]) + (i ? 0 : sizeof(q))));
    if (i == 0) ptx::tma_load(q, &m.q, &k_full[0], 0, q0, head, 0);
    ptx::tma_load(k[i % 2], &m.k, &k_full[i % 2], 0, i * Bk, head, 0);
  };
  auto const fetch_v = [&](int i) {
    ptx::mbarrier_arrive_expecting(&v_full[i % 2], sizeof(v[0]));
    ptx::tma_load(v[i % 2], &m.v, &v_full[i % 2], 0, i * Bk, head, 0);
  };
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) ptx::mbarrier_init(&k_full[i], 1), ptx::mbarrier_init(&v_full[i], 1);
    ptx::mbarrier_init_fence();
    fetch_k(0), fetch_v(0);
    if (blocks > 1) fetch_k(1);
  }
  __syncthreads();
  float s[Bk / 8][4], o[D / 8][4] = {};  // S, then P (64, Bk) · O (64, D), of the warpgroup
  uint32_t w[Bk / 16][4];
  online softmax;
  auto const scores = [&](int i) {
    ptx::mbarrier_wait(&k_full[i % 2], i / 2 % 2);
    start_scores(s, q[0], k[i % 2][0]);
  };
  auto const output = [&](int i) {
    ptx::mbarrier_wait(&v_full[i % 2], i / 2 % 2);
    start_output(o, w, v[i % 2][0]);
  };
  auto const probabilities = [&](int i) {
    if ((i + 1) * Bk > q0) mask(s, row, i * Bk);
    softmax.step(s, p.scale * log2e);
  };
  scores(0);
  ptx::wgmma_wait<0>(), ptx::pin(s);
  probabilities(0);
  pack(w, s);
  for (int i = 1; i < blocks; ++i) {
    __syncthreads();  // all are done with the scores of i − 1 and the output of i − 2, which lay where these go
    if (threadIdx.x == 0) {
      if (i + 1 < blocks) fetch_k(i + 1);
      fetch_v(i);
    }
    scores(i), output(i - 1);
    ptx::wgmma_wait<1>(), ptx::pin(s);
    probabilities(i);
    ptx::wgmma_wait<0>(), ptx::pin(o), ptx::pin(w);
    softmax.rescale(o);
    pack(w, s);
  }
  output(blocks - 1);
  ptx::wgmma_wait<0>(), ptx::pin(o);
  softmax.store(o, p, head, row);
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture
#endif
}

int main(int argc, char** argv) {
  return climb_cuda(argc, argv, "8 overlap: softmax of one block under the output of the last", 9, [](on_device const& p) {
    require(cudaFuncSetAttribute(attend, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(shared_memory)));
    attend<<<dim3(unsigned(p.N + Bq - 1) / Bq, unsigned(p.H)), 128, sizeof(shared_memory)>>>(p, describe(p, Bk));
  });
}
