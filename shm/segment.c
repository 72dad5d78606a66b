/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/memory.h"
#include "shm/layout.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u /* Linux 6.3 */
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

int di_segment_memfd(const char *name, bool huge)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
    int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

    /* Kernels before 6.3 do not know the flag; those after warn when it is missing. */
    return fd < 0 && errno == EINVAL ? memfd_create(name, flags) : fd;
}

static enum duct_err refuse(int errnum, const char *what, uint64_t size, bool huge)
{
    if (huge && (errnum == ENOMEM || errnum == ENOSPC || errnum == EINVAL || errnum == ENODEV))
        return di_fail(DUCT_ENOSPACE,
                       "%s of %llu bytes in huge pages: the system's reserve has not enough; raise "
                       "/proc/sys/vm/nr_hugepages, or leave out huge=1",
                       what, (unsigned long long)size);
    return di_fail_os(errnum, "%s of %llu bytes of shared memory", what, (unsigned long long)size);
}

/* The same file, opened read-only; without /proc the writable descriptor, which the seals disarm.
 */
static int reopen_read_only(int fd)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int reopened = open(path, O_RDONLY | O_CLOEXEC);
    if (reopened < 0)
        return fd;
    close(fd);
    return reopened;
}

/* Above this size it is asked beforehand whether there is so much: reading that takes some microseconds. */
#define ASK_BYTES (8u << 20)

static enum duct_err check_memory(uint64_t size)
{
    uint64_t available = size > ASK_BYTES ? di_memory_available() : UINT64_MAX;

    if (size <= available)
        return DUCT_OK;
    return di_fail(
        DUCT_ENOSPACE,
        "a segment of %llu bytes: only %llu are available, and taking more would get some "
        "process killed; give a smaller pool or max_msg, or more memory",
        (unsigned long long)size, (unsigned long long)available);
}

/* Sizes it and allocates every page; 0 or an errno. A signal may interrupt either. */
static int allocate(int fd, uint64_t size)
{
    int errnum;

    do {
        errnum = ftruncate(fd, (off_t)size) == 0 ? posix_fallocate(fd, 0, (off_t)size) : errno;
    } while (errnum == EINTR);
    return errnum;
}

static enum duct_err fill(struct di_segment *segment, int fd, bool huge)
{
    enum duct_err err = huge ? DUCT_OK : check_memory(segment->size);
    int errnum;

    if (err != DUCT_OK)
        return err;
    DI_CRASH_POINT("segment.created");
    if ((errnum = allocate(fd, segment->size)) != 0)
        return refuse(errnum, "allocating", segment->size, huge);
    DI_CRASH_POINT("segment.allocated");
    void *base = mmap(NULL, segment->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return refuse(errno, "mapping", segment->size, huge);
    DI_CRASH_POINT("segment.mapped");
    /* A child made by fork() must not write into the parent's pipes. */
    if (madvise(base, segment->size, MADV_DONTFORK) != 0 || fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
        errnum = errno;
        munmap(base, segment->size);
        return refuse(errnum, "sealing", segment->size, huge);
    }
    DI_CRASH_POINT("segment.sealed");
    segment->base = base;
    return DUCT_OK;
}

enum duct_err di_segment_create(struct di_segment *segment, const char *name, uint64_t size,
                                bool huge)
{
    uint64_t page = huge ? DI_HUGE_PAGE : DI_PAGE;
    int fd = di_segment_memfd(name, huge);

    *segment = (struct di_segment){.size = (size + page - 1) / page * page, .fd = -1};
    if (fd < 0)
        return refuse(errno, "creating", segment->size, huge);
    enum duct_err err = fill(segment, fd, huge);
    if (err != DUCT_OK) {
        close(fd);
        return err;
    }
    segment->fd = reopen_read_only(fd);
    DI_CRASH_POINT("segment.reopened");
    return DUCT_OK;
}

void di_segment_close_fd(struct di_segment *segment)
{
    if (segment->fd >= 0)
        close(segment->fd);
    segment->fd = -1;
}

void di_segment_fini(struct di_segment *segment)
{
    if (segment->base == NULL)
        return;
    di_segment_close_fd(segment);
    munmap(segment->base, segment->size);
    segment->base = NULL;
}

/* What is wrong with the descriptor, or NULL. The seals come first: only shared memory has any, and of a file
 * of somebody's own file system any other question could wait for its answer for ever. */
static const char *fault(int fd, bool huge, struct stat *status)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct statfs system;

    if (seals < 0)
        return "it is not a memfd";
    if ((seals & SEALS) != SEALS)
        return "it is not sealed";
    if (fstat(fd, status) != 0 || fstatfs(fd, &system) != 0 || !S_ISREG(status->st_mode))
        return "it is not a regular file";
    if (system.f_type == HUGETLBFS_MAGIC && !huge)
        return "it is in huge pages, which was not agreed";
    if (status->st_size < (off_t)DI_PAGE || status->st_size % DI_PAGE != 0)
        return "it is not whole pages";
    /* 512-byte units, whatever the file system's block size. */
    if ((uint64_t)status->st_blocks * 512 < (uint64_t)status->st_size)
        return "it is sparse, and reading it would charge this process";
    return NULL;
}

enum duct_err di_view_map(struct di_view *view, int fd, bool huge, uint64_t bytes_max)
{
    struct stat status;
    const char *why = fault(fd, huge, &status);

    if (why != NULL)
        return di_fail(DUCT_ECORRUPT, "the peer's segment is refused: %s", why);
    if ((uint64_t)status.st_size > bytes_max)
        return di_fail(DUCT_ELIMIT,
                       "the peer's segment has %llu bytes, over the limit of %llu; raise the "
                       "option peer_bytes",
                       (unsigned long long)status.st_size, (unsigned long long)bytes_max);
    void *base = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return di_fail_os(errno, "mapping %llu bytes of the peer's",
                          (unsigned long long)status.st_size);
    DI_CRASH_POINT("view.mapped");
    view->base = (const DI_PEER void *)(uintptr_t)base;
    view->size = (uint64_t)status.st_size;
    return DUCT_OK;
}

void di_view_fini(struct di_view *view)
{
    if ((uintptr_t)view->base == 0)
        return;
    munmap((void *)(uintptr_t)view->base, view->size);
    view->base = (const DI_PEER void *)(uintptr_t)0;
}
