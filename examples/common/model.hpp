#pragma once
// Options of the programs that run a language model, and the model that they ask for.

#include <optional>
#include <string>
#include <vector>
#if defined(__CUDACC__)
  #include <smalti/decoder.cuh>
#else
  #include <smalti/decoder.hpp>
#endif
#include "program.hpp"

namespace examples {

struct model_options {
  std::string directory;
  std::string weights = "as-stored";
  std::vector<std::string> adapters;
  std::string device = "cpu";
  int context = 0, threads = 1;
};

inline constexpr bool has_cuda =
#if defined(__CUDACC__)
    true;
#else
    false;
#endif

inline void add_model(CLI::App& app, model_options& o) {
  app.add_option("--model", o.directory, "Hugging Face directory: config.json, tokenizer.json, model.safetensors or shards")->required()->type_name("DIR");
  app.add_option("--weights", o.weights, "What the linear layers become in memory: as-stored, f32, bf16, nf4 or int8")
      ->check(one_of({"as-stored", "f32", "bf16", "nf4", "int8"}))->type_name("KIND")->capture_default_str();
  app.add_option("--adapter", o.adapters, "PEFT (LoRA) directory; several are stacked in this order")->type_name("DIR")->allow_extra_args(false);
  add_threads(app, o.threads);
}

inline void add_context(CLI::App& app, model_options& o) {
  app.add_option("--context", o.context, "Tokens that prompt and answer may have together; 0: what the model was made for, at most 4096")
      ->check(whole(0, 1 << 24))->type_name("TOKENS")->capture_default_str();
}

inline void add_sampling(CLI::App& app, smalti::sampling_options& o) {
  char const* const group = "Sampling";
  app.add_option("--temperature", o.temperature, "0: always the most probable token (greedy)")->check(within(0, 100))->type_name("T")->capture_default_str()->group(group);
  app.add_option("--top-k", o.top_k, "Draw from the K most probable tokens; 0: all")->check(whole(0, 1 << 28))->type_name("K")->capture_default_str()->group(group);
  app.add_option("--top-p", o.top_p, "Draw from the most probable tokens that together reach P")->check(within(0, 1))->type_name("P")->capture_default_str()->group(group);
  app.add_option("--min-p", o.min_p, "Drop tokens less probable than P times the most probable one")->check(within(0, 1))->type_name("P")->capture_default_str()->group(group);
  app.add_option("--repetition-penalty", o.repetition_penalty, "Above 1: discourage tokens that occurred")->check(within(0.01, 100))->type_name("X")->capture_default_str()->group(group);
  app.add_option("--seed", o.seed, "The same seed gives the same text on every machine")->type_name("N")->capture_default_str()->group(group);
}

inline smalti::weight_kind weight_kind_named(std::string const& name) {
  using enum smalti::weight_kind;
  for (auto k : {f32, bf16, nf4, int8})
    if (name == name_of(k)) return k;
  return as_stored;
}

inline void add_device(CLI::App& app, model_options& o) {
  app.add_option("--device", o.device, has_cuda ? "Where the language model runs: cpu or cuda" : "Where the language model runs: cpu (cuda: in a program built with nvcc)")
      ->check(one_of({"cpu", "cuda"}))->type_name("NAME")->capture_default_str();
}

/// Calls f(where) for the device that was asked for; `threads` serve the host.
template <class F>
int on_device(model_options const& o, smalti::thread_pool& threads, F&& f) {
  if (o.device == "cpu") return f(smalti::on_cpu{threads});
#if defined(__CUDACC__)
  smalti::device_stream const board;
  return f(board.where());
#else
  throw CLI::ValidationError("--device", "this program was built without CUDA; expected cpu");
#endif
}

/// The model with its adapters attached. Throws what load_decoder, load_adapter and attach throw.
template <class Where>
smalti::language_model<Where> load_model(model_options const& o, Where const& where) {
  progress bar("loading " + o.directory, "layers");
  smalti::load_options const load{.weights = weight_kind_named(o.weights), .progress = [&](int done, int total) { stop_if_interrupted(), bar.update(done, total); }};
  auto model = smalti::load_decoder<Where>(o.directory, load, where, o.context);
  for (auto const& directory : o.adapters) model.attach(smalti::load_adapter(directory));
  return model;
}

}  // namespace examples
