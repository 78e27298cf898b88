// CUDA rung 7, Hopper's own instructions: wgmma reads K and V where they lie in shared memory, and one thread asks the copy engine (TMA)
// for whole blocks. PTX ISA, §9.7.15 (wgmma), §9.7.9.27 (cp.async.bulk.tensor).
//
// No ldmatrix, no addresses in registers, no threads that copy: an instruction multiplies 64 × 128 × 16. What binds now: one
// warpgroup waits for its products, then the tensor cores wait for its exponentials.

#include "ladder_hopper.cuh"

using namespace ladder;
constexpr int Bq = 64, Bk = 128;

struct shared_memory {
  alignas(1024) bf16 q[Bq][D], k[2][Bk][D], v[2][Bk][D];
  uint64_t full[2];
};

__global__ void __launch_bounds__(128) attend(on_device p, __grid_constant__ maps const m) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& [q, k, v, full] = *reinterpret_cast<shared_memory*>(bytes);
  int const q0 = int(gridDim.x - 1 - blockIdx.x) * Bq, head = int(blockIdx.y), row = q0 + 16 * ptx::warp() + ptx::lane() / 4;
  int const blocks = smalti::ceil_div(smalti::min(q0 + Bq, p.N), Bk);
  auto const fetch = [&](int i) {
    ptx::mbarrier_arrive_expecting(&full[i % 2], int(sizeof(k[0]) + sizeof(v[0]) + (i ? 0 : sizeof(q))));
    if (i == 0) ptx::tma_load(q, &m.q, &full[0], 0, q0, head, 0);
    ptx::tma_load(k[i % 2], &m.k, &full[i % 2], 0, i * Bk, head, 0), ptx::tma_load(v[i % 2], &m.v, &full[i % 2], 0, i * Bk, head, 0);
  };
  if (threadIdx.x == 0) {
    for (auto& b : full) ptx::mbarrier_init(&b, 1);
    ptx::mbarrier_init_fence();
    fetch(0);
  }
  __syncthreads();
  float s[Bk / 8][4], o[D / 8][4] = {};  // S, then P (64, Bk) · O (64, D), of the warpgroup
  uint32_t w[Bk / 16][4];
  online softmax;
  for (int i = 0; i < blocks; ++i) {
    if (threadIdx.x == 0 && i + 1 < blocks) fetch(i + 1);  // all are done with block i − 1, which lay there
    ptx::mbarrier_wait(&full[i % 2], i / 2 % 2);
    start_scores(s, q[0], k[i % 2][0]);
    ptx::wgmma_wait<0>(), ptx::pin(s);
    if ((i + 1) * Bk > q0) mask(s, row, i * Bk);
    softmax.step(s, p.scale * log2e);
    softmax.rescale(o);
    pack(w, s);
    start_output(o, w, v[i % 2][0]);
    ptx::wgmma_wait<0>(), ptx::pin(o);
    __syncthreads();
  }
  softmax.store(o, p, head, row);
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture
#endif
}

int main(int argc, char** argv) {
  return climb_cuda(argc, argv, "7 Hopper: wgmma and the copy engine, one warpgroup", 9, [](on_device const& p) {
    require(cudaFuncSetAttribute(attend, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(shared_memory)));
    attend<<<dim3(unsigned(p.N + Bq - 1) / Bq, unsigned(p.H)), 128, sizeof(shared_memory)>>>(p, describe(p, Bk));
  });
}
