/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_OPTIONS_H
#define DUCT_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include <duct/error.h>

/*
 * Options of pipes and listeners.
 *
 * struct duct_options begins with its own size, so that a program compiled against an older header
 * keeps working. Start from DUCT_OPTIONS_INIT; a field left 0 means the default given beside it. The
 * same options can stand in an address's query ("shm://prices?slots=1024&spin=20us"), under the name
 * in brackets; what stands in the address wins. Counts and sizes in a query take the suffixes k, m, g
 * (powers of 1024); times take ns, us, ms, s; flags take 0 or 1.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct duct_context;

/* Times are signed nanoseconds on the monotonic clock. A timeout of 0 never waits. */
#define DUCT_MICROSECOND ((int64_t)1000)
#define DUCT_MILLISECOND ((int64_t)1000000)
#define DUCT_SECOND      ((int64_t)1000000000)
#define DUCT_FOREVER     INT64_MAX

/* How a blocking call waits before it sleeps. [wait] */
enum duct_wait {
    DUCT_WAIT_DEFAULT,   /* spin-then-park, with spin_ns */
    DUCT_WAIT_SPIN,      /* never sleep: lowest latency, one core each side. Looks at the kernel
                            (death, cancel, other pipes) at least once a millisecond. "spin" */
    DUCT_WAIT_YIELD,     /* as SPIN, giving the core away between looks. "yield" */
    DUCT_WAIT_SPIN_PARK, /* spin for spin_ns, then sleep. "spin-park" */
    DUCT_WAIT_PARK       /* sleep at once. "park" */
};

/* How the peer wakes this side. [bell] docs/DOORBELLS.md has the table of what AUTO chooses. */
enum duct_bell {
    DUCT_BELL_AUTO,    /* the cheapest that this kernel, backend and trust allow. "auto" */
    DUCT_BELL_FUTEX,   /* a futex word, waited for by io_uring (Linux 6.7). "futex" */
    DUCT_BELL_EVENTFD, /* an eventfd; only with a trusted peer. "eventfd" */
    DUCT_BELL_SOCKET   /* a byte on the control socket: always works, always safe. "socket" */
};

/* Who pays for the fence between publishing and looking for a sleeper. [fence] */
enum duct_fence {
    DUCT_FENCE_DEFAULT, /* asymmetric once a receiver has been awake for long. "auto" */
    DUCT_FENCE_SENDER,  /* always the sender, a full fence per send or batch; never membarrier(2).
                           "sender" */
    DUCT_FENCE_SLEEPER  /* the receiver that goes to sleep, from the first message. "sleeper" */
};

enum duct_flag_option { DUCT_UNSET, DUCT_NO, DUCT_YES };

struct duct_options {
    size_t size;                  /* sizeof(struct duct_options) */
    struct duct_context *context; /* NULL: this thread's own, opened when first needed */
    void *user;                   /* handed back in events */

    /* Geometry of what this side sends. */
    uint32_t slots;          /* [slots] descriptors in the ring, a power of two in 2..65536; 256 */
    uint32_t max_msg;        /* [max_msg] largest message in bytes, at most 1 GiB; 64 KiB */
    uint64_t pool;           /* [pool] bytes of payload blocks, allocated at once; three times
                                max_msg, 16 KiB at least: 192 KiB. Two thirds of it are blocks of
                                max_msg, so that the default holds two of the largest messages */
    uint64_t pool_max;       /* [pool_max] what the pool may grow to; the same: it does not grow */
    uint64_t peer_bytes_max; /* [peer_bytes] most shared memory accepted from the peer; 4 GiB */
    uint32_t held_max;       /* [held] most small messages held unreleased; 4,096 */
    enum duct_flag_option huge_pages; /* [huge] pool in 2 MiB pages of the system's reserve; no */

    /* Waiting. All four can be changed while the pipe is open: duct_pipe_set_waiting(). */
    enum duct_wait wait;
    int64_t spin_ns; /* [spin] 20 µs with two or more cores, else and over streams 0; negative: 0 */
    enum duct_bell bell;
    enum duct_fence fence;

    /* Trust. */
    enum duct_flag_option untrusted; /* [untrusted] take no risk with this peer's descriptors; no */
    const uint32_t *allow_uids;      /* uids whose processes may be peers; NULL: only one's own */
    size_t allow_uid_count;          /* [allow] in a query: uids joined by commas */

    /* Time. */
    int64_t dial_ns;      /* [timeout] for all of duct_dial(); 5 s */
    int64_t handshake_ns; /* [handshake] from accept to a ready pipe; 2 s */
    int64_t linger_ns;    /* [linger] how long close waits for the peer to take what was sent; 0 */
    enum duct_flag_option wait_for_listener; /* [wait_listener] dial waits, within its timeout, for
                                                a listener that is not there yet; no */
    uint32_t backlog;                        /* [backlog] pipes waiting for duct_accept(); 128 */

    /* What outlives the process: duct(7). */
    enum duct_flag_option
        durable;     /* [durable] messages lie in files until they are released, and outlive
                                      both processes; both ends must say so; no */
    const char *dir; /* [dir] where those files are: an absolute path to a directory of this
                                      user that others may not enter; NULL: /dev/shm/duct-UID */

    /* Streams. */
    enum duct_flag_option
        reuse_port; /* [reuseport] tcp: several listeners share the address, and the
                                         kernel shares out who dials; no */

    int64_t
        heartbeat_ns; /* [heartbeat] over streams: judge each so often whether the peer is there, and send
                                  something if nobody else does; the call that runs the loop must come as often,
                                  on both sides; 0: never */
    uint32_t
        heartbeat_missed; /* [heartbeat_missed] silent ones after which the pipe ends with PEER; 3 */
    int64_t
        reassembly_ns; /* [reassembly] for all of a message that comes in several frames; the pipe ends with
                                  TIMEOUT; 30 s */

    /* Coming back: duct_dial() only; duct(7) says what that means for messages. */
    enum duct_flag_option reconnect; /* [reconnect] dial again when the peer is lost; no */
    int64_t pause_ns;      /* [pause] the longest that the first pause before dialling again lasts;
                                        doubled for each further, of each at least half; 100 ms */
    int64_t pause_max_ns;  /* [pause_max] the longest of all pauses; 10 s */
    uint32_t attempts_max; /* [attempts] to dial, in a row, before the pipe ends; 0: for ever */
    uint64_t
        downtime_bytes_max; /* [downtime_buffer] what may be sent while there is no peer, in bytes with
                                        some 100 for each message; 0: nothing, a send waits or gives AGAIN */
    uint32_t pipes_max; /* [pipes] uds, tcp: most pipes of a listener, open or waiting for accept;
                                         who dials past that is refused, in words; 1 Mi */
    uint64_t
        zerocopy_min; /* [zerocopy] tcp: loaned messages of so many bytes and more are sent without a copy, on
                                         io_uring, while the kernel makes none either: duct(7); 0: none are */
};

#define DUCT_OPTIONS_INIT DUCT_SIZED(struct duct_options)

#ifdef __cplusplus
}
#endif

#endif
