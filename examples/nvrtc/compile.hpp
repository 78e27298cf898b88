#pragma once
// The attention headers through NVRTC: a kernel for one tile, compiled while the program runs, without nvcc. NVRTC documentation, CUDA 13.

#include <cuda_runtime.h>
#include <nvrtc.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace nvrtc {

inline void require(cudaError_t e) {
  if (e != cudaSuccess) throw std::runtime_error(cudaGetErrorString(e));
}

/// Of the CUDA runtime, whose types NVRTC knows: the functions that headers name outside of templates' own types.
inline constexpr char const* runtime = R"(#pragma once
cudaError_t cudaGetDevice(int*);
cudaError_t cudaDeviceGetAttribute(int*, cudaDeviceAttr, int);
cudaError_t cudaGetLastError();
char const* cudaGetErrorString(cudaError_t);
)";

/// Machine code of kernels, and the names they have in there.
struct code {
  std::vector<char> cubin;
  std::vector<std::string> names;
};

/// Compiles `kernels`, instances of templates that `source` declares. `folders`: where smalti/ and the CUDA Toolkit's cuda/std/ are found. `arch`: such
/// as "sm_90a". Throws the compiler's log.
inline code compile(std::string const& source, std::vector<std::string> const& kernels, std::string const& arch, std::vector<std::string> const& folders) {
  // NVRTC has no standard library of the host; libcu++ has what device code may use of it, under another name.
  std::vector<char const*> names{"cstdint", "cstddef", "cmath", "concepts", "type_traits", "utility", "numeric"};
  std::vector<std::string> texts;
  for (std::string const name : names) {
    texts.push_back("#pragma once\n#include <cuda/std/" + name + ">\nnamespace std { using namespace cuda::std; }\n");
    if (name == "cstdint") {  // names that the headers use without std::
      texts.back() += "using cuda::std::uintptr_t;\n";
      for (auto bits : {"8", "16", "32", "64"}) texts.back() += std::string("using cuda::std::int") + bits + "_t; using cuda::std::uint" + bits + "_t;\n";
    }
  }
  // What the host's side of a launch mentions, so that its templates can be read; nobody instantiates them. cuda.h asks for the other two.
  names.insert(names.end(), {"cuda_runtime.h", "stdlib.h", "stdint.h"});
  texts.insert(texts.end(), {runtime, "", "#include <cstdint>\n"});
  std::vector<char const*> bodies;
  for (auto const& t : texts) bodies.push_back(t.c_str());

  nvrtcProgram program;
  if (nvrtcCreateProgram(&program, source.c_str(), "tile.cu", int(bodies.size()), bodies.data(), names.data()) != NVRTC_SUCCESS) throw std::runtime_error("nvrtcCreateProgram");
  for (auto const& kernel : kernels) nvrtcAddNameExpression(program, kernel.c_str());
  // Functions without a mark, such as constexpr members, are the device's: there is no host here.
  std::vector<std::string> options{"--std=c++20", "-default-device", "-arch=" + arch};
  for (auto const& f : folders) options.push_back("-I" + f);
  std::vector<char const*> words;
  for (auto const& o : options) words.push_back(o.c_str());

  auto const result = nvrtcCompileProgram(program, int(words.size()), words.data());
  code out;
  std::size_t size = 0;
  if (result != NVRTC_SUCCESS) {
    nvrtcGetProgramLogSize(program, &size);
    std::string log(size, '\0');
    nvrtcGetProgramLog(program, log.data());
    nvrtcDestroyProgram(&program);
    throw std::runtime_error(std::string(nvrtcGetErrorString(result)) + "\n" + log);
  }
  for (auto const& kernel : kernels) {
    char const* name = nullptr;
    nvrtcGetLoweredName(program, kernel.c_str(), &name);
    out.names.push_back(name);
  }
  nvrtcGetCUBINSize(program, &size);
  out.cubin.resize(size);
  nvrtcGetCUBIN(program, out.cubin.data());
  nvrtcDestroyProgram(&program);
  return out;
}

}  // namespace nvrtc
