/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/names.h"
#include "tests/crash/space.h"
#include "tests/descriptors.h"
#include "tests/fail/fail.h"
#include "tests/fail/machine.h"
#include "tests/race/lane.h"
#include "tests/shm/leftover_kit.h"

/*
 * A janitor looks everywhere, and removes all it may, in a machine of its own (namespaces) where there is something
 * of every kind. In one try one call fails, the next in the next, with every error it has, for want of memory too.
 *
 *   - it is told: by an error in words, or as something that was not seen, or kept with a reason;
 *   - nothing that somebody has goes, whatever the call said;
 *   - no descriptor and no block of memory is left;
 *   - a janitor after it, whose calls work, removes what this one left.
 */
static const int errors[] = {ENOMEM, ENOENT, EACCES, EPERM,  EMFILE, ENFILE,      EIO,
                             ELOOP,  ESRCH,  EAGAIN, EINVAL, EIDRM,  ECONNREFUSED};

static char home[64], temporary[64]; /* of listeners */
static struct kit durable;
static struct di_bound alive;
static int attached = -1;

enum { STRANGER = 4242 };

/* ---- What lies there ---- */

/* The places where somebody looks; all else is what plants leave. */
static void make_places(void)
{
    machine_directory("/run/user", 0755);
    snprintf(home, sizeof(home), "/run/user/%u", (unsigned)geteuid());
    machine_directory(home, 0700);
    strcat(home, "/duct");
    machine_directory(home, 0700);
    snprintf(temporary, sizeof(temporary), "/tmp/duct-%u", (unsigned)geteuid());
    machine_directory(temporary, 0700);
    snprintf(durable.path, sizeof(durable.path), "/dev/shm/duct-%u", (unsigned)geteuid());
    machine_directory(durable.path, 0700);
    MUST(di_durable_dir_open(&durable.dir, durable.path, geteuid(), false) == DUCT_OK);
    MUST(unsetenv("XDG_RUNTIME_DIR") == 0);
}

static void plant(void)
{
    machine_socket(home, "dead", true);
    machine_socket(home, "bare", false);
    machine_file(home, "half.lock", "", geteuid());
    machine_socket(temporary, "dead", true);
    kit_durable(&durable, "full", 3, 1);
    kit_durable(&durable, "empty", 3, 3);
    kit_end(&durable, "alone", DI_END_LISTEN, 2);
    machine_file(durable.path, "bad.listen", "something", geteuid());
    machine_file("/dev/shm", "one", "something", geteuid());
    machine_file("/dev/shm", "sem.two", "something", geteuid());
    machine_directory("/dev/shm/qb-1-2-3-x", 0700);
    machine_file("/dev/shm/qb-1-2-3-x", "qb-event", "something", geteuid());
    machine_file("/dev/shm/a", "of_another", "something", geteuid());
    MUST(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) >= 0);
}

/* Others that have what this one has, one as a database would; and one that is dead, and not waited for. All end with
 * the machine. */
static void start_others(void)
{
    int ready[2];
    char byte;

    MUST(pipe2(ready, O_CLOEXEC) == 0);
    for (unsigned i = 0; i < 3; i++) {
        pid_t holder = fork();
        MUST(holder >= 0);
        if (holder == 0) {
            MUST(prctl(PR_SET_NAME, i == 0 ? "postgres" : "other") == 0);
            MUST(i > 0 || shmat(attached, NULL, 0) != (void *)-1);
            MUST(write(ready[1], "", 1) == 1);
            pause();
            _exit(0);
        }
        MUST(read(ready[0], &byte, 1) == 1);
    }
    close(ready[0]);
    close(ready[1]);
    pid_t dead = fork();
    MUST(dead >= 0);
    if (dead == 0)
        _exit(0);
    MUST(waitid(P_PID, (id_t)dead, &(siginfo_t){0}, WEXITED | WNOWAIT) == 0);
}

/* What somebody has, or is not duct's to judge. */
static void plant_for_good(void)
{
    MUST(di_names_bind(&alive, machine_path(home, "alive"), false, 8) == DUCT_OK);
    MUST(symlink("alive", machine_path(home, "soft")) == 0);
    machine_directory(machine_path(home, "folder"), 0700);
    machine_file("/dev/shm", "held", "something", geteuid());
    int held = open("/dev/shm/held", O_RDONLY | O_CLOEXEC);
    MUST(held >= 0 && mmap(NULL, 1, PROT_READ, MAP_SHARED, held, 0) != MAP_FAILED);
    attached = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    MUST(attached >= 0 && shmat(attached, NULL, 0) != (void *)-1);
    start_others();
    /* Deeper than anybody looks, and directories that only look like ours. */
    machine_directory("/dev/shm/a", 0755);
    machine_directory("/dev/shm/a/b", 0755);
    machine_directory("/dev/shm/a/b/c", 0755);
    machine_directory("/dev/shm/a/b/c/d", 0755);
    machine_file("/dev/shm/a/b/c/d", "deep", "something", geteuid());
    machine_directory("/dev/shm/closed", 0700);
    machine_directory("/tmp/duct-1x", 0700);
    machine_directory("/tmp/duct-x", 0700);
    machine_directory("/tmp/duct-99999999999999999999999", 0700);
    machine_directory("/run/user/4294967295", 0700);
    /* Another user's: as root, looked into like one's own. */
    if (geteuid() == 0) {
        machine_directory("/tmp/duct-4242", 0700);
        MUST(chown("/tmp/duct-4242", STRANGER, STRANGER) == 0);
        machine_file("/tmp/duct-4242", "theirs.lock", "", STRANGER);
        machine_file("/dev/shm", "theirs", "something", STRANGER);
    }
}

static void nobody_was_robbed(void)
{
    struct shmid_ds status;

    FAIL_CHECK(machine_has(home, "alive") && machine_has(home, "alive.lock"));
    FAIL_CHECK(machine_has(home, "soft") && machine_has(home, "folder") &&
               machine_has("/dev/shm", "held"));
    FAIL_CHECK(shmctl(attached, IPC_STAT, &status) == 0);
}

static void all_else_is_gone(void)
{
    FAIL_CHECK(!machine_has(home, "dead") && !machine_has(home, "dead.lock") &&
               !machine_has(home, "bare"));
    FAIL_CHECK(!machine_has(home, "half.lock") && !machine_has(temporary, "dead") &&
               !machine_has(temporary, "dead.lock"));
    FAIL_CHECK(kit_files(&durable) == 0);
    FAIL_CHECK(!machine_has("/dev/shm", "one") && !machine_has("/dev/shm", "sem.two"));
    /* An empty directory of libqb's is not looked for, and may stay. */
    FAIL_CHECK(!machine_has("/dev/shm/qb-1-2-3-x", "qb-event"));
    FAIL_CHECK(!machine_has("/dev/shm/a", "of_another") && machine_has("/dev/shm", "a"));
}

/* ---- The janitor ---- */

static bool in_words(enum duct_err err)
{
    return err > DUCT_OK && err < DUCT_ERR_COUNT && strlen(duct_err_detail()) > 10;
}

/* Looks once, and removes what it may. */
static void round_of(bool foreign, bool discard)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor;

    options.foreign = foreign;
    enum duct_err err = duct_janitor_open(&janitor, &options);
    if (err != DUCT_OK) {
        FAIL_CHECK(in_words(err));
        return;
    }
    for (size_t i = 0; i < duct_janitor_count(janitor); i++) {
        const struct duct_leftover *about = duct_janitor_at(janitor, i);
        if (about->reason[0] == '\0' || about->name[0] == '\0') {
            fprintf(stderr, "%s: %s is %s without a reason\n", fail_what(), about->path,
                    duct_leftover_state_name(about->state));
            exit(1);
        }
        if ((err = duct_janitor_remove(janitor, i, discard)) != DUCT_OK)
            FAIL_CHECK(in_words(err));
    }
    for (size_t i = 0; i < duct_janitor_unseen_count(janitor); i++)
        FAIL_CHECK(duct_janitor_unseen(janitor, i)[0] != '\0');
    duct_janitor_close(janitor);
}

/* fresh: all of it was just left. */
static void rounds(bool fresh)
{
    round_of(false, false);
    /* What holds messages goes only if it is said so. */
    FAIL_CHECK(!fresh || (machine_has(durable.path, "full.listen") &&
                          machine_has(durable.path, "full.dial")));
    round_of(false, true);
    round_of(true, false);
}

/* False: no call is left to fail with that error. */
static bool one_failure(unsigned n, int error)
{
    plant();
    unsigned fds = descriptors_open();
    long blocks = fail_blocks();

    fail_at(n, error);
    rounds(true);
    unsigned calls = fail_calls();
    if (descriptors_open() != fds || fail_blocks() != blocks) {
        fprintf(stderr, "%s: %u descriptors and %ld blocks more\n", fail_what(),
                descriptors_open() - fds, fail_blocks() - blocks);
        exit(1);
    }
    nobody_was_robbed();
    rounds(false);
    nobody_was_robbed();
    all_else_is_gone();
    return n <= calls;
}

/* What $XDG_RUNTIME_DIR may be: the same directory once more, no path, a path too long, and nothing that is there. */
static void homes_of_all_kinds(void)
{
    char same[64], longest[8192];

    snprintf(same, sizeof(same), "/run/user/%u", (unsigned)geteuid());
    memset(longest, '/', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    const char *const homes[] = {same, "run", longest, "/nowhere"};
    for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++) {
        MUST(setenv("XDG_RUNTIME_DIR", homes[i], 1) == 0);
        one_failure(0, EIO);
    }
    MUST(unsetenv("XDG_RUNTIME_DIR") == 0);
}

/* A look that removes nothing; how much it says it did not see. */
static size_t glance(bool foreign, bool own)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor;

    options.foreign = foreign;
    options.own = own;
    enum duct_err err = duct_janitor_open(&janitor, &options);
    if (err != DUCT_OK) {
        FAIL_CHECK(in_words(err));
        return 1;
    }
    size_t unseen = duct_janitor_unseen_count(janitor);
    for (size_t i = 0; i < duct_janitor_count(janitor); i++)
        FAIL_CHECK(!own || duct_janitor_at(janitor, i)->uid == geteuid());
    duct_janitor_close(janitor);
    return unseen;
}

/* ---- What changes between a look and a removal ---- */

static int opened = -1;

static void somebody_opens(void)
{
    opened = open("/dev/shm/one", O_RDONLY | O_CLOEXEC);
    FAIL_CHECK(opened >= 0);
}

static void it_goes(void)
{
    FAIL_CHECK(unlink("/dev/shm/one") == 0);
}

static void another_takes_its_name(void)
{
    machine_file("/dev/shm", "new", "something", geteuid());
    FAIL_CHECK(rename("/dev/shm/new", "/dev/shm/one") == 0);
}

static void it_gets_another_name(void)
{
    FAIL_CHECK(link("/dev/shm/one", "/dev/shm/again") == 0);
}

static void a_link_takes_its_place(void)
{
    FAIL_CHECK(unlink("/dev/shm/one") == 0 && symlink("held", "/dev/shm/one") == 0);
}

/* What is left is looked at, then changes, and then its removal ends so. */
static void changes(void (*change)(void), enum duct_err expected)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor;
    size_t i = 0;

    options.foreign = true;
    machine_file("/dev/shm", "one", "something", geteuid());
    FAIL_CHECK(duct_janitor_open(&janitor, &options) == DUCT_OK);
    while (strcmp(duct_janitor_at(janitor, i)->name, "one") != 0)
        i++;
    FAIL_CHECK(duct_janitor_at(janitor, i)->state == DUCT_LEFTOVER_EMPTY);
    change();
    FAIL_CHECK(duct_janitor_remove(janitor, i, true) == expected);
    duct_janitor_close(janitor);
    if (opened >= 0)
        close(opened);
    opened = -1;
    unlink("/dev/shm/one");
    unlink("/dev/shm/again");
    nobody_was_robbed();
}

/* A System V segment that is attached, or removed, meanwhile. */
static void segments_change(bool attach)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor;
    char name[32];
    size_t i = 0;
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);

    options.foreign = true;
    snprintf(name, sizeof(name), "sysv-%d", id);
    FAIL_CHECK(id >= 0 && duct_janitor_open(&janitor, &options) == DUCT_OK);
    while (strcmp(duct_janitor_at(janitor, i)->name, name) != 0)
        i++;
    if (attach) {
        void *base = shmat(id, NULL, 0);
        FAIL_CHECK(duct_janitor_remove(janitor, i, true) == DUCT_EINUSE);
        FAIL_CHECK(shmdt(base) == 0 && duct_janitor_remove(janitor, i, true) == DUCT_OK);
    } else {
        FAIL_CHECK(shmctl(id, IPC_RMID, NULL) == 0);
    }
    FAIL_CHECK(duct_janitor_remove(janitor, i, true) == DUCT_ENOTFOUND);
    duct_janitor_close(janitor);
}

static void what_changes_meanwhile_stays(void)
{
    changes(somebody_opens, DUCT_EINUSE);
    changes(it_goes, DUCT_ENOTFOUND);
    changes(another_takes_its_name, DUCT_ENOTFOUND);
    changes(it_gets_another_name, DUCT_ENOTFOUND);
    changes(a_link_takes_its_place, DUCT_ENOTFOUND);
    segments_change(true);
    segments_change(false);
}

/* Where no process can be out of sight, and the file system has no leases, /proc decides. */
static void proc_decides(void)
{
    fail_outermost = true;
    for (unsigned n = 1; one_failure(n, EINVAL); n++)
        continue;
    changes(somebody_opens, DUCT_EINUSE);
    fail_outermost = false;
}

/* ---- Without rights ---- */

/* Without rights, what others have is not seen, and that is said; while calls fail, too. */
static int as_a_stranger(void)
{
    if (setresgid(STRANGER, STRANGER, STRANGER) != 0 ||
        setresuid(STRANGER, STRANGER, STRANGER) != 0)
        return 77;
    FAIL_CHECK(glance(false, false) > 0 && glance(false, true) == 0);
    FAIL_CHECK(glance(true, false) > 0 && glance(true, true) > 0);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        unsigned calls = 1;
        for (unsigned n = 1; n <= calls; n++) {
            long blocks = fail_blocks();
            fail_at(n, errors[i]);
            glance(n % 2 == 0, false);
            calls = fail_calls();
            FAIL_CHECK(fail_blocks() == blocks);
        }
    }
    return 0;
}

static void strangers_see_less(void)
{
    int status;
    pid_t pid = fork();

    MUST(pid >= 0);
    if (pid == 0)
        _exit(as_a_stranger());
    FAIL_CHECK(glance(false, true) == 0 && glance(true, true) > 0);
    MUST(waitpid(pid, &status, 0) == pid && (status == 0 || WEXITSTATUS(status) == 77));
    nobody_was_robbed();
}

int main(int argc, char **argv)
{
    unsigned every = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1, tries = 0;

    FAIL_CHECK(every > 0);
    machine_enter();
    make_places();
    plant_for_good();
    one_failure(0, EIO); /* what is made once for a process is there then */
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        for (unsigned n = 1; one_failure(n, errors[i]); n += every)
            tries++;
    }
    homes_of_all_kinds();
    what_changes_meanwhile_stays();
    proc_decides();
    strangers_see_less();
    printf("%u calls failed in turn\n", tries);
    fflush(stdout);
    /* LeakSanitizer, which looks at exit, finds itself lost in this machine; blocks were counted all along. */
    _exit(tries == 0);
}
