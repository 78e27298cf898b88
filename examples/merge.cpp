// Adapters merged into a dense checkpoint on disk, tensor by tensor in bounded memory: W + Σ s·B·A, summed in fp32 and rounded
// once to the type of the file (Hu et al. 2021, "LoRA", eq. 3).

#include <smalti/decoder.hpp>
#include <smalti/io/safetensors_writer.hpp>
#include "common/program.hpp"

namespace {

using namespace smalti;
using namespace examples;

struct request {
  std::string from, to;
  std::vector<std::string> adapters;
  int threads = 1;
};

char const* const footer = R"(The result needs no adapter any more and can be quantised. Adapters that were trained on a quantised base
(QLoRA) fit the dequantised weights better than these; generate --adapter applies them without merging.
config.json is written last: a directory from an interrupted run does not load.

Examples:
  merge --from BASE --adapter domain --to MERGED
  merge --from BASE --adapter domain --adapter instructions --to MERGED && quantise --from MERGED --to MERGED-nf4)";

bool is_weight_file(std::string const& name) {
  return name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") || name.ends_with(".bin");
}

/// The adapters' matrices for one tensor, in order; empty where it stays as it is.
std::vector<lora const*> updates_of(std::vector<adapter> const& adapters, std::string const& tensor_name) {
  std::vector<lora const*> all;
  if (tensor_name.ends_with(".weight"))
    for (auto const& a : adapters)
      if (auto const found = a.modules.find(tensor_name.substr(0, tensor_name.size() - 7)); found != a.modules.end()) all.push_back(&found->second);
  return all;
}

/// An adapter whose module is missed would be left out without a word.
void check_modules(checkpoint const& in, std::vector<adapter> const& adapters) {
  for (auto const& a : adapters)
    for (auto const& [module, matrices] : a.modules) {
      auto const& t = in.at(module + ".weight");
      smalti::index const n = smalti::index(matrices.b.size()) / matrices.rank, k = smalti::index(matrices.a.size()) / matrices.rank;
      if (t.shape != std::vector<smalti::index>{n, k})
        throw error("io.9", t.file + ": tensor \"" + t.name + "\": adapter " + a.name + " expects the shape " + name_of(std::vector<smalti::index>{n, k}) + ", found " + name_of(t.shape));
    }
}

template <class T>
void write_as(safetensors_writer& out, std::string const& name, buffer<float> const& values) {
  buffer<T> rounded(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) rounded[i] = T(values[i]);
  out.write(name, rounded);
}

void write_merged(on_cpu const& where, safetensors_writer& out, tensor const& t, std::span<lora const* const> updates) {
  auto w = to_float(t, t.shape);  // (n, k)
  require(merge_into_original(where, row_major(w.data(), t.shape[0], t.shape[1]), updates));
  if (t.type == dtype::bf16) write_as<bf16>(out, t.name, w);
  else if (t.type == dtype::f16) write_as<f16>(out, t.name, w);
  else out.write(t.name, w);
}

int merge_directory(request const& r) {
  namespace fs = std::filesystem;
  stopwatch watch;
  thread_pool threads(r.threads);
  if (load_decoder_config(r.from).format != stored_format::dense)
    throw std::runtime_error(r.from + ": expected 16- or 32-bit weights, found a quantised checkpoint; generate --adapter needs no merging");
  checkpoint const in(r.from);
  std::vector<adapter> adapters;
  for (auto const& directory : r.adapters) adapters.push_back(load_adapter(directory));
  check_modules(in, adapters);
  fs::create_directories(r.to);
  if (fs::equivalent(r.from, r.to)) throw std::runtime_error(r.to + ": expected another directory than the one that is read");
  fs::remove(fs::path(r.to) / "config.json");

  std::vector<declaration> plan;
  for (auto const& name : in.names()) plan.push_back({name, in.at(name).type, in.at(name).shape});
  safetensors_writer out((fs::path(r.to) / "model.safetensors").string(), plan);
  int merged = 0, done = 0;
  {
    progress bar("merging into " + r.from, "tensors", (long long)plan.size());
    for (auto const& d : plan) {
      auto const updates = updates_of(adapters, d.name);
      if (updates.empty()) out.write(d.name, in.at(d.name).bytes);
      else write_merged(threads, out, in.at(d.name), updates), ++merged;
      stop_if_interrupted(), bar.update(++done);
    }
  }
  out.commit();
  for (auto const& e : fs::directory_iterator(r.from)) {
    std::string const file = e.path().filename().string();
    if (e.is_regular_file() && !is_weight_file(file) && file != "config.json") fs::copy_file(e.path(), fs::path(r.to) / file, fs::copy_options::overwrite_existing);
  }
  write_file((fs::path(r.to) / "config.json").string(), mapped_file((fs::path(r.from) / "config.json").string()).text());
  say(print("%s: %zu adapters merged into %d of %zu tensors, in %s\n", r.to.c_str(), adapters.size(), merged, plan.size(), duration_text(watch.seconds()).c_str()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Merges LoRA adapters into a checkpoint directory.", "merge");
  add_footer(app, footer);
  request r;
  app.add_option("--from", r.from, "Hugging Face directory with 16- or 32-bit weights")->required()->type_name("DIR");
  app.add_option("--adapter", r.adapters, "PEFT (LoRA) directory; several are added in this order")->required()->type_name("DIR")->allow_extra_args(false);
  app.add_option("--to", r.to, "Directory to write; made if it is not there")->required()->type_name("DIR");
  add_threads(app, r.threads);
  return run(app, argc, argv, [&] { return merge_directory(r); });
}
