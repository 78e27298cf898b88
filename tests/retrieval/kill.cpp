// A process that saves again and again is killed at moments nobody chose: what it leaves opens as one of the states it saved.
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <sys/wait.h>
#include "sample_store.hpp"

namespace smalti {
namespace {

// State n: 40 documents whose texts and vectors are all of generation n.
store generation(int n) {
  store s({.model = "sample", .dimension = 64});
  for (int i = 0; i < 40; ++i) {
    auto d = sample_document(i, 200);
    d.category = std::to_string(n);
    add_sample(s, std::move(d), n * 100 + i);
  }
  return s;
}

TEST_CASE("killed while saving, the file is the old state or the new one") {
  auto const folder = std::filesystem::temp_directory_path() / ("smalti-kill-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  auto const path = (folder / "s.idx").string();
  std::vector<store> states;
  std::vector<std::string> contents;
  for (int n = 0; n < 3; ++n) states.push_back(generation(n)), contents.push_back(bytes_of(states.back()));
  states[0].save(path);

  std::mt19937 random(11);
  std::size_t seen[3] = {}, interrupted = 0;
  for (int round = 0; round < 60; ++round) {
    pid_t const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      try {
        for (int n = 1;; ++n) states[std::size_t(n % 3)].save(path);
      } catch (...) {}
      ::_exit(3);
    }
    ::usleep(useconds_t(random() % 12000));
    ::kill(child, SIGKILL);
    int how = 0;
    ::waitpid(child, &how, 0);
    REQUIRE(WIFSIGNALED(how));  // it was still saving
    auto const found = store::open(path);
    auto const bytes = bytes_of(found);
    auto const which = std::find(contents.begin(), contents.end(), bytes) - contents.begin();
    REQUIRE(which < 3);
    ++seen[which];
    for (auto const& entry : std::filesystem::directory_iterator(folder))
      if (entry.path() != path) ++interrupted, std::filesystem::remove(entry.path());
  }
  INFO("states found: " << seen[0] << ", " << seen[1] << ", " << seen[2] << "; killed in the middle of a file: " << interrupted);
  CHECK(interrupted > 5);            // else the test has tested nothing
  CHECK(seen[0] + seen[1] + seen[2] == 60);
  WARN("states found: " << seen[0] << ", " << seen[1] << ", " << seen[2] << "; killed in the middle of a file: " << interrupted);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace smalti
