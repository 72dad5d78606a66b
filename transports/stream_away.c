/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_away.h"

#include <inttypes.h>
#include <stdbool.h>

#include <duct/options.h>

#include "lib/base/log.h"

/* FNV-1a: two peers that share a number share a line, which does no harm. */
static uint64_t number_of(const char *who)
{
    uint64_t number = UINT64_C(14695981039346656037);

    for (; *who != '\0'; who++)
        number = (number ^ (unsigned char)*who) * UINT64_C(1099511628211);
    return number;
}

static bool had_a_line(const struct stream_away *away, uint64_t peer, int64_t now)
{
    for (uint32_t i = 0; i < STREAM_AWAY_PEERS; i++) {
        if (away->times[i] != 0 && away->peers[i] == peer &&
            now - away->times[i] < STREAM_AWAY_PEER_NS)
            return true;
    }
    return false;
}

static bool second_is_full(struct stream_away *away, int64_t now)
{
    if (away->second == 0 || now - away->second >= DUCT_SECOND) {
        away->second = now;
        away->lines = 0;
    }
    return away->lines >= STREAM_AWAY_LINES;
}

void stream_away_log(struct stream_away *away, enum duct_log_level level, const char *where,
                     const char *who, const char *why, int64_t now)
{
    uint64_t peer = number_of(who);

    if (had_a_line(away, peer, now) || second_is_full(away, now)) {
        away->unlogged++;
        return;
    }
    di_log(level, "%s turned %s away: %s (and %" PRIu64 " before that were not logged)", where,
           who[0] != '\0' ? who : "a peer", why, away->unlogged);
    away->peers[away->next] = peer;
    away->times[away->next] = now;
    away->next = (away->next + 1) % STREAM_AWAY_PEERS;
    away->lines++;
    away->unlogged = 0;
}
