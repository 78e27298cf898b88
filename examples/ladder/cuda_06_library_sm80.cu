// CUDA rung 6, the library's common engine (smalti/attention/sm80.cuh): the loop of rung 5 for every board since sm_80.
//
// Beyond rung 5: the tile comes from a table that a sweep wrote, blocks without a mask cost none, and it works for any head
// dimension, variant, length and stride. What binds now: mma.sync itself. On Hopper its tensor cores want operands from shared
// memory and a warpgroup of four warps to ask for them.

#include "ladder_library.cuh"

int main(int argc, char** argv) {
  return ladder::climb_cuda(argc, argv, "6 library, sm_80: tuned tiles, any shape and mask", 8,
                            [](ladder::on_device const& p) { ladder::attend({.device = smalti::sm_80}, p); });
}
