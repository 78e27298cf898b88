// CUDA rung 5, copies under the arithmetic: cp.async brings the next block of K and V while this one is computed. CUDA C++ Programming
// Guide, "Asynchronous data copies".
//
// Two buffers, and one barrier less a step. The copies no longer pass through registers. What binds now: a warp issues its products,
// its exponentials and its loads one after another, and 64 queries fetch every key of shared memory four times.

#include "ladder_fragments.cuh"

using namespace ladder;
constexpr int Bq = 64, Bk = 64, pitch = D + 8;

struct shared_memory {
  alignas(16) bf16 q[Bq][pitch], k[2][Bk][pitch], v[2][Bk][pitch];
};

/// Begins to copy 64 rows; rows past the end become zeros.
__device__ void copy(bf16 (*to)[pitch], bf16 const* from, int first, int rows) {
  SMALTI_UNROLL for (int e = 0; e < 64 * 8 / 128; ++e) {
    int const at = e * 128 + int(threadIdx.x), row = at / 8, c = at % 8 * 8;
    ptx::cp_async_16(&to[row][c], from + std::size_t(smalti::min(first + row, rows - 1)) * D + c, first + row < rows);
  }
}

__global__ void __launch_bounds__(128) attend(on_device p) {
  __shared__ shared_memory memory;
  auto& [q, k, v] = memory;
  int const q0 = int(gridDim.x - 1 - blockIdx.x) * Bq, head = int(blockIdx.y), lane = ptx::lane(), row = q0 + 16 * ptx::warp() + lane / 4;
  int const blocks = smalti::ceil_div(smalti::min(q0 + Bq, p.N), Bk);
  std::size_t const at = std::size_t(head) * p.N * D;
  copy(q, p.q + at, q0, p.N), copy(k[0], p.k + at, 0, p.N), copy(v[0], p.v + at, 0, p.N);
  ptx::cp_async_commit();
  uint32_t a[D / 16][4];  // Q_i                                                                          (16, D)
  float o[D / 8][4] = {};                                                                              // (16, D)
  online softmax;
  for (int i = 0; i < blocks; ++i) {
    int const k0 = i * Bk, now = i % 2;
    ptx::cp_async_wait<0>();
    __syncthreads();  // block i is there, and everybody is done with block i − 1
    if (i + 1 < blocks) copy(k[1 - now], p.k + at, k0 + Bk, p.N), copy(v[1 - now], p.v + at, k0 + Bk, p.N);
    ptx::cp_async_commit();
    if (i == 0)
      SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) ptx::ldmatrix_x4(a[d], &q[16 * ptx::warp() + lane % 16][16 * d + lane / 16 * 8]);
    float s[Bk / 8][4] = {};                                                                           // (16, Bk)
    SMALTI_UNROLL for (int n = 0; n < Bk / 16; ++n)
      SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) {
        uint32_t b[4];
        ptx::ldmatrix_x4(b, &k[now][16 * n + lane % 8 + lane / 16 * 8][16 * d + lane / 8 % 2 * 8]);
        ptx::mma_m16n8k16<bf16>(s[2 * n], a[d], b[0], b[1]), ptx::mma_m16n8k16<bf16>(s[2 * n + 1], a[d], b[2], b[3]);
      }
    if (k0 + Bk > q0) mask(s, row, k0);
    softmax.step(s, p.scale * log2e);
    softmax.rescale(o);
    uint32_t w[Bk / 16][4];
    pack(w, s);
    SMALTI_UNROLL for (int j = 0; j < Bk / 16; ++j)
      SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) {
        uint32_t b[4];
        ptx::ldmatrix_x4_trans(b, &v[now][16 * j + lane % 16][16 * d + lane / 16 * 8]);
        ptx::mma_m16n8k16<bf16>(o[2 * d], w[j], b[0], b[1]), ptx::mma_m16n8k16<bf16>(o[2 * d + 1], w[j], b[2], b[3]);
      }
  }
  softmax.store(o, p, head, row);
}

int main(int argc, char** argv) {
  return climb_cuda(argc, argv, "5 copies under the arithmetic: cp.async, two buffers", 8,
                    [](on_device const& p) { attend<<<dim3(unsigned(p.N + Bq - 1) / Bq, unsigned(p.H)), 128>>>(p); });
}
