#pragma once
// Weights in 4 and 8 bits, interchangeable with bitsandbytes. The public header.
//
//   nf4_data q = quantise_nf4(cpu, weights, {.block = 64, .double_quant = true});  // file order; throws on NaN
//   dequantise(cpu, q, out);                                                       // float, bf16 or f16, one rounding
//   packed_nf4 w = pack(q);                                                        // gemm.hpp: kernel order, lossless

#include "quant/int8.hpp"
#include "quant/nf4_data.hpp"
