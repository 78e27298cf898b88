# Headers, a CMake package with one export per component, and pkg-config files; all relocatable.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/smalti)

install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/include/smalti TYPE INCLUDE
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh" PATTERN "*.inc")
install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/src/ DESTINATION ${CMAKE_INSTALL_DATADIR}/smalti/src FILES_MATCHING PATTERN "*.cpp")
install(FILES ${CMAKE_CURRENT_SOURCE_DIR}/LICENSE TYPE DOC)

foreach(component IN LISTS SMALTI_COMPONENTS)
  install(TARGETS smalti_${component} EXPORT smalti_${component})
  install(EXPORT smalti_${component} NAMESPACE smalti:: FILE smalti_${component}.cmake DESTINATION ${package_dir})
endforeach()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/smaltiConfig.cmake.in
  ${PROJECT_BINARY_DIR}/smaltiConfig.cmake INSTALL_DESTINATION ${package_dir} PATH_VARS CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/smaltiConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/smaltiConfig.cmake ${PROJECT_BINARY_DIR}/smaltiConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/smalti_dependencies.cmake ${CMAKE_CURRENT_LIST_DIR}/smalti_compiled.cmake DESTINATION ${package_dir})

# The prefix is found from where the file lies, so an installed tree may be moved.
file(RELATIVE_PATH SMALTI_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
foreach(name smalti smalti-model smalti-retrieval)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
