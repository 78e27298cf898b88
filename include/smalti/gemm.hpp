#pragma once
// Products with weights of any kind: y = e(Σ s · x · Wᵀ). The public header.
//
//   packed_weight w = pack(quantise_nf4(cpu, weights));                        // (N, K) in NF4, ready for the kernels
//   status s = gemm(cpu, y, product(x, w) + alpha / r * product(t, b), bias{c} | silu{});
//
// terms.hpp says what may be summed, epilogue.hpp what may follow, weight.hpp what a weight is.

#include "gemm/host.hpp"
#include "gemm/llm_int8.hpp"
