# SPDX-License-Identifier: Apache-2.0
target_sources(duct_lib PRIVATE
  protocol/handshake.c
  protocol/heartbeat.c
  protocol/offer.c
  protocol/sendq.c
  protocol/session.c
  protocol/wire.c
)
