# smalti::compiled: the bodies of src/<folder>.cpp as a static library of the project that uses it, built with that project's
# flags. Programs that link it see headers that only declare (SMALTI_COMPILED): each of their own files compiles in a fraction of the time.
# Used by the build tree and by the installed package alike; nothing is compiled unless something links it.

function(smalti_add_compiled sources)
  if(TARGET smalti_compiled)
    return()
  endif()
  set(folders math quant attention gemm)
  set(links smalti::smalti)
  if(TARGET smalti::model)
    list(APPEND folders io text decoder encoder)
    list(APPEND links smalti::model)
  endif()
  if(TARGET smalti::retrieval)
    list(APPEND folders retrieval rag)
    list(APPEND links smalti::retrieval)
  endif()
  list(TRANSFORM folders REPLACE "(.+)" "${sources}/\\1.cpp")
  add_library(smalti_compiled STATIC EXCLUDE_FROM_ALL ${folders})
  add_library(smalti::compiled ALIAS smalti_compiled)
  target_compile_definitions(smalti_compiled PUBLIC SMALTI_COMPILED)
  target_link_libraries(smalti_compiled PUBLIC ${links})
endfunction()
