// A model that must answer begins no refusal, and is left alone everywhere else.
#include "../../examples/evaluate/forced.hpp"
#include <catch2/catch.hpp>
#include <cmath>

namespace evaluation {
namespace {

/// Six tokens, of which the first always looks best, then the second, and so on.
struct fixed_sequence {
  std::vector<float> logits;
  std::span<float> advance(std::span<int const>) { return logits = {6, 5, 4, 3, 2, 1}, logits; }
  int room() const { return 100; }
  bool is_stop(int id) const { return id == 5; }
};

TEST_CASE("where all but the last token of a refusal stand, the last cannot follow") {
  fixed_sequence plain;
  std::vector<std::vector<int>> const refusals{{0, 1}, {2, 0, 0}, {5}};
  compelled_sequence<fixed_sequence> forced{plain, refusals, 3};
  auto const out = [](std::span<float> l) {
    std::vector<int> ids;
    for (int i = 0; i < int(l.size()); ++i)
      if (std::isinf(l[std::size_t(i)])) ids.push_back(i);
    return ids;
  };
  auto const after = [&](std::vector<int> const& tokens) { return out(forced.advance(tokens)); };
  CHECK(after({0, 1}).empty());                   // still in the prompt, which may say what it likes
  CHECK(after({2}) == std::vector<int>{5});       // its end: no stop as the first token
  CHECK(after({0}) == std::vector<int>{1});
  CHECK(after({0}).empty());                      // "0 0" begins none of them
  forced.answer.clear();
  CHECK(after({2}).empty());
  CHECK(after({0}) == std::vector<int>{0});
  CHECK(forced.is_stop(5));
}

}  // namespace
}  // namespace evaluation
