#pragma once
// Language models on a device: the decoder of decoder.hpp with on_cuda{stream} in place of on_cpu. Compile with nvcc, as attention.cuh
// says. The public header.
//
//   auto model = load_decoder<on_cuda>("models/granite-3.1-8b-instruct", {.weights = weight_kind::nf4}, gpu);
//   generate(model, "How is NPV calculated?", {.max_tokens = 64}, [](std::string_view piece) { std::cout << piece; return true; });

#include "decoder.hpp"
#include "decoder/device_attention.cuh"
#include "decoder/device_products.cuh"
#include "decoder/device_profile.cuh"
#include "decoder/device_room.cuh"
#include "decoder/device_sequence.cuh"

#if !SMALTI_HEADER_ONLY
namespace smalti {
extern template class decoder<on_cuda>;
extern template view<float, 2> decoder<on_cuda>::forward(kv_cache<bf16, device_buffer>&, std::span<batch_entry const>, logits);
extern template decoder<on_cuda> decoder<on_cuda>::from(decoder_config, random_source const&, on_cuda const&, load_options const&);
extern template language_model<on_cuda> load_decoder(std::string const&, load_options const&, on_cuda const&, int);
}  // namespace smalti
#endif
