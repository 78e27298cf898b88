#pragma once
/* The CUDA attention behind a C interface: what bench/peers.py (through ctypes) and the benchmark programs call. It holds only the
   cases that are measured; programs include smalti/attention.cuh instead. */

#include <stddef.h>

#if defined(__cplusplus)
extern "C" {
#endif

enum { smalti_bf16 = 0, smalti_f16 = 1, smalti_e4m3 = 2 /* Q, K, V; O in bf16; D 64 and 128, best engine */ };
enum { smalti_full = 0, smalti_causal = 1 };
enum {
  smalti_best = 90,   /* what attention(on_cuda{…}, …) chooses on this board */
  smalti_common = 80, /* the mma.sync engine, on any board */
  smalti_decode = 1   /* few queries, split keys: bf16, D 128, no mask; takes a workspace */
};

/* One problem. Q, O: (batch, heads, queries, ·); K, V: (batch, heads_kv, keys, ·); strides in elements of the first three
   dimensions, columns contiguous. All pointers are device memory; lse (batch, heads, queries) may be null. */
typedef struct {
  int dtype, mask, engine;
  int batch, heads, heads_kv, queries, keys, head_dim, value_dim;
  void const *q, *k, *v;
  void* o;
  float* lse;
  long long stride_q[3], stride_k[3], stride_v[3], stride_o[3];
  float scale;
  void* stream;     /* cudaStream_t */
  unsigned* ticket; /* one word, 0 between calls, or null: see on_cuda */
  void* workspace;  /* decode only: smalti_decode_workspace bytes, zero before their first use */
  size_t workspace_bytes;
  int launch;       /* decode only: 0 serial; 1 programmatic: begin while the kernel before drains; 2 early: and read keys then, which it may not write */
  float const *q_scale, *k_scale, *v_scale; /* e4m3 only: (batch, heads) and (batch, heads_kv), or null. V is then transposed: stride_v of batch, head, column */
} smalti_attention_problem;

/* Asynchronous. Null, or "id: reason", valid until this thread's next call; nothing is written then. A causal mask is aligned to the end: query i
   sees keys up to i + keys − queries. */
char const* smalti_attention(smalti_attention_problem const* problem);

size_t smalti_decode_workspace(smalti_attention_problem const* problem);

/* The bf16 operands of `problem` in e4m3, as a problem of that dtype takes them: Q and K (batch, heads, rows, D), V transposed, (batch, heads_kv, D,
   keys rounded up to 16), all contiguous. Null, or the reason. */
char const* smalti_quantise_e4m3(smalti_attention_problem const* problem, void* q, void* k, void* v, float* q_scale, float* k_scale, float* v_scale);

/* The (mangled) name of the first kernel that the same call would launch, or null: which engine a measured row is of. Launches nothing. */
char const* smalti_attention_kernel(smalti_attention_problem const* problem);

/* The state of the sources this library was built from, and the toolkit. */
char const* smalti_commit(void);
char const* smalti_toolkit(void);

#if defined(__cplusplus)
}
#endif
