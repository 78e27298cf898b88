#pragma once
// What is done of a long run, one JSON line a question, so that an interrupted run goes on where it stopped. The first line holds the settings;
// a run with others does not mix with it.

#include <cerrno>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <smalti/io/json.hpp>

namespace evaluation {

using smalti::json;

class journal {
 public:
  /// Opens or begins the journal; the file is locked as long as this lives. What follows the last whole line is what a killed run did not finish, and
  /// is cut off. Throws std::runtime_error: another run writes it, other settings (all are named), a damaged line.
  journal(std::string path, json const& settings, bool restart = false) : path_(std::move(path)), file_(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
    if (file_ < 0) fail("cannot be opened");
    try {
      if (::flock(file_, LOCK_EX | LOCK_NB) != 0) throw std::runtime_error(path_ + ": another run writes this journal");
      if (restart && ::ftruncate(file_, 0) != 0) fail("cannot be emptied");
      read(settings);
    } catch (...) {
      ::close(file_);
      throw;
    }
  }
  journal(journal const&) = delete;
  ~journal() { ::close(file_); }

  /// What was recorded under this id, or null.
  json const* find(std::string const& id) const {
    auto const at = lines_.find(id);
    return at == lines_.end() ? nullptr : &at->second;
  }
  std::size_t size() const { return lines_.size(); }

  /// Records a line with a field "id". It is on its way to the disk when this returns; a kill leaves it whole or cut off.
  void append(json line) {
    auto const id = line.at("id").get<std::string>();
    write(line);
    lines_[id] = std::move(line);
  }

 private:
  [[noreturn]] void fail(char const* what) const { throw std::runtime_error(path_ + ": " + what + ": " + std::strerror(errno)); }

  /// One write() for a line where the system takes it whole: a kill between two leaves a beginning, which read() cuts off.
  void write(json const& line) {
    std::string const text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    for (std::size_t at = 0; at < text.size();) {
      auto const n = ::write(file_, text.data() + at, text.size() - at);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail("cannot be written");
      at += std::size_t(n);
    }
  }

  /// Takes what is there, or begins a journal in an empty file.
  void read(json const& settings) {
    std::string text;
    char piece[1 << 16];
    for (ssize_t n; (n = ::read(file_, piece, sizeof piece)) != 0;) {
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("cannot be read");
      text.append(piece, std::size_t(n));
    }
    auto const whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
    if (whole < text.size() && ::ftruncate(file_, off_t(whole)) != 0) fail("cannot be cut");
    text.resize(whole);
    if (text.empty()) return write(json{{"settings", settings}});
    int number = 0;
    for (std::size_t at = 0, end; at < text.size(); at = end + 1) {
      end = text.find('\n', at), ++number;
      auto const line = json::parse(text.substr(at, end - at), nullptr, false);
      std::string const here = path_ + ":" + std::to_string(number);
      if (number == 1) check(line, settings, here);
      else if (!line.is_object() || !line.contains("id") || !line["id"].is_string()) throw std::runtime_error(here + ": expected a recorded answer with its id; begin anew with --restart");
      else lines_[line["id"].get<std::string>()] = line;
    }
  }

  /// All differing settings in one message: whoever reads it decides between --out and --restart.
  void check(json const& line, json const& settings, std::string const& here) const {
    if (!line.is_object() || !line.contains("settings") || !line["settings"].is_object()) throw std::runtime_error(here + ": expected the settings of a run; begin anew with --restart");
    auto const& old = line["settings"];
    std::string differing;
    for (auto const& [key, value] : settings.items())
      if (!old.contains(key) || old[key] != value) differing += "\n  " + key + ": found " + (old.contains(key) ? old[key].dump() : "none") + ", expected " + value.dump();
    for (auto const& [key, value] : old.items())
      if (!settings.contains(key)) differing += "\n  " + key + ": found " + value.dump() + ", expected none";
    if (!differing.empty())
      throw std::runtime_error(here + ": this run was made with other settings; choose another --out, or begin anew with --restart" + differing);
  }

  std::string path_;
  int file_;
  std::map<std::string, json> lines_;  // by id; of two lines with one id the later counts
};

}  // namespace evaluation
