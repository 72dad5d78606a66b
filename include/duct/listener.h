/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_LISTENER_H
#define DUCT_LISTENER_H

#include <stdint.h>

#include <duct/context.h>
#include <duct/error.h>
#include <duct/options.h>

/* A listener: a bound address that accepts pipes. It belongs to its context and its thread. */

#ifdef __cplusplus
extern "C" {
#endif

struct duct_listener;
struct duct_pipe;

/*
 * Binds url and starts listening. options may be NULL; they also hold for the pipes it accepts. Does
 * not wait. Close with duct_listener_close(). Errors: INVALID (address or options; the position and
 * what was expected are in the detail), INUSE (naming the owner's pid), DENIED, NOTSUP, LIMIT,
 * NOSPACE, OS.
 */
DUCT_API enum duct_err duct_listen(struct duct_listener **listener, const char *url,
                                   const struct duct_options *options) DUCT_NODISCARD;

/*
 * Takes the next pipe whose handshake is complete. Blocks up to timeout_ns, running the context.
 * The pipe belongs to the caller and to the listener's context. Errors: AGAIN, TIMEOUT, CANCELED,
 * INVALID (inside a callback, with a timeout), LIMIT, CLOSED (see duct_listener_shutdown()).
 */
DUCT_API enum duct_err duct_accept(struct duct_listener *listener, struct duct_pipe **pipe,
                                   int64_t timeout_ns) DUCT_NODISCARD;

/*
 * Stops taking new connections, at once and for good, and lets those that have begun finish: waits up to timeout_ns for
 * handshakes under way, running the context. Who dials from now on is told NOTFOUND, and the address is free for
 * another listener. The pipes that are there, or come of those handshakes, are still to be taken by duct_accept(), which
 * gives CLOSED when there are no more to come; then close the listener. May be called again, to wait again.
 * Errors: AGAIN (timeout_ns is 0), TIMEOUT, CANCELED: there are handshakes under way, which go on; INVALID (inside a
 * callback, with a timeout); NOTSUP (durable listeners).
 */
DUCT_API enum duct_err duct_listener_shutdown(struct duct_listener *listener,
                                              int64_t timeout_ns) DUCT_NODISCARD;

/* Stops listening and removes what was bound; pipes not yet accepted are closed. NULL is allowed. */
DUCT_API void duct_listener_close(struct duct_listener *listener);

/* The address it was opened with, and the path it is bound to. Valid until it is closed. */
DUCT_API const char *duct_listener_url(const struct duct_listener *listener);
DUCT_API const char *duct_listener_path(const struct duct_listener *listener);

/* Peers turned away since it was opened: by credentials, version, limits, deadline, or as nonsense. */
DUCT_API uint64_t duct_listener_refused(const struct duct_listener *listener);

/* The context it belongs to. */
DUCT_API struct duct_context *duct_listener_context(const struct duct_listener *listener);

#ifdef __cplusplus
}
#endif

#endif
