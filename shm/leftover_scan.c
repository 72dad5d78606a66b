/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/error.h"
#include "shm/durable_file.h"
#include "shm/leftover.h"
#include "shm/names.h"

/* What lies in a directory of duct's: whose rule is it? */

static enum duct_err stray(struct duct_janitor *janitor, const struct di_place *place,
                           const struct di_entry *entry)
{
    struct di_found *found;
    struct stat status;

    if (!di_place_stat(place, entry->name, &status))
        return DUCT_OK; /* gone meanwhile */
    enum duct_err err = di_found_add(janitor, &found, place, entry->name, NULL);
    if (err != DUCT_OK)
        return err;
    di_found_measure(found, &status);
    found->about.kind = DUCT_LEFTOVER_STRAY;
    found->about.engine = "";
    di_found_judge(found, DUCT_LEFTOVER_REFUSED, "%s, which duct did not make; left alone",
                   S_ISLNK(status.st_mode)   ? "a symbolic link"
                   : S_ISDIR(status.st_mode) ? "a directory"
                   : S_ISREG(status.st_mode) ? "a file"
                                             : "a special file");
    return DUCT_OK;
}

/* The length of NAME in NAME.lock, or 0. */
static size_t locked_name(const char *name)
{
    size_t length = strlen(name), suffix = strlen(DI_LOCK_SUFFIX);

    return length > suffix && strcmp(name + length - suffix, DI_LOCK_SUFFIX) == 0 ? length - suffix
                                                                                  : 0;
}

/* Of the up to four files of a durable pipe, the first in the list stands for all. */
static bool is_first(const struct di_entry *entries, size_t count, const struct di_entry *entry,
                     const char *name)
{
    char file[DI_DURABLE_FILE_MAX + 1];

    for (unsigned i = 0; i < 4; i++) {
        enum di_end end = i < 2 ? DI_END_DIAL : DI_END_LISTEN; /* as they are sorted */
        if (i % 2 == 0)
            di_durable_outbox_name(file, name, end);
        else
            di_durable_pool_name(file, name, end);
        const struct di_entry *found = di_entry_find(entries, count, file);
        if (found != NULL)
            return found == entry;
    }
    return true;
}

static enum duct_err judge(struct duct_janitor *janitor, const struct di_place *place,
                           const struct di_entry *entries, size_t count,
                           const struct di_entry *entry)
{
    char name[sizeof(entry->name)];
    size_t length = locked_name(entry->name);
    enum di_end end;
    bool pool;

    if (entry->type == DT_SOCK)
        return di_leftover_socket(janitor, place, entry->name);
    if (di_durable_parse(entry->name, name, &end, &pool))
        return is_first(entries, count, entry, name) ? di_leftover_durable(janitor, place, name)
                                                     : DUCT_OK;
    if (entry->type != DT_REG || length == 0)
        return stray(janitor, place, entry);
    snprintf(name, sizeof(name), "%.*s", (int)length, entry->name);
    const struct di_entry *socket = di_entry_find(entries, count, name);
    if (socket != NULL && socket->type == DT_SOCK)
        return DUCT_OK; /* judged with its socket */
    return di_leftover_socket(janitor, place, name);
}

enum duct_err di_leftover_scan(struct duct_janitor *janitor, const struct di_place *place)
{
    struct di_entry *entries;
    size_t count;
    enum duct_err err = di_place_list(place, &entries, &count);

    for (size_t i = 0; err == DUCT_OK && i < count; i++)
        err = judge(janitor, place, entries, count, &entries[i]);
    free(entries);
    return err;
}
