/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <duct/duct.h>

#include "tests/descriptors.h"
#include "tests/fail/fail.h"
#include "tests/race/lane.h"

/*
 * Memory that cannot be had, one request after the other, from the opening of a context to its closing: both ends of
 * a pipe of every scheme, talk in small and large messages, in batches, and by halves. Then
 *
 *   - it was got round, or one call gave one error, in words;
 *   - no descriptor and no block of memory is left;
 *   - the next try works.
 */
enum { MANY = 12, LARGE = 4000 };

struct ends {
    struct duct_context *context;
    struct duct_listener *listener;
    struct duct_pipe *dials, *listens;
    struct duct_pipe *sender, *receiver; /* halves of what dials */
};

static char folder[64];

/* So many messages in one call, received in one call, and given back in one. */
static enum duct_err talk_in_batches(struct duct_pipe *from, struct duct_pipe *to, size_t size)
{
    struct duct_msg out[MANY] = {{0}}, in[MANY] = {{0}};
    size_t loaned = 0, sent = 0, came = 0, all = 0;
    enum duct_err err = duct_msg_loan_batch(from, size, out, MANY, &loaned);

    for (size_t i = 0; i < loaned; i++)
        memset(out[i].data, (int)i, size);
    if (err == DUCT_OK)
        err = duct_send_batch(from, out, loaned, &sent, DUCT_SECOND);
    for (size_t i = sent; i < loaned; i++)
        FAIL_CHECK(duct_msg_discard(&out[i]) == DUCT_OK);
    while (err == DUCT_OK && all < sent) {
        came = 0;
        err = duct_recv_batch(to, in, MANY, &came, 20 * DUCT_SECOND);
        for (size_t i = 0; i < came; i++)
            FAIL_CHECK(in[i].size == size && ((unsigned char *)in[i].data)[size - 1] == all + i);
        all += came;
        enum duct_err given = duct_msg_release_batch(in, came);
        if (err == DUCT_OK)
            err = given;
    }
    return err;
}

static enum duct_err talk(struct duct_pipe *from, struct duct_pipe *to)
{
    static const size_t sizes[] = {1, 100, LARGE};
    unsigned char bytes[LARGE] = {0}, heard[LARGE];
    size_t size;
    enum duct_err err = DUCT_OK;

    for (size_t i = 0; err == DUCT_OK && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(bytes, (int)(i + 1), sizes[i]);
        if ((err = duct_write(from, bytes, sizes[i], i, 20 * DUCT_SECOND)) == DUCT_OK &&
            (err = duct_read(to, heard, sizeof(heard), &size, NULL, 20 * DUCT_SECOND)) == DUCT_OK)
            FAIL_CHECK(size == sizes[i] && memcmp(heard, bytes, size) == 0);
        if (err == DUCT_OK)
            err = talk_in_batches(from, to, sizes[i] < 1000 ? sizes[i] : 1000);
    }
    return err;
}

static enum duct_err try_all(struct ends *ends, const char *url)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    enum duct_err err;

    with.io = DUCT_IO_EPOLL; /* liburing's own memory is not ours to refuse */
    if ((err = duct_context_open(&ends->context, &with)) != DUCT_OK)
        return err;
    options.context = ends->context;
    if ((err = duct_listen(&ends->listener, url, &options)) != DUCT_OK)
        return err;
    /* The listening end of a durable pipe is there before anybody dials it; any other comes with its dialer. */
    if ((err = duct_accept(ends->listener, &ends->listens, 0)) != DUCT_OK && err != DUCT_EAGAIN)
        return err;
    if ((err = duct_dial(&ends->dials, url, &options)) != DUCT_OK ||
        (ends->listens == NULL &&
         (err = duct_accept(ends->listener, &ends->listens, 20 * DUCT_SECOND)) != DUCT_OK) ||
        (err = talk(ends->dials, ends->listens)) != DUCT_OK ||
        (err = talk(ends->listens, ends->dials)) != DUCT_OK)
        return err;
    err =
        duct_pipe_split(ends->dials, ends->context, ends->context, &ends->sender, &ends->receiver);
    if (err == DUCT_ENOTSUP)
        return DUCT_OK;
    if (err != DUCT_OK)
        return err;
    ends->dials = NULL;
    err = talk(ends->sender, ends->listens);
    return err == DUCT_OK ? talk(ends->listens, ends->receiver) : err;
}

static enum duct_err once(const char *url)
{
    struct ends ends = {.context = NULL};
    enum duct_err err = try_all(&ends, url);

    if (err != DUCT_OK)
        FAIL_CHECK(err > DUCT_OK && err < DUCT_ERR_COUNT && strlen(duct_err_detail()) > 10);
    duct_pipe_close(ends.sender);
    duct_pipe_close(ends.receiver);
    duct_pipe_close(ends.dials);
    duct_pipe_close(ends.listens);
    duct_listener_close(ends.listener);
    duct_context_close(ends.context);
    return err;
}

/* Removes what a durable pipe left. */
static void sweep(void)
{
    static const char *const names[] = {"f.listen", "f.listen.pool0", "f.dial", "f.dial.pool0"};
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        MUST(unlink(path) == 0 || errno == ENOENT);
    }
}

static unsigned all_refusals(const char *url)
{
    unsigned refused = 0, errors = 0;

    fail_at(0, ENOMEM);
    FAIL_CHECK(once(url) == DUCT_OK); /* what is made once for a process is there then */
    sweep();
    for (unsigned n = 1;; n++) {
        unsigned fds = descriptors_open();
        long blocks = fail_blocks();
        fail_at(n, ENOMEM);
        enum duct_err err = once(url);
        unsigned calls = fail_calls();
        FAIL_CHECK(descriptors_open() == fds);
        FAIL_CHECK(fail_blocks() == blocks);
        sweep();
        if (n > calls) {
            FAIL_CHECK(err == DUCT_OK);
            printf("%s: %u refusals, %u errors\n", url, refused, errors);
            return refused;
        }
        refused++;
        errors += err != DUCT_OK;
        FAIL_CHECK(once(url) == DUCT_OK);
        sweep();
    }
}

int main(void)
{
    char url[192];
    unsigned refused;

    snprintf(folder, sizeof(folder), "/tmp/duct-fail-XXXXXX");
    MUST(mkdtemp(folder) != NULL && setenv("XDG_RUNTIME_DIR", folder, 1) == 0);
    refused = all_refusals("shm://f?slots=16&pool=16k&pool_max=64k&max_msg=8k");
    snprintf(url, sizeof(url), "shm://f?durable=1&slots=16&pool=64k&max_msg=8k&dir=%s", folder);
    refused += all_refusals(url);
    snprintf(url, sizeof(url), "uds://%s/stream", folder);
    refused += all_refusals(url);
    snprintf(url, sizeof(url), "rm -rf %s", folder);
    MUST(system(url) == 0);
    return refused == 0;
}
