/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <duct/message.h>
#include <duct/pipe.h>

#include "fuzz/input.h"
#include "tools/cat.h"
#include "tools/cli.h"

/*
 * What duct listen and duct dial read, cut into messages: raw bytes, lines, frames; in whatever pieces
 * they arrive, with a pipe that is full whenever the input says so. The pipe is a model, which takes
 * messages and lays them end to end; what should be in it is computed from the whole input at once.
 */
#define BYTES_MAX 4096u
#define MSGS_MAX  (BYTES_MAX + 1)

/* With this byte of the input the pipe's other end dies. */
#define DEAD 0xed

struct duct_pipe {
    struct input *in;
    bool open; /* takes everything from now on */
    bool durable, dead;
    unsigned char bytes[BYTES_MAX];
    size_t sizes[MSGS_MAX];
    size_t count, used;
    bool told;
};

/* How a session ended, other than by being told to the other side. */
static enum cat_reason closed_for;

/* Messages on loan: one being filled, and one to see whether there is another. */
static unsigned loans;

/* ---- The pipe ---- */

static bool refuses(struct duct_pipe *pipe)
{
    uint8_t word = pipe->open || pipe->in->left == 0 ? 1 : input_byte(pipe->in);

    pipe->dead |= word == DEAD;
    return pipe->dead || word % 4 == 0;
}

/* Full for now, or gone for good. */
static enum duct_err refusal(const struct duct_pipe *pipe)
{
    return pipe->dead ? DUCT_EPEER : DUCT_EAGAIN;
}

static void take(struct duct_pipe *pipe, const void *data, size_t size)
{
    FUZZ_CHECK(size <= BYTES_MAX - pipe->used && pipe->count < MSGS_MAX && !pipe->told);
    if (size > 0)
        memcpy(pipe->bytes + pipe->used, data, size);
    pipe->used += size;
    pipe->sizes[pipe->count++] = size;
}

enum duct_err duct_msg_loan(struct duct_pipe *pipe, size_t size, struct duct_msg *msg)
{
    if (refuses(pipe))
        return refusal(pipe);
    *msg = (struct duct_msg){.data = malloc(size), .size = size};
    FUZZ_CHECK(msg->data != NULL && ++loans <= 2);
    return DUCT_OK;
}

enum duct_err duct_msg_discard(struct duct_msg *msg)
{
    FUZZ_CHECK(msg->data != NULL);
    free(msg->data);
    loans--;
    *msg = (struct duct_msg){0};
    return DUCT_OK;
}

enum duct_err duct_send(struct duct_pipe *pipe, struct duct_msg *msg, int64_t timeout_ns)
{
    FUZZ_CHECK(timeout_ns == 0);
    if (refuses(pipe))
        return refusal(pipe);
    take(pipe, msg->data, msg->size);
    return duct_msg_discard(msg);
}

enum duct_err duct_write_batch(struct duct_pipe *pipe, const struct duct_view *views, size_t count,
                               size_t *done, int64_t timeout_ns)
{
    FUZZ_CHECK(timeout_ns == 0 && count >= 1 && count <= CAT_BATCH);
    *done = 0;
    if (refuses(pipe))
        return refusal(pipe);
    size_t most = pipe->open ? count : 1 + input_byte(pipe->in) % count;
    while (*done < most) {
        take(pipe, views[*done].data, views[*done].size);
        ++*done;
    }
    return DUCT_OK;
}

enum duct_err duct_write(struct duct_pipe *pipe, const void *data, size_t size, uint64_t tag,
                         int64_t timeout_ns)
{
    FUZZ_CHECK(data == NULL && size == 0 && tag == CAT_END_TAG && timeout_ns == 0);
    if (refuses(pipe))
        return refusal(pipe);
    pipe->told = true;
    return DUCT_OK;
}

/* A durable one has nobody to tell the end to, as long as the input says so. */
enum duct_err duct_pipe_info(struct duct_pipe *pipe, struct duct_pipe_info *info)
{
    FUZZ_CHECK(info->durable == 0);
    bool away = pipe->durable && refuses(pipe) && !pipe->dead;

    info->durable = pipe->durable;
    info->state = away ? DUCT_STATE_DISCONNECTED : DUCT_STATE_CONNECTED;
    return DUCT_OK;
}

/* ---- What else the input's code calls ---- */

void cat_session_close(struct cat_loop *loop, struct cat_session *session, enum cat_reason reason,
                       int code, const char *text)
{
    (void)loop;
    FUZZ_CHECK(code == CLI_FAILED && text[0] != '\0');
    closed_for = reason;
    if (session->in.loan.data != NULL) {
        enum duct_err ignored = duct_msg_discard(&session->in.loan);
        (void)ignored;
    }
}

void cli_say(const char *format, ...)
{
    char line[256];
    va_list args;

    va_start(args, format);
    FUZZ_CHECK(vsnprintf(line, sizeof(line), format, args) > 0);
    va_end(args);
}

/* ---- What should come of it ---- */

/* The size of the next message at the front of bytes, and what stands before it; -1: none, and that is an
 * error. */
static int64_t expected_size(enum cat_mode mode, const uint8_t *bytes, size_t left, size_t chunk,
                             size_t *head)
{
    *head = 0;
    if (mode == CAT_LINES) {
        size_t size = 0;
        while (size < left && size < chunk && (size == 0 || bytes[size - 1] != '\n'))
            size++;
        return (int64_t)size;
    }
    uint64_t size = 0;
    *head = 4;
    for (size_t i = 0; i < 4; i++)
        size = size << 8 | (i < left ? bytes[i] : 0);
    return left < 4 || size > chunk || left - 4 < size ? -1 : (int64_t)size;
}

/* Whether the pipe holds what the input says; true if that ended in an error. */
static bool check_parsed(const struct duct_pipe *pipe, enum cat_mode mode, const uint8_t *bytes,
                         size_t size, size_t chunk, uint64_t count)
{
    size_t at = 0, told = 0, head;

    for (uint64_t i = 0; i < count; i++) {
        if (at == size)
            break;
        int64_t next = expected_size(mode, bytes + at, size - at, chunk, &head);
        if (next < 0) {
            FUZZ_CHECK(pipe->count == i);
            return true;
        }
        FUZZ_CHECK(i < pipe->count && pipe->sizes[i] == (size_t)next);
        FUZZ_CHECK(memcmp(pipe->bytes + told, bytes + at + head, (size_t)next) == 0);
        told += (size_t)next;
        at += head + (size_t)next;
    }
    FUZZ_CHECK(told == pipe->used);
    return false;
}

static void check_raw(const struct duct_pipe *pipe, const uint8_t *bytes, size_t size, size_t chunk,
                      uint64_t count)
{
    FUZZ_CHECK(pipe->count <= count && memcmp(pipe->bytes, bytes, pipe->used) == 0);
    for (size_t i = 0; i < pipe->count; i++)
        FUZZ_CHECK(pipe->sizes[i] >= 1 && pipe->sizes[i] <= chunk);
    FUZZ_CHECK(pipe->used == size || pipe->count == count);
}

/* ---- Driving it ---- */

/* Where the input comes from: a pipe, which is fed now and then; a file; or nothing that can be read. */
enum { FROM_PIPE, FROM_FILE, FROM_FOLDER, FROM_NOWHERE, FROM_COUNT };

static int open_source(unsigned from, const uint8_t *bytes, size_t size, int *feed)
{
    int ends[2];

    *feed = -1;
    if (from == FROM_FOLDER)
        return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from == FROM_NOWHERE)
        return -1;
    if (from == FROM_FILE) {
        int file = memfd_create("fuzz-cat", MFD_CLOEXEC);
        FUZZ_CHECK(file >= 0 && pwrite(file, bytes, size, 0) == (ssize_t)size);
        return file;
    }
    FUZZ_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    *feed = ends[1];
    return ends[0];
}

/* Steps until the other side was told of the end or the session closed. */
static void drive(struct cat_loop *loop, struct cat_session *session, int feed,
                  const uint8_t *bytes, size_t size)
{
    struct input *in = session->pipe->in;
    size_t fed = 0;

    for (unsigned step = 0;
         !session->in.told && closed_for == CAT_REASON_DONE && session->end == DUCT_OK; step++) {
        /* Each refusal costs a byte of input, so that this ends. */
        FUZZ_CHECK(step < 8 * BYTES_MAX);
        session->pipe->open = in->left == 0;
        if (feed >= 0) {
            size_t here = in->left > 0 ? input_byte(in) % 97 : size - fed;
            here = here < size - fed ? here : size - fed;
            FUZZ_CHECK(write(feed, bytes + fed, here) == (ssize_t)here);
            fed += here;
            if (fed == size) {
                close(feed);
                feed = -1;
            }
        }
        session->wants = 0;
        while (closed_for == CAT_REASON_DONE && cat_input_pump(loop, session))
            continue;
        FUZZ_CHECK(session->in.told || closed_for != CAT_REASON_DONE || session->wants != 0 ||
                   session->end != DUCT_OK);
    }
    if (feed >= 0)
        close(feed);
}

static void check_all(const struct duct_pipe *pipe, unsigned from, enum cat_mode mode,
                      const uint8_t *bytes, size_t size, const struct cat_options *options)
{
    uint64_t count = options->count ? options->count : UINT64_MAX;

    if (from == FROM_FOLDER || from == FROM_NOWHERE)
        FUZZ_CHECK(pipe->count == 0 && pipe->told == (from == FROM_NOWHERE));
    else if (mode == CAT_RAW)
        check_raw(pipe, bytes, size, options->chunk, count);
    else
        FUZZ_CHECK(check_parsed(pipe, mode, bytes, size, options->chunk, count) != pipe->told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct duct_pipe model;
    struct input in = {.at = data, .left = size};
    uint8_t how = input_byte(&in);
    enum cat_mode mode = (enum cat_mode)(how % 3);
    unsigned from = how / 4 % 8 < FROM_COUNT ? how / 4 % 8 : FROM_PIPE;
    uint8_t chunk = input_byte(&in);
    struct cat_options options = {.chunk = chunk % 64 + 1u,
                                  .count = how & 128 ? input_byte(&in) : 0};
    struct cat_loop loop = {.options = &options};
    struct cat_session session = {.pipe = &model};
    size_t given = input_u16(&in) % BYTES_MAX;
    const uint8_t *bytes = in.at;
    int feed;

    given = given < in.left ? given : in.left;
    in.at += given;
    in.left -= given;
    model = (struct duct_pipe){.in = &in, .durable = how & 64};
    closed_for = CAT_REASON_DONE;
    loans = 0;
    int fd = open_source(from, bytes, given, &feed);
    cat_input_open(&session.in, fd, mode, &options);
    drive(&loop, &session, feed, bytes, given);
    FUZZ_CHECK(session.end == DUCT_OK || model.dead);
    if (session.end == DUCT_OK)
        check_all(&model, from, mode, bytes, given, &options);
    else
        cat_session_close(&loop, &session, CAT_REASON_FAILED, CLI_FAILED, "the peer died");
    FUZZ_CHECK(loans == 0);
    free(session.in.buffer);
    if (fd >= 0)
        close(fd);
    return 0;
}
