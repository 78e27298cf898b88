// The bodies of decoder/ on the host, for programs that define SMALTI_COMPILED.
#define SMALTI_SOURCE_DECODER
#include <smalti/decoder.hpp>

namespace smalti {

template class kv_cache<float>;
template class kv_cache<bf16>;
template class kv_cache<f16>;

template status append(on_cpu const&, kv_cache<float>&, int, view<float const, 2>, view<float const, 2>, ragged_batch const&);
template status attend_cached(on_cpu const&, view<float, 2>, view<float const, 2>, kv_cache<float>&, int, ragged_batch const&, float, int);
template status attend_eager(on_cpu const&, view<float, 2>, view<float const, 2>, kv_cache<float>&, int, ragged_batch const&, attend_options const&);
template status append(on_cpu const&, kv_cache<bf16>&, int, view<float const, 2>, view<float const, 2>, ragged_batch const&);
template status attend_cached(on_cpu const&, view<float, 2>, view<float const, 2>, kv_cache<bf16>&, int, ragged_batch const&, float, int);
template status attend_eager(on_cpu const&, view<float, 2>, view<float const, 2>, kv_cache<bf16>&, int, ragged_batch const&, attend_options const&);
template status append(on_cpu const&, kv_cache<f16>&, int, view<float const, 2>, view<float const, 2>, ragged_batch const&);
template status attend_cached(on_cpu const&, view<float, 2>, view<float const, 2>, kv_cache<f16>&, int, ragged_batch const&, float, int);
template status attend_eager(on_cpu const&, view<float, 2>, view<float const, 2>, kv_cache<f16>&, int, ragged_batch const&, attend_options const&);

template class decoder<on_cpu>;
template view<float, 2> decoder<on_cpu>::forward(kv_cache<float>&, std::span<batch_entry const>, logits);
template view<float, 2> decoder<on_cpu>::forward(kv_cache<bf16>&, std::span<batch_entry const>, logits);
template view<float, 2> decoder<on_cpu>::forward(kv_cache<f16>&, std::span<batch_entry const>, logits);

template language_model<on_cpu> load_decoder(std::string const&, load_options const&, on_cpu const&, int);
template generation generate(decoder_sequence<on_cpu>&, tokenizer const&, std::span<int const>, generate_options const&, piece_callback const&);
template generation generate(language_model<on_cpu>&, std::span<int const>, generate_options const&, piece_callback const&);
template generation generate(language_model<on_cpu>&, std::string_view, generate_options const&, piece_callback const&);
template perplexity_result perplexity(language_model<on_cpu>&, std::string_view, perplexity_options const&);

}  // namespace smalti
