/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_TOOLS_SHMREAP_H
#define DUCT_TOOLS_SHMREAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <duct/janitor.h>

/* shmreap: a command line around <duct/janitor.h>. A round looks, acts as told, and reports. */

enum reap_exit {
    REAP_CLEAN = 0,
    REAP_FAILED = 1,
    REAP_USAGE = 2,
    REAP_LEFT = 3,  /* something is left over, listed or kept */
    REAP_BLIND = 4, /* nothing that could be seen, but not everything could be */
    REAP_SIGNAL = 128
};

struct reap_options {
    bool reap, discard, dry_run, foreign, own, all, json, quiet;
    const char *pattern, *directory;
    int64_t min_age_ns, watch_ns; /* watch: 0: one round */
};

/* What became of a leftover in this round. */
enum reap_action {
    REAP_LISTED,
    REAP_WOULD, /* --dry-run */
    REAP_REMOVED,
    REAP_KEPT,
    REAP_GONE, /* somebody else removed it */
    REAP_ERROR
};

struct reap_line {
    const struct duct_leftover *what;
    enum reap_action action;
    char error[256]; /* KEPT by the library, ERROR: its words */
};

struct reap_round {
    struct duct_janitor *janitor;
    struct reap_line *lines;
    size_t count, left, removed, failed, unknown;
    uint64_t left_bytes, removed_bytes, undelivered;
};

/* Looks, and acts. False: said why. */
bool reap_round_run(struct reap_round *round, const struct reap_options *options);
void reap_round_end(struct reap_round *round);

/* Report on standard output. */
void reap_table(const struct reap_round *round, const struct reap_options *options);
void reap_json(const struct reap_round *round, const struct reap_options *options);

const char *reap_action_name(enum reap_action action);
/* The user's name, or the number. */
const char *reap_owner(uint32_t uid, char *buffer, size_t size);

#endif
