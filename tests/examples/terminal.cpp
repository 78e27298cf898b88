// How the example programs show times, sizes and progress.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include "../../examples/common/terminal.hpp"

namespace examples {
namespace {

TEST_CASE("durations, sizes and rates are short and carry their units") {
  CHECK(duration_text(0) == "0 ms");
  CHECK(duration_text(0.9494) == "949 ms");
  CHECK(duration_text(0.9996) == "1.0 s");
  CHECK(duration_text(59.96) == "1:00");
  CHECK(duration_text(245) == "4:05");
  CHECK(duration_text(3723.4) == "1:02:03");
  CHECK(size_text(0) == "0 B");
  CHECK(size_text(999) == "999 B");
  CHECK(size_text(999.6) == "1 kB");
  CHECK(size_text(1.5e6) == "1.5 MB");
  CHECK(size_text(16.4e9) == "16.4 GB");
  CHECK(rate_text(30, 2, "tokens") == "15 tokens/s");
  CHECK(rate_text(3, 2, "tokens") == "1.50 tokens/s");
  CHECK(rate_text(3, 0, "tokens") == "– tokens/s");
}

/// Standard error as something else while it lives.
struct other_stderr {
  int before = ::dup(STDERR_FILENO);
  explicit other_stderr(int fd) { std::fflush(stderr), ::dup2(fd, STDERR_FILENO); }
  ~other_stderr() { std::fflush(stderr), ::dup2(before, STDERR_FILENO), ::close(before); }
};

std::string everything(int fd) {
  std::string all;
  char piece[4096];
  for (pollfd ready{fd, POLLIN, 0}; ::poll(&ready, 1, 50) > 0 && (ready.revents & POLLIN);) {
    auto const n = ::read(fd, piece, sizeof piece);
    if (n <= 0) break;
    all.append(piece, std::size_t(n));
  }
  return all;
}

TEST_CASE("progress is a bar that disappears again on a terminal, at most ten times a second, and nothing in the first second") {
  int const person = ::posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(person >= 0);
  REQUIRE((::grantpt(person) == 0 && ::unlockpt(person) == 0));
  int const terminal = ::open(::ptsname(person), O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  std::string early, drawn, end;
  {
    other_stderr const redirected(terminal);
    {
      progress bar("loading", "layers", 40);
      for (int i = 0; i <= 10; ++i) bar.update(i);
      early = everything(person);
      ::usleep(1'010'000);
      for (int i = 0; i < 1000; ++i) bar.update(10);
      drawn = everything(person);
    }
    end = everything(person);
  }
  ::close(terminal), ::close(person);
  CHECK(early.empty());
  CHECK(drawn.starts_with("\r\033[K["));
  CHECK(drawn.find("#...") != std::string::npos);
  CHECK(drawn.find("loading  25 % (10 of 40 layers), ") != std::string::npos);
  CHECK(drawn.find(" left") != std::string::npos);
  CHECK(drawn.size() < 80 * 4);
  CHECK(end == "\r\033[K");
}

TEST_CASE("in a file progress is a plain line now and then") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  {
    other_stderr const redirected(ends[1]);
    progress bar("embedding", "texts");
    ::usleep(1'010'000);
    for (int i = 0; i < 1000; ++i) bar.update(500);
  }
  std::string const text = everything(ends[0]);
  ::close(ends[0]), ::close(ends[1]);
  CHECK(text.starts_with("embedding 500 texts, "));
  CHECK(text.find('\n') == text.size() - 1);  // one line
  CHECK(text.find('\r') == std::string::npos);
}

}  // namespace
}  // namespace examples
