/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_SCHEME_H
#define TESTS_SIM_SCHEME_H

#include "lib/io/sim.h"

/*
 * sim://name, and what of the process a world replaces: the linker puts __wrap_… of scheme.c in the place of the
 * registry, of the kernel's chance and of the tick's clock (tests/sim/CMakeLists.txt). NULL: none, as outside.
 */
void sim_scheme_world(struct di_sim *sim);

/* Both sides take no larger frames than that, in this world; 0: as they would. Larger messages then come in parts. */
void sim_scheme_frames(uint32_t frame_max);

#endif
