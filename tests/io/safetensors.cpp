// Headers that lie, in every way the format allows, and files written here read back.
#include <catch2/catch.hpp>
#include <filesystem>
#include "smalti/io/checkpoint.hpp"
#include "smalti/io/safetensors_writer.hpp"

namespace smalti {
namespace {
namespace fs = std::filesystem;
using Catch::Matchers::Contains;

struct folder {
  fs::path path = fs::temp_directory_path() / ("smalti-st-" + std::to_string(::getpid()));
  folder() { fs::remove_all(path), fs::create_directories(path); }
  ~folder() { fs::remove_all(path); }
  std::string operator/(char const* name) const { return (path / name).string(); }
};

std::string file_of(std::string const& header, std::size_t data, uint64_t length) {
  std::string s;
  for (int i = 0; i < 8; ++i) s += char(length >> 8 * i & 0xff);
  return s + header + std::string(data, '\0');
}
// Exactly as long as needed and held on the heap, so that the sanitizer sees any read past the end.
safetensors parse(std::string const& bytes) {
  std::vector<char> exact(bytes.begin(), bytes.end());
  return safetensors(std::as_bytes(std::span(exact)), "m.safetensors");
}
safetensors parse(std::string const& header, std::size_t data) { return parse(file_of(header, data, header.size())); }
std::string entry(std::string const& dtype, std::string const& shape, std::string const& offsets) {
  return R"({"w": {"dtype": )" + dtype + R"(, "shape": )" + shape + R"(, "data_offsets": )" + offsets + "}}";
}
}  // namespace

TEST_CASE("a truncated file is refused at every length") {
  auto const whole = file_of(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8, 54);
  CHECK(parse(whole).at("w").count() == 2);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    INFO(n);
    CHECK_THROWS_WITH(parse(whole.substr(0, n)), Contains("m.safetensors") && Contains("expected") && Contains("found"));
  }
  CHECK_THROWS_WITH(parse(std::string("1234567")), Contains("io.5: m.safetensors: expected a safetensors file of at least 8 bytes, found 7"));
  CHECK_THROWS_WITH(parse(whole + "x"), Contains("io.7") && Contains("data after the last tensor: expected 8 bytes, found 9"));
}

TEST_CASE("header lengths that lie") {
  CHECK_THROWS_WITH(parse(file_of("{}", 0, 3)), Contains("io.5") && Contains("expected at most the 2 bytes that follow it, found 3"));
  CHECK_THROWS_WITH(parse(file_of("{}", 0, ~0ull)), Contains("io.5") && Contains("expected at most 100000000 bytes, found 18446744073709551615"));
  CHECK_THROWS_WITH(parse(file_of("{}", 0, ~0ull - 7)), Contains("io.5"));
  CHECK_THROWS_WITH(parse(file_of("{}", 0, 100'000'001)), Contains("io.5"));
  CHECK_THROWS_WITH(parse(file_of("{}", 0, 0)), Contains("io.3"));
  CHECK_THROWS_WITH(parse(file_of("{}", 0, 1)), Contains("io.3"));
}

TEST_CASE("headers that are no object of tensors") {
  CHECK(parse("{}", 0).names().empty());
  CHECK_THROWS_WITH(parse("[]", 0), Contains("io.6") && Contains("expected a JSON object, found []"));
  CHECK_THROWS_WITH(parse("{\"w\": 1}", 0), Contains("io.4: m.safetensors: tensor \"w\"") && Contains("found 1"));
  CHECK_THROWS_WITH(parse("{\"w\": {}}", 0), Contains("io.4") && Contains("\"dtype\": expected a string, found no such field"));
  CHECK_THROWS_WITH(parse(std::string(100'000, '['), 0), Contains("io.3: m.safetensors: header") && Contains("nesting"));
  CHECK_THROWS_WITH(parse(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
                    Contains("io.3") && Contains("found \"w\" twice"));
  CHECK(parse(R"({"__metadata__": {"format": "pt"}})", 0).metadata().at("format") == "pt");
  CHECK_THROWS_WITH(parse(R"({"__metadata__": {"format": 1}})", 0), Contains("__metadata__") && Contains("expected a string, found 1"));
  CHECK_THROWS_WITH(parse(R"({"__metadata__": "x"})", 0), Contains("io.6") && Contains("expected an object of strings, found \"x\""));
}

TEST_CASE("dtypes and shapes that lie") {
  CHECK_THROWS_WITH(parse(entry("\"F33\"", "[1]", "[0,4]"), 4), Contains("io.6") && Contains("found \"F33\""));
  CHECK_THROWS_WITH(parse(entry("3", "[1]", "[0,4]"), 4), Contains("io.4") && Contains("expected a string, found 3"));
  CHECK_THROWS_WITH(parse(entry("\"F32\"", "[-1]", "[0,4]"), 4), Contains("io.6") && Contains("expected sizes of 0 or more, found the shape (-1)"));
  CHECK_THROWS_WITH(parse(entry("\"F32\"", "[1.5]", "[0,4]"), 4), Contains("io.4") && Contains("\"shape\"") && Contains("[1.5]"));
  CHECK_THROWS_WITH(parse(entry("\"F32\"", "{}", "[0,4]"), 4), Contains("io.4") && Contains("\"shape\": expected an array"));
  CHECK_THROWS_WITH(parse(entry("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0), Contains("io.6") && Contains("less than 2^63 bytes"));
  CHECK_THROWS_WITH(parse(entry("\"F64\"", "[2305843009213693952]", "[0,0]"), 0), Contains("io.6"));
  CHECK_THROWS_WITH(parse(entry("\"U8\"", "[18446744073709551615]", "[0,0]"), 0), Contains("io.4"));
  CHECK_THROWS_WITH(parse(entry("\"F32\"", "[2]", "[0,4]"), 4), Contains("io.7") && Contains("expected 8 bytes for F32 of shape (2), found 4"));
  CHECK(parse(entry("\"F32\"", "[0, 9]", "[0,0]"), 0).at("w").bytes.empty());
  CHECK(parse(entry("\"F32\"", "[]", "[0,4]"), 4).at("w").count() == 1);
}

TEST_CASE("offsets that lie") {
  CHECK_THROWS_WITH(parse(entry("\"U8\"", "[4]", "[4,0]"), 4), Contains("io.7") && Contains("begin ≤ end, found [4,0]"));
  CHECK_THROWS_WITH(parse(entry("\"U8\"", "[4]", "[-4,0]"), 4), Contains("io.7") && Contains("found [-4,0]"));
  CHECK_THROWS_WITH(parse(entry("\"U8\"", "[4]", "[0]"), 4), Contains("io.7") && Contains("found [0]"));
  CHECK_THROWS_WITH(parse(entry("\"U8\"", "[4]", "[1,5]"), 4), Contains("io.7") && Contains("within the 4 bytes of data, found 5"));
  CHECK_THROWS_WITH(parse(entry("\"U8\"", "[9223372036854775807]", "[0,9223372036854775807]"), 4), Contains("io.7"));
  CHECK_THROWS_WITH(parse(entry("\"U8\"", "[4]", "[1,5]"), 5), Contains("io.7") && Contains("leaves a gap before it: expected to begin at 0, found 1"));
  auto const two = [](std::string const& a, std::string const& b) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a + R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
  };
  CHECK(parse(two("[4,8]", "[0,4]"), 8).names() == std::vector<std::string>{"a", "b"});
  CHECK_THROWS_WITH(parse(two("[0,4]", "[3,7]"), 7), Contains("io.7") && Contains("tensor \"b\": overlaps") && Contains("expected to begin at 4, found 3"));
  CHECK_THROWS_WITH(parse(two("[0,4]", "[0,4]"), 4), Contains("overlaps"));
  CHECK_THROWS_WITH(parse(two("[0,4]", "[5,9]"), 9), Contains("tensor \"b\": leaves a gap"));
}

TEST_CASE("values convert to fp32, from addresses of any alignment") {
  // 8 + 95 bytes of header put every element at an odd address.
  std::string header = R"({"d":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"h":{"dtype":"F16","shape":[1],"data_offsets":[8,10]},)"
                       R"("b":{"dtype":"BF16","shape":[1,1],"data_offsets":[10,12]},"q":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[12,13]}})";
  if (header.size() % 2 == 0) header += ' ';
  auto bytes = file_of(header, 13, header.size());
  double const d = 0.1;
  std::memcpy(bytes.data() + 8 + header.size(), &d, 8);
  uint16_t const h = 0x3e00, b = 0xbfc0;  // 1.5 and −1.5
  std::memcpy(bytes.data() + 16 + header.size(), &h, 2), std::memcpy(bytes.data() + 18 + header.size(), &b, 2);
  safetensors const file(std::as_bytes(std::span(bytes)), "m.safetensors");
  CHECK(to_float(file.at("d"), {1})[0] == 0.1f);
  CHECK(to_float(file.at("h"), {1})[0] == 1.5f);
  CHECK(to_float(file.at("b"), {1, 1})[0] == -1.5f);
  CHECK(copy_of<bf16>(file.at("b"), {1, 1})[0].bits == 0xbfc0);
  CHECK_THROWS_WITH(to_float(file.at("b"), {1}), Contains("io.9: m.safetensors: tensor \"b\": expected the shape (1), found (1, 1)"));
  CHECK_THROWS_WITH(to_float(file.at("q"), {1}), Contains("expected the dtype F64, F32, F16 or BF16, found F8_E4M3"));
  CHECK_THROWS_WITH(copy_of<float>(file.at("d"), {1}), Contains("expected the dtype F32, found F64"));
  CHECK_THROWS_WITH(file.at("none"), Contains("io.8: m.safetensors: tensor \"none\": expected in this file"));
}

TEST_CASE("what the writer streams in any order reads back, aligned") {
  folder f;
  auto const path = f / "m.safetensors";
  std::vector<float> const w{1, 2, 3, 4, 5, 6};
  std::vector<uint8_t> const codes{7, 8, 9};
  {
    safetensors_writer out(path, {{"codes", dtype::u8, {3}}, {"w", dtype::f32, {2, 3}}, {"none", dtype::f32, {0, 5}}, {"scalar", dtype::f64, {}}},
                           {{"format", "pt"}, {"note", "ä\"\n"}});
    double const s = 2.5;
    out.write("codes", std::span(codes)), out.write("w", std::span(w).first(4));
    out.write("scalar", std::span(&s, 1)), out.write("w", std::span(w).last(2));
    CHECK_FALSE(fs::exists(path));
    out.commit();
  }
  safetensors const in(path);
  CHECK(in.metadata().at("note") == "ä\"\n");
  auto const back = to_float(in.at("w"), {2, 3});
  CHECK(std::equal(w.begin(), w.end(), back.begin(), back.end()));
  CHECK(to_float(in.at("scalar"), {})[0] == 2.5f);
  CHECK(copy_of<uint8_t>(in.at("codes"), {3})[2] == 9);
  CHECK(in.at("none").bytes.empty());
  for (auto const& name : in.names())
    CHECK(std::uintptr_t(in.at(name).bytes.data()) % std::size_t(bytes_of(in.at(name).type)) == 0);
}

TEST_CASE("the writer refuses what does not fit its declarations, and leaves no file") {
  folder f;
  auto const path = f / "m.safetensors";
  uint8_t const bytes[4] = {};
  {
    safetensors_writer out(path, {{"w", dtype::u8, {3}}});
    CHECK_THROWS_WITH(out.write("v", std::span(bytes)), Contains("io.8") && Contains("\"v\"") && Contains("no such declaration"));
    CHECK_THROWS_WITH(out.write("w", std::span(bytes)), Contains("io.11") && Contains("expected at most 3 more bytes, found 4"));
    out.write("w", std::span(bytes).first(2));
    CHECK_THROWS_WITH(out.commit(), Contains("io.11: " + path) && Contains("tensor \"w\": expected 1 more bytes"));
  }
  CHECK(fs::is_empty(f.path));
  CHECK_THROWS_WITH(safetensors_writer(path, {{"w", dtype::u8, {1}}, {"w", dtype::u8, {1}}}), Contains("io.11") && Contains("found it twice"));
  CHECK_THROWS_WITH(safetensors_writer(path, {{"w", dtype::f32, {1ll << 61, 2}}}), Contains("io.11") && Contains("less than 2^63"));
  CHECK_THROWS_WITH(safetensors_writer(path, {{"w", dtype::f32, {-1}}}), Contains("io.11"));
  CHECK(fs::is_empty(f.path));
  safetensors_writer full("/dev/full", {{"w", dtype::u8, {4}}});
  CHECK_THROWS_WITH(full.write("w", std::span(bytes)), Contains("io.2: /dev/full") && Contains("No space left"));
}

namespace {
void write_shard(std::string const& path, std::string const& name, float value) {
  safetensors_writer out(path, {{name, dtype::f32, {1}}});
  out.write(name, std::span(&value, 1)), out.commit();
}
}  // namespace

TEST_CASE("a checkpoint is one file or shards") {
  folder f;
  CHECK_THROWS_WITH(checkpoint(f.path.string()), Contains("io.1") && Contains("found neither"));
  write_shard(f / "a-1.safetensors", "x", 1), write_shard(f / "a-2.safetensors", "y", 2);
  write_file(f / "model.safetensors.index.json", R"({"metadata": {}, "weight_map": {"x": "a-1.safetensors", "y": "a-2.safetensors"}})");
  checkpoint shards(f.path.string());
  checkpoint const moved(std::move(shards));
  CHECK(moved.names() == std::vector<std::string>{"x", "y"});
  CHECK(to_float(moved.at("y"), {1})[0] == 2);
  CHECK(moved.at("y").file == f / "a-2.safetensors");
  CHECK(moved.contains("x"));
  CHECK_FALSE(moved.contains("z"));
  CHECK_THROWS_WITH(moved.at("z"), Contains("io.8: " + f.path.string()) && Contains("\"z\""));
  write_shard(f / "model.safetensors", "only", 3);
  CHECK(checkpoint(f.path.string()).names() == std::vector<std::string>{"only"});
}

TEST_CASE("an index that lies is refused") {
  folder f;
  write_shard(f / "a.safetensors", "x", 1);
  auto const with = [&](std::string const& text) {
    write_file(f / "model.safetensors.index.json", text);
    return checkpoint(f.path.string());
  };
  for (auto bad : {"../a.safetensors", "/etc/passwd", "sub/a.safetensors", "", ".", "..", ".hidden", "a\\\\b", "a\\u0000b"}) {
    INFO(bad);
    CHECK_THROWS_WITH(with(R"({"weight_map": {"x": ")" + std::string(bad) + "\"}}"), Contains("io.10") && Contains("index.json") && Contains("expected a file name within the directory"));
  }
  CHECK_THROWS_WITH(with(R"({"weight_map": {"y": "a.safetensors"}})"), Contains("io.10") && Contains("\"y\"") && Contains("expected in the shard a.safetensors"));
  CHECK_THROWS_WITH(with(R"({"weight_map": {"x": "b.safetensors"}})"), Contains("io.1") && Contains("b.safetensors"));
  CHECK_THROWS_WITH(with(R"({"weight_map": {"x": 1}})"), Contains("io.4") && Contains("expected a string, found 1"));
  CHECK_THROWS_WITH(with(R"({"weight_map": []})"), Contains("io.4") && Contains("weight_map"));
  CHECK_THROWS_WITH(with("{}"), Contains("io.4") && Contains("weight_map"));
  CHECK_THROWS_WITH(with("{"), Contains("io.3") && Contains("index.json"));
}
}  // namespace smalti
