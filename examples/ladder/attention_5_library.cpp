// Rung 5, the library: the same loop (`attend` in smalti/attention/mainloop.hpp), with the instruction set chosen at run time,
// threads that the caller owns, and tiles from a table. Dao 2023, "FlashAttention-2", §3.2: parallel over blocks of queries.
//
// Beyond rung 4 it skips what a mask empties, masks only what it cuts, stacks the query heads that share a key head, and
// works for any head dimension, element type and variant. A decode step reads K and V where they lie.

#include <smalti/attention.hpp>
#include "ladder_attention.hpp"

#include <thread>

int main(int argc, char** argv) {
  using namespace smalti;
  thread_pool threads(int(std::thread::hardware_concurrency()));
  auto run = [](on_cpu const& where) {
    return [where](ladder::problem& p) {
      attention_problem<float> const a{.q = row_major<float const>(p.q.data(), 1, p.H, p.N, p.D),
                                       .k = row_major<float const>(p.k.data(), 1, p.H, p.N, p.D),
                                       .v = row_major<float const>(p.v.data(), 1, p.H, p.N, p.D),
                                       .o = row_major(p.o.data(), 1, p.H, p.N, p.D),
                                       .lse = {},
                                       .scale = p.scale};
      if (auto s = attention(where, a, causal{}); !s) std::printf("%s: %s\n", s.id, s.why);
    };
  };
  return ladder::climb(argc, argv, "5 library, one thread", run(on_cpu{})) |
         ladder::climb(argc, argv, "5 library, every core", run(on_cpu{threads}));
}
