// The bodies of math/, for programs that define SMALTI_COMPILED.
#define SMALTI_SOURCE_MATH
#include <smalti/math/row_kernels.hpp>

namespace smalti::detail {

template struct row_kernels<float, float>;
template struct row_kernels<float, bf16>;
template struct row_kernels<float, f16>;
template struct row_kernels<bf16, float>;
template struct row_kernels<bf16, bf16>;
template struct row_kernels<f16, float>;
template struct row_kernels<f16, f16>;
template struct row_kernels<bf16, f16>;
template struct row_kernels<f16, bf16>;

}  // namespace smalti::detail
