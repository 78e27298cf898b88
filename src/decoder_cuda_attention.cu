// Part of decoder_cuda.cu, a unit of its own because its kernels are many.
#define SMALTI_SOURCE_DECODER_ATTENTION
#include <smalti/decoder.cuh>
