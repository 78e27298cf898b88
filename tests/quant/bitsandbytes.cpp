// Codes, scales, decoded values and maps against files that bitsandbytes wrote (tests/golden/nf4/README.md).
#include <catch2/catch.hpp>
#include <cstring>
#include <smalti/io/safetensors.hpp>
#include <smalti/nf4.hpp>
#include <smalti/io/json.hpp>

namespace smalti {
namespace {

std::string const folder = "tests/golden/nf4/";

struct golden {
  std::string name;
  index n, k;
  int block;
  bool nested;
};
std::vector<golden> cases() {
  std::vector<golden> all;
  json const about = read_json(folder + "blocks.json");
  for (json const& c : about["cases"]) all.push_back({c["name"], c["shape"][0], c["shape"][1], c["block"], c["nested"]});
  return all;
}
/// A case as the file has it.
nf4_data read(safetensors const& file, golden const& g) {
  auto const at = g.name + ".weight";
  nf4_data q{.n = int(g.n), .k = int(g.k), .block = g.block};
  auto const bytes = [](tensor const& t) {
    buffer<uint8_t> b(t.bytes.size());
    std::memcpy(b.data(), t.bytes.data(), b.size());
    return b;
  };
  auto const floats = [&](std::string const& name) { return to_float(file.at(name), file.at(name).shape); };
  q.code = bytes(file.at(at));
  if (!g.nested) {
    q.absmax = floats(at + ".absmax");
    return q;
  }
  q.absmax_code = bytes(file.at(at + ".absmax"));
  q.nested_absmax = floats(at + ".nested_absmax"), q.nested_map = floats(at + ".nested_quant_map");
  auto const& state = file.at(at + ".quant_state.bitsandbytes__nf4").bytes;
  json const j = parse_json({reinterpret_cast<char const*>(state.data()), state.size()}, "quant_state");
  q.nested_offset = j["nested_offset"].get<float>(), q.nested_block = j["nested_blocksize"].get<int>();
  return q;
}

TEST_CASE("what bitsandbytes wrote is decoded to the bit") {
  safetensors const file(folder + "blocks.safetensors");
  for (golden const& g : cases()) {
    if (g.n * g.k % g.block != 0) continue;  // a last block that is short: refused here, quant.3
    INFO(g.name);
    auto const q = read(file, g);
    auto const scales = to_float(file.at(g.name + ".scale"), {q.blocks()}), expected = to_float(file.at(g.name + ".dequantised"), {g.n, g.k});
    for (index b = 0; b < q.blocks(); ++b) REQUIRE(q.scale(b) == scales[std::size_t(b)]);
    buffer<float> out(expected.size());
    dequantise(on_cpu{}, q, row_major(out.data(), g.n, g.k));
    for (std::size_t i = 0; i < out.size(); ++i) REQUIRE(out[i] == expected[i]);
    auto const half = file.at(g.name + ".dequantised_bf16").bytes;
    buffer<bf16> rounded(expected.size());
    dequantise(on_cpu{}, q, row_major(rounded.data(), g.n, g.k));
    REQUIRE(std::memcmp(rounded.data(), half.data(), half.size()) == 0);
  }
}

TEST_CASE("what is written here is what bitsandbytes writes") {
  safetensors const file(folder + "blocks.safetensors");
  int scales = 0, different_scales = 0;
  for (golden const& g : cases()) {
    if (g.n * g.k % g.block != 0) continue;
    INFO(g.name);
    auto const theirs = read(file, g);
    auto const w = to_float(file.at(g.name + ".source"), {g.n, g.k});
    auto const ours = quantise_nf4(on_cpu{}, row_major(w.data(), g.n, g.k), {.block = g.block, .double_quant = g.nested});
    int different = 0;
    for (index i = 0; i < g.n * g.k; ++i) {
      int const a = nf4_code_at(ours.code.data(), i), b = nf4_code_at(theirs.code.data(), i);
      REQUIRE(std::abs(a - b) <= 1);
      different += a != b;
    }
    // The CPU quantiser that made the file decides at midpoints, four of which are an ulp beside the literals of the CUDA one.
    REQUIRE(different <= (g.name == "near_thresholds" ? 4 : 0));
    if (!g.nested) {
      for (std::size_t b = 0; b < ours.absmax.size(); ++b) REQUIRE(ours.absmax[b] == theirs.absmax[b]);
      continue;
    }
    REQUIRE(ours.nested_offset == Approx(theirs.nested_offset).epsilon(3e-7));  // the order of a sum
    for (std::size_t b = 0; b < ours.nested_absmax.size(); ++b) REQUIRE(ours.nested_absmax[b] == Approx(theirs.nested_absmax[b]).epsilon(1e-5));
    // Its 8-bit quantiser takes a neighbour now and then; ours is always the nearest entry.
    for (std::size_t b = 0; b < ours.absmax_code.size(); ++b) {
      REQUIRE(std::abs(int(ours.absmax_code[b]) - int(theirs.absmax_code[b])) <= 1);
      ++scales, different_scales += ours.absmax_code[b] != theirs.absmax_code[b];
    }
  }
  CHECK(different_scales * 50 <= scales);
}

TEST_CASE("the dynamic maps are the same to the bit") {
  json const maps = read_json(folder + "maps.json");
  for (int i = 0; i < 256; ++i) {
    REQUIRE(signed_dynamic_map()[std::size_t(i)] == maps["signed"][std::size_t(i)].get<float>());
    REQUIRE(unsigned_dynamic_map()[std::size_t(i)] == maps["unsigned"][std::size_t(i)].get<float>());
  }
  for (int i = 0; i < 16; ++i) REQUIRE(nf4_level[i] == maps["nf4"][std::size_t(i)].get<float>());
}

TEST_CASE("INT8 rows are the same") {
  safetensors const file(folder + "rows.safetensors");
  for (std::string name : {"plain", "extremes", "halves", "one", "layer"}) {
    INFO(name);
    auto const& shape = file.at(name + ".source").shape;
    auto w = to_float(file.at(name + ".source"), shape), scale = to_float(file.at(name + ".SCB"), {shape[0]});
    if (name == "layer")  // Linear8bitLt rounds its weight to 16 bits before it quantises
      for (float& v : w) v = float(f16(v));
    auto const q = quantise_int8(on_cpu{}, row_major(w.data(), shape[0], shape[1]));
    auto const* const code = reinterpret_cast<int8_t const*>(file.at(name + ".weight").bytes.data());
    for (index i = 0; i < shape[0]; ++i) REQUIRE(q.scale[std::size_t(i)] == scale[std::size_t(i)]);
    for (std::size_t i = 0; i < w.size(); ++i) REQUIRE(int(q.code[i]) == int(code[i]));
    if (!file.contains(name + ".dequantised")) continue;
    auto const expected = to_float(file.at(name + ".dequantised"), shape);
    buffer<float> out(expected.size());
    dequantise(on_cpu{}, q, row_major(out.data(), shape[0], shape[1]));
    for (std::size_t i = 0; i < out.size(); ++i) REQUIRE(std::fabs(out[i] - expected[i]) <= 2.4e-7f * std::fabs(expected[i]) + 1e-44f);  // 1 / 127 is rounded here
  }
}

}  // namespace
}  // namespace smalti
