/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/durable_end.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "shm/durable_make.h"
#include "shm/liveness.h"

/*
 * Edges of this file, explained in durable_end.h:
 *   [bind]  record set, then peer_id stored with release | peer_id loaded with acquire
 *   [close] all sent, closes stored with release         | closes loaded with acquire, then the ring
 */

enum duct_err di_durable_end_refuse(const struct di_durable_end *end, enum duct_err err)
{
    if (err != DUCT_ECORRUPT && err != DUCT_EVERSION && err != DUCT_EINVAL)
        return err;
    return di_fail(err,
                   "the durable pipe %s in %s is refused: %s; \"shmreap --discard --name %s\" "
                   "removes it with all it holds",
                   end->name, end->dir.path, duct_err_detail(), end->name);
}

/* ---- One's own files ---- */

/* Somebody else has the lock. The number is only for people. */
static enum duct_err in_use(const struct di_durable_end *end, int fd)
{
    uint32_t pid = 0;

    if (di_durable_file_read(fd, &pid, sizeof(pid),
                             DI_DURABLE_OWNER_AT + offsetof(struct di_durable_owner, pid)) !=
        DUCT_OK)
        pid = 0;
    return di_fail(DUCT_EINUSE,
                   "the durable pipe %s has somebody at the end that %ss: process %u; stop it, or "
                   "choose another name",
                   end->name, end->end == DI_END_LISTEN ? "listen" : "dial", pid);
}

/* The sizes asked for are those the files were made with. */
static enum duct_err check_sizes(const struct di_geometry *found, const struct di_geometry *asked)
{
    struct di_outbox_header is = found->header;

    is.start = asked->header.start;
    if (memcmp(&is, &asked->header, sizeof(is)) == 0)
        return DUCT_OK;
    return di_fail(
        DUCT_EINVAL,
        "its files were made with slots=%u max_msg=%u, a pool of %llu bytes and room for "
        "%u held, and %u, %u, %llu and %u are asked for now; give the same options",
        is.slots, is.max_msg, (unsigned long long)is.pool_bytes, is.returns, asked->header.slots,
        asked->header.max_msg, (unsigned long long)asked->header.pool_bytes, asked->header.returns);
}

static enum duct_err check_own(const struct di_durable_end *end, const struct di_geometry *asked)
{
    const struct di_durable_header *header = &end->copy.header;

    if (strcmp(header->name, end->name) != 0 || header->end != end->end || header->uid != geteuid())
        return di_fail(DUCT_ECORRUPT,
                       "the file of the end that %ss was made for another pipe, end or user and "
                       "renamed since",
                       end->end == DI_END_LISTEN ? "listen" : "dial");
    enum duct_err err = check_sizes(&end->copy.geometry, asked);
    return err != DUCT_OK ? err : di_durable_check_record(&end->copy);
}

/* The pool beside an outbox that is locked. */
static enum duct_err take_pool(struct di_durable_end *end)
{
    char file[DI_DURABLE_FILE_MAX + 1];
    uint64_t size;
    bool taken;

    di_durable_pool_name(file, end->name, end->end);
    enum duct_err err = di_durable_file_open(&end->pool_fd, &size, &end->dir, file, true);
    if (err == DUCT_ENOTFOUND)
        return di_fail(DUCT_ECORRUPT, "its pool %s is gone", file);
    if (err != DUCT_OK)
        return err;
    if (size != end->copy.geometry.header.pool_bytes)
        return di_fail(DUCT_ECORRUPT, "its pool has %llu bytes, and the outbox says %llu",
                       (unsigned long long)size,
                       (unsigned long long)end->copy.geometry.header.pool_bytes);
    if ((err = di_lock_take(end->pool_fd, &taken)) != DUCT_OK)
        return err;
    return taken ? DUCT_OK : in_use(end, end->outbox_fd);
}

/* An outbox has the name. AGAIN: it lost it while we looked. */
static enum duct_err take_over(struct di_durable_end *end, const char *file, uint64_t size,
                               const struct di_geometry *asked)
{
    bool taken;
    enum duct_err err = di_lock_take(end->outbox_fd, &taken);

    if (err != DUCT_OK)
        return err;
    if (!taken)
        return in_use(end, end->outbox_fd);
    /* Whoever removes a file holds its lock: what has the name now keeps it. */
    if (!di_names_this(end->dir.fd, file, end->outbox_fd))
        return DUCT_EAGAIN;
    if ((err = di_durable_copy_read(&end->copy, end->outbox_fd, size, UINT64_MAX)) != DUCT_OK)
        return err;
    if ((err = check_own(end, asked)) != DUCT_OK || (err = take_pool(end)) != DUCT_OK)
        return err;
    end->geometry = end->copy.geometry;
    return DUCT_OK;
}

static enum duct_err map_own(struct di_segment *segment, int fd, uint64_t size)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (base == MAP_FAILED)
        return di_fail_os(errno, "mapping %llu bytes of a durable pipe", (unsigned long long)size);
    *segment = (struct di_segment){.base = base, .size = size, .fd = -1};
    if (madvise(base, size, MADV_DONTFORK) != 0)
        return di_fail_os(errno, "keeping a durable pipe from children");
    return DUCT_OK;
}

static void let_go(struct di_durable_end *end)
{
    di_durable_copy_free(&end->copy);
    di_segment_fini(&end->outbox);
    di_segment_fini(&end->pool);
    di_fork_close(end->pool_fd);
    di_fork_close(end->outbox_fd);
    end->pool_fd = end->outbox_fd = -1;
}

/* One try to have the files. AGAIN: they changed hands under our eyes. */
static enum duct_err get_files(struct di_durable_end *end, const struct di_geometry *asked)
{
    char file[DI_DURABLE_FILE_MAX + 1];
    uint64_t size;

    di_durable_outbox_name(file, end->name, end->end);
    enum duct_err err = di_durable_file_open(&end->outbox_fd, &size, &end->dir, file, true);
    if (err == DUCT_OK)
        return take_over(end, file, size, asked);
    if (err != DUCT_ENOTFOUND)
        return err;
    end->fresh = true;
    end->geometry = *asked;
    if ((err = di_durable_make(end)) != DUCT_OK)
        return err;
    return di_durable_copy_read(&end->copy, end->outbox_fd, asked->header.outbox_bytes, UINT64_MAX);
}

/* Says for people who has it now. */
static void sign(struct di_durable_end *end)
{
    struct di_durable_owner *owner = (void *)(end->outbox.base + DI_DURABLE_OWNER_AT);

    di_fork_close_in_child(end->outbox_fd);
    di_fork_close_in_child(end->pool_fd);
    /* Relaxed, all: only ever looked at by people. */
    atomic_store_explicit(&owner->pid, (uint32_t)getpid(), memory_order_relaxed);
    atomic_store_explicit(&owner->attached_ns, di_durable_wall_clock(), memory_order_relaxed);
    atomic_store_explicit(&owner->attaches,
                          atomic_load_explicit(&owner->attaches, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

enum duct_err di_durable_end_open(struct di_durable_end *end, const struct di_durable_asks *asks)
{
    struct di_geometry asked;
    enum duct_err err;

    memset(end, 0, sizeof(*end));
    end->outbox_fd = end->pool_fd = -1;
    end->end = asks->end;
    end->bytes_max = asks->bytes_max;
    snprintf(end->name, sizeof(end->name), "%s", asks->name);
    if ((err = di_durable_dir_open(&end->dir, asks->dir, geteuid(), true)) != DUCT_OK)
        return err;
    di_geometry_plan(&asked, asks->slots, asks->max_msg, asks->pool, 0);
    di_geometry_set_returns(&asked, asks->held);
    err = DUCT_EAGAIN;
    for (int attempt = 0; err == DUCT_EAGAIN && attempt < 100; attempt++) {
        let_go(end);
        end->fresh = false;
        err = get_files(end, &asked);
    }
    if (err == DUCT_EAGAIN)
        err = di_fail(DUCT_EINUSE, "the durable pipe %s changes hands faster than it can be taken",
                      end->name);
    if (err == DUCT_OK)
        err = map_own(&end->outbox, end->outbox_fd, end->geometry.header.outbox_bytes);
    if (err == DUCT_OK)
        err = map_own(&end->pool, end->pool_fd, end->geometry.header.pool_bytes);
    if (err == DUCT_OK) {
        end->id = end->copy.header.id;
        err = di_durable_end_meet(end);
    } else {
        err = di_durable_end_refuse(end, err);
    }
    if (err == DUCT_OK)
        sign(end);
    else
        di_durable_end_close(end);
    return err;
}

/* Of two numbers of closes. */
static bool is_after(uint64_t close, uint64_t other)
{
    return (int64_t)(close - other) > 0;
}

/* The other end's `closes`; 0 if there is none. */
static uint64_t peer_closes(const struct di_durable_end *end)
{
    if (!end->met)
        return 0;
    /* [close] observes: all messages that were sent before it, and the code. */
    return di_peer_load_acquire(di_peer_field(di_peer_at(end->peer_outbox.base, DI_DURABLE_SENT_AT),
                                              struct di_durable_sent, closes));
}

void di_durable_end_begin(const struct di_durable_end *end, bool all_received)
{
    _Atomic uint64_t *closes = &di_durable_end_sent(end)->closes;
    _Atomic uint64_t *seen = &di_durable_end_record(end)->closes_seen;
    /* Relaxed, all: only we write them, and the next owner of ours reads. */
    uint64_t before = atomic_load_explicit(closes, memory_order_relaxed);
    uint64_t dealt_with = atomic_load_explicit(seen, memory_order_relaxed);
    uint64_t theirs = peer_closes(end);

    /* What was over ahead of its time is not any more: the other end did not come, or is still there. */
    if (before % 2 == 1 && is_after(dealt_with, theirs))
        atomic_store_explicit(seen, theirs, memory_order_relaxed);
    else if (before % 2 == 1 && dealt_with == theirs && !all_received)
        atomic_store_explicit(seen, theirs - 1, memory_order_relaxed);
    DI_CRASH_POINT("durable.begun");
    atomic_store_explicit(closes, before + before % 2, memory_order_relaxed);
}

/* The number of the close with which what there was is over, for an end that closes now. */
static uint64_t last_close(const struct di_durable_end *end)
{
    uint64_t theirs = peer_closes(end);
    /* Relaxed: only we write it. */
    uint64_t dealt_with =
        atomic_load_explicit(&di_durable_end_record(end)->closes_seen, memory_order_relaxed);

    if (theirs % 2 == 0)
        return theirs + 1; /* it is open: that of its owner */
    return theirs == dealt_with ? theirs + 2 : theirs;
}

void di_durable_end_finish(const struct di_durable_end *end, uint32_t code, bool all_received)
{
    struct di_durable_sent *sent = di_durable_end_sent(end);
    /* Relaxed, all but one: only we write them, and the next owner of ours reads. */
    uint64_t before = atomic_load_explicit(&sent->closes, memory_order_relaxed);

    atomic_store_explicit(&sent->close_code, code, memory_order_relaxed);
    /* [close] publishes: all that was sent, and the code. */
    atomic_store_explicit(&sent->closes, before | 1, memory_order_release);
    DI_CRASH_POINT("durable.closed");
    if (all_received)
        atomic_store_explicit(&di_durable_end_record(end)->closes_seen, last_close(end),
                              memory_order_relaxed);
}

uint64_t di_durable_end_peer_finished(const struct di_durable_end *end, uint32_t *code)
{
    uint64_t closes = peer_closes(end);

    /* Relaxed: only we write it. */
    if (closes % 2 == 0 ||
        !is_after(closes, atomic_load_explicit(&di_durable_end_record(end)->closes_seen,
                                               memory_order_relaxed)))
        return 0;
    *code = di_peer_load32(di_peer_field(di_peer_at(end->peer_outbox.base, DI_DURABLE_SENT_AT),
                                         struct di_durable_sent, close_code));
    return closes;
}

void di_durable_end_close(struct di_durable_end *end)
{
    di_view_fini(&end->peer_pool);
    di_view_fini(&end->peer_outbox);
    let_go(end);
    di_durable_dir_close(&end->dir);
}

bool di_durable_end_named(const struct di_durable_end *end)
{
    struct stat status;

    return fstat(end->outbox_fd, &status) == 0 && status.st_nlink > 0;
}
