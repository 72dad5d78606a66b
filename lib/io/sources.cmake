# SPDX-License-Identifier: Apache-2.0
target_sources(duct_lib PRIVATE
  io/accepted.c
  io/buffer.c
  io/due.c
  io/epoll.c
  io/epoll_sleep.c
  io/futex.c
  io/received.c
  io/ring.c
  io/timer.c
  io/transfer.c
  io/uring.c
  io/uring_accept.c
  io/uring_buffers.c
  io/uring_held.c
  io/uring_recall.c
  io/uring_recv.c
  io/uring_submit.c
  io/uring_transfer.c
  io/wake.c
)
