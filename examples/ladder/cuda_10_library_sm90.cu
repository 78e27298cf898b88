// CUDA rung 10, the library's engine for Hopper (smalti/attention/sm90*.cuh): the loop of rung 9 with persistent blocks.
//
// Blocks stay and draw their next item from a counter, the longest first and in sections whose K and V fit the cache; the step that
// begins an item also ends the one before; warpgroups take turns on the tensor cores; O is rescaled only when the maximum has grown
// by 2⁸. docs/performance.md compares it with others; docs/decisions.md says what each step gained and what did not.

#include "ladder_library.cuh"

int main(int argc, char** argv) {
  unsigned* ticket = nullptr;
  return ladder::climb_cuda(argc, argv, "10 library, sm_90a: persistent blocks, turns, lazy maximum", 9, [&](ladder::on_device const& p) {
    if (!ticket) ladder::require(cudaMalloc(&ticket, sizeof *ticket)), ladder::require(cudaMemset(ticket, 0, sizeof *ticket));
    ladder::attend({.device = smalti::sm_90a, .ticket = ticket}, p);
  });
}
