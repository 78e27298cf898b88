# bench/*.cpp: one program each, in <build>/bench/.

find_package(benchmark QUIET)
smalti_sources(benches bench)
if(benches AND TARGET benchmark::benchmark)
  foreach(source IN LISTS benches)
    get_filename_component(name ${source} NAME_WE)
    smalti_program(bench_${name} ${source} bench)
    target_link_libraries(bench_${name} PRIVATE benchmark::benchmark)
  endforeach()
elseif(benches)
  message(STATUS "bench: left out, Google Benchmark not found")
endif()
