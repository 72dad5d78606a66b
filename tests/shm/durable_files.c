/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/durable_file.h"
#include "shm/liveness.h"

/* Directory, names and files of durable pipes, and who holds them. */

static char base[64];
static struct di_durable_dir dir;

static void in_directory(void)
{
    snprintf(base, sizeof(base), "/tmp/duct-durable-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    cr_assert_eq(di_durable_dir_open(&dir, base, geteuid(), false), DUCT_OK);
}

static void clean_up(void)
{
    char command[128];

    di_durable_dir_close(&dir);
    snprintf(command, sizeof(command), "rm -rf %s", base);
    cr_assert_eq(system(command), 0);
}

TestSuite(files, .init = in_directory, .fini = clean_up);

Test(files, names_go_there_and_back)
{
    const char *names[] = {"x", "x.dial", "a.listen.pool0", "dial", "pool0.listen"};
    char file[DI_DURABLE_FILE_MAX + 1], name[DI_DURABLE_NAME_MAX + 1];
    enum di_end end;
    bool pool;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (enum di_end of = DI_END_LISTEN; of <= DI_END_DIAL; of++) {
            di_durable_outbox_name(file, names[i], of);
            cr_assert(di_durable_parse(file, name, &end, &pool) && end == of && !pool);
            cr_assert_str_eq(name, names[i]);
            di_durable_pool_name(file, names[i], of);
            cr_assert(di_durable_parse(file, name, &end, &pool) && end == of && pool);
            cr_assert_str_eq(name, names[i]);
        }
    }
    cr_assert_not(di_durable_parse("x", name, &end, &pool));
    cr_assert_not(di_durable_parse(".listen", name, &end, &pool));
    cr_assert_not(di_durable_parse(".x.listen", name, &end, &pool));
    cr_assert_not(di_durable_parse("x.pool0", name, &end, &pool));
    memset(file, 'n', DI_DURABLE_NAME_MAX + 1);
    strcpy(file + DI_DURABLE_NAME_MAX + 1, ".dial");
    cr_assert_not(di_durable_parse(file, name, &end, &pool), "longer than any name");
}

Test(files, a_directory_must_be_ours_alone)
{
    struct di_durable_dir other;
    char path[128];

    snprintf(path, sizeof(path), "%s/link", base);
    cr_assert_eq(symlink(base, path), 0);
    cr_assert_eq(di_durable_dir_open(&other, path, geteuid(), false), DUCT_EDENIED, "a link");
    cr_assert_eq(di_durable_dir_open(&other, base, geteuid() + 1, false), DUCT_EDENIED,
                 "another's");
    cr_assert_eq(chmod(base, 0750), 0);
    cr_assert_eq(di_durable_dir_open(&other, base, geteuid(), false), DUCT_EDENIED, "open");
    cr_assert_eq(chmod(base, 0700), 0);
    snprintf(path, sizeof(path), "%s/none", base);
    cr_assert_eq(di_durable_dir_open(&other, path, geteuid(), true), DUCT_ENOTFOUND, "not made");
    cr_assert_eq(di_durable_dir_open(&other, "tmp", geteuid(), false), DUCT_EINVAL, "not absolute");
}

static int make(const char *file, uint64_t size)
{
    bool there;
    int fd;

    cr_assert_eq(di_durable_file_make(&fd, &dir, size), DUCT_OK);
    cr_assert_eq(di_durable_file_link(&dir, fd, file, &there), DUCT_OK);
    cr_assert_not(there);
    return fd;
}

Test(files, have_no_name_before_they_are_linked)
{
    struct stat status;
    uint64_t size;
    bool there;
    int fd, again;

    cr_assert_eq(di_durable_file_make(&fd, &dir, 3 * 4096), DUCT_OK);
    cr_assert_eq(di_durable_file_open(&again, &size, &dir, "x.listen", true), DUCT_ENOTFOUND);
    cr_assert_eq(di_durable_file_link(&dir, fd, "x.listen", &there), DUCT_OK);
    cr_assert(fstat(fd, &status) == 0 && (status.st_mode & 07777) == 0600 && status.st_nlink == 1);
    cr_assert_eq(di_durable_file_open(&again, &size, &dir, "x.listen", true), DUCT_OK);
    cr_assert_eq(size, 3 * 4096);
    cr_assert(di_names_this(dir.fd, "x.listen", again));
    cr_assert_eq(di_durable_file_link(&dir, fd, "x.listen", &there), DUCT_OK);
    cr_assert(there, "a name is given once");
    cr_assert_eq(unlinkat(dir.fd, "x.listen", 0), 0);
    cr_assert_not(di_names_this(dir.fd, "x.listen", again));
}

Test(files, belong_to_whoever_holds_the_lock)
{
    uint64_t size;
    bool taken, held;
    int fd = make("x.dial", 4096);
    int other, reader;

    cr_assert_eq(di_durable_file_open(&other, &size, &dir, "x.dial", true), DUCT_OK);
    cr_assert_eq(di_durable_file_open(&reader, &size, &dir, "x.dial", false), DUCT_OK);
    cr_assert(di_lock_held(reader, &held) == DUCT_OK && !held);
    cr_assert(di_lock_take(fd, &taken) == DUCT_OK && taken);
    cr_assert(di_lock_take(other, &taken) == DUCT_OK && !taken);
    cr_assert(di_lock_held(reader, &held) == DUCT_OK && held);
    cr_assert_neq(di_lock_take(reader, &taken), DUCT_OK, "reading gives no right to a write lock");
    close(fd);
    cr_assert(di_lock_take(other, &taken) == DUCT_OK && taken, "gone with its last descriptor");
}

Test(files, what_is_not_as_it_was_made_is_refused)
{
    char path[128], other[128];
    uint64_t size;
    int fd = make("x.dial", 4096);
    int out;

    snprintf(path, sizeof(path), "%s/x.dial", base);
    snprintf(other, sizeof(other), "%s/other", base);
    cr_assert_eq(fchmod(fd, 0640), 0);
    cr_assert_eq(di_durable_file_open(&out, &size, &dir, "x.dial", true), DUCT_EDENIED, "mode");
    cr_assert_eq(fchmod(fd, 0600), 0);
    cr_assert_eq(link(path, other), 0);
    cr_assert_eq(di_durable_file_open(&out, &size, &dir, "x.dial", true), DUCT_EDENIED,
                 "two names");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink(other, path), 0);
    cr_assert_eq(di_durable_file_open(&out, &size, &dir, "x.dial", true), DUCT_EDENIED, "a link");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(di_durable_file_open(&out, &size, &dir, "x.dial", false), DUCT_ECORRUPT, "a fifo");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_neq(di_durable_file_open(&out, &size, &dir, "x.dial", true), DUCT_OK, "a directory");
    cr_assert_eq(ftruncate(fd, 1 << 20), 0);
    cr_assert_eq(rmdir(path) == 0 && rename(other, path) == 0, true);
    cr_assert_eq(di_durable_file_open(&out, &size, &dir, "x.dial", true), DUCT_ECORRUPT, "sparse");
    if (geteuid() == 0) {
        cr_assert_eq(ftruncate(fd, 4096), 0);
        cr_assert_eq(fchown(fd, 12345, 12345), 0);
        cr_assert_eq(di_durable_file_open(&out, &size, &dir, "x.dial", true), DUCT_EDENIED,
                     "owner");
    }
}
