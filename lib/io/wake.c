/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/wake.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/error.h"

/*
 * | edge   | orders                                                                           |
 * | [wake] | what a thread wrote before it rang, before what the loop reads after it took it  |
 *
 * The order inside ring is flag, eventfd; inside take it is eventfd, flag. Were it flag first in
 * take, a ring between the two steps would raise both, take would empty the eventfd, and the flag
 * would stay up over an empty eventfd: every later ring would be skipped. As it is, a ring that
 * falls between the two steps finds the flag up and does nothing, and is answered by the very wait
 * that is about to return; the exchange that lowers the flag reads what that ring wrote, so its
 * caller's writes are seen.
 *
 * A ring that was interrupted between its two steps delays others until it goes on, but loses none.
 * The flag must be lock-free for use in signal handlers.
 */
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "wake is called from signal handlers");

enum duct_err di_wake_open(struct di_wake *wake)
{
    wake->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake->fd < 0)
        return di_fail_os(errno, "no eventfd to wake a loop with");
    atomic_init(&wake->up, 0);
    return DUCT_OK;
}

void di_wake_close(struct di_wake *wake)
{
    close(wake->fd);
    wake->fd = -1;
}

void di_wake_ring(struct di_wake *wake)
{
    if (atomic_exchange_explicit(&wake->up, 1, memory_order_acq_rel) != 0) /* [wake] */
        return;
    int kept = errno;
    const uint64_t one = 1;
    ssize_t written = write(wake->fd, &one, sizeof one);
    (void)written; /* cannot be full: the flag allows one at a time */
    errno = kept;
}

bool di_wake_take(struct di_wake *wake)
{
    uint64_t count;
    if (read(wake->fd, &count, sizeof count) != (ssize_t)sizeof count)
        return false;
    atomic_exchange_explicit(&wake->up, 0, memory_order_acq_rel); /* [wake] */
    return true;
}
