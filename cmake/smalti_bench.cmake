# bench/*.cpp and *.cu: one program each, in <build>/bench/. What measures the device is left out of `all`: it is worth building
# only for a board.
#
#   smalti_attention_c      bench/c_abi: the attention behind a C interface, for bench/peers.py
#   bench_attention_cuda    the same under Google Benchmark
#   smalti_products_c       bench/c_abi: quantised products, for bench/peers_nf4.py

find_package(benchmark QUIET)
smalti_sources(benches bench)
if(benches AND TARGET benchmark::benchmark)
  foreach(source IN LISTS benches)
    get_filename_component(name ${source} NAME_WE)
    get_filename_component(extension ${source} LAST_EXT)
    if(name STREQUAL "variants" AND NOT TARGET smalti::model)
      continue()
    elseif(name STREQUAL "variants" AND TARGET smalti_compiled_cuda)  # the same source, compiled by nvcc, knows --device cuda
      set_source_files_properties(${source} PROPERTIES LANGUAGE CUDA)
      set(extension .cu)
    endif()
    smalti_program(bench_${name} ${source} bench)
    target_link_libraries(bench_${name} PRIVATE benchmark::benchmark)
    if(extension STREQUAL ".cu")
      set_target_properties(bench_${name} PROPERTIES EXCLUDE_FROM_ALL TRUE)
    endif()
  endforeach()
elseif(benches)
  message(STATUS "bench: left out, Google Benchmark not found")
endif()

if(SMALTI_HAVE_CUDA)
  set(c_abi ${PROJECT_SOURCE_DIR}/bench/c_abi)
  set(SMALTI_COMMIT "" CACHE STRING "What result lines call this state of the sources; empty: git describe")
  add_custom_target(smalti_commit BYPRODUCTS ${PROJECT_BINARY_DIR}/bench/commit.h
    COMMAND ${CMAKE_COMMAND} -DFOLDER=${PROJECT_SOURCE_DIR} -DOUT=${PROJECT_BINARY_DIR}/bench/commit.h -DCOMMIT=${SMALTI_COMMIT} -P ${c_abi}/commit.cmake)
  add_library(smalti_attention_c SHARED EXCLUDE_FROM_ALL ${c_abi}/attention.cu ${c_abi}/decode.cu ${c_abi}/fp8.cu)
  add_dependencies(smalti_attention_c smalti_commit)
  target_compile_options(smalti_attention_c PRIVATE "SHELL:-include ${PROJECT_BINARY_DIR}/bench/commit.h")
  target_include_directories(smalti_attention_c INTERFACE ${c_abi})
  foreach(dtype 0 1)
    foreach(mask 0 1)
      foreach(engine 80 90)
        set(instance smalti_attention_c_${dtype}${mask}${engine})  # the values of c_abi/attention.h
        add_library(${instance} OBJECT EXCLUDE_FROM_ALL ${c_abi}/instance.cu)
        target_compile_definitions(${instance} PRIVATE SMALTI_DTYPE=${dtype} SMALTI_MASK=${mask} SMALTI_ENGINE=${engine})
        target_link_libraries(smalti_attention_c PRIVATE ${instance})
        list(APPEND c_abi_targets ${instance})
      endforeach()
    endforeach()
  endforeach()
  foreach(target IN LISTS c_abi_targets ITEMS smalti_attention_c)
    target_link_libraries(${target} PRIVATE smalti_flags smalti_cuda_flags)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CUDA_ARCHITECTURES OFF)
  endforeach()
  set_target_properties(smalti_attention_c PROPERTIES OUTPUT_NAME smalti_attention LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)

  add_library(smalti_products_c SHARED EXCLUDE_FROM_ALL ${c_abi}/products.cu)
  add_dependencies(smalti_products_c smalti_commit)
  target_compile_options(smalti_products_c PRIVATE "SHELL:-include ${PROJECT_BINARY_DIR}/bench/commit.h")
  target_link_libraries(smalti_products_c PRIVATE smalti_flags smalti_cuda_flags)
  set_target_properties(smalti_products_c PROPERTIES POSITION_INDEPENDENT_CODE ON CUDA_ARCHITECTURES OFF OUTPUT_NAME smalti_products
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)

  if(TARGET bench_attention_cuda)
    target_link_libraries(bench_attention_cuda PRIVATE smalti_attention_c)
    set_target_properties(bench_attention_cuda PROPERTIES EXCLUDE_FROM_ALL TRUE)
  endif()
endif()

find_package(Python3 COMPONENTS Interpreter QUIET)
if(Python3_FOUND)
  add_test(NAME sweep_tune COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/bench/sweep/check.py)
  set_tests_properties(sweep_tune PROPERTIES LABELS tree)
endif()

option(SMALTI_SWEEP "Configure the sweeps over every legal tile (bench/sweep)" OFF)
if(SMALTI_SWEEP)
  if(NOT SMALTI_HAVE_CUDA)
    message(FATAL_ERROR "SMALTI_SWEEP needs nvcc")
  endif()
  include(smalti_sweep)
endif()

# examples/nvrtc: kernels compiled while the program runs. That the headers go through NVRTC is a test, which needs no board.
if(TARGET CUDA::nvrtc AND TARGET CUDA::cudart)
  smalti_program(example_nvrtc_tune ${PROJECT_SOURCE_DIR}/examples/nvrtc/tune.cpp examples/nvrtc)
  list(GET CUDAToolkit_INCLUDE_DIRS 0 cuda_include)
  target_compile_definitions(example_nvrtc_tune PRIVATE SMALTI_INCLUDE="${PROJECT_SOURCE_DIR}/include" CUDA_INCLUDE="${cuda_include}")
  target_link_libraries(example_nvrtc_tune PRIVATE CUDA::nvrtc CUDA::cudart)
  add_test(NAME headers_nvrtc COMMAND example_nvrtc_tune --compile-only)
  set_tests_properties(headers_nvrtc PROPERTIES LABELS "cuda" TIMEOUT 300)
endif()
