/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_TOOLS_CAT_H
#define DUCT_TOOLS_CAT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <duct/listener.h>
#include <duct/pipe.h>

/*
 * duct listen and duct dial: bytes in, messages across, bytes out, both ways at once.
 *
 * One thread, one context. A session is one pipe with what it is bridged to: this process's standard
 * input and output, a command's, or itself (echo). Every session has a step that moves what can be
 * moved without waiting; the loop calls the steps until none of them moved anything, and then waits
 * for everything that could change that: the context, and the descriptors that were not ready.
 *
 *   cat.c          the command line, dial
 *   cat_loop.c     sessions, accepting, waiting
 *   cat_session.c  one step; how a session ends
 *   cat_input.c    bytes to messages
 *   cat_output.c   messages to bytes
 *   cat_end.c      the end of a direction
 *   cat_exec.c     commands
 *   cat_threads.c  several loops, each with a listener of its own at one address
 *
 * The end of a direction. A pipe has no half-close, so an input that has ended is told by an empty
 * message with a tag of its own, which over a durable pipe holds the number of the session; the pipe is closed once
 * both directions have ended. A program at the other end sees that message, and may ignore it.
 */
#define CAT_END_TAG UINT64_C(0x646e652d74637564) /* "duct-end" */

/* Reasons given to the other side at close; 0 is "in order". */
enum cat_reason {
    CAT_REASON_DONE = 0,
    CAT_REASON_OUTPUT = 1,      /* nobody reads the output any more */
    CAT_REASON_INTERRUPTED = 2, /* a signal */
    CAT_REASON_FAILED = 3,      /* reading or writing failed */
    CAT_REASON_COMMAND = 4,     /* the command failed */
    CAT_REASON_IDLE = 5         /* nothing moved for too long */
};

enum cat_mode { CAT_RAW, CAT_LINES, CAT_FRAMED };

struct cat_options {
    const char *url;
    const char *command; /* --exec */
    bool listening;
    bool echo;
    bool keep;
    bool no_input;
    bool close_at_end;
    bool quiet;
    bool verbose;
    bool in_given;
    enum cat_mode in;
    enum cat_mode out;
    uint64_t chunk;
    uint64_t threads;   /* 0: none but this one */
    uint64_t count;     /* 0: no limit */
    int64_t timeout_ns; /* DUCT_FOREVER: none */
};

/* What kept a step from moving more. */
enum cat_wants {
    CAT_WANTS_INPUT = 1u << 0,  /* the input's descriptor to be readable */
    CAT_WANTS_OUTPUT = 1u << 1, /* the output's to be writable */
    CAT_WANTS_SPACE = 1u << 2,  /* room in the pipe */
    CAT_WANTS_DATA = 1u << 3,   /* a message in the pipe */
    CAT_WANTS_PEER = 1u << 4    /* somebody at the other end */
};

#define CAT_BATCH 64u

struct cat_input {
    int fd;
    enum cat_mode mode;
    bool polled;      /* may block: ask before reading */
    bool terminal;    /* does not keep a pipe open */
    bool ended;       /* nothing more comes */
    bool told;        /* and the other side knows */
    uint64_t told_in; /* over a durable pipe: in which session; 0: in none */
    size_t chunk;
    uint64_t left;        /* messages still to be taken */
    struct duct_msg loan; /* CAT_RAW: being filled, or filled */
    bool filled;
    char *buffer; /* the other modes */
    size_t capacity, at, have;
};

struct cat_output {
    int fd;
    enum cat_mode mode;
    bool polled;  /* may block */
    bool private; /* non-blocking, by a description of our own */
    bool socket;
    bool gone;         /* nobody reads: what comes is thrown away */
    bool ended;        /* the other side's input has ended */
    uint64_t ended_in; /* over a durable pipe: in which session it was said last; 0: in none */
    uint64_t left;
    size_t batch; /* messages to take at once */
    struct duct_msg held[CAT_BATCH];
    size_t held_count;
    unsigned char heads[CAT_BATCH][4];
    struct iovec pieces[2 * CAT_BATCH];
    size_t piece_count, piece_at;
};

struct cat_session {
    struct duct_pipe *pipe;
    struct cat_input in;
    struct cat_output out;
    unsigned wants;
    uint32_t watched;
    enum duct_err end; /* the pipe's, once known */
    pid_t child;       /* 0: none */
    int child_fd;      /* a pidfd; -1 once it was reaped */
    int child_status;
    bool durable;
    bool alone;   /* a durable pipe's peer has gone */
    bool starved; /* no block to put a message into, whatever room the ring has */
    bool done;
    int code; /* once done: the exit code */
};

#define CAT_SESSIONS_MAX 64u
#define CAT_QUEUE_MAX    256u

struct cat_loop {
    const struct cat_options *options;
    struct duct_context *context;
    struct duct_listener *listener;
    struct cat_session *sessions[CAT_SESSIONS_MAX];
    size_t session_count;
    struct duct_pipe *queue[CAT_QUEUE_MAX]; /* accepted, waiting for their turn */
    size_t queue_count;
    struct cat_input in; /* this process's own, which one session has at a time */
    struct cat_output out;
    uint64_t bytes_in, bytes_out, msgs_in, msgs_out; /* into and out of pipes */
    uint64_t served;
    int64_t started;
    int64_t moved_at;
    int code; /* of the last session */
};

/* cat_loop.c */
int cat_run(struct cat_loop *loop);
bool cat_add(struct cat_loop *loop, struct duct_pipe *pipe);

/* cat_session.c. step: true if something moved. end: closes the pipe and frees. */
bool cat_session_step(struct cat_loop *loop, struct cat_session *session);
void cat_session_close(struct cat_loop *loop, struct cat_session *session, enum cat_reason reason,
                       int code, const char *text);

/* cat_input.c, cat_output.c. pump: true if something moved; sets session->wants, and session->end. */
void cat_input_open(struct cat_input *in, int fd, enum cat_mode mode,
                    const struct cat_options *options);
bool cat_input_pump(struct cat_loop *loop, struct cat_session *session);
void cat_output_open(struct cat_output *out, int fd, enum cat_mode mode,
                     const struct cat_options *options);
bool cat_output_pump(struct cat_loop *loop, struct cat_session *session);

/* Notes why a call that sends moved nothing: the pipe has ended, or is full, or lacks a block for a
 * message of that size (0: it has one). */
void cat_stopped(struct cat_session *session, enum duct_err err, size_t size);

/* cat_end.c: the message that tells the end of an input. take: it came. look: a session has begun. tell: true if it was
 * sent; sets session->wants, and session->end. */
bool cat_is_end(const struct cat_session *session, const struct duct_msg *msg);
void cat_end_take(struct cat_session *session, const struct duct_msg *msg);
void cat_end_look(struct cat_session *session);
bool cat_end_tell(struct cat_session *session);

/* True if a descriptor is ready now. */
bool cat_ready(int fd, short events);

/* cat_exec.c */
bool cat_spawn(struct cat_session *session, const struct cat_options *options);
bool cat_reap(struct cat_session *session); /* true once it has ended */
/* Ends it if it still runs: asks first, and kills it where it does not listen. */
void cat_end_command(struct cat_session *session, const struct cat_options *options);

/* cat_threads.c: listens as the options say, on options->threads threads, and serves until a signal. The exit code. */
int cat_threads(const struct cat_options *options, const struct duct_options *pipe);

/* cat_progress.c: a line on a terminal, while there is something to tell. */
bool cat_progress_wanted(const struct cat_options *options);
void cat_progress(struct cat_loop *loop, int64_t now);
void cat_summary(struct cat_loop *loop);

#endif
