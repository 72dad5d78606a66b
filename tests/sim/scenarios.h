/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_SCENARIOS_H
#define TESTS_SIM_SCENARIOS_H

#include "tests/sim/pair.h"

/* One named situation: what the world does, and who is in it. Each is played with several seeds, with polls that
 * tell of what is and with such that tell of what is new. */
struct sim_scenario {
    const char *name;
    struct di_sim_plan plan;
    struct sim_script script; /* played by sim_play(), or */
    void (*play)(struct sim_world *world, const struct sim_scenario *self); /* by this */
};

typedef void sim_scenario_play(struct sim_world *world, const struct sim_scenario *self);
sim_scenario_play sim_play_nobody, sim_play_both_full, sim_play_split, sim_play_move,
    sim_play_flood, sim_play_strangers;
/* scenario_life.c */
sim_scenario_play sim_play_drain_in_vain, sim_play_both_linger, sim_play_last_word,
    sim_play_cut_found, sim_play_naps, sim_play_pauses, sim_play_closed_within, sim_play_one_time;

extern const struct sim_scenario sim_scenarios[];
extern const unsigned sim_scenario_count;

#endif
