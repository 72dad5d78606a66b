/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/ring.h"

#include <errno.h>
#include <stdatomic.h>

#include "lib/base/error.h"

/*
 * Edges of this file, beside those of ring.h:
 *   [unmapped]  what was done in a ring, rings_closed raised with release before it is unmapped
 *               |  rings_closed loaded with acquire after a ring was mapped, maybe there
 *
 * The kernel orders the one before the other, or the addresses would not be free. But liburing maps by
 * system calls of its own, which ThreadSanitizer does not see, and no lock is passed between the two
 * threads: to it, and to C11, it would be two threads' access to one place.
 */
static _Atomic unsigned rings_closed;

/* Entries are submitted in batches by whatever comes first, a wait or a full queue, so few are
 * enough. Completions of a burst should fit: what does not goes through a slower list in the
 * kernel. */
enum { ENTRIES = 64, COMPLETIONS = 512 };

/* How long the kernel's thread looks for entries before it sleeps: a CPU's time after each burst. */
enum { SQPOLL_IDLE_MS = 10 };

/* Nothing dropped (5.5), a timeout in enter (5.11), and one that came with multishot poll (5.13).
 */
#define NEEDED (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_RSRC_TAGS)

/*
 * From the best to the oldest. The kernel does its part of a completion only when the thread enters (6.1), which
 * is the fastest, but would not wake a thread that sleeps elsewhere, see futex.h. One thread submits and waits, so
 * the kernel need not lock (6.0). It interrupts that thread for its part only when it sleeps (5.19), which lets it
 * sleep elsewhere, and says in a shared word that there is such work. Or it is as it was.
 */
static const unsigned flavours[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    0,
};

static int set_up_as(struct io_uring *u, unsigned flags)
{
    struct io_uring_params params = {.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
                                     .cq_entries = COMPLETIONS,
                                     .sq_thread_idle = SQPOLL_IDLE_MS};
    int failed = io_uring_queue_init_params(ENTRIES, u, &params);
    if (failed == 0 && (params.features & NEEDED) != NEEDED) {
        io_uring_queue_exit(u);
        return -ENOSYS;
    }
    return failed;
}

static int set_up(struct io_uring *u, enum di_ring_kind kind)
{
    int failed = -EINVAL;
    if (kind == DI_RING_SQPOLL)
        return set_up_as(u, IORING_SETUP_SQPOLL);
    for (size_t i = kind == DI_RING_SLEEPS_ELSEWHERE ? 1 : 0;
         i < sizeof flavours / sizeof flavours[0] && failed == -EINVAL; i++)
        failed = set_up_as(u, flavours[i]);
    return failed;
}

enum duct_err di_ring_open(struct di_ring *ring, enum di_ring_kind kind)
{
    int failed = set_up(&ring->u, kind);
    if (failed == -EPERM || failed == -EACCES || failed == -ENOSYS || failed == -EINVAL)
        return di_fail(DUCT_ENOTSUP, "io_uring is not allowed here, or too old for this library; "
                                     "use DUCT_IO=epoll, or allow it (kernel.io_uring_disabled, "
                                     "the container's seccomp profile)");
    if (failed != 0)
        return di_fail_os(-failed, "no io_uring could be set up");
    /* [unmapped] observes: all that was done in rings that lay where this one lies. */
    (void)atomic_load_explicit(&rings_closed, memory_order_acquire);
    /* A child must not touch the parent's queues. */
    io_uring_ring_dontfork(&ring->u);
    /* The queue of indices is a detour we do not take: entry i stands in place i for good. */
    ring->entries = *ring->u.sq.kring_entries;
    ring->completions_mask = *ring->u.cq.kring_mask;
    for (unsigned i = 0; i < ring->entries; i++)
        ring->u.sq.array[i] = i;
    ring->tail = ring->offered = di_ring_relaxed(ring->u.sq.ktail);
    return DUCT_OK;
}

void di_ring_close(struct di_ring *ring)
{
    /* [unmapped] publishes: all that was done in this ring. */
    atomic_fetch_add_explicit(&rings_closed, 1, memory_order_release);
    io_uring_queue_exit(&ring->u);
}

bool di_ring_knows(struct di_ring *ring, int opcode)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->u);
    if (probe == NULL)
        return false;
    bool knows = io_uring_opcode_supported(probe, opcode) != 0;
    io_uring_free_probe(probe);
    return knows;
}

bool di_ring_refill(struct di_ring *ring)
{
    return io_uring_enter2((unsigned)ring->u.ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0) >= 0;
}

/*
 * The kernel's thread has what is queued, or is to be woken for it: what io_uring_enter is to be told, 0 for nothing.
 * Before it sleeps it says so in the flags, and looks at the tail once more; here the tail comes first, and then the
 * flags, with a full fence in between on both sides, so that one of the two sees the other.
 */
static unsigned offer(struct di_ring *ring, unsigned flags, bool waits)
{
    ring->offered = ring->tail;
    atomic_thread_fence(memory_order_seq_cst);          /* [sq] before the look at the flags */
    unsigned said = di_ring_relaxed(ring->u.sq.kflags); /* relaxed: ordered by the fence */
    if (!waits && (said & IORING_SQ_CQ_OVERFLOW) == 0)
        flags = 0;
    if (said & IORING_SQ_NEED_WAKEUP)
        flags |= IORING_ENTER_SQ_WAKEUP;
    if (di_ring_room(ring) == 0)
        flags |= IORING_ENTER_SQ_WAIT;
    return flags;
}

enum duct_err di_ring_enter(struct di_ring *ring, int64_t timeout_ns)
{
    unsigned flags = IORING_ENTER_GETEVENTS;
    unsigned least = timeout_ns == 0 ? 0 : 1;
    struct __kernel_timespec ts;
    struct io_uring_getevents_arg wait = {0};
    void *arg = NULL;
    size_t size = 0;
    if (timeout_ns > 0) {
        ts.tv_sec = timeout_ns / 1000000000;
        ts.tv_nsec = timeout_ns % 1000000000;
        wait.ts = (uint64_t)(uintptr_t)&ts;
        flags |= IORING_ENTER_EXT_ARG;
        arg = &wait;
        size = sizeof wait;
    }
    unsigned queued = di_ring_queued(ring);
    atomic_store_explicit((_Atomic unsigned *)ring->u.sq.ktail, ring->tail,
                          memory_order_release); /* [sq] */
    if (di_ring_polled(ring) && (flags = offer(ring, flags, least > 0)) == 0)
        return DUCT_OK;
    int result = io_uring_enter2((unsigned)ring->u.ring_fd, queued, least, flags, arg, size);
    if (result >= 0 || result == -ETIME || result == -EINTR)
        return DUCT_OK;
    if (result == -EAGAIN || result == -EBUSY)
        return DUCT_EAGAIN;
    if (result == -EEXIST)
        return di_fail(DUCT_EOS, "this loop belongs to another thread: adopt it first");
    return di_fail_os(-result, "the loop's io_uring failed for good");
}
