// The bodies of attention/ on the host, for programs that define SMALTI_COMPILED.
#define SMALTI_SOURCE_ATTENTION
#include <smalti/attention/host_kernels.hpp>

namespace smalti {

template attention_kernels<float> const& attention_kernels_for<float>(arch);
template attention_kernels<bf16> const& attention_kernels_for<bf16>(arch);
template attention_kernels<f16> const& attention_kernels_for<f16>(arch);

}  // namespace smalti
