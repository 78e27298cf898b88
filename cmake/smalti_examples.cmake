# examples/*.cpp and examples/ladder/*.cpp: one program each, in <build>/examples/. A rung of the ladder that knows
# --quick checks itself against the oracle, so it is a test too.

find_path(SMALTI_CLI11_INCLUDE CLI/CLI.hpp)
mark_as_advanced(SMALTI_CLI11_INCLUDE)

if(SMALTI_CLI11_INCLUDE AND TARGET smalti::retrieval)
  smalti_sources(examples examples)
  foreach(source IN LISTS examples)
    get_filename_component(name ${source} NAME_WE)
    if(TARGET smalti_compiled_cuda AND name MATCHES "^(ask|generate)$")  # the same source, compiled by nvcc, knows --device cuda
      set_source_files_properties(${source} PROPERTIES LANGUAGE CUDA)
    endif()
    smalti_program(example_${name} ${source} examples)
    target_include_directories(example_${name} SYSTEM PRIVATE ${SMALTI_CLI11_INCLUDE})
  endforeach()
  # evaluate asks models behind a URL where cpp-httplib is. Its package says how it was built: the layout of its classes depends on it.
  find_package(PkgConfig QUIET)
  if(PKG_CONFIG_FOUND AND TARGET example_evaluate)
    pkg_check_modules(SMALTI_HTTPLIB QUIET IMPORTED_TARGET cpp-httplib)
    if(SMALTI_HTTPLIB_FOUND)
      target_compile_definitions(example_evaluate PRIVATE EVALUATE_HTTP=1)
      target_link_libraries(example_evaluate PRIVATE PkgConfig::SMALTI_HTTPLIB)
    endif()
  endif()
else()
  message(STATUS "examples: left out, they need CLI11 and smalti::retrieval")
endif()

smalti_sources(rungs examples/ladder)
foreach(source IN LISTS rungs)
  get_filename_component(name ${source} NAME_WE)
  smalti_program(ladder_${name} ${source} examples/ladder)
endforeach()
