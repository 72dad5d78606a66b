/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "shm/leftover.h"

/*
 * System V segments of this IPC namespace. The kernel counts who has one attached, so nothing about them is
 * unknown. It knows no lock: between the last look at that count and the removal somebody may attach. Then
 * the kernel keeps the segment until they detach, and only its key is gone.
 */

/* A line of /proc/sysvipc/shm, by the names of its columns. */
struct row {
    int64_t key, id, size, creator, attached, uid, atime, ctime, rss;
};

static bool parse(const char *head, const char *line, struct row *row)
{
    const struct {
        const char *name;
        int64_t *value;
    } columns[] = {{"key", &row->key},      {"shmid", &row->id},        {"size", &row->size},
                   {"cpid", &row->creator}, {"nattch", &row->attached}, {"uid", &row->uid},
                   {"atime", &row->atime},  {"ctime", &row->ctime},     {"rss", &row->rss}};
    const size_t known = sizeof(columns) / sizeof(columns[0]);
    size_t found = 0;
    char *end;

    for (;;) {
        head += strspn(head, " \t\n");
        size_t length = strcspn(head, " \t\n");
        if (length == 0)
            return found == known;
        int64_t value = strtoll(line, &end, 10);
        if (end == line)
            return false;
        line = end;
        for (size_t i = 0; i < known; i++) {
            if (strlen(columns[i].name) == length && strncmp(columns[i].name, head, length) == 0) {
                *columns[i].value = value;
                found++;
            }
        }
        head += length;
    }
}

void di_leftover_sysv_judge(struct di_found *found)
{
    /* inode: the segment's id; device tells it from files. */
    size_t attached = found->attached;

    for (size_t i = 0; i < found->about.holder_count; i++)
        if (strcmp(found->holders[i].command, "postgres") == 0)
            found->about.engine = "PostgreSQL"; /* its interlock: src/backend/port/sysv_shmem.c */
    if (attached > 0)
        di_found_judge(found, DUCT_LEFTOVER_LIVE, "attached %zu time%s", attached,
                       attached == 1 ? "" : "s");
    else
        di_found_judge(found, DUCT_LEFTOVER_EMPTY, "nobody has it attached");
}

static enum duct_err remove_sysv(struct di_found *found, bool discard)
{
    struct shmid_ds status;
    int id = (int)found->inode;

    (void)discard;
    if (shmctl(id, IPC_STAT, &status) != 0)
        return errno == EINVAL || errno == EIDRM
                   ? di_fail(DUCT_ENOTFOUND, "%s is gone already", found->about.name)
                   : di_fail_os(errno, "looking at %s", found->about.name);
    /* Ids are used again. */
    if ((int64_t)status.shm_ctime != found->made || status.shm_perm.uid != found->about.uid)
        return di_fail(DUCT_ENOTFOUND, "%s was removed, and its number used again",
                       found->about.name);
    if (status.shm_nattch > 0)
        return di_fail(DUCT_EINUSE, "%s is kept: it was attached just now", found->about.name);
    if (shmctl(id, IPC_RMID, NULL) != 0)
        return errno == EINVAL || errno == EIDRM
                   ? di_fail(DUCT_ENOTFOUND, "%s is gone already", found->about.name)
                   : di_fail_os(errno, "removing %s", found->about.name);
    return DUCT_OK;
}

static enum duct_err add(struct duct_janitor *janitor, const struct row *row)
{
    struct di_found *found;
    char name[64];

    if (janitor->own && (uint32_t)row->uid != geteuid())
        return DUCT_OK;
    snprintf(name, sizeof(name), "sysv-%" PRId64, row->id);
    enum duct_err err = di_found_add(janitor, &found, NULL, name, NULL);
    if (err != DUCT_OK)
        return err;
    found->remove = remove_sysv;
    found->about.kind = DUCT_LEFTOVER_SYSV;
    found->about.uid = (uint32_t)row->uid;
    found->about.bytes = (uint64_t)(row->rss > 0 ? row->rss : 0);
    di_found_written(found, row->atime > row->ctime ? row->atime : row->ctime);
    found->device = DI_SYSV_DEVICE;
    found->inode = (ino_t)row->id;
    found->made = row->ctime;
    found->attached = (size_t)row->attached;
    return DUCT_OK;
}

enum duct_err di_leftover_sysv(struct duct_janitor *janitor)
{
    FILE *file = fopen("/proc/sysvipc/shm", "re");
    char head[512], line[512];
    struct row row = {0};
    enum duct_err err = DUCT_OK;

    if (file == NULL) {
        /* A kernel without System V IPC has none. */
        if (errno != ENOENT)
            di_janitor_not_seen(janitor, "/proc/sysvipc/shm: %s", strerror(errno));
        return DUCT_OK;
    }
    if (fgets(head, sizeof(head), file) != NULL) {
        while (err == DUCT_OK && fgets(line, sizeof(line), file) != NULL) {
            if (parse(head, line, &row))
                err = add(janitor, &row);
            else
                di_janitor_not_seen(janitor, "a line of /proc/sysvipc/shm that is new to us");
        }
    }
    fclose(file);
    return err;
}
