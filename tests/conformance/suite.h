/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONFORMANCE_SUITE_H
#define TESTS_CONFORMANCE_SUITE_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <duct/duct.h>

/*
 * The conformance suite: what include/duct promises, for every scheme, on every backend, between
 * two processes and between two threads with a context each.
 *
 * A test is two scripts. "here" runs in the test's process and accepts; "there" runs in a child,
 * forked before any call of duct, or in a thread, and dials. They meet at tell() and await(), never
 * by sleeping. A CHECK that fails there ends that side, and the test fails for it.
 */

/* What only some schemes can do. */
enum can {
    CAN_SHARE = 1 << 0, /* payload is read where it was written: loans have an address of their own,
                          pools have an end, and each message sent occupies a slot until received */
    CAN_PATH = 1 << 1,  /* listens at a path of the file system */
    CAN_DOORBELL = 1 << 2, /* wakes by the doorbells of <duct/options.h> */
    CAN_ONE_WAY = 1 << 3   /* memory that is refused is not gone around */
};

struct scheme {
    const char *name; /* of the pipes it makes */
    unsigned can;
};

/* auto:// twice: where both share memory, and where the dialer cannot find the listener's. */
extern const struct scheme scheme_shm, scheme_uds, scheme_tcp, scheme_auto, scheme_apart,
    scheme_durable;

/* Longer than anything takes on a busy machine; a wait that gets here has hung. */
#define SOON  (10 * DUCT_SECOND)
#define A_BIT (20 * DUCT_MILLISECOND)

struct side {
    const struct scheme *scheme;
    enum duct_io io;
    bool process;
    bool here;
    int sync;          /* to the other side */
    char url[512];     /* with the query of the test */
    char bare[256];    /* without */
    char nowhere[256]; /* an address of the scheme at which nobody listens */
    pid_t other_pid;   /* here, of a process there */
    struct duct_context *context;
    struct duct_listener *listener; /* here */
    struct duct_pipe *pipe;
};

typedef void script(struct side *s);

enum { BARE = 1 << 0 /* the scripts listen and dial by themselves */ };

void conform(const struct scheme *scheme, enum duct_io io, bool process, unsigned needs,
             unsigned mode, const char *query, script *here, script *there);

/* One test of the contract: `query` goes into both sides' address. */
#define CONFORMS_ON(scheme, backend, io, other, process, name, needs, mode, query, here, there) \
    Test(scheme##_##backend##_##other, name, .timeout = 40)                                     \
    {                                                                                           \
        conform(&scheme_##scheme, io, process, needs, mode, query, here, there);                \
    }

#define CONFORMS_SCHEME(scheme, other, process, name, needs, mode, query, here, there)        \
    CONFORMS_ON(scheme, uring, DUCT_IO_URING, other, process, name, needs, mode, query, here, \
                there)                                                                        \
    CONFORMS_ON(scheme, epoll, DUCT_IO_EPOLL, other, process, name, needs, mode, query, here, there)

/* A loop whose entries a thread of the kernel's takes: over memory and over the net. */
#define CONFORMS_SQPOLL(scheme, name, needs, mode, query, here, there)                         \
    CONFORMS_ON(scheme, sqpoll, DUCT_IO_SQPOLL, process, true, name, needs, mode, query, here, \
                there)

/* A test that needs a peer it can kill. */
#define CONFORMS_PROCESS(name, needs, mode, query, here, there)                 \
    CONFORMS_SQPOLL(shm, name, needs, mode, query, here, there)                 \
    CONFORMS_SQPOLL(tcp, name, needs, mode, query, here, there)                 \
    CONFORMS_SCHEME(shm, process, true, name, needs, mode, query, here, there)  \
    CONFORMS_SCHEME(uds, process, true, name, needs, mode, query, here, there)  \
    CONFORMS_SCHEME(tcp, process, true, name, needs, mode, query, here, there)  \
    CONFORMS_SCHEME(auto, process, true, name, needs, mode, query, here, there) \
    CONFORMS_SCHEME(apart, process, true, name, needs, mode, query, here, there)

#define CONFORMS(name, needs, mode, query, here, there)                         \
    CONFORMS_PROCESS(name, needs, mode, query, here, there)                     \
    CONFORMS_SCHEME(shm, thread, false, name, needs, mode, query, here, there)  \
    CONFORMS_SCHEME(uds, thread, false, name, needs, mode, query, here, there)  \
    CONFORMS_SCHEME(tcp, thread, false, name, needs, mode, query, here, there)  \
    CONFORMS_SCHEME(auto, thread, false, name, needs, mode, query, here, there) \
    CONFORMS_SCHEME(apart, thread, false, name, needs, mode, query, here, there)

/*
 * A test that a durable pipe passes, too. Its contract is the same as far as one life of both ends goes, and differs in
 * this, for which tests/durable has its own: it does not end by what the other side does (there_echoes() takes the
 * other's orderly close for the end), it cannot be split, has no descriptor and no pool that grows, the listener has a
 * pipe to give before anybody dials, and what is sent and not received stays.
 */
#define CONFORMS_KEPT(name, needs, mode, query, here, there)                       \
    CONFORMS(name, needs, mode, query, here, there)                                \
    CONFORMS_SCHEME(durable, process, true, name, needs, mode, query, here, there) \
    CONFORMS_SCHEME(durable, thread, false, name, needs, mode, query, here, there)

/* Ends this side of the test. */
void side_fail(struct side *s, const char *file, int line, const char *what)
    __attribute__((noreturn));

#define CHECK(s, condition)                                 \
    do {                                                    \
        if (!(condition))                                   \
            side_fail((s), __FILE__, __LINE__, #condition); \
    } while (0)

/* The call gives that error. */
void side_gives(struct side *s, const char *file, int line, const char *call, enum duct_err got,
                enum duct_err expected);

#define GIVES(s, call, expected) side_gives((s), __FILE__, __LINE__, #call, (call), (expected))
#define OK(s, call)              GIVES(s, call, DUCT_OK)

/* Meeting points; both are bounded. */
void tell(struct side *s);
void await(struct side *s);

/* Opens what the suite opens for tests that are not BARE. */
struct duct_context *side_context(struct side *s);
void side_listen(struct side *s, const char *url);
void side_accept(struct side *s);
void side_dial(struct side *s, const char *url);

/* Payload that says who it is: filled from seed, checked against it. */
void fill(void *data, size_t size, uint64_t seed);
bool filled(const void *data, size_t size, uint64_t seed);

/* Sends or receives one message of the pattern, tagged with its seed. */
void put(struct side *s, size_t size, uint64_t seed);
void take(struct side *s, size_t size, uint64_t seed);

struct duct_pipe_stats stats_of(struct side *s, struct duct_pipe *pipe);
struct duct_pipe_info info_of(struct side *s, struct duct_pipe *pipe);

bool says(const char *words); /* duct_err_detail() has them */

/* Common scripts for the far side. */
void there_echoes(struct side *s);  /* returns every message until the end */
void there_waits(struct side *s);   /* keeps the pipe open until told */
void there_nothing(struct side *s); /* for BARE tests with one side only */

#endif
