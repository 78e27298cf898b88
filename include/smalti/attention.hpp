#pragma once
// Attention, wherever it runs: `attention(where, problem, variant)`.
//
//   attention_problem<float> p{.q = …, .k = …, .v = …, .o = …, .lse = {}, .scale = 1 / std::sqrt(float(D))};
//   if (auto s = attention(on_cpu{threads}, p, causal{} & window{4096}); !s) log(s.id, s.why);
//
// A tile can be named (`attention<fixed<tile>>(…)`); otherwise the table `tuned` names it. A variant of your own is a struct
// with three functions: see attention/variant.hpp. For `attention(on_cuda{stream}, …)` include attention.cuh instead.

#include "attention/host.hpp"
#include "attention/join.hpp"
