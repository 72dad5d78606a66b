/* SPDX-License-Identifier: Apache-2.0 */
/* ACCEPT and di_io_accept() of lib/io/io.h, on every backend. */
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/descriptors.h"
#include "tests/lib/io/suite.h"

/* Where the test listens, and who has dialled. */
enum { DIALLERS_MAX = 512 };
static struct sockaddr_storage address;
static socklen_t address_size;
static int diallers[DIALLERS_MAX];
static unsigned dialled;

static int listening(unsigned backlog)
{
    dialled = 0;
    if (suite_io->backend == &di_io_sim) {
        address_size = di_sim_address(&address, "there");
        return di_sim_listen(suite_io, "there", backlog);
    }
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(sa_family_t); /* the kernel chooses the name */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, size), 0);
    cr_assert_eq(listen(fd, (int)backlog), 0);
    address_size = sizeof(address);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &address_size), 0);
    return fd;
}

/* One more connection. */
static void dial(struct di_io *io)
{
    int fd = di_io_open_socket(io, AF_UNIX);
    struct probe p = {.op = {.done = probe_done,
                             .kind = DI_IO_CONNECT,
                             .fd = fd,
                             .address = (struct sockaddr *)&address,
                             .address_size = address_size}};
    cr_assert_geq(fd, 0);
    if (fd < SIM_FIRST) { /* which is made at once, without a turn of the loop */
        cr_assert_eq(connect(fd, p.op.address, p.op.address_size), 0);
    } else {
        di_io_submit(io, &p.op);
        while (p.count == 0)
            cr_assert_eq(di_io_wait(io, INT64_MAX), DUCT_OK);
        cr_assert_eq(p.result, 0);
        di_io_forget(io, &p.op);
    }
    diallers[dialled++] = fd;
}

static struct probe accept_probe(int fd)
{
    return (struct probe){
        .op = {.done = probe_done, .kind = DI_IO_ACCEPT, .fd = fd, .events = POLLIN}};
}

/* Accepts and closes what there is now. */
static unsigned accepted(struct di_io *io, struct probe *p)
{
    unsigned count = 0;
    for (int fd; (fd = di_io_accept(io, &p->op)) != -EAGAIN; count++) {
        cr_assert_geq(fd, 0);
        di_io_close_socket(io, fd);
    }
    return count;
}

/* Accepts so many, waiting for them. */
static void accept_all(struct di_io *io, struct probe *p, unsigned expected)
{
    unsigned count = accepted(io, p);
    while (count < expected) {
        if (!p->op.in_flight)
            di_io_submit(io, &p->op);
        cr_assert_eq(di_io_wait(io, INT64_MAX), DUCT_OK);
        count += accepted(io, p);
    }
    cr_assert_eq(count, expected);
}

/* One has come and gone, and it is in flight: the kernel goes on, where it can. */
static void begin(struct di_io *io, struct probe *p)
{
    dial(io);
    accept_all(io, p, 1);
    if (!p->op.in_flight)
        di_io_submit(io, &p->op);
}

/* Submits, cancels and takes until nothing goes on beneath it: how many connections came meanwhile. */
static unsigned stop(struct di_io *io, struct probe *p)
{
    unsigned count = 0;
    while (p->op.in_flight || di_io_receiving(&p->op)) {
        if (!p->op.in_flight)
            di_io_submit(io, &p->op);
        di_io_cancel(io, &p->op);
        cr_assert_eq(di_io_wait(io, INT64_MAX), DUCT_OK);
        for (int fd; di_io_receiving(&p->op) && (fd = di_io_accept(io, &p->op)) >= 0; count++)
            di_io_close_socket(io, fd);
    }
    return count;
}

/* Nothing of the test is open any more. */
static void clean(struct di_io *io, int listener)
{
    di_io_close_socket(io, listener);
    for (unsigned i = 0; i < dialled; i++)
        di_io_close_socket(io, diallers[i]);
    if (io->backend == &di_io_sim)
        cr_assert_eq(di_sim_counted(di_sim_of(io)).sockets, 0);
}

EVERY_BACKEND(it_completes_once_per_submission)
{
    int listener = listening(8);
    struct probe p = accept_probe(listener);
    for (int i = 1; i <= 20; i++) {
        di_io_submit(*loop, &p.op);
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
        dial(*loop);
        cr_assert_leq(p.count, i);
        while (p.count < i)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        cr_assert_eq(p.count, i);
        cr_assert_eq(p.result, 1);
        cr_assert_eq(accepted(*loop, &p), 1);
    }
    cr_assert_eq(stop(*loop, &p), 0);
    di_io_forget(*loop, &p.op);
    clean(*loop, listener);
}

/* The other end of each that is accepted is the one that dialled in its turn, and they are usable. */
EVERY_BACKEND(they_come_in_order)
{
    int listener = listening(16);
    struct probe p = accept_probe(listener);
    di_io_submit(*loop, &p.op);
    for (char i = 0; i < 10; i++) {
        dial(*loop);
        const struct iovec piece = {&i, 1};
        cr_assert_eq(di_io_try_send(*loop, diallers[(int)i], &piece, 1), 1);
        (void)!di_io_wait(*loop, 0);
    }
    for (char i = 0; i < 10; i++) {
        int fd;
        char got = -1;
        const struct iovec piece = {&got, 1};
        while ((fd = di_io_accept(*loop, &p.op)) == -EAGAIN)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        cr_assert_eq(di_io_try_recv(*loop, fd, &piece, 1), 1);
        cr_assert_eq(got, i);
        di_io_close_socket(*loop, fd);
    }
    cr_assert_eq(stop(*loop, &p), 0);
    di_io_forget(*loop, &p.op);
    clean(*loop, listener);
}

EVERY_BACKEND(those_that_come_while_it_is_not_in_flight_wait)
{
    int listener = listening(64);
    struct probe p = accept_probe(listener);
    begin(*loop, &p);
    for (int i = 0; i < 10; i++)
        dial(*loop);
    while (p.op.in_flight)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    int before = p.count;
    for (int i = 0; i < 10; i++)
        dial(*loop);
    cr_assert_eq(p.count, before);
    accept_all(*loop, &p, 20);
    cr_assert_eq(stop(*loop, &p), 0);
    di_io_forget(*loop, &p.op);
    clean(*loop, listener);
}

/* Whoever has not taken all is told again, though nobody new came. */
EVERY_BACKEND(a_part_of_them_is_taken_at_a_time)
{
    int listener = listening(64);
    struct probe p = accept_probe(listener);
    for (int i = 0; i < 20; i++)
        dial(*loop);
    for (int i = 1; i <= 20; i++) {
        di_io_submit(*loop, &p.op);
        while (p.count < i)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        int fd = di_io_accept(*loop, &p.op);
        cr_assert_geq(fd, 0);
        di_io_close_socket(*loop, fd);
    }
    cr_assert_eq(accepted(*loop, &p), 0);
    cr_assert_eq(stop(*loop, &p), 0);
    di_io_forget(*loop, &p.op);
    clean(*loop, listener);
}

EVERY_BACKEND(nobody_comes)
{
    int listener = listening(8);
    struct probe p = accept_probe(listener);
    cr_assert_eq(di_io_accept(*loop, &p.op), -EAGAIN);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(di_io_accept(*loop, &p.op), -EAGAIN);
    di_io_cancel(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.count, 1);
    cr_assert_eq(p.result, DI_IO_CANCELED);
    cr_assert_not(di_io_receiving(&p.op));
    di_io_forget(*loop, &p.op);
    clean(*loop, listener);
}

/* However the stop and those that come meet: each is accepted once, before or after it. */
EVERY_BACKEND(a_stop_loses_nobody)
{
    int listener = listening(64);
    struct probe p = accept_probe(listener);
    unsigned count = 0;
    for (int i = 0; i < 100; i++) {
        if (!p.op.in_flight)
            di_io_submit(*loop, &p.op);
        for (int k = 0; k < i % 4; k++)
            dial(*loop);
        if (i % 3 == 0)
            (void)!di_io_wait(*loop, 0);
        count += i % 5 == 0 ? accepted(*loop, &p) : 0;
        count += i % 2 == 0 ? stop(*loop, &p) : 0;
    }
    accept_all(*loop, &p, dialled - count);
    stop(*loop, &p);
    di_io_forget(*loop, &p.op);
    clean(*loop, listener);
}

/* Those that nobody has taken are closed with it: their dialers learn so. */
EVERY_BACKEND(it_is_forgotten_while_some_wait)
{
    int listener = listening(16);
    struct probe p = accept_probe(listener);
    di_io_submit(*loop, &p.op);
    for (int i = 0; i < 10; i++)
        dial(*loop);
    while (p.count == 0)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    while (p.op.receiving) {
        if (!p.op.in_flight)
            di_io_submit(*loop, &p.op);
        di_io_cancel(*loop, &p.op);
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    }
    di_io_forget(*loop, &p.op);
    cr_assert_not(di_io_receiving(&p.op));
    di_io_close_socket(*loop, listener);
    for (unsigned i = 0; i < dialled; i++) {
        char byte;
        const struct iovec piece = {&byte, 1};
        struct probe r = {.op = {.done = probe_done,
                                 .kind = DI_IO_RECV,
                                 .fd = diallers[i],
                                 .events = POLLIN | POLLRDHUP,
                                 .pieces = &piece,
                                 .piece_count = 1}};
        di_io_submit(*loop, &r.op);
        while (r.count == 0)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        cr_assert(r.result == 0 || r.op.error == ECONNRESET);
        di_io_forget(*loop, &r.op);
    }
    clean(*loop, -1);
}

/* Whatever a loop has accepted is closed with it. */
EACH_BACKEND(a_loop_is_closed_while_some_wait)
{
    unsigned before = descriptors_open();
    for (int round = 0; round < 4; round++) {
        struct di_io *io = *loop;
        if (round > 0)
            cr_assert_eq(di_io_open(&io, suite_io->backend), DUCT_OK);
        int listener = listening(64);
        struct probe p = accept_probe(listener);
        dial(io);
        accept_all(io, &p, 1);
        for (int i = 0; i < 20; i++)
            dial(io);
        if (round % 2 == 0 && !p.op.in_flight)
            di_io_submit(io, &p.op);
        (void)!di_io_wait(io, 0);
        di_io_close_socket(io, listener);
        for (unsigned i = 0; i < dialled; i++)
            di_io_close_socket(io, diallers[i]);
        if (round > 0)
            di_io_close(io);
        else
            stop(io, &p), di_io_forget(io, &p.op);
    }
    cr_assert_eq(descriptors_open(), before);
}

/* Past a bound the kernel is stopped, and they stay in the socket's queue, where no descriptor of ours is theirs. */
EVERY_BACKEND(nobody_takes_them)
{
    enum { MANY = 400 };
    int listener = listening(MANY);
    struct probe p = accept_probe(listener);
    di_io_submit(*loop, &p.op);
    for (int i = 0; i < MANY; i++) {
        dial(*loop);
        if (i % 4 == 0)
            (void)!di_io_wait(*loop, 0);
    }
    cr_assert_eq(p.count, 1);
    cr_assert_leq(p.op.received_count, 128);
    accept_all(*loop, &p, MANY);
    stop(*loop, &p);
    di_io_forget(*loop, &p.op);
    clean(*loop, listener);
}

/* Where the kernel can, it accepts before it is asked: this is what the operation is for. */
Test(uring, the_kernel_goes_on)
{
    if (!di_io_uring_available())
        cr_skip_test("io_uring is not available");
    struct di_io *io;
    cr_assert_eq(di_io_open(&io, &di_io_uring), DUCT_OK);
    suite_io = io;
    int listener = listening(16);
    struct probe p = accept_probe(listener);
    begin(io, &p);
    (void)!di_io_wait(io, 0);
    if (!p.op.receiving || p.op.watching)
        cr_skip_test("this kernel does not accept by itself");
    for (int i = 0; i < 5; i++)
        dial(io);
    cr_assert_eq(di_io_wait(io, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.op.received_count, 5);
    for (int i = 0; i < 5; i++)
        dial(io);
    struct probe timer = timer_probe(0);
    di_io_submit(io, &timer.op);
    cr_assert_eq(di_io_wait(io, 0), DUCT_OK);
    cr_assert_eq(p.count, 1);
    cr_assert_eq(accepted(io, &p), 10);
    stop(io, &p);
    di_io_forget(io, &p.op);
    clean(io, listener);
    di_io_close(io);
}

/* No descriptor is left: a listener to which nobody comes sleeps; else whoever accepts is told why not, once a turn. */
EACH_BACKEND(no_descriptor_is_left)
{
    int listener = listening(16);
    struct probe p = accept_probe(listener);
    int fd = di_io_open_socket(*loop, AF_UNIX);
    struct rlimit before, none;
    (void)!di_io_wait(*loop, 0); /* the loop has what it needs */
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    di_io_submit(*loop, &p.op);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, address_size), 0);
    for (int i = 1; i < 4; i++) {
        while (p.count < i)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        cr_assert_eq(p.result, 1);
        cr_assert_eq(di_io_accept(*loop, &p.op), -EMFILE);
        di_io_submit(*loop, &p.op);
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    accept_all(*loop, &p, 1);
    stop(*loop, &p);
    di_io_forget(*loop, &p.op);
    di_io_close_socket(*loop, fd);
    clean(*loop, listener);
}

EACH_BACKEND(what_is_no_listener)
{
    int fd = di_io_open_socket(*loop, AF_UNIX);
    struct probe p = accept_probe(fd);
    di_io_submit(*loop, &p.op);
    while (p.count == 0)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert(p.result == DI_IO_FAILED || di_io_accept(*loop, &p.op) == -EINVAL);
    di_io_forget(*loop, &p.op);
    di_io_close_socket(*loop, fd);
}

/* ---- To another loop, and another thread ---- */

/* An exported loop goes on with those that its ring had accepted. */
EACH_BACKEND(they_go_along_to_the_exported_loop)
{
    int listener = listening(64);
    struct probe p = accept_probe(listener);
    begin(*loop, &p);
    for (int i = 0; i < 5; i++)
        dial(*loop);
    (void)!di_io_wait(*loop, 0);
    int fd = di_io_fd(*loop);
    cr_assert_geq(fd, 0);
    for (int i = 0; i < 5; i++)
        dial(*loop);
    if (!p.op.in_flight)
        di_io_submit(*loop, &p.op);
    cr_assert(readable(fd));
    accept_all(*loop, &p, 10);
    while (di_io_wait(*loop, 0) == DUCT_OK)
        if (!p.op.in_flight && accepted(*loop, &p) == 0)
            di_io_submit(*loop, &p.op);
    cr_assert_not(readable(fd));
    stop(*loop, &p);
    di_io_forget(*loop, &p.op);
    clean(*loop, listener);
}

struct handed {
    struct di_io *io;
    struct probe p;
};

static void *begin_elsewhere(void *arg)
{
    struct handed *h = arg;
    cr_assert_eq(di_io_adopt(h->io), DUCT_OK);
    begin(h->io, &h->p);
    dial(h->io);
    (void)!di_io_wait(h->io, 0);
    dial(h->io);
    if (!h->p.op.in_flight)
        di_io_submit(h->io, &h->p.op);
    return NULL;
}

EACH_BACKEND(they_go_along_to_the_next_thread)
{
    int listener = listening(64);
    for (int i = 0; i < 20; i++) {
        struct handed h = {.io = *loop, .p = accept_probe(listener)};
        pthread_t thread;
        pthread_create(&thread, NULL, begin_elsewhere, &h);
        pthread_join(thread, NULL);
        cr_assert_eq(di_io_adopt(*loop), DUCT_OK);
        accept_all(*loop, &h.p, 2);
        stop(*loop, &h.p);
        di_io_forget(*loop, &h.p.op);
    }
    clean(*loop, listener);
}
