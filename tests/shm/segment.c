/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/layout.h"
#include "shm/segment.h"
#include "tests/shm/memfd.h"

enum { REQUIRED = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE };

static enum duct_err map(int fd)
{
    struct di_view view = {0};
    enum duct_err err = di_view_map(&view, fd, false, 1 << 20);

    if (err == DUCT_OK) {
        cr_assert_eq(*(const unsigned char *)di_peer_address(view.base), 0);
        di_view_fini(&view);
    }
    return err;
}

/* All sixteen subsets of the four: only the whole set will do, with or without more. */
Test(segment, seals)
{
    static const int seals[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL};

    for (unsigned subset = 0; subset < 16; subset++) {
        int wanted = 0;
        for (int i = 0; i < 4; i++)
            wanted |= subset >> i & 1 ? seals[i] : 0;
        int fd = memfd(8192, true, wanted);
        cr_expect_eq(map(fd), subset == 15 ? DUCT_OK : DUCT_ECORRUPT, "subset %u", subset);
        close(fd);
    }
    int fd = memfd(8192, true, REQUIRED | F_SEAL_WRITE);
    cr_expect_eq(map(fd), DUCT_OK, "more is not less");
    close(fd);
}

Test(segment, sizes)
{
    static const struct {
        off_t size;
        bool allocate;
        enum duct_err expected;
    } cases[] = {{0, true, DUCT_ECORRUPT},
                 {1, true, DUCT_ECORRUPT},
                 {4095, true, DUCT_ECORRUPT},
                 {4096, true, DUCT_OK},
                 {4097, true, DUCT_ECORRUPT},
                 {1 << 20, true, DUCT_OK},
                 {(1 << 20) + 4096, true, DUCT_ELIMIT},
                 {8192, false, DUCT_ECORRUPT},
                 {1ll << 40, false, DUCT_ECORRUPT}};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = memfd(cases[i].size, cases[i].allocate, REQUIRED);
        cr_expect_eq(map(fd), cases[i].expected, "size %lld", (long long)cases[i].size);
        close(fd);
    }
    /* One hole in the middle. */
    int fd = memfd(1 << 20, true, 0);
    cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536, 4096), 0);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, REQUIRED), 0);
    cr_expect_eq(map(fd), DUCT_ECORRUPT);
    close(fd);
}

Test(segment, no_memory_at_all)
{
    int pair[2], pipes[2];
    char name[] = "/tmp/duct-segment-XXXXXX";
    int file = mkstemp(name);

    cr_assert(file >= 0 && unlink(name) == 0 && ftruncate(file, 8192) == 0);
    cr_assert_eq(posix_fallocate(file, 0, 8192), 0);
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(pipes) == 0);
    const int fds[] = {file,
                       pair[0],
                       pipes[0],
                       open("/tmp", O_RDONLY | O_DIRECTORY),
                       open("/dev/zero", O_RDWR),
                       open("/dev/null", O_RDONLY),
                       open("/proc/self/maps", O_RDONLY),
                       eventfd(0, 0),
                       open("/tmp", O_PATH)};
    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        cr_assert_geq(fds[i], 0);
        enum duct_err err = map(fds[i]);
        cr_expect(err == DUCT_ECORRUPT, "descriptor %u: %s", i, duct_err_name(err));
        close(fds[i]);
    }
    cr_expect_neq(map(-1), DUCT_OK);
    close(pair[1]);
    close(pipes[1]);
}

/* ---- What one makes and passes on ---- */

static int tries_to_write(int fd, const void *view, size_t size)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
        return 1;
    if (mprotect((void *)(uintptr_t)view, size, PROT_READ | PROT_WRITE) == 0)
        return 2;
    if (write(fd, "x", 1) >= 0 || pwrite(fd, "x", 1, 0) >= 0)
        return 3;
    if (ftruncate(fd, 4096) == 0 || ftruncate(fd, (off_t)size * 2) == 0)
        return 4;
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0)
        return 5;
    if (fallocate(fd, 0, 0, (off_t)size * 2) == 0)
        return 6;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0)
        return 7;
    int again = open(path, O_RDWR);
    if (again >= 0 && (write(again, "x", 1) >= 0 || mmap(NULL, size, PROT_READ | PROT_WRITE,
                                                         MAP_SHARED, again, 0) != MAP_FAILED))
        return 8;
    again = open(path, O_RDWR | O_TRUNC);
    if (again >= 0)
        return 9;
    if (madvise((void *)(uintptr_t)view, size, MADV_REMOVE) == 0)
        return 10;
    return 0;
}

/* H16: whoever has the descriptor and a map can read, and nothing else; the owner can still write. */
Test(segment, peer_cannot_write)
{
    struct di_segment segment;
    struct di_view view;
    int status;

    cr_assert_eq(di_segment_create(&segment, "test", 16384, false), DUCT_OK, "%s",
                 duct_err_detail());
    memset(segment.base, 7, 16384);
    cr_assert_eq(di_view_map(&view, segment.fd, false, 1 << 20), DUCT_OK);
    pid_t child = fork();
    if (child == 0)
        _exit(tries_to_write(segment.fd, di_peer_address(view.base), 16384));
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0, "way %d to write succeeded", WEXITSTATUS(status));
    struct stat info;
    cr_assert(fstat(segment.fd, &info) == 0 && info.st_size == 16384);
    const unsigned char *bytes = di_peer_address(view.base);
    for (int i = 0; i < 16384; i++)
        cr_assert_eq(bytes[i], 7);
    segment.base[5] = 9;
    cr_assert_eq(bytes[5], 9);
    di_view_fini(&view);
    di_segment_fini(&segment);
}

/* A child made by fork() does not have the writable map at all. */
Test(segment, not_inherited)
{
    struct di_segment segment;
    int status;

    cr_assert_eq(di_segment_create(&segment, "test", 8192, false), DUCT_OK);
    pid_t child = fork();
    if (child == 0) {
        /* The kernel looks for us: EFAULT, and no signal. */
        int out = open("/dev/null", O_WRONLY);
        int null[2];
        if (pipe(null) != 0 || out < 0)
            _exit(2);
        _exit(write(null[1], segment.base, 8) == -1 && errno == EFAULT ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    di_segment_fini(&segment);
}

Test(segment, makes_what_it_accepts)
{
    static const uint64_t sizes[] = {1, 4096, 4097, 100000, 1 << 20};

    for (unsigned i = 0; i < 5; i++) {
        struct di_segment segment;
        cr_assert_eq(di_segment_create(&segment, "test", sizes[i], false), DUCT_OK);
        cr_assert(segment.size >= sizes[i] && segment.size % DI_PAGE == 0);
        cr_assert_eq(map(segment.fd), DUCT_OK, "%s", duct_err_detail());
        cr_assert_eq(fcntl(segment.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        di_segment_close_fd(&segment);
        cr_assert_eq(segment.fd, -1);
        segment.base[segment.size - 1] = 1;
        di_segment_fini(&segment);
        di_segment_fini(&segment);
    }
}

Test(segment, no_room)
{
    struct di_segment segment;
    struct rlimit few = {.rlim_cur = 3, .rlim_max = 1024};

    /* Nothing larger than memory is tried here: a memfd has no limit but the machine's. */
    enum duct_err err = di_segment_create(&segment, "test", 1 << 21, true);
    if (err == DUCT_OK)
        di_segment_fini(&segment);
    else
        cr_assert(err == DUCT_ENOSPACE && strstr(duct_err_detail(), "nr_hugepages") != NULL);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    cr_assert_eq(di_segment_create(&segment, "test", 4096, false), DUCT_ELIMIT, "%s",
                 duct_err_detail());
}

/* Shared memory is not refused when it is used up: the machine kills somebody. So it is asked for before. */
Test(segment, more_than_there_is)
{
    struct di_segment segment;
    struct rlimit some = {.rlim_cur = 1 << 30, .rlim_max = 1 << 30};

    /* A library that does not ask is to fail this test, and not to take all the memory there is. */
    cr_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &some), 0);
    cr_assert_eq(di_segment_create(&segment, "test", 1ull << 46, false), DUCT_ENOSPACE);
    cr_expect(strstr(duct_err_detail(), "available") != NULL, "%s", duct_err_detail());
    cr_expect_null(segment.base);
}
