#pragma once
// What one warp does in y (M, N) = x (M, K) · Ŵᵀ for a few tokens, with mma.sync (PTX ISA 9.0, §9.7.14): sm_80 and everything
// after it.
//
// W is the left operand (16 rows of it), the tokens are the 8 columns of mma.m16n8k16: one to eight tokens cost the same.
// A byte of W is two levels, and becomes a register of the left operand by one table look-up: 256 pairs, one copy a
// lane, so that no two lanes ever meet in a bank. absmax stays out of the decode: 64 columns are summed unscaled and absmax
// multiplies the fp32 sum, in fp32, which is less work too. Levels are rounded to x's type, absmax is not.

#include "../cuda/ptx.cuh"
#include "../quant/nf4.hpp"
#include "nf4_input.cuh"
#include "terms.hpp"

namespace smalti {

/// A term with 16-bit weights in the same sums, of LoRA above all: scale · t · Bᵀ, t (M, rank), B (N, rank), rank even.
template <class X>
struct dense_term {
  X const *t, *b;
  index row_t, row_b;  ///< even, as rank
  int rank;
  float scale;
  term_bands bands;
};

/// One sum of terms.
template <class X, class Scales>
struct nf4_operand {
  static constexpr int most_terms = 4;
  nf4_panels<Scales> w;
  float scale;
  int terms;
  dense_term<X> dense[most_terms];
};

template <class X, class Y, class Scales>
struct nf4_problem {
  X const* x;  ///< (M, K), rows 16-byte aligned; null where `raw` is
  Y* y;        ///< (M, N)
  index row_x, row_y;
  int m, n, k;
  bool pair;                      ///< y = silu(sum[0]) ⊙ sum[1], else y = sum[0]
  nf4_operand<X, Scales> sum[2];  ///< both halves have the same shape
  int row0 = 0;                   ///< what the epilogue calls the first row
  float const* raw = nullptr;     ///< (M, K) before `norm`, rows of row_x, 16-byte aligned
  nf4_norm norm = {};
  unsigned const* ready = nullptr;  ///< see launch_options
};

namespace detail {

/// Four levels in one word, rounded to T (no level is a tie).
template <class T, int First>
inline constexpr uint64_t nf4_levels16 = [] {
  uint64_t v = 0;
  for (int i = 0; i < 4; ++i) v |= uint64_t(T(nf4_level[First + i]).bits) << 16 * i;
  return v;
}();
template <class T>
SMALTI_D uint32_t nf4_level16(int code) {
  uint64_t const four = code < 8 ? (code < 4 ? nf4_levels16<T, 0> : nf4_levels16<T, 4>) : (code < 12 ? nf4_levels16<T, 8> : nf4_levels16<T, 12>);
  return uint32_t(four >> 16 * (code % 4)) & 0xffff;
}

/// The tables, interleaved so that an address is one byte permutation: entry e is at 256·e. Its first 128 bytes are 32 copies of
/// the pair (level[e / 16], level[e % 16]), the next 32 are 8 copies of map[e], the next 32 of the other half's map.
struct nf4_table {
  static constexpr int map_at = 128;
  static constexpr int reserved = 1024;  // where the tables begin: on Hopper a block's dynamic shared memory, before which the system keeps some
  unsigned char* at;

  /// Shared addresses of a block, less their low 16 bits; look-ups then need no addition. Checked, for `reserved` is not documented.
  SMALTI_D uint32_t window() const { return ptx::smem_address(at) - reserved; }
  SMALTI_D void check() const { if (window() & 0xffff) __trap(); }

  /// By all warps of the block but the first `others`.
  template <class T>
  SMALTI_D void fill(int others = 0) const {
    int const warps = blockDim.x / 32 - others, lane = ptx::lane();
    for (int high = ptx::warp() - others; high < 16; high += warps) {
      uint32_t const first = nf4_level16<T>(high);
      SMALTI_UNROLL for (int low = 0; low < 16; ++low)
        *reinterpret_cast<uint32_t*>(at + 256 * (16 * high + low) + 4 * lane) = first | nf4_level16<T>(low) << 16;
    }
  }
  SMALTI_D void fill_map(float const* map, int which, int others = 0) const {
    for (int i = ptx::thread() - 32 * others; i < 2 * 256; i += blockDim.x - 32 * others) {
      float const v = map[i / 2];
      *reinterpret_cast<float4*>(at + 256 * (i / 2) + map_at + 32 * which + 16 * (i % 2)) = {v, v, v, v};
    }
  }
  /// The addresses of this lane's copies in entry 0, less `reserved`: an entry's is that with a byte of codes put over its second.
  SMALTI_D uint32_t own_pairs() const { return window() | 4 * ptx::lane(); }
  SMALTI_D uint32_t own_map(int which) const { return window() | (ptx::lane() / 4 * 4 + 32 * which); }

  /// The bytes of `codes` as pairs of levels.
  static SMALTI_D void decode(uint32_t (&a)[4], uint32_t codes, uint32_t pairs) {
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) a[i] = ptx::load_shared<reserved>(ptx::select_bytes(codes, pairs, 0x7604 | i << 4));
  }
  /// map[byte i of `codes`]; the lanes of a quad ask for the same.
  static SMALTI_D float map(uint32_t codes, int i, uint32_t own) {
    return __uint_as_float(ptx::load_shared<reserved + map_at>(ptx::select_bytes(codes, own, 0x7604 | i << 4)));
  }
};

/// The scales of a panel as they come from memory, and as multipliers of a half step: s[tile][row half].
template <class Scales>
struct nf4_scale_reader;

template <>
struct nf4_scale_reader<plain_scales> {
  static constexpr int bytes = nf4_panel::scales * 4;  // of a step
  struct held { uint4 half[2]; };

  static SMALTI_D unsigned char const* of(nf4_panels<plain_scales> const& w) { return reinterpret_cast<unsigned char const*>(w.scales.absmax); }
  static SMALTI_D int lane_offset() { return ptx::lane() / 4 * 32; }
  static SMALTI_D held fetch(unsigned char const* own) { return {{ptx::load_once_16(own), ptx::load_once_16(own + 16)}}; }
  SMALTI_D void begin(nf4_panels<plain_scales> const&, nf4_table, int, int, int) {}
  SMALTI_D void get(held const& h, int half, int, float (&s)[2][2]) {
    uint4 const v = h.half[half];
    s[0][0] = __uint_as_float(v.x), s[0][1] = __uint_as_float(v.y), s[1][0] = __uint_as_float(v.z), s[1][1] = __uint_as_float(v.w);
  }
};

template <>
struct nf4_scale_reader<nested_scales> {
  static constexpr int bytes = nf4_panel::scales;
  struct held { uint2 code; };
  nf4_panels<nested_scales> const* w;
  int panel;
  uint32_t map;       // where this lane's copy of the map is
  float offset;
  float group[2][2];  // the entries of `nested` of the lane's rows
  int soonest;        // the column at which one of the rows comes to its next entry

  static SMALTI_D unsigned char const* of(nf4_panels<nested_scales> const& w) { return w.scales.code; }
  static SMALTI_D int lane_offset() { return ptx::lane() / 4 * 8; }
  static SMALTI_D held fetch(unsigned char const* own) { return {ptx::load_once_8(own)}; }

  SMALTI_D void begin(nf4_panels<nested_scales> const& of, nf4_table table, int p, int which, int column) {
    w = &of, panel = p, map = table.own_map(which), offset = of.scales.offset;
    advance(min(column, of.k - 1));
  }
  /// An entry spans 16384 elements of W and more, so a row rarely comes to its next; that one is asked for now, to be in L1 then.
  SMALTI_D void advance(int column) {
    soonest = w->k;
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) {
      index const row = min(panel * nf4_panel::rows + 8 * i + ptx::lane() / 4, w->n - 1) * index(w->k), at = (row + column) >> w->scales.span;
      int const end = int(min(index(w->k), ((at + 1) << w->scales.span) - row));
      group[i / 2][i % 2] = __ldg(w->scales.nested + at);
      if (end < w->k) soonest = min(soonest, end), ptx::prefetch_near(w->scales.nested + at + 1);
    }
  }
  SMALTI_D void get(held const& h, int half, int column, float (&s)[2][2]) {
    if (column >= soonest && column < w->k) advance(column);
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) s[i / 2][i % 2] = fmaf(nf4_table::map(half ? h.code.y : h.code.x, i, map), group[i / 2][i % 2], offset);
  }
};

/// A step of a panel, in registers.
template <class Scales>
struct nf4_step {
  uint4 codes[2][2];  // [half][tile]
  typename nf4_scale_reader<Scales>::held scales;
};

/// A warp's way along its panel: every step of a run, or every `parts`-th. The addresses are this lane's and move with it: nothing is computed anew.
template <class Scales>
struct nf4_path {
  unsigned char const *code, *scale;
  int left;    // steps, the one at hand with them
  int column;  // of W, at which that one begins

  SMALTI_D nf4_path(nf4_panels<Scales> const& w, int panel, int first, int left) : left(left), column(first * nf4_panel::step) {
    index const at = index(panel) * nf4_panel::steps(w.k) + first;
    code = w.code + at * nf4_panel::code_bytes + 16 * ptx::lane();
    scale = nf4_scale_reader<Scales>::of(w) + at * nf4_scale_reader<Scales>::bytes + nf4_scale_reader<Scales>::lane_offset();
  }
  SMALTI_D nf4_step<Scales> fetch() const {
    nf4_step<Scales> s;
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) s.codes[i / 2][i % 2] = ptx::load_once_16(code + 512 * i);
    s.scales = nf4_scale_reader<Scales>::fetch(scale);
    return s;
  }
  /// zero: 0, in words that the addresses must wait for.
  SMALTI_D void move(int parts, int zero) {
    code += parts * nf4_panel::code_bytes + zero, scale += parts * nf4_scale_reader<Scales>::bytes + zero;
    --left;
  }
};

/// The dense terms of a panel, into sums as mma leaves them: a few more columns of K, with weights that are 16-bit already.
template <int Tiles, class X, class Scales>
SMALTI_D void nf4_add_terms(float (&acc)[2][Tiles][4], nf4_operand<X, Scales> const& of, int panel, int n_all, int m) {
  constexpr int ahead = Tiles == 1 ? 4 : 1;                                   // steps of 16 columns on their way: latency binds
  int const g = ptx::lane() / 4, q = ptx::lane() % 4;
  for (int one = 0; one < of.terms; ++one) {
    dense_term<X> const& l = of.dense[one];
    auto const pair = [&](X const* row_at, int column) {                      // columns beyond the rank count as zeros
      return column < l.rank ? *reinterpret_cast<uint32_t const*>(row_at + column) : 0u;
    };
    SMALTI_ROLLED for (int k0 = 0; k0 < l.rank; k0 += 16 * ahead) {
      uint32_t a[ahead][2][4], b[ahead][Tiles][2];                            // B (32, 16) · t (16, 8 · Tiles)
      SMALTI_UNROLL for (int s = 0; s < ahead; ++s) {
        int const k = k0 + 16 * s;
        SMALTI_UNROLL for (int i = 0; i < 8; ++i) {
          int const row = min(panel * nf4_panel::rows + 8 * (i % 4) + g, n_all - 1);
          a[s][i % 4 / 2][i % 2 + i / 4 * 2] = pair(l.b + row * l.row_b, k + 2 * q + i / 4 * 8);
        }
        SMALTI_UNROLL for (int n = 0; n < Tiles; ++n) {
          X const* const from = l.t + min(8 * n + g, m - 1) * l.row_t;
          b[s][n][0] = pair(from, k + 2 * q), b[s][n][1] = pair(from, k + 2 * q + 8);
        }
      }
      SMALTI_UNROLL for (int s = 0; s < ahead; ++s)
        SMALTI_UNROLL for (int n = 0; n < Tiles; ++n)
          SMALTI_UNROLL for (int t = 0; t < 2; ++t) {
            float d[4] = {};
            ptx::mma_m16n8k16<X>(d, a[s][t], b[s][n][0], b[s][n][1]);
            SMALTI_UNROLL for (int i = 0; i < 4; ++i) acc[t][n][i] = fmaf(l.scale, d[i], acc[t][n][i]);
          }
    }
  }
}
/// B's rows of the panel on their way into L2, long before nf4_add_terms.
template <class X, class Scales>
SMALTI_D void nf4_prefetch_terms(nf4_operand<X, Scales> const& of, int panel, int n_all) {
  for (int one = 0; one < of.terms; ++one) {
    dense_term<X> const& l = of.dense[one];
    X const* const row = l.b + min(panel * nf4_panel::rows + ptx::lane(), n_all - 1) * l.row_b;
    SMALTI_ROLLED for (int k = 0; k < l.rank; k += 64) ptx::prefetch(row + k);
  }
}

/// One warp: a panel of W, `tiles` × 8 tokens.
template <nf4_engine E, class X, class Scales>
struct nf4_warp {
  static constexpr int tiles = E.tiles;
  static constexpr int group = tiles < 8 ? (tiles < 2 ? tiles : 2) : 4;       // tiles of tokens at a time: 2·group independent sums
  nf4_scale_reader<Scales> scales;
  uint32_t pairs;               // where this lane's copy of the table is
  int panel;
  float acc[2][tiles][4] = {};  // [tile of rows][tile of tokens], as mma leaves it: rows g, g+8 × tokens 2q, 2q+1

  /// x: the step's first column in the first token's row of shared memory; column: that column of W.
  SMALTI_D void multiply(nf4_step<Scales> const& from, int column, X const* x, int row, int m) {
    float s[2][2][2];                                                         // first of all, for their branches would part the rest
    SMALTI_UNROLL for (int half = 0; half < 2; ++half) scales.get(from.scales, half, column + nf4_panel::half * half, s[half]);
    SMALTI_UNROLL for (int half = 0; half < 2; ++half) {
      uint32_t a[2][4][4];                                                    // Ŵ / absmax               (32, 64)
      SMALTI_UNROLL for (int t = 0; t < 2; ++t) {
        uint4 const c = from.codes[half][t];
        nf4_table::decode(a[t][0], c.x, pairs), nf4_table::decode(a[t][1], c.y, pairs), nf4_table::decode(a[t][2], c.z, pairs), nf4_table::decode(a[t][3], c.w, pairs);
      }
      SMALTI_UNROLL for (int n0 = 0; n0 < tiles; n0 += group) {
        float d[2][group][4] = {};
        SMALTI_UNROLL for (int k = 0; k < 2; ++k) {
          uint32_t b[group][4];                                               // xᵀ                       (32, 8·group)
          SMALTI_UNROLL for (int n = 0; n < group; ++n) {
            int const token = min(8 * (n0 + n) + ptx::lane() % 8, m - 1);     // beyond M: repeated, never stored
            ptx::ldmatrix_x4(b[n], x + token * row + ptx::lane() / 8 * 8 + 64 * half + 32 * k);
          }
          SMALTI_UNROLL for (int j = 0; j < 2; ++j)
            SMALTI_UNROLL for (int n = 0; n < group; ++n)
              SMALTI_UNROLL for (int t = 0; t < 2; ++t) ptx::mma_m16n8k16<X>(d[t][n], a[t][2 * k + j], b[n][2 * j], b[n][2 * j + 1]);
        }
        SMALTI_UNROLL for (int i = 0; i < 8 * group; ++i) {
          int const t = i / 4 % 2, n = i / 8;
          acc[t][n0 + n][i % 4] = fmaf(d[t][n][i % 4], s[half][t][i % 4 / 2], acc[t][n0 + n][i % 4]);
        }
      }
    }
  }

  SMALTI_D void scale(float by) {
    SMALTI_UNROLL for (int i = 0; i < 8 * tiles; ++i) acc[i / 4 % 2][i / 8][i % 4] *= by;
  }

  /// Partial sums to shared memory, (tokens, rows of the block); row % 32 = 4 keeps a quad's lanes in different banks.
  SMALTI_D void store(float* to, int row) const {
    int const g = ptx::lane() / 4, q = ptx::lane() % 4;
    SMALTI_UNROLL for (int t = 0; t < 2; ++t)
      SMALTI_UNROLL for (int n = 0; n < tiles; ++n)
        SMALTI_UNROLL for (int i = 0; i < 4; ++i) to[(8 * n + 2 * q + i % 2) * row + 16 * t + g + 8 * (i / 2)] = acc[t][n][i];
  }
};

}  // namespace detail
}  // namespace smalti
