/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <duct/duct.h>

#include "tools/cli.h"

/*
 * usage: duct-demo in-place|copied|pipe|socket FILE COPY
 *
 * Streams FILE, which lies in memory, from one process to another in pieces of 64 KiB, and prints two
 * rates in bytes per second, the best of several rounds each: until all is in the receiver's memory,
 * and until the receiver has also read every byte of it (and its sum is right).
 *
 *   pipe, socket  write(2) out of the sender's map of the file, read(2) into a buffer
 *   copied        copied out of that map into loaned messages, received where they lie
 *   in-place      the sender has the file in loaned messages to begin with, as a program does that
 *                 makes its data there; received where they lie
 *
 * The clock runs from the first byte sent to the sender's hearing of the end. Mapping, loading and
 * saving of files is left out. A last round, not timed, writes what arrives to COPY, for whoever wants
 * to compare the bytes.
 */

#define CHUNK  ((size_t)64 << 10)
#define ROUNDS 20 /* of each kind */
#define WAIT   (20 * DUCT_SECOND)

struct demo {
    const char *kind;
    unsigned char *from;   /* the file */
    unsigned char *buffer; /* the receiver's, for read(2) */
    int copy;              /* the receiver's file in the last round, else -1 */
    uint64_t sum;          /* of this round */
    size_t size;
    bool in_place, reads;
    struct duct_msg *loans; /* in_place */
    int channel[2];         /* bytes go in at 1 and come out at 0; duct: unused */
    int word[2];            /* a socket pair for "begin" and "I have it all" */
    char url[64];
    struct duct_pipe *pipe;
};

static void die(const char *what)
{
    fprintf(stderr, "duct-demo: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void die_duct(const char *what, enum duct_err err)
{
    fprintf(stderr, "duct-demo: %s: %s %s\n", what, duct_err_text(err), duct_err_detail());
    _exit(1);
}

/* What the receiver does with the bytes: reads them all. */
static void use(struct demo *demo, const unsigned char *data, size_t size)
{
    uint64_t lanes[8] = {0};
    size_t at = 0;

    if (!demo->reads)
        return;
    for (; at + sizeof(lanes) <= size; at += sizeof(lanes)) {
        uint64_t words[8];
        memcpy(words, data + at, sizeof(words));
        for (unsigned i = 0; i < 8; i++)
            lanes[i] += words[i];
    }
    for (; at < size; at++)
        demo->sum += data[at];
    for (unsigned i = 0; i < 8; i++)
        demo->sum += lanes[i];
    for (size_t done = 0; demo->copy >= 0 && done < size;) {
        ssize_t written = write(demo->copy, data + done, size - done);
        if (written <= 0)
            die("the copy");
        done += (size_t)written;
    }
}

/* ---- Words between the two ---- */

static void tell(int fd, uint64_t word)
{
    if (write(fd, &word, sizeof(word)) != sizeof(word))
        die("the other process is gone");
}

static uint64_t await(int fd)
{
    uint64_t word;

    if (read(fd, &word, sizeof(word)) != sizeof(word))
        die("the other process is gone");
    return word;
}

/* ---- The two ends of each way ---- */

static size_t piece(const struct demo *demo, size_t at)
{
    return demo->size - at < CHUNK ? demo->size - at : CHUNK;
}

static void load(struct demo *demo, size_t at, struct duct_msg *msg)
{
    size_t size = piece(demo, at);
    enum duct_err err = duct_msg_loan_aligned(demo->pipe, size, DUCT_ALIGN_LINE, WAIT, msg);

    if (err != DUCT_OK)
        die_duct("loan", err);
    memcpy(msg->data, demo->from + at, size);
}

static void send_duct(struct demo *demo)
{
    for (size_t at = 0; at < demo->size; at += CHUNK) {
        struct duct_msg msg;
        if (demo->in_place)
            msg = demo->loans[at / CHUNK];
        else
            load(demo, at, &msg);
        enum duct_err err = duct_send(demo->pipe, &msg, WAIT);
        if (err != DUCT_OK)
            die_duct("send", err);
    }
}

static void receive_duct(struct demo *demo)
{
    for (size_t at = 0; at < demo->size;) {
        struct duct_msg msg;
        enum duct_err err = duct_recv(demo->pipe, &msg, WAIT);
        if (err != DUCT_OK)
            die_duct("receive", err);
        use(demo, msg.data, msg.size);
        at += msg.size;
        if ((err = duct_msg_release(&msg)) != DUCT_OK)
            die_duct("release", err);
    }
}

static void send_plain(struct demo *demo)
{
    for (size_t at = 0; at < demo->size;) {
        size_t size = piece(demo, at);
        ssize_t sent = write(demo->channel[1], demo->from + at, size);
        if (sent < 0)
            die("write");
        at += (size_t)sent;
    }
}

static void receive_plain(struct demo *demo)
{
    for (size_t at = 0; at < demo->size;) {
        size_t size = piece(demo, at);
        for (size_t have = 0; have < size;) {
            ssize_t got = read(demo->channel[0], demo->buffer + have, size - have);
            if (got <= 0)
                die("read");
            have += (size_t)got;
        }
        use(demo, demo->buffer, size);
        at += size;
    }
}

/* ---- The two processes ---- */

/* What a round is: even ones deliver, odd ones also read, the last one also copies. */
static bool begin_round(struct demo *demo, int round)
{
    demo->reads = round % 2 != 0 || round == 2 * ROUNDS;
    return round <= 2 * ROUNDS;
}

static bool is_duct(const struct demo *demo)
{
    return demo->in_place || strcmp(demo->kind, "copied") == 0;
}

static void receiver(struct demo *demo, const char *copy)
{
    struct duct_listener *listener = NULL;
    enum duct_err err;

    /* Ends with its parent, whatever becomes of that. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    demo->buffer = aligned_alloc(4096, CHUNK);
    if (demo->buffer == NULL)
        die("a buffer");
    if (is_duct(demo) && (err = duct_listen(&listener, demo->url, NULL)) != DUCT_OK)
        die_duct("listen", err);
    tell(demo->word[1], 0);
    if (is_duct(demo) && (err = duct_accept(listener, &demo->pipe, WAIT)) != DUCT_OK)
        die_duct("accept", err);
    for (int round = 0; begin_round(demo, round); round++) {
        demo->sum = 0;
        if (round == 2 * ROUNDS &&
            (demo->copy = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
            die(copy);
        tell(demo->word[1], 0);
        if (is_duct(demo))
            receive_duct(demo);
        else
            receive_plain(demo);
        tell(demo->word[1], demo->sum);
    }
    duct_pipe_close(demo->pipe);
    duct_listener_close(listener);
}

static void dial(struct demo *demo)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    size_t pieces = (demo->size + CHUNK - 1) / CHUNK;

    /* Two thirds of a pool are blocks of the largest size. */
    options.pool = CHUNK * (demo->in_place ? pieces + pieces / 2 + 16 : 24);
    demo->loans = calloc(pieces, sizeof(*demo->loans));
    enum duct_err err = duct_dial(&demo->pipe, demo->url, &options);
    if (err != DUCT_OK || demo->loans == NULL)
        die_duct("dial", err);
}

static double run_round(struct demo *demo, uint64_t sum)
{
    for (size_t at = 0; demo->in_place && at < demo->size; at += CHUNK)
        load(demo, at, &demo->loans[at / CHUNK]);
    await(demo->word[0]);
    int64_t start = cli_now();
    if (is_duct(demo))
        send_duct(demo);
    else
        send_plain(demo);
    if (await(demo->word[0]) != sum)
        die("what arrived is not what was sent");
    return (double)demo->size / ((double)(cli_now() - start) / 1e9);
}

static void sender(struct demo *demo, double *best)
{
    demo->reads = true;
    use(demo, demo->from, demo->size);
    await(demo->word[0]);
    if (is_duct(demo))
        dial(demo);
    for (int round = 0; begin_round(demo, round); round++) {
        double rate = run_round(demo, demo->reads ? demo->sum : 0);
        if (round < 2 * ROUNDS && rate > best[round % 2])
            best[round % 2] = rate;
    }
    duct_pipe_close(demo->pipe);
    free(demo->loans);
}

static void open_channel(struct demo *demo)
{
    int made = 0;

    demo->in_place = strcmp(demo->kind, "in-place") == 0;
    if (strcmp(demo->kind, "pipe") == 0)
        made = pipe(demo->channel);
    else if (strcmp(demo->kind, "socket") == 0)
        made = socketpair(AF_UNIX, SOCK_STREAM, 0, demo->channel);
    else if (!is_duct(demo))
        made = (errno = EINVAL, -1);
    if (made != 0)
        die(demo->kind);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, demo->word) != 0)
        die("socketpair");
}

static void open_file(struct demo *demo, const char *path)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &about) != 0 || about.st_size == 0)
        die(path);
    demo->size = (size_t)about.st_size;
    demo->from = mmap(NULL, demo->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (demo->from == MAP_FAILED)
        die("mmap");
    close(fd);
}

int main(int argc, char **argv)
{
    struct demo demo = {.channel = {-1, -1}, .copy = -1};
    double best[2] = {0};
    int status;

    if (argc != 4) {
        fprintf(stderr, "usage: duct-demo in-place|copied|pipe|socket FILE COPY\n");
        return CLI_USAGE;
    }
    demo.kind = argv[1];
    snprintf(demo.url, sizeof(demo.url), "shm://duct-demo-%d", (int)getpid());
    open_file(&demo, argv[2]);
    open_channel(&demo);
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(demo.word[0]);
        receiver(&demo, argv[3]);
        return 0;
    }
    close(demo.word[1]);
    sender(&demo, best);
    if (waitpid(child, &status, 0) != child || status != 0)
        die("the receiving process failed");
    printf("%.0f %.0f\n", best[0], best[1]);
    return 0;
}
