#pragma once
// What the example programs share in talking to a person: times, sizes, and progress of long work on standard error.

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <string>
#include <utility>
#include <sys/ioctl.h>
#include <unistd.h>

namespace examples {

/// Seconds since it was made, or since the last restart.
class stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(clock::now() - begin_).count(); }
  double restart() {
    double const passed = seconds();
    return begin_ = clock::now(), passed;
  }

 private:
  using clock = std::chrono::steady_clock;
  clock::time_point begin_ = clock::now();
};

/// printf to a string.
[[gnu::format(printf, 1, 2)]] inline std::string print(char const* format, ...) {
  char text[512];
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof text, format, values);
  va_end(values);
  return text;
}

/// "950 ms", "12.3 s", "4:05", "1:02:03".
inline std::string duration_text(double seconds) {
  if (seconds < 0.9995) return print("%.0f ms", seconds * 1e3);
  if (seconds < 59.95) return print("%.1f s", seconds);
  long long const s = (long long)(seconds + 0.5);
  return s < 3600 ? print("%lld:%02lld", s / 60, s % 60) : print("%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

/// "512 B", "1.50 MB": powers of 1000, as disks are sold.
inline std::string size_text(double bytes) {
  char const* const units[] = {"B", "kB", "MB", "GB", "TB"};
  int u = 0;
  for (; bytes >= 999.5 && u < 4; ++u) bytes /= 1000;
  return print(u ? "%.3g %s" : "%.0f %s", bytes, units[u]);
}

/// Per second; "–" where no time passed that could be measured.
inline std::string rate_text(double count, double seconds, char const* unit) {
  return seconds > 0 ? print("%.*f %s/s", count / seconds < 10 ? 2 : 0, count / seconds, unit) : std::string("– ") + unit + "/s";
}

/// How far long work is, on standard error: a bar that is redrawn in place on a terminal, a line now and then in a file or a
/// pipe. Nothing appears before a second has passed, so quick work stays quiet; destroying it clears the bar.
class progress {
 public:
  /// what: "loading"; unit: "layers"; total 0: not known, then only the count and its rate are shown.
  progress(std::string what, std::string unit, long long total = 0)
      : what_(std::move(what)), unit_(std::move(unit)), total_(total), terminal_(::isatty(STDERR_FILENO)) {}
  progress(progress const&) = delete;
  ~progress() { clear(); }

  void update(long long done) {
    double const now = watch_.seconds();
    if (now < next_) return;
    next_ = now + (terminal_ ? 0.1 : quiet_interval);
    terminal_ ? draw(done, now) : void(std::fprintf(stderr, "%s\n", text(done, now).c_str()));
  }
  void update(long long done, long long total) { total_ = total, update(done); }
  /// Takes the bar away, so that something else can be written.
  void clear() {
    if (std::exchange(drawn_, false)) std::fputs("\r\033[K", stderr), std::fflush(stderr);
  }
  double seconds() const { return watch_.seconds(); }

 private:
  static constexpr double quiet_interval = 10;  // s, between lines where there is no terminal

  std::string text(long long done, double now) const {
    std::string line = what_;
    if (total_ > 0) line += print(" %3.0f %% (%lld of %lld %s)", 100. * double(done) / double(total_), done, total_, unit_.c_str());
    else line += print(" %lld %s", done, unit_.c_str());
    line += ", " + rate_text(double(done), now, unit_.c_str());
    if (total_ > 0 && done > 0 && done < total_) line += ", " + duration_text(now * double(total_ - done) / double(done)) + " left";
    return line;
  }
  void draw(long long done, double now) {
    std::string line = text(done, now);
    winsize size{};
    std::size_t const width = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    if (total_ > 0 && line.size() + 16 < width) {  // what room is left, up to 30 cells, is the bar
      std::size_t const cells = std::min<std::size_t>(width - line.size() - 4, 30), full = std::min<std::size_t>(cells * std::size_t(done) / std::size_t(total_), cells);
      line = '[' + std::string(full, '#') + std::string(cells - full, '.') + "] " + line;
    }
    if (line.size() >= width) line.resize(width - 1);  // a wrapped line could not be redrawn
    std::fprintf(stderr, "\r\033[K%s", line.c_str()), std::fflush(stderr);
    drawn_ = true;
  }

  std::string what_, unit_;
  long long total_;
  bool terminal_, drawn_ = false;
  stopwatch watch_;
  double next_ = 1;
};

}  // namespace examples
