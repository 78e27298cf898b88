// The bodies of gemm/ on the host, for programs that define SMALTI_COMPILED.
#define SMALTI_SOURCE_GEMM
#include <smalti/gemm/lora.hpp>

namespace smalti::detail {

template void run_tiles<1>(on_cpu const&, std::span<term const> const (&)[1], index, index, tile_sink<1>);
template void run_tiles<2>(on_cpu const&, std::span<term const> const (&)[2], index, index, tile_sink<2>);

}  // namespace smalti::detail
