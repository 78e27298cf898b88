// What every example program owes its user: help that suffices, exit statuses, reasons on standard error and nowhere else.
#include "programs.hpp"

namespace examples_test {
namespace {

struct program {
  char const* name;
  std::vector<std::string> needs;    // options without which it refuses
  std::vector<std::string> missing;  // words that name a directory which is not there
};

std::vector<program> all() {
  return {{"generate", {"--model"}, {"--model", "no/such/model", "--prompt", "x"}},
          {"perplexity", {"--model", "--text"}, {"--model", "no/such/model", "--text", "tests/golden/models/llama/config.json"}},
          {"quantise", {"--from", "--to"}, {"--from", "no/such/model", "--to", "no/such/target"}},
          {"merge", {"--from", "--to", "--adapter"}, {"--from", "no/such/model", "--to", "no/such/target", "--adapter", "tests/golden/peft/rslora"}},
          {"embed", {"--encoder"}, {"--encoder", "no/such/model", "text"}}};
}

TEST_CASE("--help tells options with defaults, examples and exit statuses, on standard output") {
  if (!built()) return;
  for (auto const& p : all()) {
    INFO(p.name);
    auto const o = run(p.name, {"--help"});
    CHECK(o.status == 0);
    CHECK(o.err.empty());
    for (auto const& option : p.needs) CHECK(has(o.out, option));
    CHECK(has(o.out, "--threads"));
    CHECK(has(o.out, "Examples:\n  " + std::string(p.name) + " "));
    CHECK(has(o.out, "Exit status: 0 done; 1 failed"));
  }
}

TEST_CASE("wrong usage is status 2, names the option, and prints no result") {
  if (!built()) return;
  for (auto const& p : all()) {
    INFO(p.name);
    auto const nothing = run(p.name, {});
    CHECK(nothing.status == 2);
    CHECK(nothing.out.empty());
    CHECK(has(nothing.err, p.needs[0]));
    CHECK(has(nothing.err, std::string("Try ") + p.name + " --help"));
    auto words = p.missing;
    words.push_back("--no-such-option");
    auto const unknown = run(p.name, words);
    CHECK(unknown.status == 2);
    CHECK(has(unknown.err, "--no-such-option"));
    for (auto count : {"0", "many", "-1", "99999999999999999999"}) {
      auto threads = p.missing;
      threads.insert(threads.end(), {"--threads", count});
      auto const bad = run(p.name, threads);
      CHECK(bad.status == 2);
      CHECK(has(bad.err, "--threads"));
    }
  }
  CHECK(run("quantise", {"--from", "a", "--to", "b", "--format", "nf3"}).status == 2);
  CHECK(has(run("quantise", {"--from", "a", "--to", "b", "--format", "nf3"}).err, "nf3"));
  CHECK(has(run("quantise", {"--from", "a", "--to", "b", "--block", "48"}).err, "expected a power of two from 32 to 4096, found 48"));
  CHECK(has(run("generate", {"--model", "a", "--weights", "nf5"}).err, "nf5"));
  CHECK(has(run("generate", {"--model", "a", "--top-p", "nan"}).err, "expected a number from 0 to 1, found nan"));
  CHECK(run("generate", {"--model", "a", "--prompt", "x", "--system", "only with --chat"}).status == 2);
  CHECK(run("perplexity", {"--model", "a", "--text", "b", "--window", "16", "--stride", "17"}).status == 2);
  CHECK(run("embed", {"--encoder", "a", "--similarity", "only one"}).status == 2);
}

TEST_CASE("a directory that is not there is status 1, and the message names program and path") {
  if (!built()) return;
  for (auto const& p : all()) {
    INFO(p.name);
    auto const o = run(p.name, p.missing);
    CHECK(o.status == 1);
    CHECK(o.out.empty());
    CHECK(o.err.starts_with(std::string(p.name) + ": io.1: "));
    CHECK(has(o.err, "no/such/model"));
  }
  CHECK_FALSE(fs::exists("no/such/target"));
}

TEST_CASE("a full disk behind standard output is status 1 with its reason; a reader that has gone is 141 without a word") {
  if (!built()) return;
  for (auto const& p : all()) {
    INFO(p.name);
    auto const full = run(p.name, {"--help"}, {}, "/dev/full");
    CHECK(full.status == 1);
    CHECK(has(full.err, "standard output: cannot be written: No space left on device"));
    auto const gone = run_without_reader(p.name, {"--help"});
    CHECK(gone.status == 141);
    CHECK(gone.err.empty());
  }
}

TEST_CASE("a program that waits for its input ends when it is asked to") {
  if (!built()) return;
  folder const at;
  make_model(at.path / "m");
  std::string const command = "sleep 2 | timeout --preserve-status -s TERM 1 " + quoted((programs() / "generate").string()) + " --model " + quoted(at / "m") + " 2>&1";
  FILE* const pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe);
  char piece[256];
  CHECK(std::fread(piece, 1, sizeof piece, pipe) == 0);
  CHECK(WEXITSTATUS(::pclose(pipe)) == 143);
}

}  // namespace
}  // namespace examples_test
