/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_URING_OPS_H
#define DI_IO_URING_OPS_H

#include <liburing.h>
#include <stdatomic.h>
#include <stdint.h>

/*
 * What the kernel's UAPI has and liburing 2.3 has not yet. Numbers of a kernel interface never
 * change once released, so they may be written down; whether the running kernel knows them is asked
 * of it (IORING_REGISTER_PROBE), never concluded from a version.
 */

/*
 * include/uapi/linux/io_uring.h, enum io_uring_op: SENDMSG_ZC is 48 and the last that liburing 2.3
 * knows; then READ_MULTISHOT 49 and WAITID 50 and FUTEX_WAIT 51 (all Linux 6.7).
 */
enum { DI_OP_FUTEX_WAIT = 51 };
_Static_assert(IORING_OP_SENDMSG_ZC == 48, "the enum above is counted from it");

/* include/uapi/linux/io_uring.h: receives that fill several buffers at once (6.10). */
enum { DI_FEAT_RECVSEND_BUNDLE = 1u << 14 };

/* include/uapi/linux/futex.h: flags of the futex2 calls. Without FUTEX2_PRIVATE (128) the futex is
 * found by the page it lies in, so that another process's mapping of it is the same futex. */
enum { DI_FUTEX2_SIZE_U32 = 0x02 };

/* FUTEX_BITSET_MATCH_ANY: woken by any FUTEX_WAKE. */
#define DI_FUTEX_MATCH_ANY UINT32_MAX

/*
 * Completes with 0 when woken, with -EAGAIN at once if *word is not expected. The layout of the
 * entry is that of io_futex_prep() in io_uring/futex.c: fd holds the futex2 flags, addr2 the value,
 * addr3 the mask, and len and futex_flags are 0.
 */
static inline void di_prep_futex_wait(struct io_uring_sqe *sqe, const _Atomic uint32_t *word,
                                      uint32_t expected)
{
    io_uring_prep_rw(DI_OP_FUTEX_WAIT, sqe, DI_FUTEX2_SIZE_U32, NULL, 0, expected);
    sqe->addr = (uintptr_t)word; /* may be mapped read-only: the kernel only looks */
    sqe->addr3 = DI_FUTEX_MATCH_ANY;
}

#endif
