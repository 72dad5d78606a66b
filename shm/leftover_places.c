/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "shm/leftover.h"

/*
 * Where duct may have left something: the directories of shm/names.c and of durable pipes, each of which
 * has its owner's uid in its path. A directory whose owner is another is nobody's we know, and is noted.
 */
static const struct spot {
    const char *parent, *prefix, *below;
} spots[] = {
    {"/run/user", "", "/duct"},
    {"/tmp", "duct-", ""},
    {"/dev/shm", "duct-", ""},
};

/* The uid in a name of a spot, or false. */
static bool uid_in(const char *name, const char *prefix, uint32_t *uid)
{
    size_t length = strlen(prefix);
    char *end;

    if (strncmp(name, prefix, length) != 0 || name[length] < '0' || name[length] > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull(name + length, &end, 10);
    *uid = (uint32_t)value;
    return *end == '\0' && errno == 0 && value < UINT32_MAX;
}

static enum duct_err look_at(struct duct_janitor *janitor, const char *path, uint32_t uid)
{
    enum duct_err err = di_janitor_place(janitor, path, uid, false);

    if (err == DUCT_OK || err == DUCT_ENOTFOUND)
        return DUCT_OK;
    if (err != DUCT_ENOMEMORY) {
        di_janitor_not_seen(janitor, "%s", duct_err_detail());
        err = DUCT_OK;
    }
    return err;
}

static enum duct_err look_below(struct duct_janitor *janitor, const struct spot *spot,
                                size_t *others)
{
    DIR *stream = opendir(spot->parent);
    struct dirent *entry;
    enum duct_err err = DUCT_OK;
    char path[DI_PLACE_PATH_MAX];
    uint32_t uid;

    while (err == DUCT_OK && stream != NULL && (entry = di_directory_next(stream)) != NULL) {
        if (!uid_in(entry->d_name, spot->prefix, &uid))
            continue;
        if (uid != geteuid() && (janitor->own || geteuid() != 0)) {
            ++*others;
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s%s", spot->parent, entry->d_name, spot->below);
        err = look_at(janitor, path, uid);
    }
    if (err == DUCT_OK && stream != NULL && errno != 0)
        di_janitor_not_seen(janitor, "%s: %s", spot->parent, strerror(errno));
    if (stream != NULL)
        closedir(stream);
    return err;
}

enum duct_err di_leftover_places(struct duct_janitor *janitor)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    char path[DI_PLACE_PATH_MAX];
    size_t others = 0;
    enum duct_err err = DUCT_OK;

    if (xdg != NULL && xdg[0] == '/' &&
        snprintf(path, sizeof(path), "%s/duct", xdg) < (int)sizeof(path))
        err = look_at(janitor, path, (uint32_t)geteuid());
    for (size_t i = 0; err == DUCT_OK && i < sizeof(spots) / sizeof(spots[0]); i++)
        err = look_below(janitor, &spots[i], &others);
    if (others > 0 && !janitor->own)
        di_janitor_not_seen(janitor, "%zu director%s of other users: only root may look into them",
                            others, others == 1 ? "y" : "ies");
    return err;
}
