#pragma once
// Vectors of texts that were embedded before, in one file: what an interrupted run has done is not done again, and a text that
// two chunk sizes share is embedded once.

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
#include <smalti/core/buffer.hpp>
#include <smalti/io/file.hpp>

namespace evaluation {

/// A file of records, only ever appended to: key of the text (128 bits), its vector, a checksum. A torn or damaged end, as a kill
/// leaves it, is cut off when the file is opened. One process at a time.
class vector_cache {
 public:
  /// An empty path: kept in memory alone. Throws std::runtime_error for a file of another encoder, one that is no cache, one in use.
  vector_cache(std::string path, std::string const& encoder, int dimension) : path_(std::move(path)), dimension_(std::size_t(dimension)) {
    if (path_.empty()) return;
    if (auto const folder = std::filesystem::path(path_).parent_path(); !folder.empty()) std::filesystem::create_directories(folder);
    file_ = smalti::detail::descriptor(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (file_.number < 0) throw std::runtime_error(path_ + ": cannot be opened: " + std::strerror(errno));
    if (::flock(file_.number, LOCK_EX | LOCK_NB) != 0) throw std::runtime_error(path_ + ": another run uses it");
    std::string head = "smalti vectors 1 " + encoder + " " + std::to_string(dimension);
    head.resize(header_bytes - 1, ' '), head += '\n';
    auto const size = std::filesystem::file_size(path_);
    if (size == 0) {
      put(head.data(), head.size());
      return;
    }
    smalti::mapped_file const old(path_);
    if (!old.text().starts_with(head)) throw std::runtime_error(path_ + ": expected vectors of " + encoder + ", found \"" + std::string(old.text().substr(0, 60)) + "\"; delete it, or name another file");
    std::size_t at = header_bytes;
    for (; at + record_bytes() <= size; at += record_bytes()) {
      char const* const r = old.text().data() + at;
      uint64_t sum;
      std::memcpy(&sum, r + record_bytes() - sizeof sum, sizeof sum);
      if (sum != hash({r, record_bytes() - sizeof sum}, 0)) break;
      uint64_t parts[2];
      std::memcpy(parts, r, sizeof parts);
      key const k{parts[0], parts[1]};
      remember(k, reinterpret_cast<float const*>(r + sizeof k));
    }
    if (::ftruncate(file_.number, off_t(at)) != 0 || ::lseek(file_.number, 0, SEEK_END) < 0) throw std::runtime_error(path_ + ": " + std::strerror(errno));
  }

  std::size_t size() const { return row_of_.size(); }
  std::size_t computed() const { return computed_; }  ///< texts that embed() had to ask for

  /// (texts, dimension): from the cache, or by compute(missing texts) → (missing, dimension), which is kept.
  template <class Compute>
  smalti::buffer<float> embed(std::span<std::string const> texts, Compute&& compute) {
    std::vector<std::string> missing;
    std::vector<key> keys;
    for (auto const& t : texts)
      if (auto const k = key_of(t); !row_of_.contains(k)) missing.push_back(t), keys.push_back(k);
    smalti::buffer<float> const fresh = compute(std::span<std::string const>(missing));  // (missing, dimension)
    std::string records;
    for (std::size_t i = 0; i < missing.size(); ++i) {
      float const* const v = fresh.data() + i * dimension_;
      auto const begin = records.size();
      records.append(reinterpret_cast<char const*>(&keys[i]), sizeof(key)), records.append(reinterpret_cast<char const*>(v), dimension_ * sizeof(float));
      uint64_t const sum = hash(std::string_view(records).substr(begin), 0);
      records.append(reinterpret_cast<char const*>(&sum), sizeof sum);
      remember(keys[i], v);
    }
    computed_ += missing.size();
    if (file_.number >= 0) put(records.data(), records.size());
    smalti::buffer<float> out(texts.size() * dimension_);
    for (std::size_t i = 0; i < texts.size(); ++i) std::copy_n(rows_.data() + row_of_.at(key_of(texts[i])) * dimension_, dimension_, out.data() + i * dimension_);
    return out;
  }

 private:
  using key = std::pair<uint64_t, uint64_t>;
  static constexpr std::size_t header_bytes = 64;
  std::size_t record_bytes() const { return sizeof(key) + dimension_ * sizeof(float) + sizeof(uint64_t); }

  // FNV-1a with two starts: 128 bits for texts that nobody chose to collide.
  static uint64_t hash(std::string_view s, uint64_t salt) {
    uint64_t h = 0xcbf29ce484222325 ^ salt;
    for (char c : s) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return h;
  }
  static key key_of(std::string_view text) { return {hash(text, 0), hash(text, 0x9e3779b97f4a7c15)}; }
  void remember(key k, float const* v) {
    if (row_of_.emplace(k, rows_.size() / dimension_).second) rows_.insert(rows_.end(), v, v + dimension_);
  }
  void put(char const* at, std::size_t left) {
    while (left > 0) {
      auto const n = ::write(file_.number, at, left);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw std::runtime_error(path_ + ": cannot be written: " + std::strerror(n < 0 ? errno : EIO));
      at += n, left -= std::size_t(n);
    }
  }

  std::string path_;
  std::size_t dimension_, computed_ = 0;
  smalti::detail::descriptor file_;
  std::map<key, std::size_t> row_of_;
  std::vector<float> rows_;
};

}  // namespace evaluation
