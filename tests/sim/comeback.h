/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_COMEBACK_H
#define TESTS_SIM_COMEBACK_H

#include "tests/sim/pair.h"
#include "tests/sim/saga.h"

/* Programs of a world in which peers are lost and come back: dialers with reconnect=1, a listener that goes and comes, and
 * somebody who sees to it that there is something to come back from. sim_play() has them play scripts with `outages`. */
struct sim_comeback {
    struct sim_case play;          /* first: sim_dial() and sim_listen() look for it */
    struct duct_context *listener; /* to be woken */
    bool down;                     /* the listener is to go, as if it had died; */
    bool replaced;                 /* or to hand over to another, in order */
    int64_t down_ns;
    bool calm; /* nothing more happens */
    bool harm; /* the world itself does some */
};

sim_program sim_comeback_dialer, sim_comeback_listener, sim_comeback_fate;

#endif
