// The bodies of quant/, for programs that define SMALTI_COMPILED.
#define SMALTI_SOURCE_QUANT
#include <smalti/quant/nf4_data.hpp>

namespace smalti {

template nf4_data quantise_nf4(on_cpu const&, view<float const, 2>, nf4_options const&);
template nf4_data quantise_nf4(on_cpu const&, view<bf16 const, 2>, nf4_options const&);
template nf4_data quantise_nf4(on_cpu const&, view<f16 const, 2>, nf4_options const&);
template nf4_data quantise_nf4(on_cpu const&, view<float, 2>, nf4_options const&);

}  // namespace smalti
