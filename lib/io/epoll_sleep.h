/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_EPOLL_SLEEP_H
#define DI_IO_EPOLL_SLEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/*
 * epoll_wait for so many nanoseconds; negative: for ever. Where epoll_pwait2 is not allowed, *coarse is set, and it sleeps
 * until the next whole millisecond from then on. The number of events, or a negative errno.
 */
int di_epoll_sleep(int set, struct epoll_event *events, int events_max, int64_t timeout_ns,
                   bool *coarse);

#endif
