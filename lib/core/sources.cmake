# SPDX-License-Identifier: Apache-2.0
target_sources(duct_lib PRIVATE
  core/context.c
  core/event.c
  core/listener.c
  core/message.c
  core/pipe.c
  core/pipe_io.c
  core/reconnect.c
  core/reconnect_loan.c
  core/reconnect_ops.c
  core/reconnect_out.c
  core/sweep.c
  core/wait.c
)
