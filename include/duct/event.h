/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_EVENT_H
#define DUCT_EVENT_H

#include <stdint.h>

#include <duct/error.h>

/*
 * What happened, as taken from a context's one queue by duct_context_wait() or handed to a callback
 * by duct_context_run(). An event names live objects only: closing a pipe or listener removes its
 * events from the queue.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct duct_pipe;
struct duct_listener;

enum duct_event_type {
    DUCT_EVENT_ACCEPTED = 1, /* listener has a pipe for duct_accept(); level-triggered */
    DUCT_EVENT_READABLE,     /* pipe has a message, or an end to report; level-triggered */
    DUCT_EVENT_WRITABLE,     /* pipe takes a message: after AGAIN, one like that which was refused;
                                level-triggered, only if watched */
    DUCT_EVENT_STATE,        /* pipe changed its state; once per change */
    DUCT_EVENT_ERROR,        /* pipe failed with err; once */
    DUCT_EVENT_CLOSED        /* peer closed in order, everything it sent was received; once */
};

/* A pipe is CONNECTED, then DISCONNECTED or CLOSED. One with reconnect=1 is DISCONNECTED between attempts to dial
 * again, RECONNECTING during one, and CLOSED when it is over for good. */
enum duct_state {
    DUCT_STATE_CONNECTING = 1,
    DUCT_STATE_CONNECTED,
    DUCT_STATE_DISCONNECTED,
    DUCT_STATE_RECONNECTING,
    DUCT_STATE_CLOSED
};

struct duct_event {
    enum duct_event_type type;
    enum duct_state state; /* STATE: the new one */
    enum duct_err err;     /* ERROR, and STATE to DISCONNECTED, RECONNECTING or CLOSED: why */
    struct duct_pipe *pipe;
    struct duct_listener *listener;
    void *user; /* the pipe's or listener's */
};

/* See duct_context_run(). It may call anything on this context that does not block. */
typedef void duct_event_fn(void *user, const struct duct_event *event);

/* "accepted", "readable", … and "connected", …: static storage. */
DUCT_API const char *duct_event_name(enum duct_event_type type);
DUCT_API const char *duct_state_name(enum duct_state state);

#ifdef __cplusplus
}
#endif

#endif
