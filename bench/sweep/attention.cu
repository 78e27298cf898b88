// Times every legal tile of one engine and head dimension on this board and writes result lines, one a tile and shape, beside the table's tile.
//   sweep_attention_<engine>_<D> [--out FILE] [S,B,H …]      shapes default to S 1024, 4096 and 16384 with B·S = 16384, H·D = 2048
// The engine, the head dimension and the shards are fixed by cmake/smalti_sweep.cmake (-DSMALTI_SWEEP=ON).

#include "../device.hpp"
#include "sweep.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>

namespace smalti::bench {
namespace {

struct shape {
  int seq, batch, heads;
};

std::string text(attention_tile t) {
  return "{\"q\": " + std::to_string(t.q) + ", \"kv\": " + std::to_string(t.kv) + ", \"stages\": " + std::to_string(t.stages) + ", \"warps\": " + std::to_string(t.warps) + "}";
}

/// Operands of one shape, the output of the first tile that ran, and what follows from both.
struct trial {
  int const D = swept_shape.head_dim;
  shape at;
  bool is_causal;
  std::size_t n = std::size_t(at.batch) * at.heads * at.seq * D;
  device_array<bf16> q{n, 1}, k{n, 2}, v{n, 3}, o{n};
  unsigned* ticket = nullptr;
  std::vector<bf16> first;

  trial(shape s, bool c) : at(s), is_causal(c) {
    if (cudaMalloc(&ticket, 4) == cudaSuccess) cudaMemset(ticket, 0, 4);
  }
  ~trial() { cudaFree(ticket); }

  attention_problem<bf16> problem() const {
    auto rows = [&](auto* x) { return row_major(x, at.batch, at.heads, at.seq, D); };
    return {rows(static_cast<bf16 const*>(q.at)), rows(static_cast<bf16 const*>(k.at)), rows(static_cast<bf16 const*>(v.at)), rows(o.at), {}, 1 / std::sqrt(float(D))};
  }
  on_cuda where() const { return {nullptr, sm_90a, ticket}; }

  /// Empty when the tile agrees with the first one: all tiles compute the same function, so their bf16 outputs differ by a few roundings. Of a large
  /// output only the end is compared, which under a causal mask depends on every key.
  std::string disagreement(entry const& e) {
    cudaMemset(o.at, 0xff, n * sizeof(bf16));
    if (auto s = e(where(), problem(), is_causal); !s) return std::string(s.id) + ": " + s.why;
    std::vector<bf16> got(std::min(n, std::size_t(1) << 22));
    if (auto c = cudaMemcpy(got.data(), o.at + n - got.size(), got.size() * sizeof(bf16), cudaMemcpyDeviceToHost); c != cudaSuccess) return cudaGetErrorString(c);
    if (first.empty()) first = got;
    float largest = 0, worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      float const d = std::fabs(float(got[i]) - float(first[i]));
      largest = std::max(largest, std::fabs(float(first[i]))), worst = d <= worst ? worst : std::isnan(d) ? INFINITY : d;
    }
    return worst <= largest / 64 ? "" : "differs from the first tile by " + std::to_string(worst);
  }
  /// TFLOP/s, or 0.
  double rate(entry const& e, double settle) const {
    double const t = settled_seconds([&] { (void)e(where(), problem(), is_causal); }, settle);
    return t > 0 ? 4.0 * at.batch * at.heads * double(at.seq) * at.seq * D * (is_causal ? 0.5 : 1) / t * 1e-12 : 0;
  }
};

void run(shape s, bool is_causal, std::string const& board, std::string const& command, std::FILE* out) {
  trial trial(s, is_causal);
  entry const* table = nullptr;
  for (auto const& e : entries())
    if (e.tile == in_table) table = &e;
  double reference = table && trial.disagreement(*table).empty() ? trial.rate(*table, 0.3) : 0;
  char date[16];
  std::time_t const now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  for (auto const& e : entries()) {
    auto const wrong = trial.disagreement(e);
    double const rate = wrong.empty() ? trial.rate(e, 0.1) : 0;  // the board is warm from the tile before
    std::printf("%s D%d %-6s S%-5d q %3d kv %3d stages %d warps %2d %7.1f TFLOP/s  %s\n", engine_name, trial.D, is_causal ? "causal" : "full", s.seq, e.tile.q, e.tile.kv,
                e.tile.stages, e.tile.warps, rate, wrong.c_str());
    if (!out || rate <= 0) continue;
    std::fprintf(out,
                 "{\"bench\": \"attention_sweep\", \"case\": {\"engine\": \"%s\", \"dtype\": \"bf16\", \"head_dim\": %d, \"mask\": \"%s\", \"seq\": %d, \"batch\": %d, \"heads\": %d, "
                 "\"tile\": %s}, \"unit\": \"TFLOP/s\", \"ours\": %.4g, \"peer\": \"table %s\", \"peer_value\": %.4g, \"ratio\": %.4g, \"limit\": null, \"board\": \"%s\", "
                 "\"toolkit\": \"CUDA %d.%d\", \"commit\": \"%s\", \"date\": \"%s\", \"command\": \"%s\"}\n",
                 engine_name, trial.D, is_causal ? "causal" : "full", s.seq, s.batch, s.heads, text(e.tile).c_str(), rate,
                 std::to_string(in_table.q).append("x").append(std::to_string(in_table.kv)).c_str(), reference, reference > 0 ? rate / reference : 0.0, board.c_str(), __CUDACC_VER_MAJOR__,
                 __CUDACC_VER_MINOR__, SMALTI_COMMIT, date, command.c_str());
    std::fflush(out);
  }
}
}  // namespace
}  // namespace smalti::bench

int main(int n, char** arg) {
  using namespace smalti::bench;
  std::vector<shape> shapes;
  std::FILE* out = nullptr;
  std::string command = "sweep_attention_" + std::string(engine_name) + "_" + std::to_string(swept_shape.head_dim);
  for (int i = 1; i < n; ++i) {
    shape s{};
    if (!std::strcmp(arg[i], "--out") && i + 1 < n) {
      if (!(out = std::fopen(arg[++i], "w"))) return std::perror(arg[i]), 1;
    } else if (std::sscanf(arg[i], "%d,%d,%d", &s.seq, &s.batch, &s.heads) == 3 && s.seq > 0 && s.batch > 0 && s.heads > 0) {
      shapes.push_back(s), command += std::string(" ") + arg[i];
    } else {
      return std::fprintf(stderr, "usage: %s [--out FILE] [S,B,H …]\n", arg[0]), 2;
    }
  }
  if (shapes.empty())
    for (int seq : {1024, 4096, 16384}) shapes.push_back({seq, 16384 / seq, 2048 / smalti::bench::swept_shape.head_dim});
  cudaDeviceProp board{};
  if (auto e = cudaGetDeviceProperties(&board, 0); e != cudaSuccess) return std::fprintf(stderr, "%s\n", cudaGetErrorString(e)), 1;
  std::printf("%zu legal tiles on %s\n", entries().size(), board.name);
  for (auto s : shapes)
    for (bool is_causal : {false, true}) run(s, is_causal, board.name, command, out);
  if (out) std::fclose(out);
}
