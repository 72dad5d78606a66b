/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams one way through a duct pipe, both sides spinning: one call a message, and 32 messages a
 * call. Copied in and out (duct_write, duct_read) for small payloads; built and read in the pool
 * (loan, send, recv, release) for all.
 *
 * `first` receives, as every stream's does.
 */
#include "bench/subject.h"

enum {
    BATCH = SUBJECT_BATCH,
    SLOTS_SMALL = 65536, /* 4 MiB of ring; payloads up to 208 bytes lie in it */
    SLOTS_LARGE = 16384,
    POOL_SMALL = 64 << 10,
    /* More than half of a pool are blocks of max_msg. Pools of 2, 4, 8, 12, 20 MiB carried 1 KiB in 41, 30,
     * 30, 31, 40 ns; 8, 12, 24 MiB 64 KiB in 930, 920, 1000; 8, 12, 24, 32 MiB 1 MiB in 18.9, 17.5, 16.1, 31 us. */
    POOL_KIBIBYTE = 8 << 20,
    POOL_LARGE = 12 << 20,
    POOL_LARGEST = 24 << 20,
};

static inline size_t up_to(uint64_t left, size_t batch)
{
    return left < batch ? (size_t)left : batch;
}

/* ---- Copied ---- */

static inline __attribute__((always_inline)) void read_sized(struct subject *side, uint64_t count,
                                                             size_t size)
{
    unsigned char in[SUBJECT_SMALL_MAX];
    size_t got = 0;

    for (uint64_t i = 0; i < count && !side->failed; i++) {
        if (subject_ok(side, "read",
                       duct_read(side->pipe, in, sizeof(in), &got, NULL, SUBJECT_WAIT_NS)) &&
            got == size)
            side->sum += payload_consume(in, size);
    }
}

static void read_many(void *state, uint64_t count)
{
    struct subject *side = state;
    if (side->size == 8)
        read_sized(side, count, 8);
    else
        read_sized(side, count, side->size);
}

static inline __attribute__((always_inline)) void write_sized(struct subject *side, uint64_t count,
                                                              size_t size)
{
    unsigned char out[SUBJECT_SMALL_MAX];

    for (uint64_t i = 0; i < count && !side->failed; i++) {
        payload_fill(out, size, ++side->sent);
        subject_ok(side, "write", duct_write(side->pipe, out, size, 0, SUBJECT_WAIT_NS));
    }
}

static void write_many(struct subject *side, uint64_t count)
{
    if (side->size == 8)
        write_sized(side, count, 8);
    else
        write_sized(side, count, side->size);
}

static inline __attribute__((always_inline)) void read_batches(struct subject *side, uint64_t count,
                                                               size_t size)
{
    unsigned char in[BATCH][SUBJECT_SMALL_MAX];
    struct duct_buffer buffers[BATCH];

    for (size_t i = 0; i < BATCH; i++)
        buffers[i] = (struct duct_buffer){.data = in[i], .capacity = size};
    for (uint64_t left = count; left > 0 && !side->failed;) {
        size_t done = 0;
        if (!subject_ok(
                side, "read_batch",
                duct_read_batch(side->pipe, buffers, up_to(left, BATCH), &done, SUBJECT_WAIT_NS)))
            return;
        for (size_t i = 0; i < done; i++)
            side->sum += payload_consume(in[i], size);
        left -= done;
    }
}

static void read_batched(void *state, uint64_t count)
{
    struct subject *side = state;
    if (side->size == 8)
        read_batches(side, count, 8);
    else
        read_batches(side, count, side->size);
}

static inline __attribute__((always_inline)) void write_batches(struct subject *side,
                                                                uint64_t count, size_t size)
{
    unsigned char out[BATCH][SUBJECT_SMALL_MAX];
    struct duct_view views[BATCH];

    for (size_t i = 0; i < BATCH; i++)
        views[i] = (struct duct_view){.data = out[i], .size = size};
    for (uint64_t left = count; left > 0 && !side->failed;) {
        size_t wanted = up_to(left, BATCH);
        for (size_t i = 0; i < wanted; i++)
            payload_fill(out[i], size, ++side->sent);
        for (size_t at = 0, done = 0; at < wanted && !side->failed; at += done)
            subject_ok(
                side, "write_batch",
                duct_write_batch(side->pipe, views + at, wanted - at, &done, SUBJECT_WAIT_NS));
        left -= wanted;
    }
}

static void write_batched(struct subject *side, uint64_t count)
{
    if (side->size == 8)
        write_batches(side, count, 8);
    else
        write_batches(side, count, side->size);
}

/* ---- Loaned ---- */

static void recv_many(void *state, uint64_t count)
{
    struct subject *side = state;
    struct duct_msg msg;

    for (uint64_t i = 0; i < count && !side->failed; i++) {
        if (subject_ok(side, "recv", duct_recv(side->pipe, &msg, SUBJECT_WAIT_NS)))
            subject_take(side, &msg);
    }
}

static void recv_batched(void *state, uint64_t count)
{
    struct subject *side = state;
    struct duct_msg msgs[BATCH];

    for (uint64_t left = count; left > 0 && !side->failed;) {
        size_t done = 0;
        if (!subject_ok(
                side, "recv_batch",
                duct_recv_batch(side->pipe, msgs, up_to(left, BATCH), &done, SUBJECT_WAIT_NS)))
            return;
        for (size_t i = 0; i < done; i++) {
            if (msgs[i].size == side->size)
                side->sum += payload_consume(msgs[i].data, msgs[i].size);
        }
        subject_ok(side, "release_batch", duct_msg_release_batch(msgs, done));
        left -= done;
    }
}

static void send_many(struct subject *side, uint64_t count)
{
    struct duct_msg msg;

    for (uint64_t i = 0; i < count && !side->failed; i++) {
        if (subject_build(side, &msg))
            subject_ok(side, "send", duct_send(side->pipe, &msg, SUBJECT_WAIT_NS));
    }
}

/*
 * Loans up to `most` messages and fills them: a batch is what the pool has, since a sender that held back
 * finished messages until it has 32 would starve its receiver of large ones. 0: the side has failed.
 */
static inline size_t build_batch(struct subject *side, struct duct_msg *msgs, size_t most)
{
    size_t loaned = 0;
    enum duct_err err = duct_msg_loan_batch(side->pipe, side->size, msgs, most, &loaned);

    if (err == DUCT_EAGAIN)
        return subject_build(side, msgs) ? 1 : 0;
    if (!subject_ok(side, "loan_batch", err))
        return 0;
    for (size_t i = 0; i < loaned; i++)
        payload_fill_any(msgs[i].data, side->size, ++side->sent);
    return loaned;
}

static void send_batched(struct subject *side, uint64_t count)
{
    struct duct_msg msgs[BATCH];

    for (uint64_t left = count; left > 0 && !side->failed;) {
        size_t built = build_batch(side, msgs, up_to(left, BATCH));
        for (size_t at = 0, done = 0; at < built && !side->failed; at += done)
            subject_ok(side, "send_batch",
                       duct_send_batch(side->pipe, msgs + at, built - at, &done, SUBJECT_WAIT_NS));
        left -= built;
    }
}

/* ---- Cases ---- */

#define STREAM(name, many_in, many_out)                                \
    static void name##_first(struct bench_run *run)                    \
    {                                                                  \
        struct subject side = subject_open(run, true);                 \
        many_in(&side, subject_touch(run));                            \
        bench_drive(run, many_in, &side);                              \
        subject_close(&side, run, true, true);                         \
    }                                                                  \
    static void name##_second(struct bench_run *run)                   \
    {                                                                  \
        struct subject side = subject_open(run, false);                \
        many_out(&side, subject_touch(run) + bench_total(&run->plan)); \
        subject_close(&side, run, false, false);                       \
    }                                                                  \
    const struct subject_flow subject_##name = {name##_first, name##_second};

STREAM(copied, read_many, write_many)
STREAM(copied_batch, read_batched, write_batched)
STREAM(loaned, recv_many, send_many)
STREAM(loaned_batch, recv_batched, send_batched)

/*
 * Deep enough that neither side treads on the other's heels, and that lines fall out of the
 * sender's L2 by themselves; see base_ring.c. Rings of 256, 1024, 4096, 16384, 65536 slots carried
 * 25, 23, 40, 83, 94 million single messages of 8 bytes a second.
 */
static void add(struct cases *cases, const struct bench_case *what)
{
    struct bench_case with = *what;
    bool small = what->size <= SUBJECT_SMALL_MAX;
    with.geometry = (struct bench_geometry){
        .slots = small ? SLOTS_SMALL : SLOTS_LARGE,
        .max_msg = what->size,
        .pool = small                   ? POOL_SMALL
                : what->size <= 1 << 10 ? POOL_KIBIBYTE
                : what->size <= 1 << 16 ? POOL_LARGE
                                        : POOL_LARGEST,
        .wait = "spin",
    };
    cases_add(cases, &with);
}

void subject_stream_cases(struct cases *cases)
{
    static const struct {
        const char *name, *about;
        size_t size_max;
        const struct subject_flow *flow;
    } kinds[] = {
        {"duct.stream", "duct_write and duct_read, one message a call", SUBJECT_SMALL_MAX,
         &subject_copied},
        {"duct.stream.batch", "duct_write_batch and duct_read_batch of 32", SUBJECT_SMALL_MAX,
         &subject_copied_batch},
        {"duct.loaned", "loan, fill, send; recv, read, release", SIZE_MAX, &subject_loaned},
        {"duct.loaned.batch", "the same, each call for up to 32 messages", SIZE_MAX,
         &subject_loaned_batch},
    };
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (size_t i = 0; i < CASES_SIZES && cases_sizes[i] <= kinds[k].size_max; i++) {
            bool stamp = cases_sizes[i] == 8 && kinds[k].size_max == SUBJECT_SMALL_MAX;
            add(cases, &(struct bench_case){
                           .name = kinds[k].name,
                           .about = kinds[k].about,
                           .kind = BENCH_STREAM,
                           .place = BENCH_PAIR,
                           .size = cases_sizes[i],
                           .baseline = stamp ? "base.stamp" : "base.ring",
                           .setup = subject_setup,
                           .first = kinds[k].flow->first,
                           .second = kinds[k].flow->second,
                       });
        }
    }
}
