/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_CORE_TRANSPORT_H
#define DI_CORE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <duct/pipe.h>
#include <duct/stats.h>

#include "lib/base/url.h"

/*
 * The transport contract: what a scheme provides, who calls it, and who owns the message.
 *
 * Core knows transports only by these tables; transports/registry.c is the one file that names
 * them. Everything here is called by the thread of the context, and nothing here waits: what would
 * wait returns DUCT_EAGAIN, and core runs the context until the transport says ready. A transport
 * learns of the outside through operations of lib/io that it submits on the context, and tells core
 * by di_pipe_activate() and di_pipe_end() (lib/core/pipe.h).
 */

struct duct_context;
struct duct_listener;
struct duct_pipe;

/* What a call waits for. */
enum {
    DI_READY_RECV = 1,
    DI_READY_SEND = 2,
    DI_READY_NEED = 4, /* as much room, and the block, that the last refused call needed */
    DI_READY_DRAINED =
        8, /* the peer has taken all that was sent. Where that is waited for and not blocking, it is by
                             close: nothing that arrives will be received any more */
    DI_READY_LEFT = 16, /* nothing that was sent waits in this process */
    DI_READY_PARTED =
        32 /* the peer has answered part(), or will not any more. One that can is never ready, it ends */
};

/* What send, write, writev and their batches return instead of OK, when the message was taken but waits in this
 * process for the kernel: a call that was given time waits for DI_READY_LEFT, and the program sees OK. */
enum { DI_LEFT = 1 << 16 };

/*
 * Operations of one pipe. send, write and friends publish before they return; on any error the
 * message is still the caller's. EAGAIN: no room, no block, nothing there. What has ended: recv and
 * read give the messages that are left, then EAGAIN, and core reports how the pipe ended; the
 * others are not called.
 */
struct di_pipe_ops {
    const char *scheme;

    /* Messages pass through the kernel: look() is asked to fetch them where nobody waits. */
    bool pulled;

    enum duct_err (*loan)(struct duct_pipe *pipe, size_t size, size_t align, struct duct_msg *msg);
    enum duct_err (*send)(struct duct_pipe *pipe, struct duct_msg *msg);
    enum duct_err (*recv)(struct duct_pipe *pipe, struct duct_msg *msg);
    /* As send, by a caller that waits for the answer next: the two may be one system call. AGAIN: not this time,
     * or not with this pipe; send it. NULL: never. */
    enum duct_err (*call)(struct duct_pipe *pipe, struct duct_msg *msg);
    enum duct_err (*write)(struct duct_pipe *pipe, const void *data, size_t size, uint64_t tag);
    enum duct_err (*writev)(struct duct_pipe *pipe, const struct iovec *pieces, size_t count,
                            size_t size, uint64_t tag);
    enum duct_err (*read)(struct duct_pipe *pipe, void *data, size_t capacity, size_t *size,
                          uint64_t *tag);

    /* As loan with a line's alignment, as many as there are; *done is how many. */
    enum duct_err (*loan_batch)(struct duct_pipe *pipe, size_t size, struct duct_msg *msgs,
                                size_t count, size_t *done);

    /* Batches: *done is how many went before the error, which is DUCT_OK if all did. */
    enum duct_err (*send_batch)(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                size_t *done);
    enum duct_err (*recv_batch)(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                size_t *done);
    enum duct_err (*write_batch)(struct duct_pipe *pipe, const struct duct_view *views,
                                 size_t count, size_t *done);
    enum duct_err (*read_batch)(struct duct_pipe *pipe, struct duct_buffer *buffers, size_t count,
                                size_t *done);
    void (*flush)(struct duct_pipe *pipe);

    /* Looks up to `polls` times, without the kernel; true as soon as one of want is ready. first:
     * nothing was looked at since the call began to wait. */
    bool (*spin)(struct duct_pipe *pipe, unsigned want, unsigned polls, bool first);

    /* Which of want are ready now. */
    unsigned (*ready)(struct duct_pipe *pipe, unsigned want);

    /*
     * Prepares to sleep: publishes what is due, says how to be woken, and looks once more. Returns
     * what is ready after all; 0 means that from now on a change makes an operation on the context
     * complete. blocking: by a call that does nothing else meanwhile; *err may then become EAGAIN,
     * when the peer does the same and neither can go on.
     */
    unsigned (*arm)(struct duct_pipe *pipe, unsigned want, bool blocking, enum duct_err *err);

    /* The wait is over; wakes are not needed any more. */
    void (*disarm)(struct duct_pipe *pipe, unsigned want);

    /* Looks at the kernel's news for this pipe (its control channel): may call di_pipe_end(). */
    void (*look)(struct duct_pipe *pipe);

    /* The next change of state that was not reported yet; true if there are more. NULL: there is never more than
     * what the pipe says of itself. */
    bool (*change)(struct duct_pipe *pipe, enum duct_state *state, enum duct_err *why);

    /* Messages that were sent, and that the peer's program is not known to have taken: no fewer, but maybe more
     * than are lost if the pipe is. NULL: a pipe that never reconnects. */
    uint64_t (*untaken)(struct duct_pipe *pipe);

    /* The pipe belongs to another context from now on: detach is called on the old one, then
     * pipe->context is changed, then attach. */
    void (*detach)(struct duct_pipe *pipe);
    void (*attach)(struct duct_pipe *pipe);

    /* Another thread owns the context from now on. */
    void (*adopted)(struct duct_pipe *pipe);

    /* Makes two halves; both start on the pipe's context, and the pipe's memory is gone. */
    enum duct_err (*split)(struct duct_pipe *pipe, struct duct_pipe **sender,
                           struct duct_pipe **receiver);

    enum duct_err (*fd)(struct duct_pipe *pipe, int *fd);
    enum duct_err (*set_waiting)(struct duct_pipe *pipe, const struct duct_waiting *waiting);
    void (*info)(struct duct_pipe *pipe, struct duct_pipe_info *info);
    void (*stats)(struct duct_pipe *pipe, struct duct_pipe_stats *stats);

    /* Tells the peer what close() will not tell it again, and goes on without it: what arrives is thrown away until it
     * has heard, which is what DI_READY_PARTED waits for. False: there is nothing to wait for. NULL: never. */
    bool (*part)(struct duct_pipe *pipe, uint32_t code, const char *text);

    /* Tells the peer, lets go of everything, and frees the pipe's memory with di_pipe_free() now or
     * when the last operation has completed. */
    void (*close)(struct duct_pipe *pipe, uint32_t code, const char *text);
};

/* How often whoever waits for a listener tries again, where nothing tells when it comes: twenty tries a second are
 * not felt. */
#define DI_RETRY_NS (50 * DUCT_MILLISECOND)

/* A dial in progress. */
struct di_dial_ops {
    /* DUCT_OK: *pipe is open. EAGAIN: not yet; the context has operations that will change that. */
    enum duct_err (*poll)(void *dial, struct duct_pipe **pipe);
    /* Ends it, whatever its state. */
    void (*close)(void *dial);
};

struct di_listener_ops {
    /* The next pipe whose handshake is done, or EAGAIN. */
    enum duct_err (*accept)(struct duct_listener *listener, struct duct_pipe **pipe);
    bool (*ready)(struct duct_listener *listener);
    /* Peers turned away, where it does not count them in listener->refused; else NULL. */
    uint64_t (*refused)(const struct duct_listener *listener);
    /* Takes who has connected, and then nobody: the address is free. NULL: it cannot be done in two steps. */
    void (*shut_down)(struct duct_listener *listener);
    /* Handshakes that have begun; asked after shut_down only. */
    uint32_t (*under_way)(struct duct_listener *listener);
    /* Frees the listener, now or when its last operation has completed. */
    void (*close)(struct duct_listener *listener);
};

struct di_transport {
    const char *scheme;
    const struct di_dial_ops *dial_ops;
    /* A look at the pipe is a system call: no spinning unless it is asked for. */
    bool costly_looks;
    /* Begins to dial. NOTFOUND at once if nobody listens. options live until dial_ops->close. */
    enum duct_err (*dial)(struct duct_context *context, const struct di_url *url,
                          const struct di_options *options, void **dial);
    enum duct_err (*listen)(struct duct_context *context, const struct di_url *url,
                            const struct di_options *options, struct duct_listener **listener);
};

/* The transport of that scheme, or NULL. Defined in transports/registry.c. */
const struct di_transport *di_transport_find(const char *scheme);

/* All schemes, for messages: "shm, uds, tcp, auto". */
const char *di_transport_names(void);

#endif
