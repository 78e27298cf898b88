// CUDA rung 1, the definition: three kernels, one thread an element. Vaswani et al. 2017, "Attention is all you need", eq. 1.
//
// The scores go through memory: written once, read and written by the softmax, read for every column of the output. At N = 4096
// they are 2 GiB for 32 heads, and each thread of the products fetches its own operands.

#include "ladder_cuda.cuh"

using ladder::D, ladder::on_device;

/// S = Q Kᵀ / √d, −∞ above the diagonal.                                                             (H, N, N)
__global__ void scores(on_device p, float* s) {
  int const j = int(blockIdx.x * 16 + threadIdx.x), i = int(blockIdx.y * 16 + threadIdx.y), h = int(blockIdx.z);
  if (i >= p.N || j >= p.N) return;
  std::size_t const head = std::size_t(h) * p.N;
  float dot = 0;
  for (int c = 0; c < D; ++c) dot += float(p.q[(head + i) * D + c]) * float(p.k[(head + j) * D + c]);
  s[(head + i) * p.N + j] = j <= i ? dot * p.scale : -INFINITY;
}

/// P = softmax(S), one block of threads a row, in place.
__global__ void softmax(on_device p, float* s) {
  __shared__ float partial[128];
  float* const row = s + (std::size_t(blockIdx.y) * p.N + blockIdx.x) * p.N;
  auto over_block = [&](float x, auto&& f) {
    partial[threadIdx.x] = x;
    __syncthreads();
    for (unsigned step = 64; step; step /= 2) {
      if (threadIdx.x < step) partial[threadIdx.x] = f(partial[threadIdx.x], partial[threadIdx.x + step]);
      __syncthreads();
    }
    float const all = partial[0];
    __syncthreads();
    return all;
  };
  float m = -INFINITY, l = 0;
  for (int j = int(threadIdx.x); j < p.N; j += 128) m = fmaxf(m, row[j]);
  m = over_block(m, [](float a, float b) { return fmaxf(a, b); });
  for (int j = int(threadIdx.x); j < p.N; j += 128) l += row[j] = __expf(row[j] - m);
  l = over_block(l, [](float a, float b) { return a + b; });
  for (int j = int(threadIdx.x); j < p.N; j += 128) row[j] /= l;
}

/// O = P V.                                                                                            (H, N, D)
__global__ void output(on_device p, float const* s) {
  int const c = int(threadIdx.x), i = int(blockIdx.x), h = int(blockIdx.y);
  std::size_t const head = std::size_t(h) * p.N;
  float sum = 0;
  for (int j = 0; j <= i; ++j) sum += s[(head + i) * p.N + j] * float(p.v[(head + j) * D + c]);
  p.o[(head + i) * D + c] = ladder::bf16(sum);
}

int main(int argc, char** argv) {
  float* s = nullptr;  // (H, N, N)
  std::size_t room = 0;
  int const code = ladder::climb_cuda(argc, argv, "1 naive: scores through memory, a thread an element", 8, [&](on_device const& p) {
    if (std::size_t const n = std::size_t(p.H) * p.N * p.N; n > room) cudaFree(s), ladder::require(cudaMalloc(&s, n * sizeof(float))), room = n;
    unsigned const tiles = unsigned(p.N + 15) / 16;
    scores<<<dim3(tiles, tiles, unsigned(p.H)), dim3(16, 16)>>>(p, s);
    softmax<<<dim3(unsigned(p.N), unsigned(p.H)), 128>>>(p, s);
    output<<<dim3(unsigned(p.N), unsigned(p.H)), D>>>(p, s);
  });
  cudaFree(s);
  return code;
}
