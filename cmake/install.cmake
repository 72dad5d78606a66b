# SPDX-License-Identifier: Apache-2.0
# Installs headers, libraries, and the two descriptions by which other builds find them: duct.pc for
# pkg-config, ductConfig.cmake for find_package(duct CONFIG). Users of the static library need liburing
# and Concurrency Kit at link time; users of the shared one need neither, so the targets are exported
# apart.
include(CMakePackageConfigHelpers)
set(duct_cmakedir ${CMAKE_INSTALL_LIBDIR}/cmake/duct)

install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/duct DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
install(TARGETS duct EXPORT ductTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS duct_static EXPORT ductStaticTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT ductTargets NAMESPACE duct:: DESTINATION ${duct_cmakedir})
install(EXPORT ductStaticTargets NAMESPACE duct:: DESTINATION ${duct_cmakedir})

configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/ductConfig.cmake.in
  ${CMAKE_BINARY_DIR}/ductConfig.cmake INSTALL_DESTINATION ${duct_cmakedir}
  NO_SET_AND_CHECK_MACRO)
# Below 1.0 the minor number may change the API.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/ductConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/ductConfig.cmake ${CMAKE_BINARY_DIR}/ductConfigVersion.cmake
  DESTINATION ${duct_cmakedir})

# Two steps: the prefix is known only at install time, so duct.pc derives it from where it lies.
file(RELATIVE_PATH duct_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" duct_pc_prefix "${duct_pc_prefix}")
configure_file(${CMAKE_SOURCE_DIR}/cmake/duct.pc.in ${CMAKE_BINARY_DIR}/duct.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/duct.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
