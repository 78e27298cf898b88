// Five ways to run one model side by side: eager and fused attention over 16-bit weights, INT8, NF4, and NF4 with fused attention. Prefill,
// decode, memory, where the time goes, and the perplexity of a text: lines of JSON. script/variants runs it on whatever is there.
//   variants [--device cpu|cuda] [--model DIR] [--shape 8b] [--variant NAME] [--prompt N] [--threads N] [--commit HASH] [--date DAY] [TEXT…]
// A variant's memory on the host is the most that the process has held, so give each a process of its own there. --shape: Llama 3.1 8B's,
// with weights made in place (no text then). TEXT: files whose perplexity is measured.

#include <smalti/decoder/profile.hpp>
#if defined(__CUDACC__)
  #include <smalti/decoder.cuh>
  #if __has_include(<cublas_v2.h>)
    #include <dlfcn.h>
    #include <smalti/gemm/cublas.cuh>
  #endif
#else
  #include <smalti/decoder.hpp>
#endif
#include <sys/resource.h>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace smalti::bench {
namespace {

struct request {
  std::string device = "cpu", directory = "models/smalti-23m-instruct", only, commit, date, command = "variants";
  bool shape = false;                ///< the 8B shape in place of a model
  int prompt = 512, threads = 2;
  std::vector<std::string> texts;
} asked;

struct variant {
  char const* name;
  weight_kind weights;
  attention_kind attention;
};
constexpr variant variants[] = {{"eager 16 bit", weight_kind::bf16, attention_kind::eager}, {"fused 16 bit", weight_kind::bf16, attention_kind::fused},
                                {"INT8", weight_kind::int8, attention_kind::eager},         {"NF4", weight_kind::nf4, attention_kind::eager},
                                {"NF4 + fused", weight_kind::nf4, attention_kind::fused}};
constexpr int turns = 5, steps = 64, watched = 4, spare = 128;  ///< steps of a turn · passes of a profile (of steps four times as many) · room behind the prompt

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double median(std::vector<double> t) {
  std::sort(t.begin(), t.end());
  return t[t.size() / 2];
}

[[maybe_unused]] decoder_config llama_8b() {  // a host does not make it
  decoder_config c;
  c.architecture = "LlamaForCausalLM";
  c.layers = 32, c.hidden = 4096, c.ffn = 14336, c.heads = 32, c.kv_heads = 8, c.head_dim = 128, c.vocabulary = 128256;
  c.max_positions = 131072, c.norm_eps = 1e-5f, c.rope_theta = 5e5f, c.rope_dim = 128;
  c.rope.type = rope_scaling::kind::llama3, c.rope.factor = 8, c.rope.original_positions = 8192;
  c.softmax_scale = 1 / std::sqrt(128.f), c.window.assign(32, 0);
  return c;
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

/// What a program on a device asks of its board beside the library.
struct host_board {
  using where_type = on_cpu;
  thread_pool threads{asked.threads};
  on_cpu where{threads};
  std::string name = processor() + ", " + std::to_string(asked.threads) + " threads", toolkit = std::string("g++ ") + __VERSION__;
  double taken() const {
    rusage use;
    getrusage(RUSAGE_SELF, &use);
    return double(use.ru_maxrss) * 1024;
  }
  void prepare(decoder<on_cpu>&) {}
  double limit(profile_row const&) const { return 0; }
};

#if defined(__CUDACC__)
struct device_board {
  using where_type = on_cuda;
  device_stream stream;
  on_cuda where = stream.where();
  std::string name, toolkit = "CUDA " + std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 100 / 10);
  double before = 0;
  device_board() {
    cudaDeviceProp p;
    if (cudaGetDeviceProperties(&p, 0) == cudaSuccess) name = p.name;
    dense_product();  // its handle and workspace are not the model's
    before = used();
  }
  static double used() {
    std::size_t left = 0, all = 0;
    (void)cudaDeviceSynchronize(), (void)cudaMemGetInfo(&left, &all);
    return double(all - left);
  }
  double taken() const { return used() - before; }
  /// cuBLAS for dense products of many rows, where the machine has it.
  static tall_product dense_product() {
  #if __has_include(<cublas_v2.h>)
    static tall_product const found = []() -> tall_product {
      void* library = nullptr;
      for (char const* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"})
        if (!library) library = dlopen(name, RTLD_NOW);
      if (!library) return {};
      auto const create = reinterpret_cast<decltype(&cublasCreate)>(dlsym(library, "cublasCreate_v2"));
      auto const set_stream = reinterpret_cast<decltype(&cublasSetStream)>(dlsym(library, "cublasSetStream_v2"));
      auto const multiply = reinterpret_cast<cublas_dense::multiplication*>(dlsym(library, "cublasGemmEx"));
      cublasHandle_t handle = nullptr;
      if (!create || !set_stream || !multiply || create(&handle) != CUBLAS_STATUS_SUCCESS) return {};
      return cublas_dense{handle, multiply, set_stream};
    }();
    return found;
  #else
    return {};
  #endif
  }
  void prepare(decoder<on_cuda>& m) { m.state().tall = dense_product(); }
  /// Seconds that the board's memory or tensor cores would need.
  double limit(profile_row const& r) const {
    auto const l = board_limits();
    return std::max(r.bytes / l.bytes_per_second, r.flops / l.flops_per_second);
  }
};
#endif

/// One result; `more`: the fields of its case after the variant.
template <class Board>
void line(Board const& board, char const* bench, variant const& v, std::string const& more, char const* unit, double ours, double limit = 0) {
  std::printf("{\"bench\": \"%s\", \"case\": {\"device\": \"%s\", \"model\": \"%s\", \"variant\": \"%s\", %s}, \"unit\": \"%s\", \"ours\": %.5g, \"peer\": null, \"peer_value\": null, "
              "\"ratio\": null, \"limit\": ",
              bench, asked.device.c_str(), asked.shape ? "8B" : "23M", v.name, more.c_str(), unit, ours);
  std::printf(limit > 0 ? "%.5g" : "null", limit);
  std::printf(", \"board\": \"%s\", \"toolkit\": \"%s\", \"commit\": \"%s\", \"date\": \"%s\", \"command\": \"%s\"}\n", board.name.c_str(), board.toolkit.c_str(),
              asked.commit.c_str(), asked.date.c_str(), asked.command.c_str());
  std::fflush(stdout);
}

/// Seconds of one of `count` greedy steps: tokens drawn on the device where the sequence can, else from logits.
template <class Sequence>
double step_seconds(Sequence& s, int count, int& id) {
  double const begin = now();
  for (int i = 0; i < count; ++i) {
    if constexpr (drawing_model<Sequence>) id = s.draw().id;
    else id = greedy(s.advance(std::span(&id, 1)));
  }
  return (now() - begin) / count;
}

/// Times of each operation in `passes` passes that f makes one after another.
template <class Board, class F>
void watch(Board const& board, decoder<typename Board::where_type>& m, variant const& v, char const* pass, int passes, F&& f) {
  typename profile_of<typename Board::where_type>::type watching(board.where, m.state());
  for (int i = 0; i < passes; ++i) f([&] { watching.end(); });
  for (profile_row const& r : watching.rows())
    line(board, "variants_profile", v, std::string("\"pass\": \"") + pass + "\", \"operation\": \"" + r.name + "\"", "us", 1e6 * r.seconds / passes, 1e6 * board.limit(r) / passes);
}

template <class Board, class Cache>
void measure(Board& board, variant const& v, decoder<typename Board::where_type>& m, Cache& cache, std::vector<int> const& prompt) {
  using sequence_type = decoder_sequence<typename Board::where_type>;
  board.prepare(m);
  std::vector<double> prefill, decode;
  for (int i = 0; i <= turns; ++i) {  // the first of each is not counted: memory is taken, graphs are captured
    sequence_type s(m, cache);
    double const begin = now();
    int id = greedy(s.advance(prompt));
    if (i) prefill.push_back(now() - begin);
    if constexpr (drawing_model<sequence_type>) step_seconds(s, 3, id);  // the logits' token, and two steps that a graph is made of
    double const one = step_seconds(s, i ? steps : 4, id);
    if (i) decode.push_back(one);
  }
  line(board, "variants", v, "\"measure\": \"prefill\", \"tokens\": " + std::to_string(prompt.size()), "ms", 1e3 * median(prefill));
  line(board, "variants", v, "\"measure\": \"decode\", \"tokens\": " + std::to_string(prompt.size()), "ms", 1e3 * median(decode));
  line(board, "variants", v, "\"measure\": \"memory\", \"tokens\": " + std::to_string(cache.capacity()), "MiB", board.taken() / (1 << 20));
  sequence_type s(m, cache);
  watch(board, m, v, "prefill", watched, [&](auto const& over) { s.advance(prompt), over(), s.truncate(0); });
  s.advance(prompt);
  watch(board, m, v, "decode", 4 * watched, [&](auto const& over) { s.advance(std::span(prompt).last(1)), over(); });
}

template <class Board>
void run(variant const& v) {
  using where_type = typename Board::where_type;
  Board board;
  load_options const how{.weights = v.weights, .attention = v.attention};
  std::vector<int> ids;
  if (asked.shape) {
    for (int i = 0; i < asked.prompt; ++i) ids.push_back(int(i * 7919ll % 128000));
#if defined(__CUDACC__)
    if constexpr (std::is_same_v<where_type, on_cuda>) {
      auto m = decoder<on_cuda>::from(llama_8b(), random_source{}, board.where, how);
      auto cache = backend<on_cuda>::make_cache(m.config(), 1, asked.prompt + spare);
      return measure(board, v, m, cache, ids);
    }
#endif
    throw error("variants", "--shape makes weights on a device: expected --device cuda with it");
  }
  perplexity_options const window{.window = 1024, .stride = 512};
  std::string text;
  for (auto const& path : asked.texts) text += mapped_file(path).text();
  auto m = load_decoder<where_type>(asked.directory, how, board.where, asked.prompt + spare);
  ids = m.encode(text.empty() ? "The net present value of an investment" : text);
  std::vector<int> prompt;
  for (int i = 0; i < asked.prompt; ++i) prompt.push_back(ids[std::size_t(i) % ids.size()]);
  measure(board, v, m.model, m.cache, prompt);
  if (text.empty()) return;
  auto cache = backend<where_type>::make_cache(m.model.config(), 1, window.window);
  decoder_sequence<where_type> s(m.model, cache);
  auto const p = perplexity([&](std::span<int const> part) { return s.truncate(0), s.advance_all(part); }, m.model.config().vocabulary, ids, window);
  line(board, "variants", v, "\"measure\": \"perplexity\", \"tokens\": " + std::to_string(p.tokens), "perplexity", p.perplexity());
}

int usage() {
  return std::fprintf(stderr, "variants [--device cpu|cuda] [--model DIR] [--shape 8b] [--variant NAME] [--prompt N] [--threads N] [--commit HASH] [--date DAY] [TEXT...]\n"), 2;
}

int main(int count, char** word) {
  for (int i = 1; i < count; ++i) {
    std::string const w = word[i];
    if (!w.starts_with("--")) asked.texts.push_back(w);
    else if (++i >= count) return usage();
    else if (w == "--device") asked.device = word[i];
    else if (w == "--model") asked.directory = word[i];
    else if (w == "--shape") asked.shape = true;
    else if (w == "--variant") asked.only = word[i];
    else if (w == "--prompt") asked.prompt = std::atoi(word[i]);
    else if (w == "--threads") asked.threads = std::atoi(word[i]);
    else if (w == "--commit") asked.commit = word[i];
    else if (w == "--date") asked.date = word[i];
    else if (w == "--command") asked.command = word[i];
    else return usage();
  }
  if (asked.prompt < 2 || asked.threads < 1) return usage();
  bool known = false;
  try {
    for (variant const& v : variants) {
      if (!asked.only.empty() && asked.only != v.name) continue;
      known = true;
      if (asked.device == "cpu") run<host_board>(v);
#if defined(__CUDACC__)
      else if (asked.device == "cuda") run<device_board>(v);
#endif
      else throw error("variants", "device '" + asked.device + "' is not known to this program");
    }
  } catch (std::exception const& e) {
    return std::fprintf(stderr, "variants: %s\n", e.what()), 1;
  }
  return known ? 0 : usage();
}

}  // namespace
}  // namespace smalti::bench

int main(int count, char** word) { return smalti::bench::main(count, word); }
