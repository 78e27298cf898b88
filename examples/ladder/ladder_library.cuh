#pragma once
// The rungs that call the library.

#include <smalti/attention.cuh>
#include "ladder_cuda.cuh"

namespace ladder {
inline void attend(smalti::on_cuda const& where, on_device const& p) {
  using namespace smalti;
  auto const rows = [&](auto* x) { return row_major(x, 1, p.H, p.N, D); };
  attention_problem<bf16> const problem{.q = rows(p.q), .k = rows(p.k), .v = rows(p.v), .o = rows(p.o), .lse = {}, .scale = p.scale};
  if (auto const s = attention<tuned_heads<D>>(where, problem, causal{}); !s) std::printf("%s: %s\n", s.id, s.why), std::exit(1);
}
}  // namespace ladder
