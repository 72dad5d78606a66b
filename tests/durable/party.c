/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/durable/party.h"

#include <stdio.h>
#include <unistd.h>

static uint64_t state;

void party_seed(uint64_t seed)
{
    state = seed;
}

uint32_t party_random(uint32_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % limit;
}

/* Relaxed: see ledger.c. */
#define get(from)     atomic_load_explicit((from), memory_order_relaxed)
#define set(to, what) atomic_store_explicit((to), (what), memory_order_relaxed)

static struct party *party;

static _Noreturn void fault(int end, const char *what, uint64_t number)
{
    snprintf(party->fault, sizeof(party->fault), "the end that %ss: message %lld %s: %s",
             end == 0 ? "dial" : "listen", (long long)number, what, duct_err_detail());
    _exit(3);
}

/* One life of one end. */
struct life {
    int end;
    struct duct_pipe *pipe;
    struct duct_msg held[HELD_MAX];
    uint64_t numbers[HELD_MAX];
    unsigned count;
    uint64_t last;
    unsigned sent, received; /* in this life */
};

static bool send_one(struct life *life)
{
    struct ledger *ledger = &party->ways[life->end];
    uint64_t number = get(&ledger->next);
    struct duct_msg msg;
    unsigned char bytes[MESSAGE_MAX];
    enum duct_err err;

    if (get(&party->stop)) {
        set(&party->quiet[life->end], 1);
        return false;
    }
    if (number == LEDGER_MAX)
        return false;
    /* The number is used up, whatever becomes of the send. */
    if (party_random(2) == 0) {
        if ((err = duct_msg_loan(life->pipe, message_size(number), &msg)) == DUCT_OK) {
            message_fill(msg.data, number);
            set(&ledger->next, number + 1);
            if ((err = duct_send(life->pipe, &msg, 0)) != DUCT_OK &&
                duct_msg_discard(&msg) != DUCT_OK)
                fault(life->end, "could not be discarded", number);
        }
    } else {
        message_fill(bytes, number);
        set(&ledger->next, number + 1);
        err = duct_write(life->pipe, bytes, message_size(number), 0, 0);
    }
    if (err == DUCT_OK) {
        set(&ledger->sent[number], 1);
        life->sent++;
    }
    if (err != DUCT_OK && err != DUCT_EAGAIN)
        fault(life->end, "could not be sent", number);
    return err == DUCT_OK;
}

static bool release_one(struct life *life)
{
    unsigned which;
    uint64_t number;

    if (life->count == 0)
        return false;
    which = party_random(life->count);
    number = life->numbers[which];
    ledger_releasing(&party->ways[!life->end], number);
    if (duct_msg_release(&life->held[which]) != DUCT_OK)
        fault(life->end, "could not be released", number);
    ledger_released(&party->ways[!life->end], number);
    life->count--;
    life->held[which] = life->held[life->count];
    life->numbers[which] = life->numbers[life->count];
    return true;
}

static bool take_one(struct life *life)
{
    struct ledger *ledger = &party->ways[!life->end];
    struct duct_msg *msg = &life->held[life->count];
    enum duct_err err;

    if (life->count == HELD_MAX)
        return release_one(life);
    err = duct_recv(life->pipe, msg, 0);
    if (err == DUCT_EAGAIN || err == DUCT_ELIMIT)
        return release_one(life);
    if (err != DUCT_OK)
        fault(life->end, "could not be received", life->last + 1);
    uint64_t number = message_check(msg->data, msg->size);
    const char *wrong =
        ledger_received(ledger, &life->last, number, (msg->flags & DUCT_MSG_REDELIVERED) != 0);
    if (wrong != NULL)
        fault(life->end, wrong, number);
    life->numbers[life->count++] = number;
    life->received++;
    if (party_random(3) == 0)
        release_one(life);
    return true;
}

static enum duct_err open_pipe(struct life *life, const char *url, struct duct_context *context,
                               struct duct_listener **listener)
{
    struct duct_options options = DUCT_OPTIONS_INIT;

    options.context = context;
    *listener = NULL;
    if (life->end == 0)
        return duct_dial(&life->pipe, url, &options);
    enum duct_err err = duct_listen(listener, url, &options);
    return err != DUCT_OK ? err : duct_accept(*listener, &life->pipe, 0);
}

static bool over(const struct life *life, unsigned quota)
{
    if (life->count > 0)
        return false;
    if (quota > 0 && life->sent >= quota && life->received >= quota)
        return true;
    return get(&party->quiet[0]) && get(&party->quiet[1]) && ledger_open(&party->ways[0]) == 0 &&
           ledger_open(&party->ways[1]) == 0;
}

int party_live(struct party *shared, const char *url, int end, enum duct_io io, unsigned quota)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct life life = {.end = end, .last = UINT64_MAX};
    struct duct_listener *listener;
    struct duct_context *context;
    struct duct_event events[4];
    size_t count;

    party = shared;
    set(&party->quiet[end], 0);
    with.io = io;
    if (duct_context_open(&context, &with) != DUCT_OK ||
        open_pipe(&life, url, context, &listener) != DUCT_OK)
        fault(end, "(no message): could not open", 0);
    for (unsigned turn = 1;; turn++) {
        bool enough = quota > 0 && life.sent >= quota;
        bool moved = !enough && send_one(&life);
        /* What is enough is not taken any more, but released. */
        moved |= quota > 0 && life.received >= quota ? release_one(&life) : take_one(&life);
        set(&party->turns[end], get(&party->turns[end]) + 1);
        if (moved && turn % 64 != 0)
            continue;
        if (over(&life, quota))
            break;
        /* A step that did nothing: whatever happens next wakes us, or we look at stop. */
        enum duct_err err =
            duct_context_wait(context, events, 4, &count, moved ? 0 : 2 * DUCT_MILLISECOND);
        if (err != DUCT_OK && err != DUCT_ETIMEOUT && err != DUCT_EAGAIN)
            fault(end, "(no message): waiting failed", 0);
    }
    duct_pipe_close(life.pipe);
    duct_listener_close(listener);
    duct_context_close(context);
    return 0;
}
