#pragma once
// Products on the host and on devices: `gemm(on_cpu{threads}, …)` and `gemm(on_cuda{stream}, …)`. Compile with nvcc, for
// compute_80 and, where Hopper's clusters and programmatic launches are wanted, an explicit compute_90a; then pass
// on_cuda{stream, sm_90a} there. The public header.
//
//   device_nf4 w = pack(gpu, quantise_nf4(gpu, weights));                      // (N, K) on the device, ready for the kernels
//   status s = gemm(gpu, y, product(x, w) + alpha / r * product(t, b), bias{c} | silu{});
//   status t = gemm_swiglu(gpu, h, product(x, gate), product(x, up));          // one launch

#include "gemm.hpp"
#include "gemm/cuda.cuh"
