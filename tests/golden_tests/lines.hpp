#pragma once
// What the comparisons beside this file share: JSON lines, and a count of mismatches that shows the first few.

#include <catch2/catch.hpp>
#include <fstream>
#include <smalti/io/json.hpp>
#include <string>
#include <vector>

namespace golden {

inline std::string const root = "tests/golden/";

/// One value per line; '\n' alone ends a line (the strings themselves hold every other separator).
inline std::vector<smalti::json> read_lines(std::string const& path) {
  std::ifstream in(path, std::ios::binary);
  INFO(path);
  REQUIRE(in.is_open());
  std::vector<smalti::json> all;
  for (std::string line; std::getline(in, line);) all.push_back(smalti::json::parse(line));
  REQUIRE(!all.empty());
  return all;
}

/// Counts, prints the first few, and fails the test at the end.
class mismatches {
 public:
  explicit mismatches(std::string what) : what_(std::move(what)) {}
  ~mismatches() {
    INFO(what_ << ": " << wrong_ << " of " << seen_ << " differ" << shown_);
    CHECK(wrong_ == 0);
    CHECK(seen_ > 0);
  }
  template <class T>
  void compare(smalti::json const& source, T const& got, T const& wanted) {
    ++seen_;
    if (got == wanted) return;
    if (++wrong_ <= 6)
      shown_ += "\n  " + text(source) + "\n    expected " + text(smalti::json(wanted)) + "\n    found    " + text(smalti::json(got));
  }
  int wrong() const { return wrong_; }

 private:
  static std::string text(smalti::json const& j) {
    auto const all = j.dump(-1, ' ', true, smalti::json::error_handler_t::replace);
    return all.size() > 300 ? all.substr(0, 300) + "..." : all;
  }
  std::string what_, shown_;
  int seen_ = 0, wrong_ = 0;
};

}  // namespace golden
