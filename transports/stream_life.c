/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/base/log.h"
#include "transports/stream.h"

/*
 * Peers that are silent, and peers that never finish: both are judged by the context's sweep, and both only after a
 * look at the socket, since what lies there unread is the fault of our own program.
 */

/* Waiting in the socket, of a message that took too long: more than a peer gets by that sends a little now and then. */
#define PROGRESS_LEAST ((size_t)65536)

static void fail(struct stream_pipe *sp, enum duct_err err)
{
    di_log(DUCT_LOG_INFO, "a %s pipe was ended: %s", sp->stream->scheme->name, duct_err_detail());
    stream_keep_why(sp->stream);
    stream_end(sp->stream, err);
    di_pipe_end(&sp->pipe, err);
}

static void add_after(struct stream_pipe *sp, struct di_sweep_entry *entry, int64_t time_ns,
                      int64_t now)
{
    di_sweep_add(sp->pipe.context, entry, time_ns > INT64_MAX - now ? INT64_MAX : now + time_ns);
}

/* ---- Heartbeat ---- */

static void beat_again(struct stream_pipe *sp, int64_t now)
{
    add_after(sp, &sp->beat_entry, sp->stream->heartbeat_ns, now);
}

static void on_beat(struct di_sweep_entry *entry, int64_t now)
{
    struct stream_pipe *sp = di_container(entry, struct stream_pipe, beat_entry);
    struct stream *stream = sp->stream;

    if (sp->pipe.end == DUCT_OK && !sp->in->whole)
        stream_pull(sp);
    stream_signal(sp);
    if (sp->pipe.end != DUCT_OK || stream_ended(stream) != DUCT_OK)
        return;
    beat_again(sp, now);
    /* The other half of a split pipe may be sending. */
    stream_lock(stream);
    uint64_t said = stream->sent_msgs;
    bool queued = stream->queue.bytes > 0;
    stream_unlock(stream);
    switch (di_heartbeat_tick(&sp->beat, sp->in->arrived, said, sp->in->whole)) {
    case DI_HEARTBEAT_NOTHING:
        break;
    case DI_HEARTBEAT_PING:
        /* One that is still queued, or a message, says as much. */
        if (!queued)
            stream_send_note(sp, DI_FRAME_PING, 0);
        break;
    case DI_HEARTBEAT_GONE:
        di_sweep_remove(entry);
        fail(sp, di_fail(DUCT_EPEER,
                         "the peer was silent for %u intervals of %lld ms and did not answer; it "
                         "is gone, frozen, or does not run its loop (options heartbeat and "
                         "heartbeat_missed)",
                         sp->beat.silent, (long long)(stream->heartbeat_ns / DUCT_MILLISECOND)));
        break;
    }
}

/* ---- Reassembly ---- */

static void await_message(struct stream_pipe *sp, int64_t now)
{
    add_after(sp, &sp->whole_entry, sp->stream->reassembly_ns, now);
}

static void on_overdue(struct di_sweep_entry *entry, int64_t now)
{
    struct stream_pipe *sp = di_container(entry, struct stream_pipe, whole_entry);
    struct stream *stream = sp->stream;
    uint64_t before = sp->in->arrived;
    bool late = now - entry->deadline > stream->reassembly_ns / 2;

    if (sp->pipe.end != DUCT_OK)
        return;
    stream_pull(sp);
    stream_signal(sp);
    if (sp->pipe.end != DUCT_OK || sp->in->block == NULL || sp->in->whole ||
        di_list_linked(&entry->link))
        return;
    if (late || sp->in->arrived - before >= PROGRESS_LEAST) {
        await_message(sp, now);
        return;
    }
    fail(sp, di_fail(DUCT_ETIMEOUT,
                     "a message of %u bytes was not complete within %lld ms: %zu of them came; the "
                     "option reassembly allows more time",
                     sp->in->first.whole, (long long)(stream->reassembly_ns / DUCT_MILLISECOND),
                     sp->in->filled));
}

void stream_message_begun(struct stream_pipe *sp)
{
    /* A handle that is on its way out, or to another context, is on no list; where it goes on, it starts anew. */
    if (!sp->closing && !sp->detaching)
        await_message(sp, di_io_now(sp->pipe.context->io));
}

/* ---- Both ---- */

void stream_life_start(struct stream_pipe *sp)
{
    int64_t now = di_io_now(sp->pipe.context->io);

    if (sp->in == NULL)
        return;
    sp->beat_entry.expired = on_beat;
    sp->whole_entry.expired = on_overdue;
    di_heartbeat_init(&sp->beat, sp->stream->heartbeat_missed);
    if (sp->stream->heartbeat_ns > 0)
        beat_again(sp, now);
    if (sp->in->block != NULL && !sp->in->whole)
        await_message(sp, now);
}

void stream_life_stop(struct stream_pipe *sp)
{
    di_sweep_remove(&sp->beat_entry);
    di_sweep_remove(&sp->whole_entry);
}
