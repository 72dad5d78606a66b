/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_ERROR_H
#define DUCT_ERROR_H

#include <stdbool.h>

#include <duct/version.h>

/*
 * What can go wrong, grouped by who has to act.
 *
 * Every fallible call returns one of these. Results come through out parameters, which are written
 * only on success. The enum says which kind of failure it was; duct_err_detail() says in words what
 * failed, on what, why, and what to do next.
 */

#ifdef __cplusplus
extern "C" {
#endif

enum duct_err {
    DUCT_OK = 0,

    /* Nobody has to act: try again, or later. */
    DUCT_EAGAIN,    /* nothing to receive, or no room to send, right now */
    DUCT_ETIMEOUT,  /* the time given to the call is over */
    DUCT_ECANCELED, /* duct_context_cancel() or duct_pipe_cancel() ended the wait */

    /* The caller has to act. */
    DUCT_EINVAL,  /* an argument, an address, or the moment of the call is wrong */
    DUCT_ECLOSED, /* the pipe was closed in order, by either side */
    DUCT_ETOOBIG, /* the message is larger than the pipe, or the buffer, takes */
    DUCT_ENOTSUP, /* this transport, kernel or build cannot do that */

    /* The peer has to act. */
    DUCT_EPEER,    /* the peer's process died */
    DUCT_ECORRUPT, /* the peer broke the protocol; its pipe is closed */
    DUCT_EREFUSED, /* the peer refused the pipe; its reason is in the detail */
    DUCT_EVERSION, /* the two sides have no protocol or layout version in common */

    /* The system, or who runs it, has to act. */
    DUCT_ENOMEMORY, /* no memory */
    DUCT_ENOSPACE,  /* no space in the file system that backs shared memory */
    DUCT_ELIMIT,    /* a limit on descriptors, maps, locked memory, or one of duct's own */
    DUCT_EDENIED,   /* credentials or permissions do not allow it */
    DUCT_EINUSE,    /* the address has an owner that is alive */
    DUCT_ENOTFOUND, /* nobody listens there */
    DUCT_EOS        /* any other failure of the operating system */
};

/* Number of values in enum duct_err, DUCT_OK included. */
#define DUCT_ERR_COUNT (DUCT_EOS + 1)

/* "AGAIN", "TIMEOUT", …: the name without its prefix. Static storage; any thread. */
DUCT_API const char *duct_err_name(enum duct_err err);

/* One short sentence about the kind of error. Static storage; any thread. */
DUCT_API const char *duct_err_text(enum duct_err err);

/* True if the same call may succeed later without anybody changing anything. */
DUCT_API bool duct_err_retryable(enum duct_err err);

/*
 * What the last failed call of this thread had to say: what failed, on what, why, and what to do.
 * Valid until this thread's next failing duct call; never NULL, "" if nothing failed yet. The hot
 * calls (loan, send, receive) leave it untouched when they return DUCT_EAGAIN.
 */
DUCT_API const char *duct_err_detail(void);

#ifdef __cplusplus
}
#endif

#endif
