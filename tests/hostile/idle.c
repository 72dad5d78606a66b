/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H11: a peer that never reads, never gives a block back, and never reads its socket meets bounded memory and
 * bounded waits.
 */
#include <string.h>
#include <unistd.h>

#include "tests/descriptors.h"
#include "tests/hostile/beside.h"

/* Where every access is instrumented, a tenth will have to do. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REFUSALS 1000000u
#else
#define REFUSALS 10000000u
#endif

/* Pages of noise that an allocator may make; a leak of a byte for each refusal would be 2,441. */
#define NOISE_PAGES 64u

static unsigned long resident_pages(void)
{
    unsigned long total, resident;
    FILE *file = fopen("/proc/self/statm", "re");

    MUST(file != NULL && fscanf(file, "%lu %lu", &total, &resident) == 2);
    fclose(file);
    return resident;
}

static void refused_sends(struct duct_pipe *pipe)
{
    struct duct_msg msg;

    for (unsigned i = 0; i < REFUSALS; i++) {
        enum duct_err err =
            i % 4 == 3 ? duct_msg_loan(pipe, 4096, &msg) : duct_write(pipe, "8 bytes", 8, 0, 0);
        if (err != DUCT_EAGAIN)
            GIVES(err, DUCT_EAGAIN);
    }
}

static void never_reads(struct beside *b)
{
    struct duct_msg msgs[64], more;
    unsigned loans = 0;

    beside_meet(b);
    while (duct_write(b->victim, "8 bytes", 8, 0, 0) == DUCT_OK)
        continue;
    while (loans < 64 && duct_msg_loan(b->victim, 4096, &msgs[loans]) == DUCT_OK)
        loans++;
    MUST(loans > 0 && loans < 64);
    for (unsigned i = 0; i < 1000; i++)
        GIVES(duct_write(b->victim, "8 bytes", 8, 0, 0), DUCT_EAGAIN);
    unsigned long before = resident_pages();
    unsigned open = descriptors_open();
    refused_sends(b->victim);
    unsigned long after = resident_pages();
    if (after > before + NOISE_PAGES)
        fprintf(stderr, "from %lu to %lu pages\n", before, after);
    MUST(after <= before + NOISE_PAGES);
    MUST(descriptors_open() == open);
    /* Waits end in their time. */
    GIVES(duct_write(b->victim, "8 bytes", 8, 0, DUCT_MILLISECOND), DUCT_ETIMEOUT);
    GIVES(duct_send(b->victim, &msgs[0], DUCT_MILLISECOND), DUCT_ETIMEOUT);
    GIVES(duct_msg_loan_aligned(b->victim, 4096, DUCT_ALIGN_LINE, DUCT_MILLISECOND, &more),
          DUCT_ETIMEOUT);
    while (loans > 0)
        MUST(duct_msg_discard(&msgs[--loans]) == DUCT_OK);
    beside_round(b);
    duct_pipe_close_with(b->victim, 0, NULL, DUCT_MILLISECOND);
    b->victim = NULL;
    beside_part(b);
}

/* It takes every message and returns no block, while the pool may grow: up to what was agreed, and no more,
 * nor any descriptor or segment for a growth that could not be announced. */
static void never_returns(struct beside *b)
{
    static unsigned char bytes[4096];
    unsigned sent = 0;

    beside_meet(b);
    unsigned open = descriptors_open();
    for (unsigned i = 0; i < 5000; i++) {
        if (duct_write(b->victim, bytes, sizeof(bytes), 0, 0) == DUCT_OK)
            sent++;
        peer_set_consumed(&b->peer, sent);
    }
    /* pool_max, in blocks of 4,096, and some for what smaller ones take. */
    MUST(sent > 0 && sent <= 64);
    MUST(descriptors_open() == open);
    beside_round(b);
    beside_part(b);
}

int main(void)
{
    static const struct play plays[] = {
        {"H11 never reads", PLAY_DEFAULT, never_reads, "slots=64&max_msg=4096&pool=64k"},
        {"H11 never returns", PLAY_DEFAULT, never_returns, "max_msg=4096&pool=32k&pool_max=256k"},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
