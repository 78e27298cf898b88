#pragma once
// A directory of weights in the layout of Hugging Face hubs: model.safetensors, or shards and their model.safetensors.index.json.

#include "json_fwd.hpp"
#include "safetensors.hpp"

namespace smalti {

namespace detail {
/// Tensor name → shard. A shard is a plain name: an index must not reach outside its directory. Errors: io.4, io.10.
std::map<std::string, std::string> parse_weight_map(json const& index_json, std::string const& file);
}  // namespace detail

/// All tensors of a directory by name; maps every shard and keeps it mapped. Prefers model.safetensors, as transformers does.
/// Errors: io.1, io.3 … io.7 for its files, io.8 (no such tensor), io.10 (an index that lies).
class checkpoint {
 public:
  checkpoint() = default;
  explicit checkpoint(std::string directory);

  bool contains(std::string_view name) const;
  tensor const& at(std::string_view name) const;
  /// Sorted.
  std::vector<std::string> names() const;
  std::string const& directory() const { return directory_; }

 private:
  std::string directory_;
  std::map<std::string, safetensors> files_;  // a map's nodes stay where they are, also when the map is moved
  std::map<std::string, tensor const*, std::less<>> tensors_;
};

}  // namespace smalti

#if SMALTI_HEADER_ONLY || defined(SMALTI_SOURCE_IO)
  #include "json.hpp"

namespace smalti {

namespace detail {
SMALTI_INLINE std::map<std::string, std::string> parse_weight_map(json const& index_json, std::string const& file) {
  std::map<std::string, std::string> shards;
  auto const map = field<json>(index_json, file, "weight_map");
  if (!map.is_object()) throw error("io.4", file + ": field \"weight_map\": expected an object of file names, found " + shown(map));
  for (auto const& [name, value] : map.items()) {
    auto shard = field<std::string>(map, file + ": weight_map", name);
    if (shard.empty() || shard.front() == '.' || shard.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos)
      throw error("io.10", file + ": weight_map: \"" + name + "\": expected a file name within the directory, found \"" + shard + "\"");
    shards.emplace(name, std::move(shard));
  }
  return shards;
}
}  // namespace detail

SMALTI_INLINE checkpoint::checkpoint(std::string directory) : directory_(std::move(directory)) {
  auto const single = directory_ + "/model.safetensors", index_file = directory_ + "/model.safetensors.index.json";
  if (detail::is_file(single)) {
    auto const& file = files_.emplace(single, safetensors(single)).first->second;
    for (auto const& name : file.names()) tensors_.emplace(name, &file.at(name));
    return;
  }
  if (!detail::is_file(index_file))
    throw error("io.1", directory_ + ": expected model.safetensors or model.safetensors.index.json in this directory, found neither");
  for (auto const& [name, shard] : detail::parse_weight_map(read_json(index_file), index_file)) {
    auto const path = directory_ + '/' + shard;
    auto file = files_.find(path);
    if (file == files_.end()) file = files_.emplace(path, safetensors(path)).first;
    if (!file->second.contains(name))
      detail::fail_tensor("io.10", index_file, name, "expected in the shard " + shard + ", found no such tensor there");
    tensors_.emplace(name, &file->second.at(name));
  }
}
SMALTI_INLINE bool checkpoint::contains(std::string_view name) const { return tensors_.find(name) != tensors_.end(); }

SMALTI_INLINE tensor const& checkpoint::at(std::string_view name) const {
  auto const found = tensors_.find(name);
  if (found == tensors_.end()) detail::fail_tensor("io.8", directory_, std::string(name), "expected in this checkpoint, found no tensor of this name");
  return *found->second;
}

SMALTI_INLINE std::vector<std::string> checkpoint::names() const {
  std::vector<std::string> all;
  for (auto const& [name, t] : tensors_) all.push_back(name);
  return all;
}

}  // namespace smalti
#endif
