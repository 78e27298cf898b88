#!/bin/sh
# A makefile's way: flags from pkg-config, of an installed tree that was moved.
set -e
source=$1 build=$2 prefix=$3
mkdir -p "$build"
rm -rf "$build/moved" && cp -r "$prefix" "$build/moved"
export PKG_CONFIG_PATH="$(dirname "$(find "$build/moved" -name smalti.pc)")"
${CXX:-c++} -std=c++20 -O1 "$source/tests/package/kernels.cpp" -o "$build/kernels" $(pkg-config --cflags --libs smalti)
if pkg-config --exists smalti-model; then
  ${CXX:-c++} -std=c++20 -O1 "$source/tests/package/models.cpp" -o "$build/models" $(pkg-config --cflags --libs smalti-model)
fi
