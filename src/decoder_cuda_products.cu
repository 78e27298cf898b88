// Part of decoder_cuda.cu, a unit of its own because its kernels are many.
#define SMALTI_SOURCE_DECODER_PRODUCTS
#include <smalti/decoder.cuh>
