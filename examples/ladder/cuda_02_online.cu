// CUDA rung 2, online softmax: one thread a query, its scores never leave it. Milakov & Gimelshein 2018, Algorithm 3.
//
// No score goes through memory, one kernel instead of three. All threads of a warp read the same key, so a read serves 32 of them.
// What binds now: every thread turns every key into f32 for itself, and the maximum may move with each key.

#include "ladder_cuda.cuh"

using ladder::D, ladder::on_device;

__global__ void __launch_bounds__(64) attend(on_device p) {
  int const i = int((gridDim.x - 1 - blockIdx.x) * 64 + threadIdx.x);  // the long rows first
  std::size_t const head = std::size_t(blockIdx.y) * p.N;
  if (i >= p.N) return;
  float q[D], o[D] = {}, m = -INFINITY, l = 0;
  SMALTI_UNROLL for (int c = 0; c < D; ++c) q[c] = float(p.q[(head + i) * D + c]) * p.scale * ladder::log2e;
  for (int j = 0; j <= i; ++j) {
    ladder::bf16 const *k = p.k + (head + j) * D, *v = p.v + (head + j) * D;
    float part[4] = {};  // four chains of additions instead of one
    SMALTI_UNROLL for (int c = 0; c < D; ++c) part[c % 4] += q[c] * float(k[c]);
    float const s = part[0] + part[1] + part[2] + part[3], top = fmaxf(m, s), decay = exp2f(m - top), weight = exp2f(s - top);
    m = top, l = l * decay + weight;
    SMALTI_UNROLL for (int c = 0; c < D; ++c) o[c] = o[c] * decay + weight * float(v[c]);
  }
  SMALTI_UNROLL for (int c = 0; c < D; ++c) p.o[(head + i) * D + c] = ladder::bf16(o[c] / l);
}

int main(int argc, char** argv) {
  return ladder::climb_cuda(argc, argv, "2 online softmax: scores stay with their thread", 8,
                            [](on_device const& p) { attend<<<dim3(unsigned(p.N + 63) / 64, unsigned(p.H)), 64>>>(p); });
}
