# The libraries that parts of smalti stand on, each as a target, each optional: a part whose libraries are missing is left
# out. Used by the build tree and by the installed package alike.

include_guard(DIRECTORY)
find_package(Threads QUIET)
find_package(nlohmann_json 3.11 QUIET)
find_package(CUDAToolkit 12 QUIET)

# A C library without a CMake package of its own.
function(smalti_find_library target header library)
  if(TARGET ${target})
    return()
  endif()
  string(MAKE_C_IDENTIFIER ${target} id)
  find_path(${id}_INCLUDE ${header})
  find_library(${id}_LIBRARY ${library})
  mark_as_advanced(${id}_INCLUDE ${id}_LIBRARY)
  if(${id}_INCLUDE AND ${id}_LIBRARY)
    add_library(${target} UNKNOWN IMPORTED)
    set_target_properties(${target} PROPERTIES
      IMPORTED_LOCATION "${${id}_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${${id}_INCLUDE}")
  endif()
endfunction()

smalti_find_library(smalti::pcre2 pcre2.h pcre2-8)
smalti_find_library(smalti::utf8proc utf8proc.h utf8proc)

if(NOT TARGET smalti::hnswlib)
  find_path(smalti_hnswlib_INCLUDE hnswlib/hnswlib.h)
  mark_as_advanced(smalti_hnswlib_INCLUDE)
  if(smalti_hnswlib_INCLUDE)
    add_library(smalti::hnswlib INTERFACE IMPORTED)
    set_target_properties(smalti::hnswlib PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${smalti_hnswlib_INCLUDE}")
  endif()
endif()
