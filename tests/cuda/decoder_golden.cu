// Checkpoints that bitsandbytes quantised and transformers saved, in the device's decoder: the values of every matrix bit for bit, the logits
// up to the rounding of bf16 (tests/golden/nf4/README.md).

#include <catch2/catch.hpp>
#include <smalti/decoder.cuh>
#include <smalti/gemm/nf4_dequantise.cuh>
#include "../support/golden.hpp"
#include "device_where.cuh"

namespace smalti {
namespace {

std::string const root = "tests/golden/nf4/";
on_cuda const gpu = test::board();

/// Ŵ (n, k) in fp32 as the device holds it.
buffer<float> values_of(device_weight const& w, int n, int k) {
  device_buffer<float> to(std::size_t(n) * std::size_t(k));
  auto const out = row_major(to.data(), n, k);
  REQUIRE(cudaMemset(to.data(), 0xff, to.bytes()) == cudaSuccess);
  if (auto const* q = std::get_if<device_nf4>(&w)) {
    auto const file = unpack(gpu, *q);
    require(dequantise(gpu, file, out));
    return download(gpu, to);
  }
  require(dequantise(gpu, std::get<device_int8>(w), out));
  return download(gpu, to);
}
buffer<float> values_of(packed_weight const& w, int n, int k) {
  buffer<float> to(std::size_t(n) * std::size_t(k));
  for (int r = 0; r < n; ++r) decode_row(borrow(w), r, &to[std::size_t(r) * std::size_t(k)]);
  return to;
}

TEST_CASE("checkpoints of bitsandbytes: the device's weights are the host's, every bit, and logits are those of the decoded weights") {
  for (std::string const name : {"llama_nf4", "llama_int8"}) {
    CAPTURE(name);
    checkpoint const file(root + name);
    auto const c = load_decoder_config(root + name);
    int matrices = 0;
    for (int l = 0; l < c.layers; ++l)
      for (auto const& [module, n, k] : {std::tuple{"self_attn.q_proj", c.q_width(), c.hidden}, {"self_attn.k_proj", c.kv_width(), c.hidden}, {"self_attn.v_proj", c.kv_width(), c.hidden},
                                         {"self_attn.o_proj", c.hidden, c.q_width()}, {"mlp.gate_proj", c.ffn, c.hidden}, {"mlp.up_proj", c.ffn, c.hidden}, {"mlp.down_proj", c.hidden, c.ffn}}) {
        std::string const at = "model.layers." + std::to_string(l) + "." + module + ".weight";
        CAPTURE(at);
        auto const got = values_of(load_weight(gpu, file, at, n, k, weight_kind::as_stored, {}), n, k);
        auto const want = values_of(load_weight(on_cpu{}, file, at, n, k), n, k);
        CHECK(std::memcmp(got.data(), want.data(), got.size() * 4) == 0);
        ++matrices;
      }
    CHECK(matrices == 7 * c.layers);

    auto m = decoder<on_cuda>::load(root + name, gpu);
    auto const all = test::recordings(root + name + "/expected.safetensors", m.config().vocabulary);
    REQUIRE(!all.empty());
    for (auto const& r : all)
      for (std::size_t piece : {r.ids.size(), std::size_t(1)}) {
        auto cache = backend<on_cuda>::make_cache(m.config(), 1, 64);
        int const s = cache.open();
        double off = 0, norm = 0;
        for (std::size_t i = 0; i < r.ids.size(); i += piece) {
          batch_entry const one[] = {{s, std::span(r.ids).subspan(i, piece)}};
          auto const got = m.read(m.forward(cache, one, logits::all));
          for (std::size_t j = 0; j < got.size(); ++j) {
            double const want = r.logits[i * std::size_t(m.config().vocabulary) + j];
            off += (got[j] - want) * (got[j] - want), norm += want * want;
          }
        }
        double const distance = std::isnan(off) ? INFINITY : std::sqrt(off / norm);
        WARN(name << ", " << r.ids.size() << " tokens, " << piece << " at a time: " << distance);
        CHECK(distance < 0.024);  // derived in decoder.cu
      }
  }
}

}  // namespace
}  // namespace smalti
