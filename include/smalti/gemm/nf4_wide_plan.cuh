#pragma once
// What the NF4 products for many tokens on Hopper share: the launch's plan, the order of tiles, and how sums leave.

#include "../cuda/tensor_map.cuh"
#include "nf4_kernel.cuh"
#include "nf4_wide_consume.cuh"
#include "nf4_wide_tail.cuh"

#if defined(__CUDACC__)
namespace smalti {
namespace detail {

/// Which tile of y: neighbours share rows of W, eight tiles of tokens at a time, so that both operands stay in the cache.
struct nf4_wide_order {
  int rows, columns;  ///< tiles of W's rows · of tokens
  struct place { int row, column; };
  SMALTI_HD constexpr place operator()(int i) const {
    int const band = i / (8 * rows), width = min(8, columns - 8 * band), rest = i - 8 * rows * band;
    return {rest / width, 8 * band + rest % width};
  }
};

/// A tile, or the share of one that `blocks` blocks of a cluster have: each a run of K.
struct nf4_wide_job {
  int tile, begin, steps, blocks;
};

template <class Config, class X, class Y, class Scales>
struct nf4_wide_plan : nf4_wide_tail_part<Config::tails> {
  CUtensorMap x, w[2];
  nf4_problem<X, Y, Scales> problem;
  nf4_wide_order order;
  nf4_wide_tile tile;
  nf4_wide_memory<Config> memory;
  int tiles, whole;  ///< of y · of a block before its cluster shares one

  /// What a block does j-th; its tile is beyond all where there is nothing left.
  SMALTI_D nf4_wide_job job(int j) const {
    int const all = ceil_div(problem.k, Config::columns), split = gridDim.x, rank = blockIdx.x, begin = all * rank / split;
    if (j < whole) return {int(j * gridDim.y + blockIdx.y) * split + rank, 0, all, 1};
    return {j == whole && shares() ? int(whole * split * gridDim.y + blockIdx.y) : tiles, begin, all * (rank + 1) / split - begin, split};
  }
  /// The steps of terms that are the block's. Of a shared tile those with fewer steps of W have more.
  struct run { int begin, end; };
  SMALTI_D run tail_of(nf4_wide_job const& job) const {
    int const all = this->tail.all(), place = job.blocks > 1 ? job.blocks - 1 - int(blockIdx.x) : 0;
    return {all * place / job.blocks, all * (place + 1) / job.blocks};
  }
  /// What sums are to be multiplied by in the end: the term's own factor where there is one.
  SMALTI_D float scale(int half) const {
    if constexpr (Config::tails)
      if (this->tail.steps[half]) return problem.sum[half].dense[0].scale;
    return problem.sum[half].scale;
  }
  SMALTI_D bool shares() const { return gridDim.x > 1 && int(whole * gridDim.x * gridDim.y + blockIdx.y) < tiles; }
};

/// For the copy engine: `panels` panels by `columns` columns of packed codes at a time, in words of 8 bytes. Panels beyond N read as zero.
inline status nf4_code_map(CUtensorMap& map, uint8_t const* code, int n, int k, int columns, int panels) {
  cuuint64_t const row = cuuint64_t(nf4_panel::steps(k)) * nf4_panel::code_bytes, all = cuuint64_t(nf4_panel::panels(n));
  cuuint64_t const extent[] = {row / 8, all, 1, 1}, stride[] = {row, row * all, row * all};
  cuuint32_t const box[] = {cuuint32_t(nf4_panel::rows * columns / 2 / 8), cuuint32_t(panels), 1, 1}, step[] = {1, 1, 1, 1};
  if (!tensor_map_encoder()) return {"cuda", "the driver has no cuTensorMapEncodeTiled"};
  CUresult const r = tensor_map_encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT64, 4, const_cast<uint8_t*>(code), extent, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                          CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return r == CUDA_SUCCESS ? status{} : status{"cuda", "cuTensorMapEncodeTiled refused the packed codes"};
}

/// Four neighbours of a row of y, through the epilogue; of a pair v is gate.
template <class X, class Y, class Scales, class Out>
SMALTI_D void nf4_wide_put(nf4_problem<X, Y, Scales> const& p, Out const& out, bool pair, int token, int n, float4 v, float4 up) {
  int const left = p.n - n;
  if (token >= p.m || left <= 0) return;
  bool const aligned = p.row_y % 4 == 0 && reinterpret_cast<uint64_t>(p.y) % 8 == 0;
  float o[4] = {v.x, v.y, v.z, v.w};
  if (pair) {
    float const u[4] = {up.x, up.y, up.z, up.w};
    SMALTI_UNROLL for (int i = 0; i < 4; ++i) o[i] = silu{}(o[i], 0, 0) * u[i];
  }
  SMALTI_UNROLL for (int i = 0; i < 4; ++i)
    if (i < left) o[i] = out(o[i], token, n + i);
  store_four(p.y + token * p.row_y + n, o, aligned, left);
}

/// 64 rows of sums that all exist, of the tokens in `Tiles` tiles from tile First on, to a y of 16 bits whose rows begin at multiples of
/// 16 bytes. room: for some tokens.
template <int First, int Tiles, int All, class Problem, class Out>
SMALTI_D void nf4_wide_leave_whole(Problem const& p, Out const& out, float const (&acc)[All][4], unsigned char* room, int group, int row, int token0) {
  using Y = std::remove_reference_t<decltype(*p.y)>;
  constexpr int count = min(8 * Tiles, nf4_wide_tokens_out);
  int const l = ptx::lane() % 8, matrix = ptx::lane() / 8, w = ptx::uniform(ptx::warp() % 4), g = ptx::lane() / 4, q = ptx::lane() % 4;
  auto const place = [&](int token, int part) { return room + token * 128 + ((part ^ token % 8) << 4); };  // 8 rows of W; no two of a quarter warp in one bank
  SMALTI_UNROLL for (int chunk = First * 8 / count; chunk < (First + Tiles) * 8 / count; ++chunk) {
    ptx::barrier_sync(2 + group, 128);
    SMALTI_UNROLL for (int i = 0; i < count / 8; i += 2) {
      uint32_t v[4];
      SMALTI_UNROLL for (int j = 0; j < 4; ++j) {                               // 8 tokens × 8 rows
        auto const& sums = acc[chunk * (count / 8) + i + j / 2];
        float o[2];
        SMALTI_UNROLL for (int e = 0; e < 2; ++e) {
          int const token = token0 + chunk * count + 8 * (i + j / 2) + 2 * q + e;
          o[e] = sums[2 * (j % 2) + e];
          if constexpr (!std::is_same_v<Out, identity>)
            if (token < p.m) o[e] = out(o[e], token, row + 16 * w + 8 * (j % 2) + g);
        }
        v[j] = ptx::pack<Y>(o[0], o[1]);
      }
      ptx::stmatrix_x4_trans(place(8 * (i + matrix / 2) + l, 2 * w + matrix % 2), v);
    }
    ptx::barrier_sync(2 + group, 128);
    SMALTI_UNROLL for (int f = threadIdx.x % 128; f < count * 8; f += 128) {
      int const token = f / 8, part = f % 8, at = token0 + chunk * count + token;
      if (at < p.m) *reinterpret_cast<uint4*>(p.y + at * p.row_y + row + 8 * part) = *reinterpret_cast<uint4 const*>(place(token, part));
    }
  }
}

/// The two warpgroups of a pair exchange sums: gate ends up with y's columns for the first half of the tokens, up for the second.
/// mine, other: room of both, two vectors a thread.
template <int Which, int All>
SMALTI_D void nf4_wide_meet(float (&acc)[All][4], float4* mine, float4 const* other, int group) {
  constexpr int kept = Which * All / 2, given = All / 2 - kept;
  int const thread = threadIdx.x % 128;
  ptx::barrier_sync(2 + group, 128);                                            // the tile before has left
  SMALTI_UNROLL for (int i = 0; i < All / 2; i += 2) {
    SMALTI_UNROLL for (int j = 0; j < 2; ++j) {
      auto const& a = acc[given + i + j];
      mine[128 * j + thread] = {a[0], a[1], a[2], a[3]};
    }
    ptx::barrier_sync(6 + group / 2, 256);
    SMALTI_UNROLL for (int j = 0; j < 2; ++j) {
      float4 const v = other[128 * j + thread];
      float const theirs[4] = {v.x, v.y, v.z, v.w};
      SMALTI_UNROLL for (int k = 0; k < 4; ++k) {
        float& own = acc[kept + i + j][k];
        own = Which ? silu{}(theirs[k], 0, 0) * own : silu{}(own, 0, 0) * theirs[k];
      }
    }
    ptx::barrier_sync(6 + group / 2, 256);
  }
}

/// The sums of a warpgroup (64 rows of W) to y, `split` blocks having a part of them: terms, other blocks' sums, the other half of a pair,
/// the epilogue.
template <class Config, class X, class Y, class Scales, class Out>
SMALTI_D void nf4_wide_leave(nf4_wide_plan<Config, X, Y, Scales> const& plan, Out const& out, float (&acc)[Config::tokens / 8][4],
                             unsigned char* smem, nf4_wide_order::place at, int split, int group) {
  constexpr int all = Config::tokens / 2;                                       // sums of a thread
  using memory = nf4_wide_memory<Config>;
  auto const& p = plan.problem;
  int const groups = plan.tile.groups, pair = p.pair, rank = split > 1 ? blockIdx.x : 0, w = ptx::uniform(ptx::warp() % 4), thread = threadIdx.x % 128;
  int const slot = at.row * groups + group, which = slot & pair, row = 64 * (slot >> pair), token0 = at.column * Config::tokens;
  auto const& sum = p.sum[which];
  ptx::wait_for_previous();                                                   // terms and the epilogue read what it may write
  if (float const scale = plan.scale(which); scale != 1.f)
    SMALTI_UNROLL for (int i = 0; i < all; ++i) acc[i / 4][i % 4] *= scale;
  if constexpr (!Config::tails)
    if (rank == 0) nf4_wide_terms(acc, sum, row + 16 * w, p.n, token0, p.m);

  if constexpr (sizeof(Y) == 2) {
    if (split == 1 && row + 64 <= p.n && p.row_y % 8 == 0 && reinterpret_cast<uint64_t>(p.y) % 16 == 0) {
      constexpr int tiles = Config::tokens / 8;
      unsigned char* const room = smem + plan.memory.out() + group * memory::out_bytes;
      auto const meet = [&]<int Which>(std::integral_constant<int, Which>) {
        nf4_wide_meet<Which>(acc, reinterpret_cast<float4*>(room), reinterpret_cast<float4 const*>(room + (Which ? -1 : 1) * memory::out_bytes), group);
        nf4_wide_leave_whole<Which * tiles / 2, tiles / 2>(p, out, acc, room, group, row, token0);
      };
      if (!pair) return nf4_wide_leave_whole<0, tiles>(p, out, acc, room, group, row, token0);
      return which ? meet(std::integral_constant<int, 1>{}) : meet(std::integral_constant<int, 0>{});
    }
  }
  int const g = ptx::lane() / 4, q = ptx::lane() % 4;
  if (split == 1) {                                                           // some tokens at a time
    constexpr int width = memory::row_out, count = memory::sums_out;
    float* const mine = reinterpret_cast<float*>(smem + plan.memory.out() + group * memory::out_bytes);
    float const* const gate = mine - (pair ? which : 0) * (memory::out_bytes / 4);
    auto const meet = [&] { pair ? ptx::barrier_sync(6 + group / 2, 256) : ptx::barrier_sync(2 + group, 128); };
    SMALTI_UNROLL for (int chunk = 0; chunk < Config::tokens / count; ++chunk) {
      meet();
      SMALTI_UNROLL for (int i = 0; i < count / 2; ++i)
        mine[(8 * (i / 4) + 2 * q + i % 2) * width + 16 * w + g + i % 4 / 2 * 8] = acc[chunk * (count / 8) + i / 4][i % 4];
      meet();
      for (int f = thread + which * 128; f < 16 * count; f += 128 << pair) {  // the halves of a pair take turns
        float const* const from = gate + f / 16 * width + f % 16 * 4;
        nf4_wide_put(p, out, pair, token0 + count * chunk + f / 16, row + f % 16 * 4, *reinterpret_cast<float4 const*>(from),
                             *reinterpret_cast<float4 const*>(from + pair * (memory::out_bytes / 4)));
      }
    }
  } else {                                                                    // the ring is done with: (tokens, rows + 4)
    int const width = ptx::here(64 * groups + 4);
    float* const sums = reinterpret_cast<float*>(smem + ptx::here(memory::ring));
    ptx::barrier_sync(1, 128 * groups);
    SMALTI_UNROLL for (int i = 0; i < all; ++i)
      sums[(i / 4 * 8 + 2 * q + i % 2) * width + 64 * group + 16 * w + g + i % 4 / 2 * 8] = acc[i / 4][i % 4];
    ptx::cluster_sync();
    int const count = 16 * groups >> pair, shares = ceil_div(max(min(Config::tokens, p.m - token0) - rank, 0), split) * count;  // of four rows, every split-th token
    auto const put_shares = [&]<int Blocks>(std::integral_constant<int, Blocks>) {
      auto const total = [&](int token, int r) {                                // in the order of the blocks
        float4 v[Blocks];
        SMALTI_UNROLL for (int i = 0; i < Blocks; ++i) v[i] = ptx::load_cluster_16(sums + token * width + r, i);
        SMALTI_UNROLL for (int i = 1; i < Blocks; ++i) v[0] = add(v[0], v[i]);
        return v[0];
      };
      if (!pair) {
        constexpr int at_once = max(1, 8 / Blocks);  // others' memory is far
        for (int f = 128 * group + thread; f < shares; f += at_once * 128 * groups) {
          float4 v[at_once][Blocks];
          SMALTI_UNROLL for (int j = 0; j < at_once; ++j) {
            int const mine = min(f + j * 128 * groups, shares - 1);
            SMALTI_UNROLL for (int i = 0; i < Blocks; ++i) v[j][i] = ptx::load_cluster_16(sums + (mine / count * Blocks + rank) * width + mine % count * 4, i);
          }
          SMALTI_UNROLL for (int j = 0; j < at_once; ++j) {
            int const mine = f + j * 128 * groups;
            SMALTI_UNROLL for (int i = 1; i < Blocks; ++i) v[j][0] = add(v[j][0], v[j][i]);
            if (mine < shares) nf4_wide_put(p, out, false, token0 + mine / count * Blocks + rank, 64 * at.row * groups + mine % count * 4, v[j][0], v[j][0]);
          }
        }
        return;
      }
      for (int f = 128 * group + thread; f < shares; f += 128 * groups) {
        int const token = f / count * Blocks + rank, r = f % count * 4, of = pair ? r / 64 * 128 + r % 64 : r;
        float4 const v = total(token, of);
        nf4_wide_put(p, out, pair, token0 + token, 64 * (at.row * groups >> pair) + r, v, pair ? total(token, of + 64) : v);
      }
    };
    switch (split) {
      case 2: put_shares(std::integral_constant<int, 2>{}); break;
      case 3: put_shares(std::integral_constant<int, 3>{}); break;
      case 4: put_shares(std::integral_constant<int, 4>{}); break;
      case 5: put_shares(std::integral_constant<int, 5>{}); break;
      case 6: put_shares(std::integral_constant<int, 6>{}); break;
      case 7: put_shares(std::integral_constant<int, 7>{}); break;
      default: put_shares(std::integral_constant<int, 8>{});
    }
    ptx::cluster_sync();                                                      // nobody leaves while others read its sums
  }
}

}  // namespace detail
}  // namespace smalti
#endif
