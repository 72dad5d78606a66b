/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_PROTOCOL_HEARTBEAT_H
#define DI_PROTOCOL_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Is the peer still there? Judged once in each interval, by what was counted meanwhile, so that nothing that is sent
 * or received looks at a clock. No I/O: whoever drives it sends the PING, and ends the pipe.
 *
 * Anything that arrives is a sign of life. An interval in which nothing arrived is silent, and ends with a PING; so
 * does one in which nothing was sent, since what lies between the two (NAT, firewalls) forgets connections that are
 * quiet. After silent_max silent intervals in a row the next one is the last. So a peer that is gone is found after
 * silent_max + 1 intervals at the least and silent_max + 2 at the most.
 */

struct di_heartbeat {
    uint32_t silent_max;
    uint32_t silent; /* intervals in a row */
    uint64_t heard, said;
};

enum di_heartbeat_due { DI_HEARTBEAT_NOTHING, DI_HEARTBEAT_PING, DI_HEARTBEAT_GONE };

void di_heartbeat_init(struct di_heartbeat *beat, uint32_t silent_max);

/*
 * An interval is over. heard, said: counts of what arrived and was sent, which only grow. blind: nothing is being
 * received, since our own program takes nothing: then silence says nothing of the peer.
 */
enum di_heartbeat_due di_heartbeat_tick(struct di_heartbeat *beat, uint64_t heard, uint64_t said,
                                        bool blind);

#endif
