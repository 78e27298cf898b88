// CUDA rung 4, tensor cores: mma.sync does both products, 16 queries a warp. Dao 2023, "FlashAttention-2", §3.1.
//
// An instruction now does 4096 multiply-adds. P goes from one product's accumulator to the other's operand without leaving its
// registers, because both have the same layout. Rows of shared memory are 16 bytes longer than they need to be: eight of them then
// begin in eight different groups of banks, and ldmatrix reads without conflicts. What binds now: everybody waits for every copy.

#include "ladder_fragments.cuh"

using namespace ladder;
constexpr int Bq = 64, Bk = 64, pitch = D + 8;

/// 64 rows from row `first` of `from` → shared memory; rows past the end repeat the last, whose scores are masked.
__device__ void copy(bf16 (*to)[pitch], bf16 const* from, int first, int rows) {
  SMALTI_UNROLL for (int e = 0; e < 64 * 8 / 128; ++e) {
    int const at = e * 128 + int(threadIdx.x), row = at / 8, c = at % 8 * 8;
    *reinterpret_cast<uint4*>(&to[row][c]) = *reinterpret_cast<uint4 const*>(from + std::size_t(smalti::min(first + row, rows - 1)) * D + c);
  }
}

__global__ void __launch_bounds__(128) attend(on_device p) {
  __shared__ alignas(16) bf16 q[Bq][pitch], k[Bk][pitch], v[Bk][pitch];
  int const q0 = int(gridDim.x - 1 - blockIdx.x) * Bq, head = int(blockIdx.y), lane = ptx::lane(), row = q0 + 16 * ptx::warp() + lane / 4;
  std::size_t const at = std::size_t(head) * p.N * D;
  copy(q, p.q + at, q0, p.N);
  __syncthreads();
  uint32_t a[D / 16][4];  // Q_i, for all keys                                                            (16, D)
  SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) ptx::ldmatrix_x4(a[d], &q[16 * ptx::warp() + lane % 16][16 * d + lane / 16 * 8]);
  float o[D / 8][4] = {};                                                                              // (16, D)
  online softmax;
  for (int k0 = 0; k0 < smalti::min(q0 + Bq, p.N); k0 += Bk) {
    __syncthreads();
    copy(k, p.k + at, k0, p.N), copy(v, p.v + at, k0, p.N);
    __syncthreads();
    float s[Bk / 8][4] = {};                                                                           // (16, Bk)
    SMALTI_UNROLL for (int n = 0; n < Bk / 16; ++n)
      SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) {
        uint32_t b[4];  // 16 keys, 16 columns
        ptx::ldmatrix_x4(b, &k[16 * n + lane % 8 + lane / 16 * 8][16 * d + lane / 8 % 2 * 8]);
        ptx::mma_m16n8k16<bf16>(s[2 * n], a[d], b[0], b[1]), ptx::mma_m16n8k16<bf16>(s[2 * n + 1], a[d], b[2], b[3]);
      }
    if (k0 + Bk > q0) mask(s, row, k0);
    softmax.step(s, p.scale * log2e);
    softmax.rescale(o);
    uint32_t w[Bk / 16][4];
    pack(w, s);
    SMALTI_UNROLL for (int j = 0; j < Bk / 16; ++j)
      SMALTI_UNROLL for (int d = 0; d < D / 16; ++d) {
        uint32_t b[4];  // 16 keys, 16 columns, turned on its side
        ptx::ldmatrix_x4_trans(b, &v[16 * j + lane % 16][16 * d + lane / 16 * 8]);
        ptx::mma_m16n8k16<bf16>(o[2 * d], w[j], b[0], b[1]), ptx::mma_m16n8k16<bf16>(o[2 * d + 1], w[j], b[2], b[3]);
      }
  }
  softmax.store(o, p, head, row);
}

int main(int argc, char** argv) {
  return climb_cuda(argc, argv, "4 tensor cores: mma.sync, 16 queries a warp", 8,
                    [](on_device const& p) { attend<<<dim3(unsigned(p.N + Bq - 1) / Bq, unsigned(p.H)), 128>>>(p); });
}
