#pragma once
// Attention as it is written down (Vaswani et al. 2017, eq. 1): a matrix of scores, its softmax, its product with the values, each a pass
// over memory. What fused attention is compared with and measured against; nothing chooses it by itself.

#include <algorithm>
#include <cmath>
#include <vector>
#include "ops_cpu.hpp"

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_DECODER)
namespace smalti {

namespace detail {
/// Σ a_i · b_i in sixteen sums, which a compiler may keep in one vector.
template <class A, class B>
float dot(A const* a, B const* b, int n) {
  float part[16] = {}, sum = 0;
  int i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; ++j) part[j] += float(a[i + j]) * float(b[i + j]);
  for (float p : part) sum += p;
  for (; i < n; ++i) sum += float(a[i]) * float(b[i]);
  return sum;
}
}  // namespace detail

template <class T>
status attend_eager(on_cpu const& where, view<float, 2> o, view<float const, 2> q, kv_cache<T>& cache, int layer, ragged_batch const& batch, attend_options const& how) {
  int const m = int(q.extent[0]), d = cache.dim(), heads = int(q.extent[1]) / d, group = heads / cache.heads();
  int const width = *std::max_element(batch.kv_used.begin(), batch.kv_used.end());
  view<T, 3> const s = row_major(cache.lend(std::size_t(heads) * std::size_t(m) * std::size_t(width)), heads, m, width);  // (H, M, keys)
  std::vector<int> owner;                                                                                                  // (M)
  for (int b = 0; b < batch.count(); ++b) owner.insert(owner.end(), std::size_t(batch.q_starts[std::size_t(b) + 1] - batch.q_starts[std::size_t(b)]), b);
  // f(row, head, its keys' sequence, how many keys that has): every row of every head, whatever it may see.
  auto const each = [&](auto&& f) {
    parallel_for(where, index(heads) * m, [&](index i) {
      int const row = int(i % m), b = owner[std::size_t(row)];
      f(row, int(i / m), batch.sequence[std::size_t(b)], batch.kv_used[std::size_t(b)]);
    });
  };
  double const matrix = double(s.size()), bytes = matrix * sizeof(T), keys = double(width) * batch.count() * cache.heads() * d * sizeof(T);
  detail::mark(batch, "scores", bytes + keys, 2 * matrix * d);
  each([&](int row, int head, int sequence, int count) {
    for (int k = 0; k < count; ++k) s(head, row, k) = T(how.scale * detail::dot(&q(row, head * d), cache.key(layer, sequence, head / group, k), d));
  });
  detail::mark(batch, "softmax", 2 * bytes);
  each([&](int row, int head, int, int count) {
    int const end = std::min(count, batch.position[std::size_t(row)] + 1), begin = how.window ? std::max(0, end - how.window) : 0;
    float top = -INFINITY, sum = 0;
    for (int k = begin; k < end; ++k) top = std::max(top, float(s(head, row, k)));
    for (int k = begin; k < end; ++k) sum += std::exp(float(s(head, row, k)) - top);
    for (int k = 0; k < count; ++k) s(head, row, k) = T(k < begin || k >= end ? 0.f : std::exp(float(s(head, row, k)) - top) / sum);
  });
  detail::mark(batch, "weighted values", bytes + keys, 2 * matrix * d);
  each([&](int row, int head, int sequence, int count) {
    float* const to = &o(row, head * d);  // (D)
    std::fill_n(to, d, 0.f);
    for (int k = 0; k < count; ++k) {
      T const* const v = cache.value(layer, sequence, head / group, k);  // (D)
      float const p = float(s(head, row, k));
      for (int i = 0; i < d; ++i) to[i] += p * float(v[i]);
    }
  });
  return {};
}

}  // namespace smalti
#endif
