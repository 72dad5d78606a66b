/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/bells.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "shm/segment.h"

_Static_assert(sizeof(struct di_bells_page) <= DI_PAGE, "one page");

/* Nobody may take the page from under the other's feet. Writing stays allowed: that is what it is for. */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)

/* Writable on both sides, and not in a child of either. */
static enum duct_err map(struct di_bells *bells, int fd)
{
    void *base = mmap(NULL, DI_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (base == MAP_FAILED)
        return di_fail_os(errno, "mapping a page of doorbells");
    if (madvise(base, DI_PAGE, MADV_DONTFORK) != 0) {
        int errnum = errno;
        munmap(base, DI_PAGE);
        return di_fail_os(errnum, "mapping a page of doorbells");
    }
    bells->page = base;
    return DUCT_OK;
}

static enum duct_err fill(struct di_bells *bells, int fd)
{
    if (ftruncate(fd, DI_PAGE) != 0 || fcntl(fd, F_ADD_SEALS, SEALS) != 0)
        return di_fail_os(errno, "making a page of doorbells");
    int errnum = posix_fallocate(fd, 0, DI_PAGE);
    if (errnum != 0)
        return di_fail_os(errnum, "making a page of doorbells");
    return map(bells, fd);
}

enum duct_err di_bells_create(struct di_bells *bells, int *fd)
{
    int made = di_segment_memfd("duct-bells", false);

    if (made < 0)
        return di_fail_os(errno, "making a page of doorbells");
    enum duct_err err = fill(bells, made);
    if (err != DUCT_OK) {
        close(made);
        return err;
    }
    *fd = made;
    return DUCT_OK;
}

/* Of the peer's choosing, so looked at first: a regular memfd of one page that stays one. */
static bool is_bells_page(int fd)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &status) == 0 &&
           S_ISREG(status.st_mode) && status.st_size == (off_t)DI_PAGE &&
           status.st_blocks * 512 >= (blkcnt_t)DI_PAGE;
}

enum duct_err di_bells_map(struct di_bells *bells, int fd)
{
    if (!is_bells_page(fd))
        return di_fail(DUCT_ECORRUPT,
                       "the peer's page of doorbells is refused: it is not one "
                       "allocated page of a memfd, sealed against shrinking and growing");
    return map(bells, fd);
}

void di_bells_fini(struct di_bells *bells)
{
    if (bells->page != NULL)
        munmap(bells->page, DI_PAGE);
    bells->page = NULL;
}
