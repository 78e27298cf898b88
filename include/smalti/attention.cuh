#pragma once
// Attention on the host and on devices: `attention(on_cpu{threads}, …)` and `attention(on_cuda{stream}, …)`. Compile with nvcc,
// for compute_80 and, where Hopper's engine is wanted, an explicit compute_90a; then pass on_cuda{stream, sm_90a} there.

#include "attention.hpp"
#include "attention/cuda.cuh"
