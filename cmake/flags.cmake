# SPDX-License-Identifier: Apache-2.0
# One interface target, duct_flags, carries what every object of the house is compiled with.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(CK REQUIRED IMPORTED_TARGET ck)

add_library(duct_flags INTERFACE)
target_compile_features(duct_flags INTERFACE c_std_11)
target_compile_definitions(duct_flags INTERFACE _GNU_SOURCE)
target_compile_options(duct_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
  -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wconversion -Wno-sign-conversion
  -fno-strict-aliasing -fvisibility=hidden)
target_include_directories(duct_flags INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})
if(DUCT_WERROR)
  target_compile_options(duct_flags INTERFACE -Werror)
endif()
if(DUCT_SANITIZE)
  target_compile_options(duct_flags INTERFACE -fsanitize=${DUCT_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(duct_flags INTERFACE -fsanitize=${DUCT_SANITIZE})
  if(DUCT_SANITIZE MATCHES thread)
    # Concurrency Kit's assembly is opaque to ThreadSanitizer.
    target_compile_definitions(duct_flags INTERFACE CK_USE_CC_BUILTINS=1)
  endif()
endif()
if(DUCT_COVERAGE)
  # Counted atomically: without, threads lose counts, and some end up negative.
  target_compile_options(duct_flags INTERFACE --coverage -O0 -fprofile-update=atomic
    "$<$<COMPILE_LANGUAGE:C>:SHELL:-include ${CMAKE_SOURCE_DIR}/tests/coverage.h>")
  target_link_options(duct_flags INTERFACE --coverage)
endif()
target_link_libraries(duct_flags INTERFACE Threads::Threads)
