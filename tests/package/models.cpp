// A program that reads a tokenizer and a decoder: shows that the libraries behind smalti::model come along.
#if __has_include(<smalti/decoder.hpp>)
  #include <smalti/decoder.hpp>
#else
  #include <smalti_models.hpp>
#endif

#include <cstdio>

int main() {
  try {
    smalti::checkpoint const c("/nonexistent");
  } catch (smalti::error const& e) {
    return std::puts(e.id == "io.1" ? "consumer: ok" : e.what()), e.id != "io.1";
  }
  return 1;
}
