#pragma once
// cuBLAS as the dense product of a strategy. Whoever includes this links it (CUDA Toolkit, cuBLAS library, §2.8.12 cublasGemmEx); where
// the toolkit has come without it, there is nothing here.

#if __has_include(<cublas_v2.h>)
#include <cublas_v2.h>
#include "../cuda/where.cuh"
#include "terms.hpp"

namespace smalti {

/// y (m, n) = alpha · x · wᵀ + beta · y, row-major, by the caller's handle, whose stream it sets. Sums are fp32. A handle serves one
/// stream at a time; where calls are captured in a graph, give it a workspace (cublasSetWorkspace).
struct cublas_dense {
  cublasHandle_t handle;
  using multiplication = cublasStatus_t(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, void const*, void const*, cudaDataType, int, void const*,
                                        cudaDataType, int, void const*, void*, cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
  multiplication* multiply = &cublasGemmEx;  ///< or the same found at run time, and then nothing is linked
  cublasStatus_t (*set_stream)(cublasHandle_t, cudaStream_t) = &cublasSetStream;

  status operator()(on_cuda const& where, activations const& x, weight_view const& w, void* y, dtype type, index row_y, float alpha, float beta) const {
    auto const name = [](dtype t) { return t == dtype::f32 ? CUDA_R_32F : t == dtype::f16 ? CUDA_R_16F : CUDA_R_16BF; };
    index const row_x = x.rows > 1 ? x.row_stride : x.columns, row_w = w.n > 1 ? w.row_stride : w.k;
    constexpr index most = 0x7fffffff;
    if (x.rows > most || row_x > most || row_w > most || row_y > most) return {"gemm.20", "cuBLAS counts in 32 bits: give it fewer rows at a time"};
    // Row-major y = x · wᵀ is column-major yᵀ = w · xᵀ, and w (n, k) by rows is its own transpose by columns.
    cublasStatus_t s = set_stream(handle, where.stream);
    if (s == CUBLAS_STATUS_SUCCESS)
      s = multiply(handle, CUBLAS_OP_T, CUBLAS_OP_N, w.n, int(x.rows), w.k, &alpha, w.at, name(x.type), int(row_w), x.at, name(x.type), int(row_x), &beta, y,
                   name(type), int(row_y), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
    return s == CUBLAS_STATUS_SUCCESS ? status{} : status{"gemm.20", "cuBLAS refused the product or is not initialised"};
  }
};

}  // namespace smalti
#endif
