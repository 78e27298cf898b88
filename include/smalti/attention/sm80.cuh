#pragma once
// The engine for mma.sync and cp.async: sm_80 and everything after it. FlashAttention-2 (Dao 2023), §3.3: a warp owns whole rows.

#include "../cuda/ptx.cuh"
#include "mainloop.hpp"
#include "problem.hpp"

namespace smalti::detail {

/// A 16×N f32 accumulator spread over one warp, as mma.m16n8k16 leaves it: a lane holds rows g and g+8
/// (g = lane/4) and, in each, the column pairs 8n + 2(lane%4). The four lanes of a quad share a row.
template <int N>
struct warp_block {
  static constexpr int rows = 2;
  float x[N / 8][4] = {};  // [n][2·row + column]
  int q0 = 0, k0 = 0, head = 0, batch = 0;

  template <class F>
  SMALTI_D void map(int r, F op) {
    SMALTI_UNROLL for (int n = 0; n < N / 8; ++n)
      SMALTI_UNROLL for (int c = 0; c < 2; ++c) x[n][2 * r + c] = op(x[n][2 * r + c]);
  }
  SMALTI_HD static constexpr int used() { return rows; }
  SMALTI_D float max(int r) const { return over_row(own_max(r), [](float a, float b) { return fmaxf(a, b); }); }
  SMALTI_D float own_max(int r) const { return own(r, [](float a, float b) { return fmaxf(a, b); }); }  // of this lane's columns
  SMALTI_D float exponentiate(int r, float shift) {
    map(r, [=](float v) { return expf(v - shift); });
    auto const add = [](float a, float b) { return a + b; };
    return over_row(own(r, add), add);
  }
  SMALTI_D void scale(int r, float factor) { map(r, [=](float v) { return factor * v; }); }

  template <class F>
  SMALTI_D void for_each(F f) {
    SMALTI_UNROLL for (int n = 0; n < N / 8; ++n)
      SMALTI_UNROLL for (int i = 0; i < 4; ++i)
        f(x[n][i], score_at{q0 + ptx::lane() / 4 + 8 * (i / 2), k0 + 8 * n + 2 * (ptx::lane() % 4) + i % 2, head, batch});
  }

  template <class Op>
  SMALTI_D static float over_row(float v, Op op) {  // over the quad's lanes
    v = op(v, ptx::shfl_xor(v, 1));
    return op(v, ptx::shfl_xor(v, 2));
  }

 private:
  template <class Op>
  SMALTI_D float own(int r, Op op) const {
    float v = op(x[0][2 * r], x[0][2 * r + 1]);
    SMALTI_UNROLL for (int n = 1; n < N / 8; ++n) v = op(v, op(x[n][2 * r], x[n][2 * r + 1]));
    return v;
  }
};

/// cp.async + mma.sync: one warp per 16 query rows, K and V through a ring of `stages` shared buffers. D: columns of Q and K,
/// Dv: of V and O.
template <attention_tile T, int D, int Dv, class E>
struct sm80_engine {
  static constexpr int rows = 2, pad = 8, step = T.kv;
  struct alignas(16) storage {
    E q[T.q][D + pad];
    struct { E k[T.kv][D + pad], v[T.kv][Dv + pad]; } ring[T.stages];
  };
  static_assert(sizeof(storage) == smem_bytes(T, {D, sizeof(E), Dv}));

  attention_args<E> const& a;
  storage& smem;
  int first;                        // query row of this block
  int k0 = -T.kv, issued = 0;       // tile in use · first tile not yet requested
  uint32_t q[D / 16][4] = {};

  SMALTI_D key_range keys() const { return {0, a.seq_kv}; }
  SMALTI_D key_range queries() const { return {a.position + first, a.position + first + T.q}; }
  SMALTI_D int head(int) const { return a.head; }
  SMALTI_D bool whole() const { return true; }
  SMALTI_D warp_block<Dv> output() const { return {}; }
  SMALTI_D auto& kv() const { return smem.ring[k0 / T.kv % T.stages]; }

  /// Rows past the end become zeros: a weight of 0 times what lies there must be 0.
  template <int Rows, int Columns>
  SMALTI_D static void fetch(E (&to)[Rows][Columns], E const* from, index row, int first, int len) {
    constexpr int chunks = (Columns - pad) / 8;  // of 16 bytes
    for (int i = ptx::thread(); i < Rows * chunks; i += 32 * T.warps) {
      int const r = i / chunks, c = i % chunks * 8;
      bool const valid = first + r < len;
      ptx::cp_async_16(&to[r][c], from + (valid ? first + r : 0) * row + c, valid);
    }
  }

  SMALTI_D void load_q() {
    fetch(smem.q, a.q, a.row_q, first, a.seq_q);
    ptx::cp_async_commit();
    ptx::cp_async_wait<0>();
    ptx::sync_block();
    SMALTI_UNROLL for (int d = 0; d < D / 16; ++d)
      ptx::ldmatrix_x4(q[d], &smem.q[16 * ptx::warp() + ptx::lane() % 16][16 * d + ptx::lane() / 16 * 8]);
  }

  /// Waits for tile k and requests the `stages − 1` after it: a guess, right unless the mask skips one.
  SMALTI_D void load_kv(int k, int) {
    if (k != k0 + T.kv) ptx::cp_async_wait<0>();  // a copy that nobody waited for may still be on its way to a buffer we reuse
    k0 = k, issued = max(issued, k);
    ptx::sync_block();  // everyone has finished with the buffer we are about to overwrite
    for (; issued < k + T.stages * T.kv; issued += T.kv) {
      auto& to = smem.ring[issued / T.kv % T.stages];
      if (issued < a.seq_kv) {
        fetch(to.k, a.k, a.row_k, issued, a.seq_kv);
        fetch(to.v, a.v, a.row_v, issued, a.seq_kv);
      }
      ptx::cp_async_commit();  // one group a tile, even an empty one, so the wait below is a constant
    }
    ptx::cp_async_wait<T.stages - 1>();
    ptx::sync_block();
  }

  SMALTI_D warp_block<T.kv> scores() const {
    warp_block<T.kv> s;
    s.q0 = a.position + first + 16 * ptx::warp(), s.k0 = k0, s.head = a.head, s.batch = a.batch;
    SMALTI_UNROLL for (int d = 0; d < D / 16; ++d)
      SMALTI_UNROLL for (int n = 0; n < T.kv / 16; ++n) {
        uint32_t b[4];  // K rows 16n … 16n+15: two 16×8 operands
        ptx::ldmatrix_x4(b, &kv().k[16 * n + ptx::lane() % 8 + ptx::lane() / 16 * 8][16 * d + ptx::lane() / 8 % 2 * 8]);
        ptx::mma_m16n8k16<E>(s.x[2 * n], q[d], b[0], b[1]);
        ptx::mma_m16n8k16<E>(s.x[2 * n + 1], q[d], b[2], b[3]);
      }
    SMALTI_UNROLL for (int r = 0; r < rows; ++r) s.scale(r, a.scale);
    return s;
  }

  /// Two m16n8 results side by side *are* one m16k16 operand, so P never leaves registers.
  SMALTI_D void add_pv(warp_block<Dv>& o, warp_block<T.kv> const& p) const {
    SMALTI_UNROLL for (int k = 0; k < T.kv / 16; ++k) {
      auto const &l = p.x[2 * k], &r = p.x[2 * k + 1];
      uint32_t const pa[4] = {ptx::pack<E>(l[0], l[1]), ptx::pack<E>(l[2], l[3]),
                              ptx::pack<E>(r[0], r[1]), ptx::pack<E>(r[2], r[3])};
      SMALTI_UNROLL for (int n = 0; n < Dv / 16; ++n) {
        uint32_t b[4];
        ptx::ldmatrix_x4_trans(b, &kv().v[16 * k + ptx::lane() % 16][16 * n + ptx::lane() / 16 * 8]);
        ptx::mma_m16n8k16<E>(o.x[2 * n], pa, b[0], b[1]);
        ptx::mma_m16n8k16<E>(o.x[2 * n + 1], pa, b[2], b[3]);
      }
    }
  }

  SMALTI_D void store(warp_block<Dv> const& o, online_softmax<rows> const& softmax) const {
    SMALTI_UNROLL for (int r = 0; r < rows; ++r) {
      int const i = first + 16 * ptx::warp() + ptx::lane() / 4 + 8 * r;
      if (i >= a.seq_q) continue;
      SMALTI_UNROLL for (int n = 0; n < Dv / 8; ++n)
        *reinterpret_cast<uint32_t*>(a.o + i * a.row_o + 8 * n + 2 * (ptx::lane() % 4)) = ptx::pack<E>(o.x[n][2 * r], o.x[n][2 * r + 1]);
      if (a.lse && ptx::lane() % 4 == 0) a.lse[i] = softmax.logsumexp(r);
    }
  }
};

}  // namespace smalti::detail

#if defined(__CUDACC__)
namespace smalti {

/// The tuning is a type, so one symbol serves every architecture and each pass reads its own row of the table.
/// Grid: (query blocks of the longest sequence, batch × heads).
template <int D, int Dv, class Tuning, class E, attention_variant Variant>
__global__ void __launch_bounds__(32 * Tuning{}(attention_shape{D, sizeof(E), Dv}, this_arch()).warps)
attention_kernel(__grid_constant__ attention_problem<E> const problem, __grid_constant__ Variant const variant) {
#if defined(__CUDA_ARCH__)
  constexpr attention_shape S{D, sizeof(E), Dv};
  constexpr attention_tile T = Tuning{}(S, this_arch());
  if constexpr (fits(T, S, this_arch()) == misfit::none) {
    using engine = detail::sm80_engine<T, D, Dv, E>;
    extern __shared__ __align__(16) unsigned char smem[];
    auto const args = problem.slice(blockIdx.y);
    if (int(blockIdx.x) * T.q >= args.seq_q) return;
    engine e{args, *reinterpret_cast<typename engine::storage*>(smem), int(blockIdx.x) * T.q};
    attend(e, variant);
  } else {
    __trap();  // the host refuses such a tile before the launch
  }
#endif
}

}  // namespace smalti
#endif
