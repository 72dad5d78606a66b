# SPDX-License-Identifier: Apache-2.0
# A project outside the house. It asks for its own API version, and for the static library by name.
cmake_minimum_required(VERSION 3.22)
project(outside LANGUAGES C CXX)
set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_STANDARD 17)

find_package(duct 0.1 CONFIG REQUIRED COMPONENTS shared static)
foreach(kind IN ITEMS shared static)
  add_executable(c_${kind} program.c)
  add_executable(cxx_${kind} program.cc)
endforeach()
target_link_libraries(c_shared duct::duct)
target_link_libraries(cxx_shared duct::duct)
target_link_libraries(c_static duct::static)
target_link_libraries(cxx_static duct::static)
