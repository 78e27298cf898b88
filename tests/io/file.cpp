// Replacement of files: old content or new content, and no temporary file left, whatever fails.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <csignal>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "smalti/io/file.hpp"

namespace smalti {
namespace {
namespace fs = std::filesystem;
using Catch::Matchers::Contains;

struct folder {
  fs::path path = fs::temp_directory_path() / ("smalti-file-" + std::to_string(::getpid()));
  folder() { fs::remove_all(path), fs::create_directories(path); }
  ~folder() { fs::remove_all(path); }
  auto count() const { return std::distance(fs::directory_iterator(path), fs::directory_iterator()); }
};
std::string content(fs::path const& p) {
  std::ifstream f(p);
  std::ostringstream s;
  return s << f.rdbuf(), s.str();
}
std::span<std::byte const> as_bytes(std::string const& s) { return std::as_bytes(std::span(s.data(), s.size())); }
}  // namespace

TEST_CASE("a committed file holds everything written") {
  folder f;
  auto const path = (f.path / "a").string();
  std::string const large(200'001, 'x');
  atomic_file out(path);
  out.write("head"), out.write(large), out.write("tail");
  CHECK(out.size() == 200'009);
  out.write_at(1, as_bytes("EA"));
  CHECK_FALSE(fs::exists(path));
  out.commit();
  CHECK(content(path) == "hEAd" + large + "tail");
  CHECK(f.count() == 1);
}

TEST_CASE("without commit the old content stays and the temporary file goes") {
  folder f;
  auto const path = (f.path / "a").string();
  write_file(path, "old");
  { atomic_file(path).write(std::string(100'000, 'n')); }
  CHECK(content(path) == "old");
  try {
    atomic_file out(path);
    out.write("new");
    throw 1;
  } catch (int) {}
  CHECK(content(path) == "old");
  CHECK(f.count() == 1);
}

TEST_CASE("two writers of one path do not meet, the last commit stays") {
  folder f;
  auto const path = (f.path / "a").string();
  atomic_file one(path), two(path);
  one.write("one"), two.write("two");
  two.commit(), one.commit();
  CHECK(content(path) == "one");
  CHECK(f.count() == 1);
}

TEST_CASE("replacement keeps the mode, and replaces a link rather than what it points at") {
  folder f;
  write_file((f.path / "a").string(), "old");
  fs::permissions(f.path / "a", fs::perms::owner_read | fs::perms::owner_write);
  write_file((f.path / "a").string(), "new");
  CHECK(fs::status(f.path / "a").permissions() == (fs::perms::owner_read | fs::perms::owner_write));
  fs::create_symlink("a", f.path / "link");
  write_file((f.path / "link").string(), "other");
  CHECK(content(f.path / "a") == "new");
  CHECK(content(f.path / "link") == "other");
}

TEST_CASE("a full disk is an error that names the path and the reason, and leaves the device alone") {
  atomic_file out("/dev/full");
  CHECK_THROWS_WITH(out.write(std::string(100'000, 'x')), Contains("io.2: /dev/full") && Contains("No space left"));
  atomic_file small("/dev/full");
  small.write("x");
  CHECK_THROWS_WITH(small.commit(), Contains("io.2") && Contains("No space left"));
  CHECK(fs::is_character_file("/dev/full"));
}

TEST_CASE("a closed pipe is an error and not the end of the program") {
  folder f;
  auto const path = (f.path / "pipe").string();
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  int const reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  atomic_file out(path);
  ::close(reader);
  CHECK_THROWS_WITH(out.write(std::string(100'000, 'x')), Contains("io.2: " + path) && Contains("Broken pipe"));
  sigset_t pending;
  sigpending(&pending);
  CHECK_FALSE(sigismember(&pending, SIGPIPE));
}

TEST_CASE("a pipe with a reader is written through") {
  folder f;
  auto const path = (f.path / "pipe").string();
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  int const reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  write_file(path, "through");
  char got[16] = {};
  CHECK(::read(reader, got, sizeof got) == 7);
  CHECK(std::string(got) == "through");
  CHECK(fs::is_fifo(path));
  ::close(reader);
}

TEST_CASE("no place for a temporary file is an error") {
  CHECK_THROWS_WITH(atomic_file("/proc/x"), Contains("io.2: /proc/x"));
  CHECK_THROWS_WITH(atomic_file("/no/such/folder/x"), Contains("io.2") && Contains("No such file"));
  CHECK_THROWS_WITH(atomic_file("/"), Contains("io.2") && Contains("found a directory"));
}

TEST_CASE("maps hold the file, and refuse what is none") {
  folder f;
  auto const path = (f.path / "a").string();
  write_file(path, "12345");
  mapped_file map(path);
  mapped_file moved(std::move(map));
  CHECK(moved.text() == "12345");
  CHECK(map.bytes().empty());
  map = std::move(moved);
  CHECK(map.text() == "12345");
  write_file(path, "");
  CHECK(mapped_file(path).bytes().empty());
  CHECK(map.text() == "12345");  // replacement by rename leaves the old map whole
  CHECK_THROWS_WITH(mapped_file((f.path / "none").string()), Contains("io.1") && Contains("none") && Contains("No such file"));
  CHECK_THROWS_WITH(mapped_file(f.path.string()), Contains("io.1") && Contains("expected a regular file, found a directory"));
  CHECK_THROWS_WITH(mapped_file("/dev/null"), Contains("io.1") && Contains("special file"));
}
}  // namespace smalti
