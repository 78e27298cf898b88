// CUDA rung 6, the library's common engine (smalti/attention/sm80.cuh): the loop of rung 5 for every board since sm_80.
//
// Beyond rung 5: 32 queries a warp, so that a fragment of K or V is used twice; three buffers and one barrier a block; a maximum that moves
// only when it must; tiles from a table; any head dimension, variant, length and stride. What binds now: the copies, and mma.sync itself. On
// Hopper the tensor cores want operands from shared memory and a warpgroup of four warps to ask for them.

#include "ladder_library.cuh"

int main(int argc, char** argv) {
  return ladder::climb_cuda(argc, argv, "6 library, sm_80: tuned tiles, any shape and mask", 8,
                            [](ladder::on_device const& p) { ladder::attend({.device = smalti::sm_80}, p); });
}
