# One INTERFACE target per set of needs. A target whose libraries are missing does not exist; smalti::smalti always does.
#
#   smalti::smalti     core, simd, math, quant, attention, gemm on the host: the standard library and threads
#   smalti::cuda       the same on the device: CUDA Toolkit
#   smalti::model      io, text, decoder, encoder: nlohmann_json, PCRE2 (8 bit), utf8proc
#   smalti::retrieval  retrieval and rag, on top of model: hnswlib
#   smalti::compiled   all of the above that is there, its bodies built once: for programs of many files (smalti_compiled.cmake)

include(GNUInstallDirs)
set(SMALTI_COMPONENTS "")

# smalti_component(name NEEDS targets… LINKS targets…): defines smalti_<name>, alias smalti::<name>, if its needs are there.
function(smalti_component name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "NEEDS;LINKS")
  foreach(need IN LISTS arg_NEEDS)
    if(NOT TARGET ${need})
      message(STATUS "smalti::${name}: left out, ${need} not found")
      return()
    endif()
  endforeach()
  add_library(smalti_${name} INTERFACE)
  add_library(smalti::${name} ALIAS smalti_${name})
  set_target_properties(smalti_${name} PROPERTIES EXPORT_NAME ${name})
  target_link_libraries(smalti_${name} INTERFACE ${arg_LINKS} ${arg_NEEDS})
  set(SMALTI_COMPONENTS ${SMALTI_COMPONENTS} ${name} PARENT_SCOPE)
endfunction()

smalti_component(smalti LINKS Threads::Threads)
target_compile_features(smalti_smalti INTERFACE cxx_std_20)
target_include_directories(smalti_smalti INTERFACE
  $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

# Tensor maps are encoded by the driver; its entry point is looked up through the runtime, so libcuda is not linked.
smalti_component(cuda NEEDS CUDA::cudart LINKS smalti_smalti)
smalti_component(model NEEDS nlohmann_json::nlohmann_json smalti::pcre2 smalti::utf8proc LINKS smalti_smalti)
smalti_component(retrieval NEEDS smalti::model smalti::hnswlib)

include(${CMAKE_CURRENT_LIST_DIR}/smalti_compiled.cmake)
smalti_add_compiled(${CMAKE_CURRENT_SOURCE_DIR}/src)
