#!/bin/sh
# One file copied, one command: no build system, no flags beyond the standard.
set -e
source=$1 build=$2
mkdir -p "$build"
cp "$source/single_include/smalti.hpp" "$source/single_include/smalti_models.hpp" "$build"
${CXX:-c++} -std=c++20 -O1 -pthread -I"$build" "$source/tests/package/kernels.cpp" -o "$build/kernels"
if pkg-config --exists libpcre2-8 libutf8proc nlohmann_json; then
  ${CXX:-c++} -std=c++20 -O1 -pthread -I"$build" "$source/tests/package/models.cpp" -o "$build/models" $(pkg-config --libs libpcre2-8 libutf8proc)
fi
