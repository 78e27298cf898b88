#pragma once
// The frame of an example program: arguments in, exit status out, and what can go wrong on the way in one place.
//
//   0    done
//   1    failed while running: a missing or damaged file, a full disk, not enough memory; the reason is on standard error
//   2    wrong usage; nothing was done
//   130  interrupted (Ctrl-C; by SIGTERM 143: 128 + its number); what was begun is taken back or ended cleanly
//   141  whoever read standard output has gone (128 + SIGPIPE), without a message: `program | head` is no failure of the program

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>
#include <CLI/CLI.hpp>
#include "terminal.hpp"

namespace examples {

/// Standard output has no reader any more.
struct closed_pipe {};

/// Somebody asked the program to end; carries the signal's number.
struct interruption {
  int signal;
};

namespace detail {
inline std::atomic<int> signal_received = 0;
}

/// The signal that asked the program to end, or 0. A second one ends it at once.
inline int interrupted() { return detail::signal_received.load(std::memory_order_relaxed); }
/// For loops whose work is undone by unwinding.
inline void stop_if_interrupted() {
  if (int const s = interrupted()) throw interruption{s};
}

/// Writes to standard output at once. Throws closed_pipe, or std::runtime_error with the system's reason (a full disk).
inline void say(std::string_view text) {
  while (!text.empty()) {
    auto const n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) throw closed_pipe{};
    if (n <= 0) throw std::runtime_error(std::string("standard output: cannot be written: ") + std::strerror(n < 0 ? errno : EIO));
    text.remove_prefix(std::size_t(n));
  }
}

/// A remark for the person at the terminal, on standard error: standard output holds results alone.
inline void remark(std::string const& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

/// Everything on standard input.
inline std::string read_standard_input() {
  std::string all;
  char piece[1 << 16];
  for (;;) {
    auto const n = ::read(STDIN_FILENO, piece, sizeof piece);
    if (n < 0 && errno == EINTR && !interrupted()) continue;
    stop_if_interrupted();
    if (n < 0) throw std::runtime_error(std::string("standard input: cannot be read: ") + std::strerror(errno));
    if (n == 0) return all;
    all.append(piece, std::size_t(n));
  }
}

namespace detail {
template <class Number>
CLI::Validator number_check(Number least, Number most, std::string const& expected) {
  auto const check = [=](std::string& text) {
    Number value;
    bool const good = CLI::detail::lexical_cast(text, value) && value >= least && value <= most;
    return good ? std::string() : "expected a " + expected + ", found " + text;
  };
  return CLI::Validator(check, "");  // no description: the option's own says what is wanted
}
}  // namespace detail

/// A number from `least` to `most`. (CLI::Range lets NaN through.)
inline CLI::Validator within(double least, double most) { return detail::number_check(least, most, print("number from %g to %g", least, most)); }
inline CLI::Validator whole(long long least, long long most) { return detail::number_check(least, most, print("whole number from %lld to %lld", least, most)); }
/// One of some words.
inline CLI::Validator one_of(std::vector<std::string> words) { return CLI::IsMember(std::move(words)).description(""); }

/// `--threads`, by default as many as the machine runs at once.
inline void add_threads(CLI::App& app, int& threads) {
  threads = std::max(1, int(std::thread::hardware_concurrency()));
  app.add_option("--threads", threads, "Threads to compute with")->check(whole(1, 1024))->type_name("N")->capture_default_str();
}

/// What stands below the options in --help: how to use the program, and the statuses above.
inline void add_footer(CLI::App& app, std::string const& text) {
  app.footer(text + R"(

Exit status: 0 done; 1 failed (the reason is on standard error); 2 wrong usage; 130 interrupted; 141 the reader of
standard output has gone.)");
}

/// Parses, runs `body`, and turns whatever it throws into a message and an exit status (above). `body` returns the status; it
/// may throw CLI::ValidationError where options contradict each other.
template <class Body>
int run(CLI::App& app, int argc, char** argv, Body&& body) {
  std::string const name = app.get_name();
  struct sigaction ask {};  // without SA_RESTART: a read that waits for a person must end
  ask.sa_handler = [](int s) {
    if (detail::signal_received.exchange(s)) ::_exit(128 + s);
  };
  ::sigaction(SIGINT, &ask, nullptr), ::sigaction(SIGTERM, &ask, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // write() reports it instead
  auto const fail = [&](std::string const& why) { return remark(name + ": " + why), 1; };
  try {
    try {
      app.parse(argc, argv);
      return body();
    } catch (CLI::CallForHelp const&) {
      return say(app.help()), 0;
    } catch (CLI::ParseError const& e) {
      return remark(name + ": " + e.what() + "\nTry " + name + " --help."), 2;
    }
  } catch (closed_pipe) {
    return 128 + SIGPIPE;
  } catch (interruption const& i) {
    return 128 + i.signal;
  } catch (std::bad_alloc const&) {
    return fail("not enough memory");
  } catch (std::exception const& e) {
    return fail(e.what());
  }
}

}  // namespace examples
