/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/durable_make.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/random.h"
#include "lib/base/system.h"
#include "shm/liveness.h"
#include "shm/ring.h"

int64_t di_durable_wall_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* The content of a new outbox; the rest of the file is zero. */
static void fill(const struct di_durable_end *end, unsigned char *base)
{
    const struct di_outbox_header *outbox = &end->geometry.header;
    struct di_durable_header header = {.magic = DI_DURABLE_MAGIC,
                                       .version = DI_DURABLE_VERSION,
                                       .end = end->end,
                                       .id = di_random_u64(),
                                       .uid = geteuid()};
    struct di_durable_owner *owner = (void *)(base + DI_DURABLE_OWNER_AT);
    struct di_durable_sent *sent = (void *)(base + DI_DURABLE_SENT_AT);

    header.created_ns = di_durable_wall_clock();
    di_boot_id(header.boot_id);
    memcpy(header.name, end->name, strlen(end->name));
    memcpy(base, outbox, sizeof(*outbox));
    memcpy(base + DI_DURABLE_HEADER_AT, &header, sizeof(header));
    atomic_init(&owner->pid, (uint32_t)getpid());
    atomic_init(&sent->reclaimed, outbox->start);
    di_ring_format((void *)(base + DI_OUTBOX_SLOTS_AT), outbox->slots, outbox->start);
}

static enum duct_err make_locked(int *fd, const struct di_durable_end *end, uint64_t size)
{
    bool taken;
    enum duct_err err = di_durable_file_make(fd, &end->dir, size);

    if (err != DUCT_OK)
        return err;
    /* Nobody else can have a file without a name. */
    return di_lock_take(*fd, &taken);
}

static enum duct_err fill_file(const struct di_durable_end *end)
{
    uint64_t size = end->geometry.header.outbox_bytes;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, end->outbox_fd, 0);

    if (base == MAP_FAILED)
        return di_fail_os(errno, "mapping %llu bytes of a durable pipe", (unsigned long long)size);
    fill(end, base);
    munmap(base, size);
    return DUCT_OK;
}

/*
 * A pool has the name and there was no outbox. Somebody is making this end right now, or died doing so:
 * its lock tells which. Under the lock it is looked once more whether there is an outbox, since the end
 * may have been finished, and its owner gone, between our two looks.
 */
static enum duct_err remove_orphan(const struct di_durable_end *end, const char *pool,
                                   const char *outbox)
{
    struct stat status;
    uint64_t size;
    bool taken = false;
    int fd;
    enum duct_err err = di_durable_file_open(&fd, &size, &end->dir, pool, true);

    if (err != DUCT_OK)
        return err == DUCT_ENOTFOUND ? DUCT_EAGAIN : err;
    err = di_lock_take(fd, &taken);
    if (err == DUCT_OK && !taken)
        err =
            di_fail(DUCT_EINUSE, "the durable pipe %s is being made by another process", end->name);
    if (err == DUCT_OK && di_names_this(end->dir.fd, pool, fd) &&
        fstatat(end->dir.fd, outbox, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT &&
        unlinkat(end->dir.fd, pool, 0) != 0)
        err = di_fail_os(errno, "removing %s/%s", end->dir.path, pool);
    close(fd);
    return err == DUCT_OK ? DUCT_EAGAIN : err;
}

enum duct_err di_durable_make(struct di_durable_end *end)
{
    char pool[DI_DURABLE_FILE_MAX + 1], outbox[DI_DURABLE_FILE_MAX + 1];
    bool there;
    enum duct_err err;

    di_durable_pool_name(pool, end->name, end->end);
    di_durable_outbox_name(outbox, end->name, end->end);
    if ((err = make_locked(&end->pool_fd, end, end->geometry.header.pool_bytes)) != DUCT_OK ||
        (err = make_locked(&end->outbox_fd, end, end->geometry.header.outbox_bytes)) != DUCT_OK ||
        (err = fill_file(end)) != DUCT_OK)
        return err;
    DI_CRASH_POINT("durable.filled");
    if ((err = di_durable_file_link(&end->dir, end->pool_fd, pool, &there)) != DUCT_OK)
        return err;
    if (there)
        return remove_orphan(end, pool, outbox);
    DI_CRASH_POINT("durable.pool_linked");
    err = di_durable_file_link(&end->dir, end->outbox_fd, outbox, &there);
    if (err == DUCT_OK && !there) {
        DI_CRASH_POINT("durable.linked");
        return DUCT_OK;
    }
    /* An outbox without a pool: put there by hand. Our pool must not be taken for its. */
    unlinkat(end->dir.fd, pool, 0);
    return err != DUCT_OK ? err : DUCT_EAGAIN;
}
