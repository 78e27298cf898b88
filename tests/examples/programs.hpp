#pragma once
// Running the example programs as a person's shell would, and small checkpoints for them to run on.

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>
#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

namespace examples_test {

namespace fs = std::filesystem;
using nlohmann::json;

inline std::string read(fs::path const& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline void write(fs::path const& file, std::string const& text) { std::ofstream(file, std::ios::binary) << text; }

/// A folder of its own that goes away again.
struct folder {
  fs::path path;
  folder() {
    std::string name = (fs::temp_directory_path() / "smalti-examples-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder: " + name);
    path = name;
  }
  folder(folder const&) = delete;
  ~folder() { fs::remove_all(path); }
  std::string operator/(char const* name) const { return (path / name).string(); }
};

/// $SMALTI_EXAMPLES, or examples/ beside the folder of this program, as the build lays them out.
inline fs::path programs() {
  if (char const* const named = std::getenv("SMALTI_EXAMPLES")) return named;
  return fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "examples";
}
/// False, with a word about it, in a build without the example programs. Where one is, all must be.
inline bool built() {
  for (auto name : {"generate", "quantise", "perplexity", "embed", "merge"})
    if (fs::exists(programs() / name)) return true;
  std::cerr << "\n*** SKIPPED: no example programs in " << programs() << "; build them, or name their folder in $SMALTI_EXAMPLES ***\n\n";
  return false;
}

inline std::string quoted(std::string const& word) {
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + '\'';
}

struct outcome {
  int status;  ///< as the shell says it
  std::string out, err;
};

/// Runs a program. `to` redirects standard output elsewhere ("/dev/full", "&9").
inline outcome run(std::string const& program, std::vector<std::string> const& words, std::string const& input = {}, std::string const& to = {}) {
  folder const at;
  write(at / "in", input);
  std::string command = quoted((programs() / program).string());
  for (auto const& w : words) command += ' ' + quoted(w);
  command += " <" + quoted(at / "in") + " 2>" + quoted(at / "err");
  if (!to.empty()) command += " >" + to;
  FILE* const pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe);
  outcome o{0, {}, {}};
  char piece[4096];
  for (std::size_t n; (n = std::fread(piece, 1, sizeof piece, pipe)) > 0;) o.out.append(piece, n);
  int const status = ::pclose(pipe);
  o.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  o.err = read(at / "err");
  return o;
}

/// The same with a standard output that nobody reads.
inline outcome run_without_reader(std::string const& program, std::vector<std::string> const& words, std::string const& input = {}) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::dup2(ends[1], 9) == 9);  // one digit: the only descriptors that every shell can name
  ::close(ends[0]), ::close(ends[1]);
  auto const o = run(program, words, input, "&9");
  ::close(9);
  return o;
}

inline bool has(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

/// Token i of the little vocabulary: a printable ASCII character, a line end, or a Chinese character; so any ids can be
/// written as a prompt, and any answer read back as ids.
inline std::string letter(int id) {
  if (id < 95) return std::string(1, char(0x20 + id));
  if (id == 95) return "\n";
  unsigned const c = 0x4e00u + unsigned(id);
  return {char(0xe0 | c >> 12), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
}
inline std::string spell(std::vector<int> const& ids) {
  std::string text;
  for (int id : ids) text += letter(id);
  return text;
}

/// tests/golden/models/<model> (331 tokens) with a tokenizer of single characters and ChatML's template.
inline void make_model(fs::path const& to, std::string const& model = "llama") {
  fs::create_directories(to);
  fs::path const from = "tests/golden/models/" + model;
  for (auto file : {"config.json", "generation_config.json", "model.safetensors"}) fs::copy_file(from / file, to / file);
  json vocabulary = json::object(), added = json::array();
  for (int i = 0; i < 329; ++i) vocabulary[letter(i)] = i;
  for (int i : {329, 330}) {
    char const* const name = i == 329 ? "<|im_start|>" : "<|im_end|>";
    vocabulary[name] = i;
    added.push_back({{"id", i}, {"content", name}, {"special", true}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}});
  }
  write(to / "tokenizer.json", json{{"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", json::array()}}}, {"decoder", {{"type", "Fuse"}}}, {"added_tokens", added}}.dump());
  write(to / "tokenizer_config.json", R"({"chat_template": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"})");
}

}  // namespace examples_test
