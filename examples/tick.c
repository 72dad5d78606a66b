/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include <duct/duct.h>

/*
 * The shortest program with duct, both ends of it:
 *
 *     tick listen [URL] &
 *     tick dial [URL]
 *
 * The dialer sends one price and receives one back.
 */

struct tick {
    char symbol[8];
    double price;
};

static int fail(const char *what, enum duct_err err)
{
    fprintf(stderr, "tick: %s: %s: %s\n", what, duct_err_name(err), duct_err_detail());
    return 1;
}

/* Written once, into the block in which the peer will read it. */
static enum duct_err send_tick(struct duct_pipe *pipe, const char *symbol, double price)
{
    struct duct_msg out;
    enum duct_err err = duct_msg_loan(pipe, sizeof(struct tick), &out);

    if (err != DUCT_OK)
        return err;
    struct tick *tick = out.data;
    memset(tick, 0, sizeof(*tick));
    snprintf(tick->symbol, sizeof(tick->symbol), "%s", symbol);
    tick->price = price;
    if ((err = duct_send(pipe, &out, DUCT_SECOND)) != DUCT_OK)
        duct_msg_discard(&out); /* on an error a message stays the caller's */
    return err;
}

/* The program defines its own messages, and so checks their size itself. */
static enum duct_err recv_tick(struct duct_pipe *pipe, struct tick *tick)
{
    struct duct_msg in;
    enum duct_err err = duct_recv(pipe, &in, DUCT_SECOND);

    if (err != DUCT_OK)
        return err;
    if (in.size == sizeof(*tick))
        memcpy(tick, in.data, sizeof(*tick));
    else
        err = DUCT_ECORRUPT;
    duct_msg_release(&in);
    tick->symbol[sizeof(tick->symbol) - 1] = '\0';
    return err;
}

static int serve(const char *url)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    struct tick tick = {0};
    enum duct_err err = duct_listen(&listener, url, NULL);

    if (err != DUCT_OK)
        return fail("listen", err);
    if ((err = duct_accept(listener, &pipe, 10 * DUCT_SECOND)) == DUCT_OK) {
        if ((err = recv_tick(pipe, &tick)) == DUCT_OK) {
            printf("asked %s %.2f\n", tick.symbol, tick.price);
            err = send_tick(pipe, tick.symbol, tick.price + 0.25);
        }
        duct_pipe_close(pipe); /* the peer still receives what was sent */
    }
    duct_listener_close(listener);
    return err != DUCT_OK ? fail("serve", err) : 0;
}

static int ask(const char *url)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;
    struct tick tick = {0};

    options.wait_for_listener = DUCT_YES; /* either end may be started first */
    enum duct_err err = duct_dial(&pipe, url, &options);
    if (err != DUCT_OK)
        return fail("dial", err);
    if ((err = send_tick(pipe, "DUCT", 99.5)) == DUCT_OK &&
        (err = recv_tick(pipe, &tick)) == DUCT_OK)
        printf("answer %s %.2f\n", tick.symbol, tick.price);
    duct_pipe_close(pipe);
    return err != DUCT_OK ? fail("exchange", err) : 0;
}

int main(int argc, char **argv)
{
    const char *url = argc > 2 ? argv[2] : "shm://prices";

    if (argc > 1 && strcmp(argv[1], "listen") == 0)
        return serve(url);
    if (argc > 1 && strcmp(argv[1], "dial") == 0)
        return ask(url);
    fprintf(stderr, "usage: tick listen|dial [URL]\n");
    return 2;
}
