/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_FUTEX_H
#define DI_IO_FUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Sleeping on a word beside an io_uring.
 *
 * The ring can wait for words by itself (FUTEX_WAIT, Linux 6.7), but every wake-up then goes from the futex
 * through task work to a completion. futex_waitv(2) (Linux 5.16) sleeps on several words at once, and the tail
 * of the ring's completion queue is a word like any other: the kernel advances it in the context of the thread
 * that sleeps, by interrupting the sleep to run task work; the call then starts over by itself, finds that the
 * tail is not what it was, and returns. So one sleep ends by the peer's word or by anything that the ring
 * watches. Measured against plain futexes, ping-pong on one CPU: 1.14 times theirs, where the ring's own wait
 * costs 1.21.
 *
 * It needs a ring whose task work interrupts a sleeper: not IORING_SETUP_DEFER_TASKRUN.
 */

/* Whether the kernel has futex_waitv; the answer is cached. */
bool di_futex_available(void);

/*
 * Sleeps while *word is expected and *tail is seen, for up to timeout_ns (negative: for ever); may return
 * early. word may be woken by any process that shares its page, tail only by the kernel. 0, or a negative
 * errno that concerns the word: it cannot be waited for.
 */
int di_futex_sleep(const _Atomic uint32_t *word, uint32_t expected, const unsigned *tail,
                   unsigned seen, int64_t timeout_ns);

#endif
