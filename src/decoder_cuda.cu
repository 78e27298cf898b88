// The bodies of decoder/ on a device, for programs that define SMALTI_COMPILED and link them; with decoder_cuda_*.cu.
#define SMALTI_SOURCE_DECODER_CUDA
#include <smalti/decoder.cuh>

namespace smalti {

template class decoder<on_cuda>;
template view<float, 2> decoder<on_cuda>::forward(kv_cache<bf16, device_buffer>&, std::span<batch_entry const>, logits);
template decoder<on_cuda> decoder<on_cuda>::from(decoder_config, random_source const&, on_cuda const&, load_options const&);
template language_model<on_cuda> load_decoder(std::string const&, load_options const&, on_cuda const&, int);

}  // namespace smalti
