// A checkpoint directory in 16 or 32 bits to NF4 or INT8 on disk, tensor by tensor in bounded memory, in bitsandbytes' layout.

#include <smalti/decoder/quantise.hpp>
#include "common/program.hpp"

namespace {

using namespace smalti;
using namespace examples;

struct request {
  std::string from, to, format = "nf4";
  int block = 64, threads = 1;
  bool plain_scales = false;
};

char const* const footer = R"(The linear layers are quantised; embedding, norms, biases and head are copied, and so are the tokenizer's and other small
files. What is written loads in transformers with bitsandbytes, too. config.json is written last: a directory from an
interrupted run does not load.

NF4 takes 4.13 bits for each weight with blocks of 64, 4.5 with --no-double-quant; INT8 takes 8.

Examples:
  quantise --from granite-3.1-8b-instruct --to granite-nf4
  quantise --from DIR --to DIR8 --format int8
  quantise --from DIR --to DIR4 --block 128 --no-double-quant)";

int quantise_directory(request const& r) {
  thread_pool threads(r.threads);
  quantise_report report;
  stopwatch watch;
  {
    progress bar("quantising " + r.from, "tensors");
    quantise_options const options{.kind = r.format == "int8" ? weight_kind::int8 : weight_kind::nf4,
                                   .nf4 = {.block = r.block, .double_quant = !r.plain_scales},
                                   .progress = [&](int done, int total, std::string const&) { stop_if_interrupted(), bar.update(done, total); }};
    report = quantise(threads, r.from, r.to, options);
  }
  double const before = double(report.bytes_before), after = double(report.bytes_after);
  say(print("%s: %d tensors quantised to %s, %d copied\n", r.to.c_str(), report.quantised, r.format.c_str(), report.copied));
  say(print("%s before, %s after (%.1f %%), in %s\n", size_text(before).c_str(), size_text(after).c_str(), before > 0 ? 100 * after / before : 100.,
            duration_text(watch.seconds()).c_str()));
  return 0;
}

// Anything else would be refused too, but as a failure of the run, after the directory was made.
std::string check_block(std::string& text) {
  int block = 0;
  bool const good = CLI::detail::lexical_cast(text, block) && block >= 32 && block <= 4096 && (block & (block - 1)) == 0;
  return good ? std::string() : "expected a power of two from 32 to 4096, found " + text;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Quantises a checkpoint directory to NF4 or INT8.", "quantise");
  add_footer(app, footer);
  request r;
  app.add_option("--from", r.from, "Hugging Face directory with 16- or 32-bit weights")->required()->type_name("DIR");
  app.add_option("--to", r.to, "Directory to write; made if it is not there")->required()->type_name("DIR");
  app.add_option("--format", r.format, "nf4 or int8")->check(one_of({"nf4", "int8"}))->type_name("KIND")->capture_default_str();
  app.add_option("--block", r.block, "NF4: weights that share a scale; a power of two from 32 to 4096")->check(CLI::Validator(check_block, ""))->type_name("N")->capture_default_str();
  app.add_flag("--no-double-quant", r.plain_scales, "NF4: keep the scales in fp32 instead of 8 bits");
  add_threads(app, r.threads);
  return run(app, argc, argv, [&] { return quantise_directory(r); });
}
