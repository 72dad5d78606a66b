/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/heartbeat.h"

void di_heartbeat_init(struct di_heartbeat *beat, uint32_t silent_max)
{
    *beat = (struct di_heartbeat){.silent_max = silent_max};
}

enum di_heartbeat_due di_heartbeat_tick(struct di_heartbeat *beat, uint64_t heard, uint64_t said,
                                        bool blind)
{
    bool silent = heard == beat->heard;
    bool mute = said == beat->said;

    beat->heard = heard;
    beat->said = said;
    if (!silent || blind)
        beat->silent = 0;
    else if (++beat->silent > beat->silent_max)
        return DI_HEARTBEAT_GONE;
    return silent || mute ? DI_HEARTBEAT_PING : DI_HEARTBEAT_NOTHING;
}
