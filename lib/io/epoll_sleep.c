/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/epoll_sleep.h"

#include <errno.h>
#include <limits.h>
#include <time.h>

int di_epoll_sleep(int set, struct epoll_event *events, int events_max, int64_t timeout_ns,
                   bool *coarse)
{
    int count;

    if (timeout_ns <= 0) {
        count = epoll_wait(set, events, events_max, timeout_ns == 0 ? 0 : -1);
        return count < 0 ? -errno : count;
    }
    if (!*coarse) {
        struct timespec ts = {.tv_sec = timeout_ns / 1000000000,
                              .tv_nsec = timeout_ns % 1000000000};
        count = epoll_pwait2(set, events, events_max, &ts, NULL);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return count < 0 ? -errno : count;
        *coarse = true;
    }
    /* Up, not down: waking before the deadline would mean to wait again with 0, in circles. */
    int64_t ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    count = epoll_wait(set, events, events_max, ms > INT_MAX ? INT_MAX : (int)ms);
    return count < 0 ? -errno : count;
}
