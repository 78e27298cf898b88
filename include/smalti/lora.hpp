#pragma once
// Low-rank adapters on any weight: as terms of the product, per row of a batch, stacked, or merged. The public header.
//
//   lora const* const adapters[] = {&domain, &instructions};                   // stacked
//   status s = linear(cpu, y, x, w, adapters);                                 // y = x·Wᵀ + Σ s·(x·Aᵀ)·Bᵀ
//   status t = merge_into_dequantised(cpu, out, w4, adapters);                 // the weight the adapters were trained against

#include "gemm/lora.hpp"
