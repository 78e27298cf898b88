#pragma once
// The kernels of sampling.cuh. A row's tokens are ordered by one key of 64 bits, the logit above the token, so that every choice of the
// host (top-k, top-p, min-p, the draw itself) is a prefix of one order, and heavy candidates are fetched and sorted a few at a time:
// radix selection by counts (Alabi et al. 2012) down to a list that a block sorts. Sums are taken in a fixed order, in double. The
// blocks of a cluster share the passes over a row and do the rest alike, so that nothing needs to be told to the others.

#include <cub/block/block_merge_sort.cuh>
#include <cub/block/block_scan.cuh>
#include "../cuda/ptx_cluster.cuh"
#include "philox.hpp"
#include "rows.cuh"

namespace smalti::detail {

inline constexpr int argmax_blocks = 32;   ///< of a row, at most
inline constexpr int argmax_threads = 256;
inline constexpr int sample_threads = 512;
inline constexpr int sample_each = 4;
inline constexpr int sample_list = sample_each * sample_threads;  ///< candidates that are sorted at once
inline constexpr int sample_blocks = 8;                           ///< that share a row, as a cluster (sm_90a)

/// Memory of a sampling_workspace.
struct sampling_memory {
  uint64_t* best;     ///< (rows, argmax_blocks)
  unsigned* ticket;   ///< (rows), 0 between calls
  unsigned* seen;     ///< (rows, seen_words), 0 between calls
  uint64_t* list;     ///< (rows, sample_blocks, sample_list)
  int seen_words;
};

inline dim3 argmax_grid(index rows, index vocabulary) {
  return dim3(unsigned(max(index(1), min(index(argmax_blocks), ceil_div(vocabulary, index(8 * argmax_threads))))), unsigned(rows));
}

#if defined(__CUDACC__)
/// Larger logits first, of equals the lower token; NaN below all; −0 and 0 are equal. Never 0 for a logit that is none.
SMALTI_D uint64_t sampling_key(float logit, int token) {
  uint32_t const bits = __float_as_uint(logit == 0.f ? 0.f : logit), ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return uint64_t(logit == logit ? ordered : 0u) << 32 | ~uint32_t(token);
}
SMALTI_D float key_logit(uint64_t key) {
  uint32_t const ordered = uint32_t(key >> 32);
  return __uint_as_float(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered);
}
SMALTI_D int key_token(uint64_t key) { return int(~uint32_t(key)); }

SMALTI_D uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }
SMALTI_D uint64_t warp_largest(uint64_t v) {
  SMALTI_UNROLL for (int d = 16; d; d /= 2) v = larger(v, __shfl_xor_sync(~0u, v, d));
  return v;
}

/// Grid: (parts, rows). The last block of a row to finish takes the largest of all.
template <class T>
__global__ void __launch_bounds__(argmax_threads) argmax_kernel(view<T const, 2> logits, int* ids, sampling_memory memory) {
#if defined(__CUDA_ARCH__)
  __shared__ uint64_t meet[argmax_threads / 32];
  __shared__ unsigned turn;
  ptx::launch_dependents();
  ptx::wait_for_previous();
  index const n = logits.extent[1], row = blockIdx.y;
  T const* const at = logits.at + row * logits.stride[0];
  uint64_t best = 0;
  bool const wide = reinterpret_cast<uint64_t>(at) % 16 == 0;
  index const whole = wide ? n / 8 * 8 : 0;
  for (index i = 8 * (blockIdx.x * index(argmax_threads) + threadIdx.x); i < whole; i += 8 * index(gridDim.x) * argmax_threads) {
    float v[8];
    ptx::load_eight(v, at + i);
    SMALTI_UNROLL for (int j = 0; j < 8; ++j) best = larger(best, sampling_key(v[j], int(i) + j));
  }
  for (index i = whole + blockIdx.x * index(argmax_threads) + threadIdx.x; i < n; i += index(gridDim.x) * argmax_threads) best = larger(best, sampling_key(ptx::widen_one(at[i]), int(i)));
  best = warp_largest(best);
  if (ptx::lane() == 0) meet[ptx::warp()] = best;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (uint64_t other : meet) best = larger(best, other);
    memory.best[row * argmax_blocks + blockIdx.x] = best;
    turn = ptx::draw_ticket(memory.ticket + row);                             // orders the write before it
  }
  __syncthreads();
  if (turn != gridDim.x - 1 || threadIdx.x >= 32) return;
  best = threadIdx.x < gridDim.x ? __ldcg(memory.best + row * argmax_blocks + threadIdx.x) : 0;
  best = warp_largest(best);
  if (threadIdx.x != 0) return;
  memory.ticket[row] = 0;
  float const front = n > 0 ? ptx::widen_one(at[0]) : 0.f;
  ids[row] = n == 0 ? -1 : front != front ? 0 : key_token(best);              // what std::max_element makes of NaN in front
#endif
}

/// One block a row: each token that was seen once, however often it occurred; the marks are taken back.
template <class X, class State, class Seen>
__global__ void __launch_bounds__(256) penalise_kernel(view<X, 2> logits, State const* states, Seen seen, sampling_memory memory) {
#if defined(__CUDA_ARCH__)
  ptx::launch_dependents();
  ptx::wait_for_previous();
  index const row = blockIdx.x;
  float const penalty = states[row].options.repetition_penalty;
  if (penalty == 1.f) return;
  unsigned* const mark = memory.seen + row * memory.seen_words;
  int const count = int(min(index(max(seen.count[row], 0)), seen.stride));
  for (int i = threadIdx.x; i < count; i += 256) {
    int const t = seen.at[row * seen.stride + i];
    if (t < 0 || t >= logits.extent[1] || atomicOr(mark + t / 32, 1u << t % 32) >> t % 32 & 1) continue;
    X& x = logits.at[row * logits.stride[0] + t];
    float const v = ptx::widen_one(x);
    x = X(v < 0 ? v * penalty : v / penalty);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += 256) {
    int const t = seen.at[row * seen.stride + i];
    if (t >= 0 && t < logits.extent[1]) mark[t / 32] = 0;
  }
#endif
}

/// What the threads of a sampling block share; other blocks of the cluster read `histogram`, `partial` and `fetched`.
struct sampling_block {
  using scan = cub::BlockScan<double, sample_threads>;
  using sort = cub::BlockMergeSort<uint64_t, sample_threads, sample_each>;
  union {
    typename scan::TempStorage scan_memory;
    typename sort::TempStorage sort_memory;
  };
  unsigned histogram[256], total[256];
  double sums[sample_threads / 32], partial[8];
  unsigned fetched, taken, digit;
  int chosen;
  uint64_t end_key;
  double end_through;
};

/// v[i] ← Σ v[i] over the cluster, the same for every thread, in an order that does not change. Count ≤ 8.
template <int Count>
SMALTI_D void cluster_totals(double (&v)[Count], sampling_block& s) {
  SMALTI_UNROLL for (int i = 0; i < Count; ++i) {
    SMALTI_UNROLL for (int d = 16; d; d /= 2) v[i] += __shfl_xor_sync(~0u, v[i], d);
    if (ptx::lane() == 0) s.sums[ptx::warp()] = v[i];
    __syncthreads();
    if (threadIdx.x == 0) {
      double sum = 0;
      for (double one : s.sums) sum += one;
      s.partial[i] = sum;
    }
    __syncthreads();
  }
  ptx::cluster_meet();
  SMALTI_UNROLL for (int i = 0; i < Count; ++i) {
    v[i] = 0;
    for (int r = 0; r < ptx::cluster_blocks(); ++r) v[i] += ptx::load_of_block(&s.partial[i], r);
  }
  ptx::cluster_meet();
}

/// One row's logits as candidates, in the order of their keys: what top-k leaves and what may have weight.
template <class X>
struct sampling_row {
  X const* at;
  int n;
  bool wide;               // rows begin at multiples of 16 bytes
  float largest, inverse;  // 1 / temperature
  uint64_t least;          // keys from here on stay

  SMALTI_D float weight(uint64_t key) const { return key ? expf((key_logit(key) - largest) * inverse) : 0.f; }
  /// f(key) for every candidate below `below`, each by one thread of the cluster, in an order that does not change.
  template <class F>
  SMALTI_D void each(uint64_t below, F f) const {
    auto const one = [&](float v, int i) {
      uint64_t const k = sampling_key(v, i);
      if (k < below && k >= least) f(k);
    };
    int const whole = wide ? n / 8 * 8 : 0, own = ptx::cluster_rank() * sample_threads + int(threadIdx.x), all = ptx::cluster_blocks() * sample_threads;
    for (int i = 8 * own; i < whole; i += 8 * all) {
      float v[8];
      ptx::load_eight(v, at + i);
      SMALTI_UNROLL for (int j = 0; j < 8; ++j) one(v[j], i + j);
    }
    for (int i = whole + own; i < n; i += all) one(ptx::widen_one(at[i]), i);
  }

  /// A key such that at least one and at most `most` candidates lie in [key, below); 0 where all that are left do. With `exact`, the
  /// one that leaves exactly `most` of them (or 0).
  SMALTI_D uint64_t select(sampling_block& s, uint64_t below, unsigned most, bool exact) const {
    uint64_t prefix = 0;         // of the key looked for: what is known of it
    unsigned taken = 0;          // candidates above the prefix
    for (int shift = 56; shift >= 0; shift -= 8) {
      if (threadIdx.x < 256) s.histogram[threadIdx.x] = 0;
      __syncthreads();
      each(below, [&](uint64_t k) {
        if (shift == 56 || k >> (shift + 8) == prefix >> (shift + 8)) atomicAdd(&s.histogram[k >> shift & 255], 1u);
      });
      ptx::cluster_meet();
      if (threadIdx.x < 256) {
        unsigned sum = 0;
        for (int r = 0; r < ptx::cluster_blocks(); ++r) sum += ptx::load_of_block(&s.histogram[threadIdx.x], r);
        s.total[threadIdx.x] = sum;
      }
      ptx::cluster_meet();
      if (threadIdx.x < 32) {    // from the top: the first digit with which there would be more than `most`
        unsigned own = 0;
        for (int j = 0; j < 8; ++j) own += s.total[255 - 8 * ptx::lane() - j];
        unsigned sum = own;
        SMALTI_UNROLL for (int d = 1; d < 32; d *= 2) {
          unsigned const v = __shfl_up_sync(~0u, sum, d);
          if (ptx::lane() >= d) sum += v;
        }
        unsigned const full = __ballot_sync(~0u, taken + sum > most), through = __shfl_sync(~0u, sum, 31);
        if (full == 0 ? ptx::lane() == 0 : ptx::lane() == __ffs(int(full)) - 1) {
          unsigned count = full == 0 ? taken + through : taken + sum - own;
          int d = full == 0 ? -1 : 255 - 8 * ptx::lane();
          while (d >= 0 && count + s.total[d] <= most) count += s.total[d--];
          s.taken = count, s.digit = unsigned(d + 1);
        }
      }
      __syncthreads();
      taken = s.taken;
      unsigned const whole = s.digit;                                         // digits from here on are taken as they are
      if (whole == 0 && shift == 56) return 0;
      if (taken > 0 && (!exact || taken == most)) return prefix + (uint64_t(whole) << shift);
      if (whole == 0) return prefix;
      prefix += uint64_t(whole - 1) << shift;                                 // and the one below is split
    }
    return prefix + 1;
  }
};

/// The heaviest candidates that have not been walked yet, sorted, with their weights and the sum before them.
struct sampling_list {
  uint64_t key[sample_each];
  double weight[sample_each], sum;
  double all;          // of the list
  uint64_t from;       // no candidate of it lies below this key
  int count;

  template <class X>
  SMALTI_D void fetch(sampling_block& s, sampling_row<X> const& row, uint64_t below, uint64_t* memory) {
    from = larger(row.select(s, below, sample_list, false), row.least);
    if (threadIdx.x == 0) s.fetched = 0;
    __syncthreads();
    uint64_t* const own = memory + ptx::cluster_rank() * sample_list;
    row.each(below, [&](uint64_t k) { if (k >= from) own[atomicAdd(&s.fetched, 1u)] = k; });
    ptx::cluster_meet();
    count = 0;
    SMALTI_UNROLL for (int j = 0; j < sample_each; ++j) key[j] = 0;
    for (int r = 0; r < ptx::cluster_blocks(); ++r) {
      int const here = int(ptx::load_of_block(&s.fetched, r));
      SMALTI_UNROLL for (int j = 0; j < sample_each; ++j) {
        int const i = sample_each * int(threadIdx.x) + j - count;
        if (i >= 0 && i < here) key[j] = __ldcg(memory + r * sample_list + i);
      }
      count += here;
    }
    ptx::cluster_meet();
    sampling_block::sort(s.sort_memory).Sort(key, [](uint64_t a, uint64_t b) { return a > b; });
    __syncthreads();
    double mine = 0;
    SMALTI_UNROLL for (int j = 0; j < sample_each; ++j) mine += weight[j] = row.weight(key[j]);
    sampling_block::scan(s.scan_memory).ExclusiveSum(mine, sum, all);
    __syncthreads();
  }
};

struct sampling_end {
  uint64_t key;
  double through;  // Σ weights up to this candidate, it included
};

/// Where the order is flat: moves `below` down past candidates whose sum is still short, eight parts of the range of logits at a time.
template <class X, class F>
SMALTI_D void skip(sampling_block& s, sampling_row<X> const& row, uint64_t& below, double& before, F reached) {
  uint64_t low = row.least >> 32, high = (below >> 32) + 1;
  for (int round = 0; round < 6 && high - low > 8; ++round) {
    uint64_t const part = (high - low) / 8;
    double sum[7] = {};
    row.each(below, [&](uint64_t k) {
      double const w = row.weight(k);
      SMALTI_UNROLL for (int j = 0; j < 7; ++j) sum[j] += k >> 32 >= high - part * (j + 1) ? w : 0.;
    });
    cluster_totals(sum, s);
    int short_of = 0;                                                         // parts that do not reach, one after the other
    double passed = 0;
    SMALTI_UNROLL for (int j = 0; j < 7; ++j)
      if (!reached(before + sum[j])) short_of = j + 1, passed = sum[j];
    if (short_of < 7) low = high - part * (short_of + 1);
    if (short_of > 0) high -= part * short_of, below = high << 32, before += passed;
  }
}

/// Walks the order list by list up to the first candidate with which reached(sum), or the last. `held`: the list is the first one.
template <class X, class F>
SMALTI_D sampling_end walk(sampling_block& s, sampling_row<X> const& row, sampling_list& list, bool& held, uint64_t* memory, F reached) {
  double before = 0;
  sampling_end end{0, 0};
  uint64_t below = ~uint64_t(0);
  for (bool first = true;; first = false) {
    if (!first || !held) list.fetch(s, row, below, memory);
    held = first;
    if (threadIdx.x == 0) s.chosen = INT32_MAX;
    __syncthreads();
    double through[sample_each];
    SMALTI_UNROLL for (int j = 0; j < sample_each; ++j) through[j] = (j ? through[j - 1] : before + list.sum) + list.weight[j];
    int mine = INT32_MAX;
    SMALTI_UNROLL for (int j = sample_each; j-- > 0;)
      if (list.key[j] && reached(through[j])) mine = sample_each * int(threadIdx.x) + j;
    if (mine != INT32_MAX) atomicMin(&s.chosen, mine);
    __syncthreads();
    int const chosen = s.chosen, place = chosen != INT32_MAX ? chosen : list.count - 1;
    if (place >= 0) {
      SMALTI_UNROLL for (int j = 0; j < sample_each; ++j)
        if (place == sample_each * int(threadIdx.x) + j) s.end_key = list.key[j], s.end_through = through[j];
      __syncthreads();
      end = {s.end_key, s.end_through};
    }
    __syncthreads();
    if (chosen != INT32_MAX || list.from <= row.least) return end;            // found, or nothing is left
    before += list.all, below = list.from;
    if (first) skip(s, row, below, before, reached);
  }
}

/// One cluster a row. ids holds the largest of each row already.
template <class X, class State>
__global__ void __launch_bounds__(sample_threads) sample_kernel(view<X const, 2> logits, int* ids, State* states, sampling_memory memory) {
#if defined(__CUDA_ARCH__)
  __shared__ sampling_block s;
  ptx::launch_dependents();
  ptx::wait_for_previous();
  index const at = blockIdx.y;
  int const n = int(logits.extent[1]), largest = ids[at];
  auto const options = states[at].options;
  uint64_t const draws = states[at].draws + 1;
  uint64_t* const list_memory = memory.list + at * sample_blocks * sample_list;
  bool const writes = threadIdx.x == 0 && ptx::cluster_rank() == 0;
  ptx::cluster_meet();                                                        // all have read
  if (writes) states[at].draws = draws;
  if (!(options.temperature > 0) || largest < 0) return;
  X const* const logit = logits.at + at * logits.stride[0];
  float const front = ptx::widen_one(logit[largest]);
  // e^−104 is 0 in fp32: what lies lower has no weight, and NaN lies below everything.
  uint64_t const weightless = sampling_key(front - 104.f * options.temperature, 0) & ~uint64_t(0xffffffff);
  sampling_row<X> row{logit, n, reinterpret_cast<uint64_t>(logit) % 16 == 0, front, 1.f / options.temperature, larger(weightless, uint64_t(1) << 32)};
  if (options.top_k > 0 && options.top_k < n) {
    uint64_t const kth = row.select(s, ~uint64_t(0), unsigned(options.top_k), true);
    row.least = larger(row.least, kth & ~uint64_t(0xffffffff));               // what ties with the k-th stays
  }
  double sums[2] = {};                                                        // of all, and of what min-p leaves
  row.each(~uint64_t(0), [&](uint64_t k) {
    float const w = row.weight(k);
    sums[0] += w, sums[1] += w >= options.min_p ? w : 0.f;
  });
  cluster_totals(sums, s);
  double mass = sums[0];
  if (!(mass > 0)) return;                                                    // nothing has weight: the largest stands
  sampling_list list;
  bool held = false;
  // The host keeps a token while less than `enough` came before it, and, but for the first, while it is no lighter than min_p.
  if (options.top_p < 1) {
    double const enough = options.top_p * mass;
    mass = walk(s, row, list, held, list_memory, [&](double through) { return through >= enough; }).through;
  }
  if (options.min_p > 0) mass = mass < sums[1] ? mass : sums[1] > 0 ? sums[1] : 1.;  // the heaviest, which weighs 1, always stays
  double const target = random_unit(options.seed, draws) * mass;
  uint64_t const chosen = walk(s, row, list, held, list_memory, [&](double through) { return through > target; }).key;
  if (writes && chosen) ids[at] = key_token(chosen);
#endif
}
#endif

}  // namespace smalti::detail
