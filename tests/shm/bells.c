/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/bells.h"
#include "tests/race/lane.h"
#include "tests/shm/memfd.h"

enum { REQUIRED = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW };

static struct lane lane;

Test(bells, both_sides_write_the_same_page)
{
    struct di_bells own, peer;
    int fd;

    cr_assert_eq(di_bells_create(&own, &fd), DUCT_OK, "%s", duct_err_detail());
    cr_assert_eq(di_bells_map(&peer, fd), DUCT_OK, "%s", duct_err_detail());
    atomic_store_explicit(&peer.page->data, 7, memory_order_release);
    atomic_store_explicit(&own.page->space, 9, memory_order_release);
    cr_assert_eq(di_peer_load32(di_bells_word(&own.page->data)), 7);
    cr_assert_eq(atomic_load_explicit(&peer.page->space, memory_order_acquire), 9);
    /* Neither can take it from under the other. */
    cr_assert_eq(ftruncate(fd, 0), -1);
    cr_assert_eq(ftruncate(fd, 1 << 20), -1);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    close(fd);
    di_bells_fini(&peer);
    di_bells_fini(&own);
    di_bells_fini(&own); /* none is fine */
}

Test(bells, a_child_has_none)
{
    struct di_bells own;
    int fd, status;

    cr_assert_eq(di_bells_create(&own, &fd), DUCT_OK);
    close(fd);
    pid_t child = fork();
    if (child == 0) {
        unsigned char resident;
        _exit(mincore(own.page, DI_PAGE, &resident) == 0); /* ENOMEM: nothing is mapped there */
    }
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    di_bells_fini(&own);
}

Test(bells, what_a_peer_may_not_pass_off_as_one)
{
    const struct {
        const char *what;
        int fd;
    } cases[] = {
        {"not sealed", memfd(DI_PAGE, true, 0)},
        {"may shrink", memfd(DI_PAGE, true, F_SEAL_SEAL | F_SEAL_GROW)},
        {"may grow", memfd(DI_PAGE, true, F_SEAL_SEAL | F_SEAL_SHRINK)},
        {"may get further seals", memfd(DI_PAGE, true, F_SEAL_SHRINK | F_SEAL_GROW)},
        {"empty", memfd(0, false, REQUIRED)},
        {"short", memfd(DI_PAGE / 2, true, REQUIRED)},
        {"long", memfd(2 * DI_PAGE, true, REQUIRED)},
        {"sparse", memfd(DI_PAGE, false, REQUIRED)},
        {"an eventfd", eventfd(0, EFD_CLOEXEC)},
        {"a directory", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)},
        {"a device", open("/dev/zero", O_RDWR | O_CLOEXEC)},
        {"nothing", -1},
    };
    struct di_bells bells = {NULL};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(di_bells_map(&bells, cases[i].fd), DUCT_ECORRUPT, "%s", cases[i].what);
        cr_expect_null(bells.page);
        close(cases[i].fd);
    }
    /* One that nobody may write to any more cannot be mapped as we need it. */
    int fd = memfd(DI_PAGE, true, REQUIRED | F_SEAL_FUTURE_WRITE);
    cr_expect_eq(di_bells_map(&bells, fd), DUCT_EDENIED);
    close(fd);
}

static void publish(struct di_sender *sender)
{
    cr_assert_eq(di_sender_put(sender, "x", 1, 0), DUCT_OK);
    di_sender_flush(sender);
}

/* Before the page has come the socket is rung; then the word, from the ringer's own count, whatever its sleeper
 * wrote there meanwhile. */
Test(bells, the_ringer_believes_nothing_of_it)
{
    struct di_bells own;
    int fd;

    cr_assert_eq(di_bells_create(&own, &fd), DUCT_OK);
    close(fd);
    lane_open(&lane, 256, 4096, 65536, 0, 16);
    struct di_sender *sender = &lane.side[0].sender;
    struct di_sleeper *sleeper = &lane.side[1].receiver.sleeper;
    sleeper->bell = di_bells_word(&own.page->data);
    sleeper->bells = true;
    uint32_t before = di_sleeper_arm(sleeper, DI_WANT_DATA, DI_DOORBELL_FUTEX, false);
    publish(sender);
    cr_assert_eq(lane_rings(&lane.side[1]), 1);
    cr_assert_eq(di_sleeper_bell(sleeper), before);
    di_ringer_share(&sender->ringer, &own.page->data);
    for (uint32_t ring = 2; ring < 10; ring++) {
        atomic_store_explicit(&own.page->data, 1000 * ring, memory_order_release);
        di_sleeper_arm(sleeper, DI_WANT_DATA, DI_DOORBELL_FUTEX, false);
        publish(sender);
        cr_assert_eq(lane_rings(&lane.side[1]), 0);
        cr_assert_eq(di_sleeper_bell(sleeper), ring);
        cr_assert_eq(sender->ringer.rings, ring);
    }
    /* A word that asks for its own memory's bell again is rung there. */
    sleeper->bells = false;
    di_sleeper_arm(sleeper, DI_WANT_DATA, DI_DOORBELL_FUTEX, false);
    publish(sender);
    cr_assert_eq(di_sleeper_bell(sleeper), 9);
    lane_close(&lane);
    di_bells_fini(&own);
}
