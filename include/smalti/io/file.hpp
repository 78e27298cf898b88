#pragma once
// Files in and out: read-only memory maps, and replacement that leaves the old content or the new one, never a mixture
// (POSIX.1-2017 rename, fsync). Linux and other POSIX systems.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include "../core/config.hpp"
#include "../core/error.hpp"

namespace smalti {

namespace detail {
/// A file descriptor that closes itself.
struct descriptor {
  int number = -1;
  explicit descriptor(int n = -1) : number(n) {}
  descriptor(descriptor&& d) noexcept : number(std::exchange(d.number, -1)) {}
  descriptor& operator=(descriptor&& d) noexcept { return std::swap(number, d.number), *this; }
  ~descriptor();
};

/// Whether there is a regular file at `path`.
bool is_file(std::string const& path);
}  // namespace detail

/// A whole regular file, mapped read-only; bytes() stay valid while the object (or what it was moved to) lives. Another
/// process that truncates the file meanwhile raises SIGBUS: replace files by rename, as atomic_file does. Errors: io.1.
class mapped_file {
 public:
  mapped_file() = default;
  explicit mapped_file(std::string path);
  mapped_file(mapped_file&& f) noexcept
      : path_(std::move(f.path_)), at_(std::exchange(f.at_, nullptr)), size_(std::exchange(f.size_, 0)) {}
  mapped_file& operator=(mapped_file&& f) noexcept {
    return std::swap(path_, f.path_), std::swap(at_, f.at_), std::swap(size_, f.size_), *this;
  }
  ~mapped_file();

  std::span<std::byte const> bytes() const { return {at_, size_}; }
  std::string_view text() const { return {reinterpret_cast<char const*>(at_), size_}; }
  std::string const& path() const { return path_; }

 private:
  std::string path_;
  std::byte const* at_ = nullptr;
  std::size_t size_ = 0;
};

/// The replacement of a file: written beside it, and put in its place by commit(); without commit() nothing changes and the
/// temporary file goes away. A path that names a device or a pipe is written through (rename must never replace one), and
/// a symbolic link is itself replaced, not what it points at. Errors: io.2, naming the path and the system's reason.
class atomic_file {
 public:
  explicit atomic_file(std::string path);
  atomic_file(atomic_file&& f) noexcept
      : path_(std::move(f.path_)), temporary_(std::exchange(f.temporary_, {})), file_(std::move(f.file_)), waiting_(std::move(f.waiting_)), flushed_(f.flushed_) {}
  ~atomic_file();

  /// Appends. Small pieces are gathered; an error may therefore appear at a later call, at commit() at the latest.
  void write(std::string_view bytes);
  void write(std::span<std::byte const> bytes) { write({reinterpret_cast<char const*>(bytes.data()), bytes.size()}); }
  /// Writes at a byte offset and leaves the place of write() where it was. Not for pipes.
  void write_at(long long offset, std::span<std::byte const> bytes);
  /// Bytes appended so far.
  long long size() const { return flushed_ + (long long)waiting_.size(); }

  /// Makes the new content durable and visible, in this order: file data, name, directory. Call once.
  void commit();

 private:
  static constexpr std::size_t gather = 1 << 16;

  void flush();
  // offset −1: at the current place. The place is kept explicitly for regular files, so that both kinds can be mixed.
  void put(std::string_view bytes, long long offset);

  std::string path_, temporary_;
  detail::descriptor file_;
  std::string waiting_;     // appended, not yet handed to the system
  long long flushed_ = 0;
};

/// Replaces a whole file atomically. Errors: io.2.
void write_file(std::string path, std::string_view content);

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_IO)
  #include <atomic>
  #include <cerrno>
  #include <csignal>
  #include <cstring>
  #include <fcntl.h>
  #include <sys/mman.h>
  #include <sys/stat.h>
  #include <time.h>
  #include <unistd.h>

namespace smalti {

namespace detail {
[[noreturn]] inline void fail_with_errno(char const* id, std::string const& path, char const* what, int code = errno) {
  throw error(id, path + ": " + what + ": " + std::strerror(code));
}

SMALTI_INLINE descriptor::~descriptor() {
  if (number >= 0) ::close(number);
}

// Writing to a pipe whose reader has gone raises SIGPIPE, which ends the program. A library may not change the process's
// handlers, so the signal is held back in this thread for the call, and taken off the queue if the call caused it.
class held_back_sigpipe {
 public:
  held_back_sigpipe() {
    sigemptyset(&pipe_), sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE);
    if (!was_pending_) pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  held_back_sigpipe(held_back_sigpipe const&) = delete;
  ~held_back_sigpipe() {
    if (was_pending_) return;
    timespec const at_once{};
    while (sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {}
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_, before_;
  bool was_pending_ = false;
};

SMALTI_INLINE bool is_file(std::string const& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode);
}
}  // namespace detail

SMALTI_INLINE mapped_file::mapped_file(std::string path) : path_(std::move(path)) {
  detail::descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a FIFO must not hang the open
  if (file.number < 0) detail::fail_with_errno("io.1", path_, "cannot be opened");
  struct stat about {};
  if (::fstat(file.number, &about) < 0) detail::fail_with_errno("io.1", path_, "cannot be examined");
  if (!S_ISREG(about.st_mode))
    throw error("io.1", path_ + ": expected a regular file, found a " + (S_ISDIR(about.st_mode) ? "directory" : "special file"));
  if (about.st_size == 0) return;  // mmap refuses a length of 0
  size_ = std::size_t(about.st_size);
  void* const at = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.number, 0);
  if (at == MAP_FAILED) detail::fail_with_errno("io.1", path_, "cannot be mapped");
  at_ = static_cast<std::byte const*>(at);
}

SMALTI_INLINE mapped_file::~mapped_file() {
  if (at_) ::munmap(const_cast<std::byte*>(at_), size_);
}

SMALTI_INLINE atomic_file::atomic_file(std::string path) : path_(std::move(path)) {
  struct stat about {};
  bool const exists = ::stat(path_.c_str(), &about) == 0;
  if (exists && S_ISDIR(about.st_mode)) throw error("io.2", path_ + ": expected a file to replace, found a directory");
  if (exists && !S_ISREG(about.st_mode)) {
    file_ = detail::descriptor(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
    if (file_.number < 0) detail::fail_with_errno("io.2", path_, "cannot be opened for writing");
    return;
  }
  static std::atomic<unsigned> count = 0;  // two writers of one path, in two threads, take two names
  do {
    temporary_ = path_ + '.' + std::to_string(::getpid()) + '.' + std::to_string(count++) + ".tmp";
    file_ = detail::descriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
  } while (file_.number < 0 && errno == EEXIST);
  if (file_.number < 0) {
    int const code = errno;
    temporary_.clear();
    detail::fail_with_errno("io.2", path_, "no temporary file can be made beside it", code);
  }
  if (exists) (void)!::fchmod(file_.number, about.st_mode & 07777);  // keeping the mode is a courtesy: failing is no error
}

SMALTI_INLINE atomic_file::~atomic_file() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

SMALTI_INLINE void atomic_file::write(std::string_view bytes) {
  if (waiting_.size() + bytes.size() < gather) return void(waiting_.append(bytes));
  flush(), put(bytes, -1), flushed_ += (long long)bytes.size();
}

SMALTI_INLINE void atomic_file::write_at(long long offset, std::span<std::byte const> bytes) {
  flush(), put({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, offset);
}

SMALTI_INLINE void atomic_file::commit() {
  flush();
  if (temporary_.empty()) return;
  if (::fsync(file_.number) < 0) detail::fail_with_errno("io.2", path_, "cannot be made durable");
  if (::rename(temporary_.c_str(), path_.c_str()) < 0) detail::fail_with_errno("io.2", path_, "cannot be replaced");
  temporary_.clear();
  auto const slash = path_.rfind('/');
  std::string const folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path_.substr(0, slash);
  detail::descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot sync a directory (EINVAL); the rename has happened all the same.
  if (directory.number >= 0 && ::fsync(directory.number) < 0 && errno != EINVAL)
    detail::fail_with_errno("io.2", folder, "the directory cannot be made durable");
}

SMALTI_INLINE void atomic_file::flush() {
  if (waiting_.empty()) return;
  put(waiting_, -1), flushed_ += (long long)waiting_.size(), waiting_.clear();
}

SMALTI_INLINE void atomic_file::put(std::string_view bytes, long long offset) {
  detail::held_back_sigpipe const guard;
  bool const streams = temporary_.empty() && offset < 0;
  if (offset < 0) offset = flushed_;
  while (!bytes.empty()) {
    auto const n = streams ? ::write(file_.number, bytes.data(), bytes.size())
                           : ::pwrite(file_.number, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) detail::fail_with_errno("io.2", path_, "cannot be written");
    if (n == 0) throw error("io.2", path_ + ": cannot be written: no progress");
    bytes.remove_prefix(std::size_t(n)), offset += n;
  }
}

SMALTI_INLINE void write_file(std::string path, std::string_view content) {
  atomic_file file(std::move(path));
  file.write(content), file.commit();
}

}  // namespace smalti
#endif
