// embed, against sentence-transformers' vectors of the same sentences.
#include "programs.hpp"
#include <smalti/io/json.hpp>

namespace examples_test {
namespace {

/// all-MiniLM-L6-v2 where script/setup puts it, or $SMALTI_MINILM; empty, with a word about it, if neither is there.
std::string minilm() {
  char const* const named = std::getenv("SMALTI_MINILM");
  std::string const path = named ? named : ".cache/models/all-MiniLM-L6-v2";
  if (fs::exists(path + "/model.safetensors")) return path;
  std::cerr << "\n*** SKIPPED: no all-MiniLM-L6-v2 in .cache/models or $SMALTI_MINILM; run script/setup ***\n\n";
  return {};
}

std::vector<json> lines_of(std::string const& text) {
  std::vector<json> all;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) all.push_back(json::parse(text.substr(at, end - at)));
  return all;
}
double dot(json const& a, json const& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i].get<double>() * b[i].get<double>();
  return sum;
}

TEST_CASE("lines become JSON lines in their order, unit vectors, the same from arguments and from groups of any size") {
  std::string const model = minilm();
  if (!built() || model.empty()) return;
  std::vector<std::string> const texts{"How is NPV calculated?", "", "A \"quoted\" line\twith a tab", "Größe 東京 🙂", "Discounted cash flows give the net present value."};
  std::string input;
  for (auto const& t : texts) input += t + (&t == &texts[1] ? "\r\n" : "\n");  // a line end of another system
  input.pop_back();  // the last line needs none
  auto const o = run("embed", {"--encoder", model, "--group", "2"}, input);
  INFO(o.err);
  REQUIRE(o.status == 0);
  auto const lines = lines_of(o.out);
  REQUIRE(lines.size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    CHECK(lines[i]["text"] == texts[i]);
    REQUIRE(lines[i]["embedding"].size() == 384);
    CHECK(dot(lines[i]["embedding"], lines[i]["embedding"]) == Approx(1).epsilon(1e-5));
  }
  auto const arguments = run("embed", {"--encoder", model, "--threads", "2", texts[0], texts[4]});
  auto const two = lines_of(arguments.out);
  REQUIRE(two.size() == 2);
  CHECK(two[0] == lines[0]);
  CHECK(two[1] == lines[4]);
  auto const pair = run("embed", {"--encoder", model, "--similarity", texts[0], texts[4]});
  CHECK(std::stod(pair.out) == Approx(dot(two[0]["embedding"], two[1]["embedding"])).margin(2e-6));
  CHECK(std::stod(pair.out) > dot(lines[0]["embedding"], lines[2]["embedding"]) + 0.1);  // what means the same is nearer
  CHECK(std::stod(run("embed", {"--encoder", model, "--similarity", "same", "same"}).out) == Approx(1).margin(2e-6));
}

TEST_CASE("no input gives no lines; broken UTF-8 is still JSON; a full disk and a reader that has gone are told apart") {
  std::string const model = minilm();
  if (!built() || model.empty()) return;
  auto const nothing = run("embed", {"--encoder", model});
  CHECK(nothing.status == 0);
  CHECK(nothing.out.empty());
  auto const broken = lines_of(run("embed", {"--encoder", model}, "caf\xe9\n").out);
  REQUIRE(broken.size() == 1);
  CHECK(broken[0]["text"] == "caf\xef\xbf\xbd");
  auto const full = run("embed", {"--encoder", model, "text"}, {}, "/dev/full");
  CHECK(full.status == 1);
  CHECK(has(full.err, "No space left on device"));
  auto const gone = run_without_reader("embed", {"--encoder", model, "text"});
  CHECK(gone.status == 141);
  CHECK(gone.err.empty());
}

TEST_CASE("a decoder's directory is no encoder") {
  if (!built()) return;
  auto const o = run("embed", {"--encoder", "tests/golden/models/llama", "text"});
  CHECK(o.status == 1);
  CHECK(o.err.starts_with("embed: "));
  CHECK(has(o.err, "tests/golden/models/llama"));
}

}  // namespace
}  // namespace examples_test
