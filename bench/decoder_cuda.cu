// A whole model on a device, in the shape of Llama 3.1 8B with weights made in place: prefill, decode, memory, and with --profile where
// the time goes. Lines of JSON, one a case.
//   decoder_cuda [--commit HASH] [--date DAY] [--quick] [--profile]      --quick: one sequence and a 16-bit head alone

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#include <smalti/decoder.cuh>

namespace smalti::bench {
namespace {

void must(cudaError_t e) { if (e != cudaSuccess) std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(e)), std::exit(1); }

struct program {
  std::string commit, date, command = "decoder_cuda";
  bool quick = false, profile = false, adapters = false;  ///< adapters: only the cases with several of them
} options;

on_cuda const gpu = [] {
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  on_cuda where{nullptr, major == 9 ? sm_90a : sm_80};
  must(cudaStreamCreateWithFlags(&where.stream, cudaStreamNonBlocking));
  return where;
}();

decoder_config llama_8b() {
  decoder_config c;
  c.architecture = "LlamaForCausalLM";
  c.layers = 32, c.hidden = 4096, c.ffn = 14336, c.heads = 32, c.kv_heads = 8, c.head_dim = 128, c.vocabulary = 128256;
  c.max_positions = 131072, c.norm_eps = 1e-5f, c.rope_theta = 5e5f, c.rope_dim = 128;
  c.rope.type = rope_scaling::kind::llama3, c.rope.factor = 8, c.rope.original_positions = 8192;
  c.softmax_scale = 1 / std::sqrt(128.f), c.window.assign(32, 0);
  return c;
}

/// One result. `what`: the fields of its case, as JSON.
void line(char const* bench, std::string const& what, char const* unit, double ours, double limit) {
  cudaDeviceProp board;
  must(cudaGetDeviceProperties(&board, 0));
  std::printf("{\"bench\": \"%s\", \"case\": {\"model\": \"8B\", %s}, \"unit\": \"%s\", \"ours\": %.5g, \"peer\": null, \"peer_value\": null, \"ratio\": null, \"limit\": %.5g, "
              "\"board\": \"%s\", \"toolkit\": \"CUDA %d.%d\", \"commit\": \"%s\", \"date\": \"%s\", \"command\": \"%s\"}\n",
              bench, what.c_str(), unit, ours, limit, board.name, CUDART_VERSION / 1000, CUDART_VERSION % 100 / 10, options.commit.c_str(), options.date.c_str(), options.command.c_str());
  std::fflush(stdout);
}

/// Seconds of what f enqueues.
template <class F>
double seconds(F&& f) {
  cudaEvent_t begin, end;
  must(cudaEventCreate(&begin)), must(cudaEventCreate(&end));
  must(cudaEventRecord(begin, gpu.stream));
  f();
  must(cudaEventRecord(end, gpu.stream)), must(cudaEventSynchronize(end));
  float ms = 0;
  must(cudaEventElapsedTime(&ms, begin, end));
  must(cudaEventDestroy(begin)), must(cudaEventDestroy(end));
  return ms * 1e-3;
}
double median(std::vector<double> t) {
  std::sort(t.begin(), t.end());
  return t[t.size() / 2];
}

using model_type = decoder<on_cuda>;
using cache_type = backend<on_cuda>::cache;

std::vector<int> prompt(int n, int seed) {
  std::vector<int> ids;
  for (int i = 0; i < n; ++i) ids.push_back(int((i * 7919ll + seed * 104729ll) % 128000));
  return ids;
}

/// Seconds of a step with `batch` sequences of `context` tokens, median of pieces of 16 steps around that context; adapters > 0: sequences
/// name so many adapters in turn.
double step_seconds(model_type& m, int batch, int context, int adapters = 0) {
  auto cache = backend<on_cuda>::make_cache(m.config(), batch, 1024);
  int const warm = 8, piece = 16, pieces = 5, first = context - warm - piece * pieces / 2;
  std::vector<int> sequences;
  for (int b = 0; b < batch; ++b) {
    sequences.push_back(cache.open());
    auto const ids = prompt(first, b);
    batch_entry const one[] = {{b, ids}};
    m.forward(cache, one, logits::none);
  }
  device_buffer<chosen_token> chosen{std::size_t(batch)};
  auto const after = [&](on_cuda const& on, view<float, 2> logits, device_batch& state) { require(choose_greedy(on, logits, state, chosen.data())); };
  std::vector<int> const token(std::size_t(batch), 17);
  std::vector<batch_entry> entries;
  for (int b = 0; b < batch; ++b) entries.push_back({b, std::span(&token[std::size_t(b)], 1), adapters ? b % adapters : batch_entry::active});
  m.forward(cache, entries, logits::last, &chosen, after);
  for (int i = 1; i < warm; ++i) m.repeat(cache, sequences, &chosen, after);
  std::vector<double> t;
  for (int i = 0; i < pieces; ++i) t.push_back(seconds([&] { for (int j = 0; j < piece; ++j) m.repeat(cache, sequences, &chosen, after); }) / piece);
  return median(t);
}

double prefill_seconds(model_type& m, int tokens, int chunk) {
  auto cache = backend<on_cuda>::make_cache(m.config(), 1, tokens);
  auto const ids = prompt(tokens, 1);
  std::vector<double> t;
  for (int i = 0; i < 6; ++i) {
    int const s = cache.open();
    t.push_back(seconds([&] {
      for (int at = 0; at < tokens; at += chunk) {
        batch_entry const one[] = {{s, std::span(ids).subspan(std::size_t(at), std::size_t(std::min(chunk, tokens - at)))}};
        m.forward(cache, one, at + chunk >= tokens ? logits::last : logits::none);
      }
    }));
    cache.close(s);
  }
  t.erase(t.begin());
  return median(t);
}

adapter random_adapter(decoder_config const& c, int rank) {
  adapter a{"random", {}};
  uint32_t state = 1;
  auto const values = [&](std::size_t n, float size) {
    buffer<float> v(n);
    for (auto& x : v) state = state * 1664525u + 1013904223u, x = (float(state >> 8) / float(1 << 24) - 0.5f) * size;
    return v;
  };
  for (int l = 0; l < c.layers; ++l) {
    std::string const at = "model.layers." + std::to_string(l) + ".";
    auto const add = [&](char const* name, int n, int k) {
      a.modules[at + name] = {rank, 0.25f, values(std::size_t(rank) * k, 0.03f), values(std::size_t(n) * rank, 0.03f)};
    };
    int const q = c.q_width(), kv = c.kv_width(), d = c.hidden, f = c.ffn;
    add("self_attn.q_proj", q, d), add("self_attn.k_proj", kv, d), add("self_attn.v_proj", kv, d), add("self_attn.o_proj", d, q);
    add("mlp.gate_proj", f, d), add("mlp.up_proj", f, d), add("mlp.down_proj", d, f);
  }
  return a;
}

void show_profile(model_type& m, int batch, int context) {
  auto cache = backend<on_cuda>::make_cache(m.config(), batch, 4096);
  auto const past = prompt(context, 1), one = prompt(1, 2);
  std::vector<batch_entry> first, step;
  for (int b = 0; b < batch; ++b) first.push_back({cache.open(), past}), step.push_back({b, one});
  std::vector<profile_row> rows;
  if (context > 0) m.forward(cache, first, logits::none), m.forward(cache, step);
  {
    pass_profile watch(gpu, m.state());
    for (int i = 0; i < 3; ++i) m.forward(cache, step), watch.end();
    rows = watch.rows();
  }
  for (auto const& r : rows)
    std::fprintf(stderr, "%-18s %4d calls %8.2f us each %5.1f %% of the limit\n", r.name.c_str(), r.calls / 3, r.seconds / r.calls * 1e6, 100 * r.share(4.23e12, 788e12));
}

void measure() {
  std::size_t left = 0, all = 0;
  must(cudaMemGetInfo(&left, &all));
  std::size_t const before = left;
  auto const config = llama_8b();
  double const gib = 1024. * 1024 * 1024, speed = board_limits().bytes_per_second, rate = board_limits().flops_per_second;
  for (bool four : {false, true}) {
    if (options.adapters && !four) continue;
    auto m = model_type::from(config, random_source{}, gpu, {.weights = weight_kind::nf4, .head = four ? weight_kind::nf4 : weight_kind::bf16});
    double const weights = double(m.weight_bytes()) - 2. * config.vocabulary * config.hidden, kv = 512. * config.layers * config.kv_width() * 4;
    std::string const head = std::string("\"weights\": \"nf4\", \"head\": \"") + (four ? "nf4" : "bf16") + "\"";
    if (!options.adapters) {
      auto cache = backend<on_cuda>::make_cache(config, 1, 4096);
      int const s = cache.open();
      auto const ids = prompt(1024, 1);
      for (int at = 0; at < 1024; at += 512) {
        batch_entry const one[] = {{s, std::span(ids).subspan(std::size_t(at), 512)}};
        m.forward(cache, one);
      }
      must(cudaStreamSynchronize(gpu.stream)), must(cudaMemGetInfo(&left, &all));
      line("decoder_cuda_memory", head + ", \"context\": 4096, \"chunk\": 512", "GiB", double(before - left) / gib, (double(m.weight_bytes()) + double(cache.bytes())) / gib);
    }
    auto const decode = [&](int batch, int rank, double extra) {
      double const bytes = weights + batch * kv + extra;
      line("decoder_cuda", head + ", \"adapter\": " + (rank ? "\"r " + std::to_string(rank) + "\"" : "null") + ", \"pass\": \"decode\", \"batch\": " + std::to_string(batch) + ", \"tokens\": 512",
           "tokens/s", batch / step_seconds(m, batch, 512), batch * speed / bytes);
      if (options.profile) show_profile(m, batch, 512);
    };
    auto const several = [&] {  // eight adapters: one of them for all rows, then all of them in turn
      double const rows16 = 2. * 16 * config.layers * (2. * config.q_width() + 2 * config.kv_width() + 2 * config.ffn + config.hidden + 5. * config.hidden + config.q_width() + config.ffn);
      for (int i = 0; i < 8; ++i) m.attach(random_adapter(config, 16)), m.activate(i, i == 0);
      for (int batch : {16, 64}) {
        decode(batch, 16, rows16);
        line("decoder_cuda", head + ", \"adapter\": \"8 of r 16\", \"pass\": \"decode\", \"batch\": " + std::to_string(batch) + ", \"tokens\": 512", "tokens/s",
             batch / step_seconds(m, batch, 512, 8), batch * speed / (weights + batch * kv + 8 * rows16));
      }
      m.activate(0, false);
    };
    if (options.adapters) {
      decode(16, 0, 0), decode(64, 0, 0), several();
      continue;
    }
    decode(1, 0, 0);
    if (options.quick) {
      m.attach(random_adapter(config, 64));
      decode(1, 64, 0);
      return;
    }
    for (int batch : {4, 16, 64}) decode(batch, 0, 0);
    double const products = 2. * (double(config.hidden) * (2 * config.q_width() + 2 * config.kv_width() + 3 * config.ffn)) * config.layers;
    for (int tokens : {512, 2048, 4096})
      line("decoder_cuda", head + ", \"adapter\": null, \"pass\": \"prefill\", \"batch\": 1, \"tokens\": " + std::to_string(tokens), "tokens/s", tokens / prefill_seconds(m, tokens, 2048),
           rate / (products + 2. * tokens * config.q_width() * config.layers));
    if (four) several();
    m.attach(random_adapter(config, 64));
    double const rows = 2. * config.q_width() + 2 * config.kv_width() + 2 * config.ffn + config.hidden, columns = 5. * config.hidden + config.q_width() + config.ffn;
    for (int batch : {1, 16}) decode(batch, 64, 2. * 64 * config.layers * (rows + columns));
  }
}

}  // namespace
}  // namespace smalti::bench

int main(int count, char** word) {
  auto& o = smalti::bench::options;
  for (int i = 1; i < count; ++i) {
    std::string const w = word[i];
    if (w == "--quick") o.quick = true;
    else if (w == "--profile") o.profile = true;
    else if (w == "--adapters") o.adapters = true;
    else if (i + 1 < count && w == "--commit") o.commit = word[++i];
    else if (i + 1 < count && w == "--date") o.date = word[++i];
    else return std::fprintf(stderr, "decoder_cuda [--commit HASH] [--date DAY] [--quick] [--profile] [--adapters]\n"), 2;
  }
  try {
    smalti::bench::measure();
  } catch (std::exception const& e) {
    return std::fprintf(stderr, "decoder_cuda: %s\n", e.what()), 1;
  }
}
