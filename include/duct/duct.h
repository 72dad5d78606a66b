/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_DUCT_H
#define DUCT_DUCT_H

/*
 * duct links processes.
 *
 * Two programs on one machine get a pipe through shared memory that costs little more than moving a
 * cache line. No broker, no daemon, no hidden thread, nothing left behind after a crash.
 *
 *     struct duct_pipe *pipe;
 *     struct duct_msg out, in;
 *     enum duct_err err = duct_dial(&pipe, "shm://prices", NULL);
 *     if (err) return fail("dial", err);
 *     if ((err = duct_msg_loan(pipe, sizeof(struct tick), &out)) == DUCT_OK) {
 *         fill_tick(out.data);                               // written once, where the peer reads it
 *         if ((err = duct_send(pipe, &out, DUCT_SECOND)) != DUCT_OK)
 *             duct_msg_discard(&out);
 *     }
 *     if (err == DUCT_OK && (err = duct_recv(pipe, &in, DUCT_SECOND)) == DUCT_OK) {
 *         use_tick(in.data, in.size);                        // a view into the peer's pool, no copy
 *         duct_msg_release(&in);
 *     }
 *     duct_pipe_close(pipe);
 *
 * The nouns
 *   context   owns one event loop; belongs to one thread at a time        <duct/context.h>
 *   listener  a bound address that accepts pipes                          <duct/listener.h>
 *   pipe      one connection, both directions, messages in order          <duct/pipe.h>
 *   message   bytes with a length: loaned and sent, received and released <duct/message.h>
 *   event     what happened, from one queue per context                   <duct/event.h>
 *   janitor   finds and removes what crashed programs left behind         <duct/janitor.h>
 *
 * Addresses: shm://name for processes of one user, shm:///absolute/path for peers of other users.
 * Options may stand in the query: shm://prices?slots=4096 (<duct/options.h>).
 *
 * Lifetimes. A context outlives the pipes and listeners on it. A received message outlives its pipe.
 * Everything opened has one close. On error a message stays the caller's.
 *
 * Threads. Everything belongs to the thread of its context, but for: release of a message, cancel and
 * wake (also from signal handlers), and the functions on errors, names and the log. A process made by
 * fork() does not inherit pipes: calls on them give CLOSED there.
 *
 * Waiting. Every call that can wait takes a timeout in nanoseconds; 0 never waits, DUCT_FOREVER waits
 * until there is an end. While a call waits it runs the whole context, so that other pipes' handshakes
 * and ends go on.
 *
 * Trust. A peer's process may crash or lie; it can end its own pipe with PEER or CORRUPT and nothing
 * else. A view from duct_recv() can still be changed by its sender; duct_read() gives a snapshot.
 */
#include <duct/context.h>
#include <duct/error.h>
#include <duct/event.h>
#include <duct/janitor.h>
#include <duct/listener.h>
#include <duct/log.h>
#include <duct/message.h>
#include <duct/options.h>
#include <duct/pipe.h>
#include <duct/stats.h>
#include <duct/version.h>

#endif
