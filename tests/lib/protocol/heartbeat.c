/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "lib/protocol/heartbeat.h"

/* Signs of life, counted by intervals. */

Test(heartbeat, a_peer_that_is_gone_is_found_in_so_many_intervals)
{
    struct di_heartbeat beat;

    di_heartbeat_init(&beat, 3);
    cr_assert_eq(di_heartbeat_tick(&beat, 10, 1, false), DI_HEARTBEAT_NOTHING);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(di_heartbeat_tick(&beat, 10, 1, false), DI_HEARTBEAT_PING);
    cr_assert_eq(di_heartbeat_tick(&beat, 10, 1, false), DI_HEARTBEAT_GONE);
}

Test(heartbeat, what_we_send_is_no_sign_of_its_life)
{
    struct di_heartbeat beat;

    di_heartbeat_init(&beat, 1);
    cr_assert_eq(di_heartbeat_tick(&beat, 0, 1, false), DI_HEARTBEAT_PING);
    cr_assert_eq(di_heartbeat_tick(&beat, 0, 2, false), DI_HEARTBEAT_GONE);
}

Test(heartbeat, one_that_only_receives_keeps_the_way_open)
{
    struct di_heartbeat beat;

    di_heartbeat_init(&beat, 1);
    for (uint64_t i = 1; i < 100; i++)
        cr_assert_eq(di_heartbeat_tick(&beat, i, 0, false), DI_HEARTBEAT_PING);
}

Test(heartbeat, a_busy_pipe_is_left_alone)
{
    struct di_heartbeat beat;

    di_heartbeat_init(&beat, 1);
    for (uint64_t i = 1; i < 100; i++)
        cr_assert_eq(di_heartbeat_tick(&beat, i, i, false), DI_HEARTBEAT_NOTHING);
}

Test(heartbeat, who_does_not_look_does_not_judge)
{
    struct di_heartbeat beat;

    di_heartbeat_init(&beat, 1);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(di_heartbeat_tick(&beat, 0, 0, true), DI_HEARTBEAT_PING);
    cr_assert_eq(di_heartbeat_tick(&beat, 0, 0, false), DI_HEARTBEAT_PING);
    cr_assert_eq(di_heartbeat_tick(&beat, 0, 0, false), DI_HEARTBEAT_GONE);
}

/* After any history: gone exactly when nothing was heard for more intervals than allowed, by somebody who looked. */
Test(heartbeat, any_history)
{
    uint64_t state = 88172645463325252ull;
    unsigned gone = 0;

    for (int run = 0; run < 2000; run++) {
        struct di_heartbeat beat;
        uint64_t heard = 0, said = 0;
        uint32_t quiet = 0, most = (uint32_t)(run % 5);
        enum di_heartbeat_due due = DI_HEARTBEAT_NOTHING;
        di_heartbeat_init(&beat, most);
        for (int i = 0; i < 50 && due != DI_HEARTBEAT_GONE; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bool blind = state % 7 == 0, hears = state >> 8 & 1, says = state >> 9 & 1;
            heard += hears;
            said += says;
            quiet = hears || blind ? 0 : quiet + 1;
            due = di_heartbeat_tick(&beat, heard, said, blind);
            cr_assert_eq(due == DI_HEARTBEAT_GONE, quiet > most);
            cr_assert(due == DI_HEARTBEAT_GONE || (due == DI_HEARTBEAT_PING) == (!hears || !says));
        }
        gone += due == DI_HEARTBEAT_GONE;
    }
    cr_assert_gt(gone, 0);
    cr_assert_lt(gone, 2000);
}
