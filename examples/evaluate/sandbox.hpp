#pragma once
// Generated code, run where it can do no harm: in a process of its own with limits on time, memory and output, without files to write, network
// or children (sandbox_filter.hpp), in an empty folder, as a user who owns nothing where the evaluator is root. What it may read is not limited.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "sandbox_filter.hpp"

namespace evaluation {

struct containment {
  int cpu_seconds = 2;        ///< of the process, all threads; then SIGXCPU, a second later SIGKILL
  double wall_seconds = 20;   ///< then the process group is killed; generous, for busy machines
  std::size_t memory = std::size_t(512) << 20;  ///< bytes of address space
  std::size_t output = std::size_t(64) << 10;   ///< bytes kept of each stream; a program that writes more is killed
  int threads = 32;           ///< of its user; counts where the evaluator is root, which gives every run a user of its own
};

struct execution {
  bool contained = false;  ///< false: nothing was run, `err` says why
  int status = -1;         ///< exit status; −1 where a signal ended it
  int signal = 0;
  bool timed_out = false, cut = false;
  double cpu_seconds = 0, wall_seconds = 0;
  std::string out = {}, err = {};

  bool succeeded() const { return contained && status == 0 && !timed_out && !cut; }
  /// One line for a report.
  std::string summary() const {
    if (!contained) return "not run: " + err;
    if (cut) return "killed: more output than allowed";
    if (timed_out) return "killed: ran past its time";
    if (signal == SIGXCPU || (signal == SIGKILL && cpu_seconds > 1)) return "killed: used up its CPU time";
    if (signal) return "killed by signal " + std::to_string(signal);
    if (status == 0) return "done";
    auto const end = err.find_last_not_of(" \n");
    auto const last = end == std::string::npos ? std::string() : err.substr(0, end + 1);
    auto const line = last.substr(std::min(last.rfind('\n') + 1, last.size()));
    return "exit " + std::to_string(status) + (line.empty() ? "" : ": " + line.substr(0, 200));
  }
};

namespace detail {
inline constexpr int not_contained = 125;  // the child's word that a limit could not be set

/// An empty folder that goes away again; nobody can write in it.
struct empty_folder {
  std::string path = (std::filesystem::temp_directory_path() / "smalti-sandbox-XXXXXX").string();
  empty_folder() {
    if (!::mkdtemp(path.data())) throw std::runtime_error("no temporary folder: " + path + ": " + std::strerror(errno));
    ::chmod(path.c_str(), 0555);
  }
  empty_folder(empty_folder const&) = delete;
  ~empty_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

/// A memory file with the text, to be read from its beginning.
inline int memory_file(std::string_view text) {
  int const file = int(::memfd_create("input", MFD_CLOEXEC));
  while (file >= 0 && !text.empty()) {
    auto const n = ::write(file, text.data(), text.size());
    if (n <= 0) break;
    text.remove_prefix(std::size_t(n));
  }
  if (file < 0 || !text.empty() || ::lseek(file, 0, SEEK_SET) != 0) throw std::runtime_error(std::string("sandbox: no memory file: ") + std::strerror(errno));
  return file;
}

/// Between fork and exec: system calls only, the evaluator has threads.
[[noreturn]] inline void enter(system_call_filter& filter, containment const& limits, char const* folder, int in, int out, int err, char* const* words) {
  auto const give_up = [](char const* what) {
    char const* const why = std::strerror(errno);
    (void)!::write(2, what, std::strlen(what)), (void)!::write(2, ": ", 2), (void)!::write(2, why, std::strlen(why));
    ::_exit(not_contained);
  };
  ::setsid();  // a group to kill, and no terminal to type into
  ::dup2(in, 0), ::dup2(out, 1), ::dup2(err, 2);
  if (::syscall(SYS_close_range, 3u, ~0u, 0u) != 0)
    for (int fd = 3; fd < 1024; ++fd) ::close(fd);
  for (int s = 1; s < 32; ++s) ::signal(s, SIG_DFL);
  bool const root = ::geteuid() == 0;
  // An empty network where the kernel lets us; the filter refuses sockets in any case.
  if (::unshare(root ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0) errno = 0;
  auto const limit = [&](auto which, rlim_t soft, rlim_t hard) {
    rlimit const value{soft, hard};
    if (::setrlimit(which, &value) != 0) give_up("a limit cannot be set");
  };
  limit(RLIMIT_CPU, rlim_t(limits.cpu_seconds), rlim_t(limits.cpu_seconds) + 1);
  limit(RLIMIT_FSIZE, 0, 0), limit(RLIMIT_CORE, 0, 0), limit(RLIMIT_NOFILE, 64, 64);
  if (::chdir(folder) != 0) give_up("the empty folder cannot be entered");
  if (root) {
    uid_t const nobody = 0x40000000u + uid_t(::getpid());  // nobody else's number, so that RLIMIT_NPROC counts this run alone
    limit(RLIMIT_NPROC, rlim_t(limits.threads), rlim_t(limits.threads));
    if (::setgroups(0, nullptr) != 0 || ::setresgid(nobody, nobody, nobody) != 0 || ::setresuid(nobody, nobody, nobody) != 0) give_up("the user cannot be changed");
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // an evaluator that is killed leaves nothing running; a change of user would undo it
  if (!filter.install()) give_up("system calls cannot be filtered here (seccomp)");
  limit(RLIMIT_AS, limits.memory, limits.memory);  // last: the evaluator itself, whose copy this still is, may be larger
  static char path[] = "PATH=/usr/bin:/bin", language[] = "LANG=C.UTF-8", hash[] = "PYTHONHASHSEED=0", home[] = "HOME=/";
  char* const environment[] = {path, language, hash, home, nullptr};
  ::execve(words[0], words, environment);
  give_up("the program cannot be started");
  ::_exit(not_contained);
}
}  // namespace detail

/// Runs a program (its first word a path) on `input`, and waits until it has ended or was killed. Throws std::runtime_error where the system
/// refuses a process.
inline execution run_contained(std::vector<std::string> const& command, std::string_view input = {}, containment const& limits = {}) {
  using clock = std::chrono::steady_clock;
  execution done;
  system_call_filter filter;
  if (!filter.known()) return done.err = "no filter for this processor's system calls", done;
  detail::empty_folder const folder;
  std::vector<char*> words;
  for (auto const& w : command) words.push_back(const_cast<char*>(w.c_str()));
  words.push_back(nullptr);
  int const in = detail::memory_file(input);
  int out[2], err[2];
  if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) throw std::runtime_error(std::string("sandbox: no pipe: ") + std::strerror(errno));
  auto const begin = clock::now();
  pid_t const child = ::fork();
  if (child == 0) detail::enter(filter, limits, folder.path.c_str(), in, out[1], err[1], words.data());
  ::close(in), ::close(out[1]), ::close(err[1]);
  if (child < 0) throw std::runtime_error(std::string("sandbox: no process: ") + std::strerror(errno));

  auto const passed = [&] { return std::chrono::duration<double>(clock::now() - begin).count(); };
  auto const end_it = [&] { ::kill(-child, SIGKILL), ::kill(child, SIGKILL); };
  pollfd streams[] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
  std::string* const texts[] = {&done.out, &done.err};
  while (streams[0].fd >= 0 || streams[1].fd >= 0) {
    double const left = limits.wall_seconds - passed();
    if (left <= 0) { done.timed_out = true, end_it(); break; }
    ::poll(streams, 2, int(std::min(left, 1.) * 1000) + 1);
    for (int s = 0; s < 2; ++s) {
      if (streams[s].fd < 0 || !(streams[s].revents & (POLLIN | POLLHUP | POLLERR))) continue;
      char piece[4096];
      auto const n = ::read(streams[s].fd, piece, sizeof piece);
      if (n <= 0) { streams[s].fd = -1; continue; }
      texts[s]->append(piece, std::min(std::size_t(n), limits.output - texts[s]->size()));
      if (texts[s]->size() >= limits.output) done.cut = true;
    }
    if (done.cut) { end_it(); break; }
  }
  int status = 0;
  rusage used{};
  for (;;) {  // its streams may be closed while it goes on
    pid_t const ended = ::wait4(child, &status, done.timed_out || done.cut ? 0 : WNOHANG, &used);
    if (ended == child || (ended < 0 && errno != EINTR)) break;
    if (passed() > limits.wall_seconds) done.timed_out = true, end_it();
    else ::poll(nullptr, 0, 1);
  }
  ::kill(-child, SIGKILL);  // what is left of the group
  ::close(out[0]), ::close(err[0]);
  done.wall_seconds = passed();
  done.cpu_seconds = double(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1e-6 * double(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
  done.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1, done.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  done.contained = done.status != detail::not_contained;
  return done;
}

}  // namespace evaluation
