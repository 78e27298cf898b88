// CUDA rung 9, specialised warps that stay: one thread only copies, three warpgroups only compute, 64 queries each, and a block takes item
// after item. Bauer et al. 2011, "CudaDMA"; Shah et al. 2024, "FlashAttention-3", §3.1.
//
// A block of K and V serves 192 queries; the copies run ahead across the end of an item, so the next one begins with a full pipeline; the
// registers that copying does not need go to the others (setmaxnreg). Items are dealt out longest first. What is left for the library: a
// counter instead of dealing, sections whose K and V fit the cache, turns on the tensor cores, a maximum that moves only when it must.

#include "ladder_hopper.cuh"

using namespace ladder;
constexpr int groups = 3, Bq = 64 * groups, Bk = 128, stages = 2;

struct shared_memory {
  alignas(1024) bf16 q[groups][64][D], k[stages][Bk][D], v[stages][Bk][D];
  uint64_t q_full, q_empty, k_full[stages], v_full[stages], k_empty[stages], v_empty[stages];
};

/// The block's items: of every head the last queries first.
struct items {
  on_device const& p;
  int at = int(blockIdx.x), rows = smalti::ceil_div(p.N, Bq);

  SMALTI_D explicit operator bool() const { return at < rows * p.H; }
  SMALTI_D void next() { at += int(gridDim.x); }
  SMALTI_D int q0() const { return (rows - 1 - at / p.H) * Bq; }
  SMALTI_D int head() const { return at % p.H; }
  SMALTI_D int blocks() const { return smalti::ceil_div(smalti::min(q0() + Bq, p.N), Bk); }
};

__device__ void copying(on_device const& p, maps const& m, shared_memory& memory) {
  auto& [q, k, v, q_full, q_empty, k_full, v_full, k_empty, v_empty] = memory;
  int n = 0, lap = 0;  // blocks of keys so far · items so far, modulo 2
  auto const fetch = [&](bf16* to, CUtensorMap const* map, uint64_t* full, uint64_t* empty, int row, int head) {
    ptx::mbarrier_wait(empty, (n / stages + 1) % 2);  // a fresh barrier counts as passed
    ptx::mbarrier_arrive_expecting(full, sizeof(k[0]));
    ptx::tma_load(to, map, full, 0, row, head, 0);
  };
  for (items i{p}; i; i.next(), lap ^= 1) {
    ptx::mbarrier_wait(&q_empty, lap ^ 1);
    ptx::mbarrier_arrive_expecting(&q_full, sizeof(q));
    for (int g = 0; g < groups; ++g) ptx::tma_load(q[g], &m.q, &q_full, 0, i.q0() + 64 * g, i.head(), 0);
    for (int j = 0; j < i.blocks(); ++j, ++n) {
      int const at = n % stages;
      fetch(k[at][0], &m.k, &k_full[at], &k_empty[at], j * Bk, i.head()), fetch(v[at][0], &m.v, &v_full[at], &v_empty[at], j * Bk, i.head());
    }
  }
}

__device__ void computing(on_device const& p, shared_memory& memory, int group) {
  auto& [q, k, v, q_full, q_empty, k_full, v_full, k_empty, v_empty] = memory;
  float s[Bk / 8][4];
  uint32_t w[Bk / 16][4];
  int n = 0, lap = 0;
  auto const release = [](uint64_t* empty) { ptx::mbarrier_arrive_if(ptx::lane() == 0, empty); };  // each warp for its own 16 rows
  for (items item{p}; item; item.next(), lap ^= 1) {
    int const q0 = item.q0(), blocks = item.blocks(), row = q0 + 64 * group + 16 * (ptx::warp() % 4) + ptx::lane() / 4;
    float o[D / 8][4] = {};
    online softmax;
    auto const scores = [&](int i) {
      ptx::mbarrier_wait(&k_full[i % stages], i / stages % 2);
      start_scores(s, q[group][0], k[i % stages][0]);
    };
    auto const output = [&](int i) {
      ptx::mbarrier_wait(&v_full[i % stages], i / stages % 2);
      start_output(o, w, v[i % stages][0]);
    };
    auto const probabilities = [&](int j) {
      if ((j + 1) * Bk > q0) mask(s, row, j * Bk);
      softmax.step(s, p.scale * log2e);
    };
    ptx::mbarrier_wait(&q_full, lap);
    scores(n);
    ptx::wgmma_wait<0>(), ptx::pin(s), release(&k_empty[n % stages]);
    probabilities(0);
    pack(w, s);
    for (int j = 1; j < blocks; ++j) {
      int const i = ++n;
      scores(i), output(i - 1);
      ptx::wgmma_wait<1>(), ptx::pin(s), release(&k_empty[i % stages]);
      probabilities(j);
      ptx::wgmma_wait<0>(), ptx::pin(o), ptx::pin(w), release(&v_empty[(i - 1) % stages]);
      softmax.rescale(o);
      pack(w, s);
    }
    release(&q_empty);
    output(n);
    ptx::wgmma_wait<0>(), ptx::pin(o), ptx::pin(w), release(&v_empty[n % stages]);
    ++n;
    softmax.store(o, p, item.head(), row);
  }
}

__global__ void __launch_bounds__(128 + 128 * groups, 1) attend(on_device p, __grid_constant__ maps const m) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& memory = *reinterpret_cast<shared_memory*>(bytes);
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(&memory.q_full, 1), ptx::mbarrier_init(&memory.q_empty, 4 * groups);
    for (int i = 0; i < stages; ++i) {
      ptx::mbarrier_init(&memory.k_full[i], 1), ptx::mbarrier_init(&memory.k_empty[i], 4 * groups);
      ptx::mbarrier_init(&memory.v_full[i], 1), ptx::mbarrier_init(&memory.v_empty[i], 4 * groups);
    }
    ptx::mbarrier_init_fence();
  }
  __syncthreads();
  int const group = ptx::warpgroup() - 1;
  if (group < 0) {
    ptx::registers_lower_to<32>();
    if (threadIdx.x == 0) copying(p, m, memory);
  } else {
    ptx::registers_raise_to<160>();
    computing(p, memory, group);
  }
#elif defined(__CUDA_ARCH__)
  __trap();  // code for another architecture
#endif
}

int main(int argc, char** argv) {
  int processors = 0;
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0);
  return climb_cuda(argc, argv, "9 specialised warps that stay: one copies, three groups compute", 9, [=](on_device const& p) {
    require(cudaFuncSetAttribute(attend, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(shared_memory)));
    attend<<<unsigned(smalti::min(processors, smalti::ceil_div(p.N, Bq) * p.H)), 128 + 128 * groups, sizeof(shared_memory)>>>(p, describe(p, Bk));
  });
}
