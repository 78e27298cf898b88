// CUDA rung 3, blocks: 128 queries meet 32 keys at a time in shared memory. Dao et al. 2022, "FlashAttention", Algorithm 1.
//
// A block of K and V is fetched, and turned into f32, once for 128 queries instead of once for each, and the maximum moves once for
// 16 keys. What binds now: the f32 units, 128 multiply-adds a score; they are a sixteenth of what the tensor cores do.

#include "ladder_cuda.cuh"

using ladder::D, ladder::on_device;
constexpr int Bq = 128, Bk = 32, chunk = 16;

__global__ void __launch_bounds__(Bq) attend(on_device p) {
  __shared__ float4 k[Bk][D / 4], v[Bk][D / 4];
  int const q0 = int(gridDim.x - 1 - blockIdx.x) * Bq, i = q0 + int(threadIdx.x), row = smalti::min(i, p.N - 1);
  std::size_t const head = std::size_t(blockIdx.y) * p.N;
  float4 q[D / 4], o[D / 4] = {};
  float m = -INFINITY, l = 0;
  auto const wide = [](ladder::bf16 const* x, float f) { return float4{f * float(x[0]), f * float(x[1]), f * float(x[2]), f * float(x[3])}; };
  SMALTI_UNROLL for (int c = 0; c < D / 4; ++c) q[c] = wide(p.q + (head + row) * D + 4 * c, p.scale * ladder::log2e);
  for (int k0 = 0; k0 < smalti::min(q0 + Bq, p.N); k0 += Bk) {
    __syncthreads();
    for (int e = int(threadIdx.x); e < Bk * D / 4; e += Bq) {
      int const j = smalti::min(k0 + e / (D / 4), p.N - 1), c = e % (D / 4);
      k[e / (D / 4)][c] = wide(p.k + (head + j) * D + 4 * c, 1.f), v[e / (D / 4)][c] = wide(p.v + (head + j) * D + 4 * c, 1.f);
    }
    __syncthreads();
    for (int j0 = 0; j0 < Bk; j0 += chunk) {
      float s[chunk], top = m;
      SMALTI_UNROLL for (int j = 0; j < chunk; ++j) {
        float4 dot = {};
        SMALTI_UNROLL for (int c = 0; c < D / 4; ++c) {
          float4 const x = k[j0 + j][c];
          dot.x += q[c].x * x.x, dot.y += q[c].y * x.y, dot.z += q[c].z * x.z, dot.w += q[c].w * x.w;
        }
        s[j] = k0 + j0 + j <= row ? dot.x + dot.y + (dot.z + dot.w) : -INFINITY;
        top = fmaxf(top, s[j]);
      }
      float const decay = exp2f(m - top);
      m = top, l *= decay;
      SMALTI_UNROLL for (int c = 0; c < D / 4; ++c) o[c].x *= decay, o[c].y *= decay, o[c].z *= decay, o[c].w *= decay;
      SMALTI_UNROLL for (int j = 0; j < chunk; ++j) {
        float const weight = exp2f(s[j] - m);
        l += weight;
        SMALTI_UNROLL for (int c = 0; c < D / 4; ++c) {
          float4 const x = v[j0 + j][c];
          o[c].x += weight * x.x, o[c].y += weight * x.y, o[c].z += weight * x.z, o[c].w += weight * x.w;
        }
      }
    }
  }
  if (i >= p.N) return;
  SMALTI_UNROLL for (int c = 0; c < D / 4; ++c) {
    float const x[] = {o[c].x, o[c].y, o[c].z, o[c].w};
    SMALTI_UNROLL for (int e = 0; e < 4; ++e) p.o[(head + i) * D + 4 * c + e] = ladder::bf16(x[e] / l);
  }
}

int main(int argc, char** argv) {
  return ladder::climb_cuda(argc, argv, "3 blocks: K and V in shared memory for 128 queries", 8,
                            [](on_device const& p) { attend<<<dim3(unsigned(p.N + Bq - 1) / Bq, unsigned(p.H)), Bq>>>(p); });
}
