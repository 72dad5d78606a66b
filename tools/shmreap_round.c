/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/shmreap.h"

/* One round: which of what was found is meant, and what becomes of it. */

static bool is_meant(const struct duct_leftover *what, const struct reap_options *options)
{
    if (options->pattern != NULL)
        return fnmatch(options->pattern, what->name, 0) == 0;
    /* What is in use is shown where it is asked for. */
    return what->state != DUCT_LEFTOVER_LIVE || options->all || options->foreign;
}

static bool is_removable(const struct duct_leftover *what, const struct reap_options *options)
{
    return what->state == DUCT_LEFTOVER_EMPTY ||
           (options->discard &&
            (what->state == DUCT_LEFTOVER_FULL || what->state == DUCT_LEFTOVER_DAMAGED));
}

static void act(struct reap_round *round, size_t index, struct reap_line *line,
                const struct reap_options *options)
{
    if (!options->reap) {
        line->action = REAP_LISTED;
        return;
    }
    if (!is_removable(line->what, options) || line->what->age_ns < options->min_age_ns) {
        line->action = REAP_KEPT;
        return;
    }
    if (options->dry_run) {
        line->action = REAP_WOULD;
        return;
    }
    enum duct_err err = duct_janitor_remove(round->janitor, index, options->discard);
    line->action = err == DUCT_OK          ? REAP_REMOVED
                   : err == DUCT_ENOTFOUND ? REAP_GONE
                   : err == DUCT_EINUSE    ? REAP_KEPT
                                           : REAP_ERROR;
    if (err != DUCT_OK && err != DUCT_ENOTFOUND)
        snprintf(line->error, sizeof(line->error), "%s", duct_err_detail());
}

static void count(struct reap_round *round, const struct reap_line *line)
{
    const struct duct_leftover *what = line->what;

    if (line->action == REAP_REMOVED) {
        round->removed++;
        round->removed_bytes += what->bytes;
        return;
    }
    round->failed += line->action == REAP_ERROR;
    if (line->action == REAP_GONE || what->state == DUCT_LEFTOVER_LIVE)
        return;
    if (what->state == DUCT_LEFTOVER_UNKNOWN) {
        round->unknown++;
        return;
    }
    round->left++;
    round->left_bytes += what->bytes;
    round->undelivered += what->undelivered;
}

bool reap_round_run(struct reap_round *round, const struct reap_options *options)
{
    struct duct_janitor_options look = DUCT_JANITOR_OPTIONS_INIT;

    *round = (struct reap_round){0};
    look.directory = options->directory;
    look.own = options->own;
    look.foreign = options->foreign;
    if (duct_janitor_open(&round->janitor, &look) != DUCT_OK) {
        cli_say("%s", duct_err_detail());
        return false;
    }
    size_t found = duct_janitor_count(round->janitor);
    round->lines = calloc(found + 1, sizeof(*round->lines));
    if (round->lines == NULL) {
        cli_say("no memory for %zu lines", found);
        reap_round_end(round);
        return false;
    }
    for (size_t i = 0; i < found; i++) {
        const struct duct_leftover *what = duct_janitor_at(round->janitor, i);
        struct reap_line *line = &round->lines[round->count];
        /* An age may only spare something, never condemn it. */
        if (!is_meant(what, options) || (what->age_ns < options->min_age_ns && !options->all))
            continue;
        line->what = what;
        act(round, i, line, options);
        count(round, line);
        round->count++;
    }
    return true;
}

void reap_round_end(struct reap_round *round)
{
    duct_janitor_close(round->janitor);
    free(round->lines);
    *round = (struct reap_round){0};
}

const char *reap_action_name(enum reap_action action)
{
    static const char *const names[] = {
        [REAP_LISTED] = "listed", [REAP_WOULD] = "would-remove", [REAP_REMOVED] = "removed",
        [REAP_KEPT] = "kept",     [REAP_GONE] = "gone",          [REAP_ERROR] = "failed"};

    return names[action];
}

const char *reap_owner(uint32_t uid, char *buffer, size_t size)
{
    const struct passwd *user = getpwuid(uid);

    if (user != NULL)
        snprintf(buffer, size, "%s", user->pw_name);
    else
        snprintf(buffer, size, "%u", uid);
    return buffer;
}
