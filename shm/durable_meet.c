/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "shm/durable_end.h"
#include "shm/liveness.h"

/*
 * The other end's files: found by name, checked from a copy, mapped for reading.
 *
 * Edges of this file, explained in durable_end.h:
 *   [bind]  record set, then peer_id stored with release | peer_id loaded with acquire
 */

struct di_durable_other di_durable_end_other(const struct di_durable_end *end)
{
    const DI_PEER void *record = di_peer_at(end->peer_outbox.base, DI_DURABLE_RECORD_AT);
    const DI_PEER void *page = di_peer_at(end->peer_outbox.base, DI_OUTBOX_RECEIVER_AT);
    struct di_durable_other other;

    /* [bind] observes: a record that belongs to this id. */
    other.bound = di_peer_load_acquire(di_peer_field(record, struct di_durable_record, peer_id));
    other.low = di_peer_load(di_peer_field(page, struct di_receiver_page, consumed));
    return other;
}

/* Begins the record of what came from the other end: nothing so far. The id last: a death before it finds
 * no record, and begins again. */
static void bind_record(const struct di_durable_end *end, uint64_t start, uint64_t id)
{
    struct di_durable_record *record = di_durable_end_record(end);
    _Atomic uint64_t *marks = di_durable_end_marks(end);
    uint64_t count = end->geometry.header.returns;

    /* Relaxed, all: published by the id. */
    for (uint64_t i = 0; i < count; i++)
        atomic_store_explicit(&marks[(start + i) & (count - 1)], start + i + 1 - count,
                              memory_order_relaxed);
    atomic_store_explicit(&di_durable_end_page(end)->consumed, start, memory_order_relaxed);
    atomic_store_explicit(&record->received, start, memory_order_relaxed);
    DI_CRASH_POINT("durable.bind_id");
    /* [bind] publishes: low-water mark, received, marks. */
    atomic_store_explicit(&record->peer_id, id, memory_order_release);
}

/* Whether the two go together, from this side's view of it. */
static enum duct_err check_pair(struct di_durable_end *end, const struct di_durable_copy *copy)
{
    struct di_durable_other other = di_durable_end_other(end);
    /* Relaxed: this end is ours, and only we write it. */
    uint64_t bound =
        atomic_load_explicit(&di_durable_end_record(end)->peer_id, memory_order_relaxed);
    uint64_t reclaimed =
        atomic_load_explicit(&di_durable_end_sent(end)->reclaimed, memory_order_relaxed);

    if ((bound != 0 && bound != copy->header.id) || (other.bound != 0 && other.bound != end->id) ||
        (other.bound == 0 && reclaimed != end->geometry.header.start))
        return di_fail(DUCT_ECORRUPT, "its two ends do not belong together: the files of one were "
                                      "removed and made anew");
    if (bound != 0)
        return DUCT_OK;
    uint64_t their_start = copy->geometry.header.start;
    if (di_peer_load(di_peer_field(di_peer_at(end->peer_outbox.base, DI_DURABLE_SENT_AT),
                                   struct di_durable_sent, reclaimed)) != their_start)
        return di_fail(DUCT_ECORRUPT,
                       "its two ends do not belong together: this one is new, and the "
                       "other has had a peer before");
    bind_record(end, their_start, copy->header.id);
    return DUCT_OK;
}

static enum duct_err map_view(struct di_view *view, int fd, uint64_t size)
{
    void *base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    if (base == MAP_FAILED)
        return di_fail_os(errno, "mapping %llu bytes of a durable pipe's other end",
                          (unsigned long long)size);
    view->base = (const DI_PEER void *)(uintptr_t)base;
    view->size = size;
    return DUCT_OK;
}

static enum duct_err check_names(const struct di_durable_end *end,
                                 const struct di_durable_copy *copy, uint64_t pool_size)
{
    if (strcmp(copy->header.name, end->name) != 0 ||
        copy->header.end != (uint32_t)di_end_other(end->end))
        return di_fail(DUCT_ECORRUPT, "the other end's file was made for another pipe or end, and "
                                      "renamed since");
    if (pool_size != copy->geometry.header.pool_bytes)
        return di_fail(DUCT_ECORRUPT, "the other end's pool has %llu bytes, its outbox says %llu",
                       (unsigned long long)pool_size,
                       (unsigned long long)copy->geometry.header.pool_bytes);
    return DUCT_OK;
}

/* Both files are open. */
static enum duct_err adopt(struct di_durable_end *end, int outbox_fd, uint64_t outbox_size,
                           int pool_fd, uint64_t pool_size)
{
    struct di_durable_copy copy;
    enum duct_err err = di_durable_copy_read(&copy, outbox_fd, outbox_size, end->bytes_max);

    if (err != DUCT_OK)
        return err;
    if ((err = check_names(end, &copy, pool_size)) == DUCT_OK &&
        (err = map_view(&end->peer_outbox, outbox_fd, outbox_size)) == DUCT_OK &&
        (err = map_view(&end->peer_pool, pool_fd, pool_size)) == DUCT_OK)
        err = check_pair(end, &copy);
    if (err == DUCT_OK) {
        end->peer_geometry = copy.geometry;
        end->peer_id = copy.header.id;
        end->met = true;
    } else {
        di_view_fini(&end->peer_outbox);
        di_view_fini(&end->peer_pool);
    }
    di_durable_copy_free(&copy);
    return err;
}

/*
 * The other end's outbox, by its name. A janitor locks what it removes before it looks whether there is another end,
 * and ours has its name before we look: so either it sees ours, and leaves both alone, or we see it here. To be bound
 * to files that are just being removed would part the two ends for ever.
 */
static enum duct_err open_other(const struct di_durable_end *end, const char *outbox, int *fd,
                                uint64_t *size)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        bool gone;
        enum duct_err err = di_durable_file_open(fd, size, &end->dir, outbox, false);
        if (err != DUCT_OK)
            return err;
        err = di_lock_outlast_janitor(*fd, &gone);
        if (err == DUCT_OK && !gone)
            err = di_fail(DUCT_EINUSE,
                          "a janitor is removing %s/%s, and is stopped; let it go on, or end it",
                          end->dir.path, outbox);
        if (err == DUCT_OK && di_names_this(end->dir.fd, outbox, *fd))
            return DUCT_OK;
        close(*fd);
        if (err != DUCT_OK)
            return err;
    }
    return di_fail(DUCT_EINUSE, "%s/%s changes hands faster than it can be read", end->dir.path,
                   outbox);
}

enum duct_err di_durable_end_meet(struct di_durable_end *end)
{
    char outbox[DI_DURABLE_FILE_MAX + 1], pool[DI_DURABLE_FILE_MAX + 1];
    uint64_t outbox_size, pool_size;
    int outbox_fd, pool_fd;

    if (end->met)
        return DUCT_OK;
    di_durable_outbox_name(outbox, end->name, di_end_other(end->end));
    di_durable_pool_name(pool, end->name, di_end_other(end->end));
    enum duct_err err = open_other(end, outbox, &outbox_fd, &outbox_size);
    if (err == DUCT_ENOTFOUND)
        return DUCT_OK;
    if (err != DUCT_OK)
        return di_durable_end_refuse(end, err);
    err = di_durable_file_open(&pool_fd, &pool_size, &end->dir, pool, false);
    if (err == DUCT_ENOTFOUND)
        err = di_fail(DUCT_ECORRUPT, "the other end's pool %s is gone", pool);
    if (err == DUCT_OK) {
        err = adopt(end, outbox_fd, outbox_size, pool_fd, pool_size);
        close(pool_fd);
    }
    close(outbox_fd);
    return err == DUCT_OK ? err : di_durable_end_refuse(end, err);
}
