// libFuzzer entry: any bytes as a safetensors file. A file that passes must be readable to its last byte.
#include <cstdlib>
#include "smalti/io/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(uint8_t const* data, size_t size) {
  try {
    smalti::safetensors const file(std::as_bytes(std::span(data, size)), "fuzz");
    unsigned sum = 0;
    for (auto const& name : file.names()) {
      auto const& t = file.at(name);
      for (auto b : t.bytes) sum += unsigned(b);
      if (t.count() * bytes_of(t.type) != smalti::index(t.bytes.size())) std::abort();
      try {
        sum += unsigned(to_float(t, t.shape).size());
      } catch (smalti::error const&) {
      }
    }
    static volatile unsigned sink;
    sink = sum;
  } catch (smalti::error const&) {
  }
  return 0;
}
