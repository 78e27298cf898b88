#pragma once
// The keys and values of this step on their way into the cache, rotated if need be, by the blocks that are about to read them.
// RoFormer (Su et al. 2021), §3.4, in the rotate-half order of math/rope.hpp.

#include "../cuda/ptx.cuh"
#include "../math/rope.cuh"
#include "problem.hpp"
#include "variant.hpp"

namespace smalti {

/// New tokens. The cache's lengths (kv_used, or its extent) count them already: token i of n goes to row length − n + i, and
/// turns as the problem's position + i does. Page ids outside the pool are not written to.
template <class T>
struct decode_append {
  view<T const, 4> k, v;  ///< (B, Hkv, Nq, D), (B, Hkv, Nq, Dv), indexed as Q is (packed queries: batch extent 1); or empty
  view<T, 4> to_k, to_v;  ///< the memory of problem.k and problem.v
  rope_angles rope = {};  ///< set: the new keys *and the queries* come unrotated
};

namespace detail {

/// Columns c and c + 1 (c even) of a row at `position`, turned.
template <class E>
SMALTI_D uint32_t turned_pair(rope_angles const& rope, E const* row, int c, int position) {
  uint32_t const mine = *reinterpret_cast<uint32_t const*>(row + c);
  int const half = rope.dim / 2;
  if (c >= rope.dim || !rope.cos) return mine;
  bool const second = c >= half;
  int const i = second ? c - half : c;
  index const at = index(min(max(position, 0), rope.positions - 1)) * half + i;
  E const *const x = row + c, *const y = row + (second ? i : c + half);
  float const sign = second ? 1.f : -1.f;
  return ptx::pack<E>(float(x[0]) * rope.cos[at] + sign * float(y[0]) * rope.sin[at], float(x[1]) * rope.cos[at + 1] + sign * float(y[1]) * rope.sin[at + 1]);
}

/// Writes those of the `tokens` newest of `length` keys that lie in `mine`. The whole block calls it, and must meet before
/// anybody reads them.
template <class E>
SMALTI_D void append(attention_problem<E> const& p, decode_append<E> const& a, int batch, int group, int tokens, int length, key_range mine) {
  int const D = int(p.k.extent[3]), Dv = int(p.v.extent[3]), pairs = (D + Dv) / 2, outer = p.lengths.q_starts ? 0 : batch, first = p.q_first(batch);
  for (int i = ptx::thread(); i < tokens * pairs; i += int(blockDim.x)) {
    int const t = i / pairs, c = i % pairs * 2, key = length - tokens + t;
    if (key < 0 || !mine.holds(key)) continue;
    int page = batch, row = key;
    if (p.pages.pages) {
      page = p.pages.pages[index(batch) * p.pages.max_pages + key / p.pages.page_size], row = key % p.pages.page_size;
      if (unsigned(page) >= unsigned(p.k.extent[0])) continue;
    } else if (p.lengths.kv_starts) {
      page = 0, row += p.kv_first(batch);
    }
    auto const put = [](E* to, uint32_t pair) { *reinterpret_cast<uint32_t*>(to) = pair; };
    if (c < D) put(&a.to_k(page, group, row, c), turned_pair(a.rope, &a.k(outer, group, first + t, 0), c, p.position(batch) + t));
    else put(&a.to_v(page, group, row, c - D), turned_pair({}, &a.v(outer, group, first + t, 0), c - D, 0));
  }
  ptx::fence_async_proxy_global();
}

}  // namespace detail
}  // namespace smalti
