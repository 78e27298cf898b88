// NF4 on a device: quantised, decoded and repacked there, byte for byte as on the host and as bitsandbytes' files have it.

#include "device_array.cuh"

#include <cmath>
#include <smalti/io/json.hpp>
#include <smalti/io/safetensors.hpp>

namespace smalti::test {
namespace {

on_cuda const gpu{};

template <class T>
bool equal(buffer<T> const& a, buffer<T> const& b) { return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0); }
void require_same(nf4_data const& a, nf4_data const& b) {
  REQUIRE((a.n == b.n && a.k == b.k && a.block == b.block));
  REQUIRE(equal(a.code, b.code));
  REQUIRE(equal(a.absmax, b.absmax));
  REQUIRE(equal(a.absmax_code, b.absmax_code));
  REQUIRE((equal(a.nested_absmax, b.nested_absmax) && equal(a.nested_map, b.nested_map)));
  REQUIRE((a.nested_offset == b.nested_offset && a.nested_block == b.nested_block));
}

/// Normal values; some blocks of zeros, some that hold every threshold exactly and its neighbours, huge and subnormal ones.
template <class T>
std::vector<T> difficult(index count, unsigned seed) {
  auto v = random_values<T>(std::size_t(count), seed);
  for (index i = 0; i < count; ++i) {
    T& x = v[std::size_t(i)];
    switch (i / 4096 % 8 * 8 + i / 32 % 8) {
      case 1: x = T(0.f); break;
      case 10: {  // absmax 2: halves are exact
        float const t = 2 * nf4_threshold[i % 15];
        x = T(i % 32 == 0 ? -2.f : i % 3 == 0 ? t : i % 3 == 1 ? std::nextafter(t, 9.f) : std::nextafter(t, -9.f));
        break;
      }
      case 19: x = T(float(x) * 1e-39f); break;
      case 28: x = T(float(x) * (sizeof(T) == 2 && std::is_same_v<T, f16> ? 1e4f : 3e37f)); break;
      case 37: x = T(float(x) * 1e-44f); break;
    }
  }
  return v;
}

template <class T>
void check_quantise(index n, index k, nf4_options const& options) {
  INFO(n << " x " << k << " block " << options.block << " nested " << options.double_quant << " bytes " << sizeof(T));
  auto const w = difficult<T>(n * k, unsigned(n + k));
  device_array<T> const there(w);
  require_same(download(gpu, quantise_nf4(gpu, row_major(there.at, n, k), options)), quantise_nf4(on_cpu{}, row_major(w.data(), n, k), options));
}

TEST_CASE("NF4 is quantised to the bytes of the host") {
  for (int block : {32, 64, 128, 256, 512, 1024, 2048, 4096})
    for (bool nested : {false, true}) {
      check_quantise<float>(19, 4096, {block, nested});
      if (block <= 128) check_quantise<bf16>(96, 384, {block, nested}), check_quantise<f16>(5, 128, {block, nested});
    }
  check_quantise<float>(3, 96, {32, true});
  check_quantise<float>(2, 96, {64, true});  // blocks cross rows
  check_quantise<bf16>(1024, 4096, {64, true});

  auto const w = random_values<float>(40 * 200, 3);  // transposed and with gaps
  device_array<float> const there(w);
  view<float const, 2> const a{w.data(), {64, 40}, {1, 200}}, b{there.at, {64, 40}, {1, 200}};
  require_same(download(gpu, quantise_nf4(gpu, b, {})), quantise_nf4(on_cpu{}, a, {}));
}

TEST_CASE("NF4: NaN, infinity and impossible shapes are refused") {
  auto w = random_values<float>(4 * 64, 3);
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    auto damaged = w;
    damaged[77] = bad;
    device_array<float> const there(damaged);
    REQUIRE_THROWS_WITH(quantise_nf4(gpu, row_major(there.at, 4, 64), {}), Catch::Contains("quant.1"));
  }
  device_array<float> const there(w);
  REQUIRE_THROWS_WITH(quantise_nf4(gpu, row_major(there.at, 4, 64), {.block = 48}), Catch::Contains("quant.2"));
  REQUIRE_THROWS_WITH(quantise_nf4(gpu, row_major(there.at, 3, 33), {}), Catch::Contains("quant.3"));
  REQUIRE_THROWS_WITH(device_buffer<float>(std::size_t(1) << 60), Catch::Contains("quant.5"));
  REQUIRE(dequantise(gpu, quantise_nf4(gpu, row_major(there.at, 4, 64), {}), row_major(there.at, 2, 64)).id == std::string("quant.4"));
}

TEST_CASE("NF4 panels are a permutation of the file") {
  for (int n : {1, 31, 32, 33, 100})
    for (int k : {64, 128, 192, 1024})
      for (int block : {64, 128})
        for (bool nested : {false, true}) {
          if (k % block) continue;
          INFO(n << " x " << k << " block " << block << " nested " << nested);
          auto const file = random_nf4(n, k, block, nested, unsigned(n * k));
          auto const there = upload(gpu, file);
          auto const packed = pack(gpu, there);
          require_same(download(gpu, unpack(gpu, packed)), file);
          auto const code = download(gpu, packed.code);
          REQUIRE(index(code.size()) == nf4_panel::code_count(n, k));
          for (std::size_t i = 0; i < code.size(); ++i) {
            auto const p = nf4_panel::of_code(index(i), k);
            REQUIRE(nf4_panel::code_at(p.row, p.column, k) == index(i));
            REQUIRE(code[i] == (p.row < n && p.column < k ? file.code[std::size_t((p.row * k + p.column) / 2)] : nf4_panel::zero_codes));
          }
          if (nested) continue;
          auto const scales = download(gpu, packed.absmax);
          for (std::size_t i = 0; i < scales.size(); ++i) {
            auto const p = nf4_panel::of_scale(index(i), k);
            REQUIRE(nf4_panel::scale_at(p.row, p.column, k) == index(i));
            REQUIRE(scales[i] == (p.row < n && p.column < k ? file.absmax[std::size_t((p.row * k + p.column) / block)] : 0.f));
          }
        }
}

TEST_CASE("files of bitsandbytes are decoded on the device to the bit") {
  safetensors const file("tests/golden/nf4/blocks.safetensors");
  json const about = read_json("tests/golden/nf4/blocks.json");
  int seen = 0;
  for (json const& c : about["cases"]) {
    std::string const name = c["name"], at = name + ".weight";
    index const n = c["shape"][0], k = c["shape"][1];
    nf4_data q{.n = int(n), .k = int(k), .block = c["block"]};
    if (n * k % q.block != 0) continue;  // a last block that is short: refused, quant.3
    INFO(name);
    auto const bytes = [&](std::string const& key) {
      auto const& from = file.at(key).bytes;
      buffer<uint8_t> b(from.size());
      std::memcpy(b.data(), from.data(), b.size());
      return b;
    };
    auto const floats = [&](std::string const& key) { return to_float(file.at(key), file.at(key).shape); };
    q.code = bytes(at);
    if (c["nested"]) {
      auto const& state = file.at(at + ".quant_state.bitsandbytes__nf4").bytes;
      json const j = parse_json({reinterpret_cast<char const*>(state.data()), state.size()}, "quant_state");
      q.absmax_code = bytes(at + ".absmax"), q.nested_absmax = floats(at + ".nested_absmax"), q.nested_map = floats(at + ".nested_quant_map");
      q.nested_offset = j["nested_offset"].get<float>(), q.nested_block = j["nested_blocksize"].get<int>();
    } else {
      q.absmax = floats(at + ".absmax");
    }
    auto const there = upload(gpu, q);
    device_array<float> out(std::size_t(n * k));
    device_array<bf16> half(std::size_t(n * k));
    out.poison(), half.poison();
    require_ok(dequantise(gpu, there, row_major(out.at, n, k)));
    require_ok(dequantise(gpu, there, row_major(half.at, n, k)));
    auto const expected = floats(name + ".dequantised"), got = to_float(file.at(name + ".dequantised"), {n, k});
    auto const whole = out.host();
    REQUIRE(std::memcmp(whole.data(), expected.data(), whole.size() * 4) == 0);
    auto const rounded = half.host();
    auto const& rounded_expected = file.at(name + ".dequantised_bf16").bytes;
    REQUIRE(rounded_expected.size() == rounded.size() * 2);
    REQUIRE(std::memcmp(rounded.data(), rounded_expected.data(), rounded_expected.size()) == 0);

    auto const source = floats(name + ".source");  // and quantised there as here
    device_array<float> const from(std::vector<float>(source.begin(), source.end()));
    nf4_options const options{q.block, q.nested()};
    require_same(download(gpu, quantise_nf4(gpu, row_major(from.at, n, k), options)), quantise_nf4(on_cpu{}, row_major(source.data(), n, k), options));
    ++seen;
  }
  REQUIRE(seen >= 15);
}

}  // namespace
}  // namespace smalti::test
