/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_SHM_LEFTOVER_KIT_H
#define TEST_SHM_LEFTOVER_KIT_H

#include <stdbool.h>
#include <stdint.h>

#include <duct/janitor.h>

#include "shm/durable_file.h"

/* Leftovers to order, in a directory of the test's own. A kit that cannot be made ends the program. */
struct kit {
    char path[64];
    struct di_durable_dir dir;
};

void kit_open(struct kit *kit);
/* Removes it, whatever is in it. */
void kit_close(struct kit *kit);
bool kit_has(const struct kit *kit, const char *file);
int kit_files(const struct kit *kit);

/* What a killed listener leaves at name. */
void kit_socket(const struct kit *kit, const char *name);

/*
 * What two killed ends of a durable pipe leave: the one that listens sent `sent` messages, of which the
 * other released `released`; and got as many, and released all of them. No slot was used again, so that one
 * outbox alone would call all of it undelivered.
 */
void kit_durable(const struct kit *kit, const char *name, uint64_t sent, uint64_t released);
/* Both files of one end that sent so many to nobody yet. */
void kit_end(const struct kit *kit, const char *name, enum di_end end, uint64_t sent);

/* Looks at the directory, or ends the program. */
struct duct_janitor *kit_look(const struct kit *kit);
/* Removes all it may; how many it was told it removed. */
int kit_reap(struct duct_janitor *janitor, bool discard);

/* What is found under that name, and its number; NULL. */
const struct duct_leftover *kit_find(struct duct_janitor *janitor, const char *name, size_t *index);

#endif
