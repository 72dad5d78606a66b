/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/liveness.h"
#include "tests/shm/leftover_kit.h"

/* Durable pipes that nobody has open: judged by what they hold, removed whole or not at all. */

static struct kit kit;

static void begin(void)
{
    kit_open(&kit);
}

static void end(void)
{
    kit_close(&kit);
}

TestSuite(durable_leftover, .init = begin, .fini = end, .timeout = 60);

static void judged(const char *name, enum duct_leftover_state state, uint64_t undelivered,
                   const char *words)
{
    struct duct_janitor *janitor = kit_look(&kit);
    size_t index;
    const struct duct_leftover *what = kit_find(janitor, name, &index);

    cr_assert_not_null(what, "%s is not found", name);
    cr_expect_eq(what->kind, DUCT_LEFTOVER_SEGMENT);
    cr_expect_eq(what->state, state, "%s is %s: %s", name, duct_leftover_state_name(what->state),
                 what->reason);
    cr_expect_eq(what->undelivered, undelivered);
    cr_expect_not_null(strstr(what->reason, words), "%s: %s", name, what->reason);
    duct_janitor_close(janitor);
}

static enum duct_err removed(const char *name, bool discard)
{
    struct duct_janitor *janitor = kit_look(&kit);
    size_t index;

    cr_assert_not_null(kit_find(janitor, name, &index), "%s is not found", name);
    enum duct_err err = duct_janitor_remove(janitor, index, discard);
    duct_janitor_close(janitor);
    return err;
}

static int open_file(const char *file)
{
    int fd = openat(kit.dir.fd, file, O_RDWR);

    cr_assert_geq(fd, 0);
    return fd;
}

Test(durable_leftover, delivered)
{
    kit_durable(&kit, "done", 5, 5);
    cr_expect_eq(kit_files(&kit), 4);
    judged("done", DUCT_LEFTOVER_EMPTY, 0, "all of it was delivered");
    cr_expect_eq(kit_files(&kit), 4, "looking changes nothing");
    cr_expect_eq(removed("done", false), DUCT_OK, "%s", duct_err_detail());
    cr_expect_eq(kit_files(&kit), 0);
}

Test(durable_leftover, undelivered)
{
    kit_durable(&kit, "mail", 5, 2);
    judged("mail", DUCT_LEFTOVER_FULL, 3, "holds messages");
    cr_expect_eq(removed("mail", false), DUCT_EINVAL);
    cr_expect_eq(kit_files(&kit), 4, "all or nothing");
    cr_expect_eq(removed("mail", true), DUCT_OK);
    cr_expect_eq(kit_files(&kit), 0);
}

Test(durable_leftover, one_end_only)
{
    kit_end(&kit, "lone", DI_END_DIAL, 2);
    judged("lone", DUCT_LEFTOVER_FULL, 2, "holds messages");
    cr_expect_eq(removed("lone", true), DUCT_OK);
    for (int end = DI_END_LISTEN; end <= DI_END_DIAL; end++) {
        kit_end(&kit, "lone", (enum di_end)end, 0);
        judged("lone", DUCT_LEFTOVER_EMPTY, 0, "delivered");
        cr_expect_eq(removed("lone", false), DUCT_OK);
    }
    cr_expect_eq(kit_files(&kit), 0);
}

Test(durable_leftover, names_that_look_like_others)
{
    kit_durable(&kit, "a.listen", 1, 0);
    kit_durable(&kit, "a", 1, 1);
    judged("a.listen", DUCT_LEFTOVER_FULL, 1, "holds");
    judged("a", DUCT_LEFTOVER_EMPTY, 0, "delivered");
    cr_expect_eq(removed("a", false), DUCT_OK);
    cr_expect_eq(kit_files(&kit), 4);
    judged("a.listen", DUCT_LEFTOVER_FULL, 1, "holds");
}

/* Either end's owner lives: neither end is left over. */
Test(durable_leftover, somebody_has_it)
{
    static const char *const files[] = {"pipe.listen", "pipe.dial", "pipe.listen.pool0",
                                        "pipe.dial.pool0"};
    kit_durable(&kit, "pipe", 1, 1);
    for (int i = 0; i < 4; i++) {
        struct duct_janitor *before = kit_look(&kit);
        bool taken;
        int fd = open_file(files[i]);
        cr_assert(di_lock_take(fd, &taken) == DUCT_OK && taken);
        judged("pipe", DUCT_LEFTOVER_LIVE, 0, i < 2 ? "end open" : "lock");
        cr_expect_eq(removed("pipe", true), DUCT_EINUSE);
        cr_expect_eq(duct_janitor_remove(before, 0, true), DUCT_EINUSE,
                     "came back between the look and the removal");
        duct_janitor_close(before);
        close(fd);
        cr_expect_eq(kit_files(&kit), 4);
    }
    judged("pipe", DUCT_LEFTOVER_EMPTY, 0, "delivered");
}

Test(durable_leftover, a_message_came_between_the_look_and_the_removal)
{
    kit_durable(&kit, "pipe", 3, 3);
    struct duct_janitor *janitor = kit_look(&kit);
    cr_expect_eq(removed("pipe", false), DUCT_OK);
    kit_durable(&kit, "pipe", 3, 2);
    cr_expect_eq(duct_janitor_remove(janitor, 0, false), DUCT_EINVAL,
                 "judged anew, under the lock");
    cr_expect_eq(kit_files(&kit), 4);
    duct_janitor_close(janitor);
}

Test(durable_leftover, halves)
{
    kit_durable(&kit, "half", 3, 3);
    cr_assert_eq(renameat(kit.dir.fd, "half.listen", kit.dir.fd, "half.dial"), 0);
    judged("half", DUCT_LEFTOVER_EMPTY, 0, "its removal was begun");
    kit_end(&kit, "new", DI_END_LISTEN, 2);
    cr_assert_eq(renameat(kit.dir.fd, "new.listen", kit.dir.fd, "half.listen"), 0);
    judged("half", DUCT_LEFTOVER_DAMAGED, 0, "under another name");
    cr_assert(unlinkat(kit.dir.fd, "half.listen", 0) == 0 &&
              unlinkat(kit.dir.fd, "new.listen.pool0", 0) == 0);
    cr_assert_eq(unlinkat(kit.dir.fd, "half.dial", 0), 0);
    judged("half", DUCT_LEFTOVER_EMPTY, 0, "a pool without its outbox");
    cr_expect_eq(removed("half", false), DUCT_OK);
    cr_expect_eq(kit_files(&kit), 0);
}

/* ---- Damage: told apart from what is no file of ours, and removed only by those who say so ---- */

static void damaged(const char *words)
{
    judged("bad", DUCT_LEFTOVER_DAMAGED, 0, words);
    cr_expect_eq(removed("bad", false), DUCT_EINVAL);
    cr_expect_eq(removed("bad", true), DUCT_OK, "%s", duct_err_detail());
    cr_expect_eq(kit_files(&kit), 0);
}

static void spoil(const char *file, off_t at, const void *bytes, size_t size)
{
    int fd = open_file(file);

    cr_assert_eq(pwrite(fd, bytes, size, at), (ssize_t)size);
    close(fd);
}

static void resize(const char *file, off_t size)
{
    int fd = open_file(file);

    cr_assert_eq(ftruncate(fd, size), 0);
    close(fd);
}

Test(durable_leftover, damage)
{
    uint32_t version = 77;
    kit_durable(&kit, "bad", 1, 1);
    spoil("bad.listen", DI_DURABLE_HEADER_AT + 8, &version, sizeof(version));
    damaged("77");
    kit_durable(&kit, "bad", 1, 1);
    spoil("bad.dial", DI_DURABLE_HEADER_AT, "nonsense", 8);
    damaged("bad.dial");
    kit_durable(&kit, "bad", 1, 1);
    resize("bad.listen", 100);
    damaged("bad.listen");
    kit_durable(&kit, "bad", 1, 1);
    resize("bad.listen", (off_t)1 << 40);
    damaged("1099511627776 bytes");
    kit_durable(&kit, "bad", 1, 1);
    cr_assert_eq(fchmodat(kit.dir.fd, "bad.dial", 0644, 0), 0);
    damaged("mode 0644");
}

Test(durable_leftover, renamed)
{
    static const char *const suffixes[] = {"listen", "dial", "listen.pool0", "dial.pool0"};
    char from[32], to[32];

    kit_durable(&kit, "good", 1, 1);
    for (int i = 0; i < 4; i++) {
        snprintf(from, sizeof(from), "good.%s", suffixes[i]);
        snprintf(to, sizeof(to), "bad.%s", suffixes[i]);
        cr_assert_eq(renameat(kit.dir.fd, from, kit.dir.fd, to), 0);
    }
    damaged("under another name");
}

/* As what a removal that was begun leaves, but of another pipe. */
Test(durable_leftover, the_listening_end_of_another)
{
    kit_end(&kit, "good", DI_END_LISTEN, 1);
    cr_assert_eq(renameat(kit.dir.fd, "good.listen", kit.dir.fd, "bad.dial"), 0);
    cr_assert_eq(renameat(kit.dir.fd, "good.listen.pool0", kit.dir.fd, "bad.dial.pool0"), 0);
    damaged("under another name");
}

Test(durable_leftover, what_is_no_file_of_ours)
{
    kit_durable(&kit, "odd", 1, 1);
    cr_assert_eq(unlinkat(kit.dir.fd, "odd.dial", 0), 0);
    cr_assert_eq(symlinkat("odd.listen", kit.dir.fd, "odd.dial"), 0);
    judged("odd", DUCT_LEFTOVER_REFUSED, 0, "symbolic link");
    cr_expect_eq(removed("odd", true), DUCT_EDENIED);
    cr_assert_eq(unlinkat(kit.dir.fd, "odd.dial", 0), 0);
    cr_assert_eq(linkat(kit.dir.fd, "odd.listen", kit.dir.fd, "second", 0), 0);
    judged("odd", DUCT_LEFTOVER_REFUSED, 0, "2 names");
    cr_expect_eq(removed("odd", true), DUCT_EDENIED);
    cr_assert_eq(unlinkat(kit.dir.fd, "second", 0), 0);
    cr_assert_eq(mkfifoat(kit.dir.fd, "odd.dial", 0600), 0);
    judged("odd", DUCT_LEFTOVER_REFUSED, 0, "not what its name says");
    cr_assert_eq(unlinkat(kit.dir.fd, "odd.dial", 0), 0);
    if (geteuid() == 0) {
        cr_assert_eq(fchownat(kit.dir.fd, "odd.listen", 4242, 4242, 0), 0);
        judged("odd", DUCT_LEFTOVER_REFUSED, 0, "uid 4242");
        cr_expect_eq(removed("odd", true), DUCT_EDENIED);
    }
    cr_expect(kit_has(&kit, "odd.listen") && kit_has(&kit, "odd.listen.pool0"));
}
