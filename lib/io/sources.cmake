# SPDX-License-Identifier: Apache-2.0
target_sources(duct_lib PRIVATE
  io/due.c
  io/epoll.c
  io/ring.c
  io/timer.c
  io/uring.c
  io/wake.c
)
