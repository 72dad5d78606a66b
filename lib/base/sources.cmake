# SPDX-License-Identifier: Apache-2.0
target_sources(duct_lib PRIVATE
  base/error.c
  base/fork.c
  base/log.c
  base/memory.c
  base/names.c
  base/option.c
  base/options.c
  base/quantity.c
  base/random.c
  base/system.c
  base/text.c
  base/thread.c
  base/url.c
  base/version.c
  base/wiped.c
)
