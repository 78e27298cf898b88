#pragma once
/* Quantised products on a device behind a C interface: what bench/peers_nf4.py calls through ctypes. Programs include smalti/gemm/cuda.cuh instead. */

#if defined(__cplusplus)
extern "C" {
#endif

typedef struct smalti_weight smalti_weight;

/* A weight (n, k) as files hold NF4, on the device: absmax, or absmax_code with what nests it; null: not there. Blocks of 64, nested 256. */
typedef struct {
  int n, k;
  void const* code;            /* (n·k / 2) */
  float const* absmax;         /* (n·k / 64), or null */
  void const* absmax_code;     /* (n·k / 64), or null */
  float const* nested_absmax;  /* (⌈n·k / 64 / 256⌉) */
  float const* nested_map;     /* (256) */
  float nested_offset;
} smalti_nf4_file;

/* Null, and then smalti_why says what was wrong. w: (n, k) in bf16 on the device. All of these wait for the device. */
smalti_weight* smalti_nf4(void const* w, int n, int k, int double_quant);
smalti_weight* smalti_nf4_of(smalti_nf4_file const* file);
smalti_weight* smalti_int8(void const* w, int n, int k);
void smalti_free(smalti_weight* w);
/* The NF4 weight in the file's order; its memory is the weight's. */
smalti_nf4_file const* smalti_nf4_file_of(smalti_weight const* w);
char const* smalti_why(void);

/* Null, or "id: reason". out (n, k): bf16, or fp32 where `wide`. By way of the kernels' order: what products multiply by. */
char const* smalti_dequantise(smalti_weight const* w, void* out, int wide);
/* y (m, n) = x (m, k) · Ŵᵀ in bf16, asynchronous on a stream (cudaStream_t); `programmatic`: may begin while the kernel before drains. */
char const* smalti_product(smalti_weight const* w, void const* x, void* y, int m, int programmatic, void* stream);

char const* smalti_commit(void);
char const* smalti_toolkit(void);

#if defined(__cplusplus)
}
#endif
