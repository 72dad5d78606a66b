/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_WAKE_H
#define DI_IO_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <duct/error.h>

/*
 * The one thing another thread, or a signal handler, may do to a loop: make its wait return. An
 * eventfd that the loop watches, and a flag that spares the system call when the eventfd is already
 * up.
 */
struct di_wake {
    int fd;
    atomic_uint up; /* from the first ring until the loop has taken it */
};

/* Errors: LIMIT, NOMEMORY, OS. */
enum duct_err di_wake_open(struct di_wake *wake) DUCT_NODISCARD;
void di_wake_close(struct di_wake *wake);

/* Any thread, signal handlers; keeps errno. */
void di_wake_ring(struct di_wake *wake);

/* The loop's thread, after fd polled readable. True if there was a ring to take. */
bool di_wake_take(struct di_wake *wake);

#endif
