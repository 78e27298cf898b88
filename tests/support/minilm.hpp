#pragma once
// Where the published encoder is: $SMALTI_MINILM, or where script/setup puts it.

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

namespace smalti::test {

/// The directory, or "" with a loud word about the test that is left out.
inline std::string minilm_directory() {
  char const* const named = std::getenv("SMALTI_MINILM");
  std::string const path = named ? named : ".cache/models/all-MiniLM-L6-v2";
  if (std::filesystem::exists(path + "/config.json")) return path;
  std::cerr << "\n*** SKIPPED: no all-MiniLM-L6-v2 in .cache/models or $SMALTI_MINILM; run script/setup ***\n\n";
  return "";
}

}  // namespace smalti::test
