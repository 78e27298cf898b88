# How this project's own programs (tests, examples, benchmarks) are compiled. Nothing here reaches a user of the library.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_EXTENSIONS OFF)

find_program(CCACHE ccache)
mark_as_advanced(CCACHE)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(smalti_flags INTERFACE)
target_compile_features(smalti_flags INTERFACE cxx_std_20)
target_compile_options(smalti_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${SMALTI_WERROR}>>:-Werror>)
if(SMALTI_SANITIZE)
  target_compile_options(smalti_flags INTERFACE
    -fsanitize=${SMALTI_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(smalti_flags INTERFACE -fsanitize=${SMALTI_SANITIZE})
endif()

# Every part of the library that can be had here: compiled once, or as headers alone.
option(SMALTI_PROGRAMS_HEADER_ONLY "Build this project's own programs without smalti::compiled" OFF)
add_library(smalti_headers INTERFACE)
foreach(component smalti model retrieval)
  if(TARGET smalti::${component})
    target_link_libraries(smalti_headers INTERFACE smalti::${component})
  endif()
endforeach()
target_link_libraries(smalti_compiled PRIVATE smalti_flags)
if(SMALTI_SANITIZE)  # unoptimised kernels would be a hundred times slower, and what they read and write is checked all the same
  target_compile_options(smalti_compiled PRIVATE -O1)
endif()

# CUDA programs name their two architectures themselves: 80 runs on every newer board, 90a has Hopper's own instructions.
set(SMALTI_HAVE_CUDA FALSE)
if(NOT SMALTI_CUDA STREQUAL "OFF")
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80)
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER AND TARGET smalti::cuda)
    enable_language(CUDA)
    set(SMALTI_HAVE_CUDA TRUE)
    add_library(smalti_cuda_flags INTERFACE)
    set(cuda_options -std=c++20 --expt-relaxed-constexpr -Wno-deprecated-gpu-targets
      -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90a,code=sm_90a)
    target_compile_options(smalti_cuda_flags INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_options}>")
    target_link_libraries(smalti_cuda_flags INTERFACE smalti::cuda)
  elseif(SMALTI_CUDA STREQUAL "ON")
    message(FATAL_ERROR "SMALTI_CUDA is ON, but nvcc was not found")
  endif()
endif()

# smalti_program(target source output_folder [HEADER_ONLY]): one source file, one program.
function(smalti_program target source folder)
  cmake_parse_arguments(PARSE_ARGV 3 arg "HEADER_ONLY" "" "")
  get_filename_component(name ${source} NAME_WE)
  get_filename_component(extension ${source} LAST_EXT)
  add_executable(${target} ${source})
  set(library smalti::compiled)
  if(arg_HEADER_ONLY OR SMALTI_PROGRAMS_HEADER_ONLY OR extension STREQUAL ".cu")
    set(library smalti_headers)
  endif()
  target_link_libraries(${target} PRIVATE smalti_flags ${library})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder})
  if(extension STREQUAL ".cu")
    target_link_libraries(${target} PRIVATE smalti_cuda_flags)
    set_target_properties(${target} PROPERTIES CUDA_ARCHITECTURES OFF)
  endif()
endfunction()

# The sources of one folder; CUDA ones only where they can be compiled.
function(smalti_sources result folder)
  file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  if(SMALTI_HAVE_CUDA)
    file(GLOB found_cuda CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cu)
    list(APPEND found ${found_cuda})
  endif()
  set(${result} ${found} PARENT_SCOPE)
endfunction()
