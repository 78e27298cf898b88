#pragma once
// How the NF4 product for a few tokens is cut up on a device, the rule that says what can run, and the choice of the best.

#include "../core/arch.hpp"
#include "../core/status.hpp"
#include "nf4_panel.hpp"

namespace smalti {

/// What the compiler must know of a kernel. Tokens come in tiles of 8, the columns of an mma.
struct nf4_engine {
  int tiles;    ///< tiles of tokens: 1, 2, 4 or 8
  int threads;  ///< a block has at most so many
  int blocks;   ///< that a processor can hold at a time, by registers
};

/// An engine as a type: kernels are named by it.
template <int Tiles, int Threads, int Blocks = 1>
struct nf4_config {
  static constexpr nf4_engine engine{Tiles, Threads, Blocks};
};

/// How a launch is cut. Changes speed only. A warp owns a panel and, of its steps along K, those of its part.
struct nf4_tile {
  int panels = 0;  ///< of a block; for the pair of SwiGLU those of both halves
  int parts = 1;   ///< warps that share a panel, taking turns along K
  int split = 1;   ///< blocks (a cluster) that share the panels, each with its run of K: 1, 2, 4 or 8
  int chunk = 0;   ///< steps of x held in shared memory at a time, a multiple of parts
  friend constexpr bool operator==(nf4_tile const&, nf4_tile const&) = default;

  SMALTI_HD constexpr int warps() const { return panels * parts; }
  SMALTI_HD constexpr int steps(int k) const { return ceil_div(nf4_panel::steps(k), split); }  ///< of one block
  SMALTI_HD constexpr int chunks(int k) const { return ceil_div(steps(k), chunk); }
};

/// What is to be cut.
struct nf4_work {
  int m, panels, k;  ///< tokens · panels, those of both halves of a pair · columns of W
  int halves;        ///< 2 for a pair, else 1
  bool raw = false;  ///< whether x is fp32, to be normalised within the product
};

inline constexpr int nf4_most_tokens = 64;  ///< of the kernel for few tokens
/// Whether Hopper's wgmma is faster. H200 · CUDA 13.0 · 2026-11-30, M 32: 28672×4096 30.6 µs instead of 47, 4096×14336 27.7 instead of 31.8, 6144×4096 12.0
/// instead of 13.7, 4096×4096 11.0 instead of 12.2; M 16, 28672×4096: 27.5 instead of 26.9.
constexpr bool nf4_many_tokens(index m) { return m > 16; }

namespace detail {
/// Where operands of a sum's terms wait in shared memory, offsets and sizes in bytes: B (rows of W, row), t (tokens, row_t). row 0: they are read where they lie.
struct nf4_staged {
  int at = 0, row = 0, t = 0, row_t = 0;
  int pieces_log2 = 0, pieces_t_log2 = 0;  ///< of 16 bytes that a row of B or t has, at most, as a power of two
};

inline constexpr int nf4_table_bytes = 256 * 256, nf4_slack_bytes = 1024;  // the tables begin 1024 bytes into shared memory's window, wherever that of a block begins
/// x in shared memory, row-major: 16 bytes of padding keep the rows of an ldmatrix in different banks.
SMALTI_HD constexpr int nf4_row_x(int steps) { return steps * nf4_panel::step + 8; }
SMALTI_HD constexpr int nf4_row_sum(int panels) { return panels * nf4_panel::rows + 4; }
}  // namespace detail

/// Dynamic shared memory, bytes: the tables and one or two chunks of x (m, K); the partial sums later take the same place.
constexpr int smem_bytes(nf4_engine e, nf4_tile t, nf4_work w) {
  int const x = min(t.chunks(w.k), 2) * w.m * detail::nf4_row_x(t.chunk) * 2;
  int const sums = t.parts * e.tiles * 8 * detail::nf4_row_sum(t.panels) * 4;
  return detail::nf4_slack_bytes + max(detail::nf4_table_bytes + x, sums);
}
/// What a block may take when `blocks` of them share a processor; the system keeps 1 KiB of each.
constexpr int smem_limit(nf4_engine e, arch a) { return (a.smem + 1024) / e.blocks - 1024; }

constexpr bool fits(nf4_engine e, nf4_tile t, nf4_work w, arch a) {
  bool const clusters = a >= sm_90a;
  return t.panels > 0 && t.panels % w.halves == 0 && t.parts > 0 && t.chunk >= t.parts && t.chunk % t.parts == 0 && 32 * t.warps() <= e.threads &&
         (t.split == 1 || ((t.split == 2 || t.split == 4 || t.split == 8) && clusters)) && w.m >= 1 && w.m <= 8 * e.tiles && smem_bytes(e, t, w) <= a.smem;
}

/// The tile with the largest chunk of x that shared memory holds beside the tables; chunk 0 when none does.
constexpr nf4_tile with_chunk(nf4_tile t, nf4_engine e, nf4_work w, arch a) {
  int const limit = smem_limit(e, a), room = (limit - detail::nf4_slack_bytes - detail::nf4_table_bytes) / (2 * w.m) - 8;  // elements of a row, were there one buffer
  int const all = ceil_div(t.steps(w.k), t.parts) * t.parts;
  t.chunk = all * nf4_panel::step <= room ? all : max(0, ((room + 8) / 2 - 8) / nf4_panel::step / t.parts * t.parts);
  if (t.chunk < t.parts || smem_bytes(e, t, w) > limit) t.chunk = 0;
  return t;
}

/// The kernel for `m` tokens: f.template operator()<Config>(). Registers decide: 32 rows of W and 8 tokens take 128 of them, 32
/// tokens 168, 64 tokens all 255. Times are of consecutive launches, H200 · CUDA 13.0 · 2026-11 · bench/nf4_cuda.cu sweep.
template <class F>
auto with_nf4_config(index m, F&& f) {
  if (m <= 8) return f.template operator()<nf4_config<1, 512>>();   // 28672×4096, M 1: 19.3 µs; two blocks of 256: 19.9
  if (m <= 16) return f.template operator()<nf4_config<2, 512>>();  // 28672×4096, M 16: 26.2 µs; 384 threads: 35.2
  if (m <= 32) return f.template operator()<nf4_config<4, 384>>();  // 4096×14336, M 32: 29.2 µs; 512 threads: 34.8 (spills)
  return f.template operator()<nf4_config<8, 256>>();
}

/// The cheapest tile by a model in clocks of one processor.
constexpr nf4_tile nf4_tuned(nf4_engine e, nf4_work w, arch a, int processors) {
  int const warps = e.threads / 32, tiles = ceil_div(w.m, 8);
  nf4_tile best{};
  double least = 1e30;
  for (int split = 1; split <= (a >= sm_90a ? 8 : 1); split *= 2)
    for (int panels = w.halves; panels <= warps; panels += w.halves)
      for (int parts = 1; panels * parts <= warps; ++parts) {
        nf4_tile const t = with_chunk({panels, parts, split}, e, w, a);
        if (!t.chunk || parts > t.steps(w.k)) continue;
        int const held = split > 2 ? processors * 10 / 11 : processors;                    // clusters of 4 or 8 do not fit everywhere
        int const blocks = split * ceil_div(w.panels, panels), together = min(e.blocks, ceil_div(blocks, held));  // blocks that share a processor
        int const waves = ceil_div(blocks, held * e.blocks), turns = ceil_div(t.steps(w.k), parts);
        double const busy = turns * (700. + max(together * panels * parts, 12) * (60. + 45. * tiles));  // decode and multiply
        double const x = 8. * w.m * t.steps(w.k) + 800. * (t.chunks(w.k) - 1);              // L2 → shared memory
        double const sums = 2.5 * panels * parts * w.m + (split > 1 ? 450. * split - 200. + 8. * panels * w.m : 0.);
        double const cost = waves * (2500. + busy + x + sums);
        if (cost < least) least = cost, best = t;
      }
  return best;
}

}  // namespace smalti
