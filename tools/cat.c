/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <duct/options.h>

#include "tools/cat.h"
#include "tools/cli.h"

/* The command line of duct listen and duct dial. */

#define CHUNK_DEFAULT (UINT64_C(64) << 10)
#define CHUNK_MAX     (UINT64_C(1) << 30)

enum { KEY_LINES = 256, KEY_FRAMED, KEY_CHUNK, KEY_EXEC, KEY_ECHO, KEY_IN, KEY_OUT, KEY_THREADS };

static const struct argp_option common_options[] = {
    {"lines", KEY_LINES, NULL, 0, "A message for each line, and a line for each message", 0},
    {"framed", KEY_FRAMED, NULL, 0, "Messages as 4 bytes of length, big-endian, and the bytes", 0},
    {"in", KEY_IN, "MODE", 0, "How input becomes messages: raw, lines or framed", 0},
    {"out", KEY_OUT, "MODE", 0, "How messages become output: raw, lines or framed", 0},
    {"chunk", KEY_CHUNK, "SIZE", 0, "Largest message to send; 64k", 0},
    {"count", 'c', "N", 0, "End after N messages, each way", 0},
    {"timeout", 't', "DURATION", 0, "Give up when nothing happens for this long", 0},
    {"no-input", 'n', NULL, 0, "Send nothing: do not read standard input", 0},
    {"close", 'N', NULL, 0, "When the input ends, close, instead of telling the other side", 0},
    {"quiet", 'q', NULL, 0, "No progress, fewer words", 0},
    {"verbose", 'v', NULL, 0, "Say what happens", 0},
    {0},
};

static const struct argp_option listen_options[] = {
    {"keep", 'k', NULL, 0, "Go on with the next pipe when one ends", 0},
    {"exec", KEY_EXEC, "COMMAND", 0, "Bridge each pipe to a command of its own", 0},
    {"threads", KEY_THREADS, "N", 0,
     "Serve a tcp:// address from N threads, each on a processor, with --exec or --echo; implies "
     "--keep",
     0},
    {"echo", KEY_ECHO, NULL, 0, "Send every message back, as duct ping expects; implies --keep", 0},
    {0},
};

static enum cat_mode mode_of(const char *text, struct argp_state *state)
{
    static const char *const names[] = {"raw", "lines", "framed"};

    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0)
            return (enum cat_mode)i;
    }
    argp_error(state, "%s: a mode is raw, lines or framed", text);
    return CAT_RAW;
}

static void set_in(struct cat_options *options, enum cat_mode mode)
{
    options->in = mode;
    options->in_given = true;
}

static error_t parse_quantity(int key, const char *arg, struct argp_state *state)
{
    struct cat_options *options = state->input;

    if (key == 'c' && !cli_parse_count(arg, &options->count))
        argp_error(state, "--count=%s: expected a number from 1 on", arg);
    if (key == 't' && (!cli_parse_duration(arg, &options->timeout_ns) || options->timeout_ns == 0))
        argp_error(state, "--timeout=%s: expected a time such as 500ms, 2.5s or 1m", arg);
    if (key == KEY_CHUNK && (!cli_parse_size(arg, &options->chunk) || options->chunk == 0 ||
                             options->chunk > CHUNK_MAX))
        argp_error(state, "--chunk=%s: expected a size from 1 to 1g, such as 4096 or 256k", arg);
    return 0;
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    struct cat_options *options = state->input;

    switch (key) {
    case KEY_LINES:
    case KEY_FRAMED:
        options->out = key == KEY_LINES ? CAT_LINES : CAT_FRAMED;
        set_in(options, options->out);
        return 0;
    case KEY_IN:
        set_in(options, mode_of(arg, state));
        return 0;
    case KEY_OUT:
        options->out = mode_of(arg, state);
        return 0;
    case KEY_CHUNK:
    case 'c':
    case 't':
        return parse_quantity(key, arg, state);
    case 'n':
        options->no_input = true;
        return 0;
    case 'N':
        options->close_at_end = true;
        return 0;
    case 'q':
        options->quiet = true;
        return 0;
    case 'v':
        options->verbose = true;
        return 0;
    default:
        return cli_take_address(key, arg, state, &options->url);
    }
}

/* What does not go together. */
static void check_listen(const struct cat_options *options, struct argp_state *state)
{
    if (options->echo && options->command != NULL)
        argp_error(state, "--echo and --exec exclude each other");
    if (options->threads == 0)
        return;
    if (!options->echo && options->command == NULL)
        argp_error(state, "--threads needs --echo or --exec: standard input and output are one");
    if (options->timeout_ns != DUCT_FOREVER)
        argp_error(state, "--threads and --timeout exclude each other: a thread that nobody dials "
                          "would end, and leave its share to nobody");
    if (options->url != NULL && strncmp(options->url, "tcp://", 6) != 0)
        argp_error(state, "--threads: only listeners at tcp:// addresses can share one, not %s",
                   options->url);
}

static error_t parse_listen(int key, char *arg, struct argp_state *state)
{
    struct cat_options *options = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = options;
        return 0;
    case 'k':
        options->keep = true;
        return 0;
    case KEY_EXEC:
        options->command = arg;
        return 0;
    case KEY_ECHO:
        options->echo = options->keep = true;
        return 0;
    case KEY_THREADS:
        if (!cli_parse_count(arg, &options->threads) || options->threads > CLI_CONTEXTS_MAX)
            argp_error(state, "--threads=%s: expected a number from 1 to %u", arg,
                       CLI_CONTEXTS_MAX);
        options->keep = true;
        return 0;
    case ARGP_KEY_END:
        check_listen(options, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp common = {common_options, parse_common, NULL, NULL, NULL, NULL, NULL};
static const struct argp_child children[] = {{&common, 0, NULL, 0}, {0}};
static const struct argp listen_argp = {
    listen_options,
    parse_listen,
    "URL",
    "Listens on URL; standard input becomes messages, messages become standard output.\v"
    "Serves one pipe, and ends with it. Exit status: 0 all right, 1 failed, 2 usage, 3 not found "
    "or "
    "refused, 4 timeout, 5 the other side died, 6 it closed with a reason, 128 + n signal n.",
    children,
    NULL,
    NULL};
static const struct argp dial_argp = {
    common_options,
    parse_common,
    "URL",
    "Dials URL; standard input becomes messages, messages become standard output.\v"
    "Ends once both sides' inputs have ended and everything was delivered. Exit status: 0 all "
    "right, "
    "1 failed, 2 usage, 3 not found or refused, 4 timeout, 5 the other side died, 6 it closed with "
    "a reason, 128 + n signal n.",
    NULL,
    NULL,
    NULL};

/* What this side sends by: a pool of sixteen chunks (two thirds of a pool are blocks of the largest
 * size) keeps both sides busy, and a MiB stays in cache.
 * The ring is shorter than the pool where messages fill whole blocks, so that a full pipe is always a
 * full ring, which is what an event can be waited for. */
static void plan(const struct cat_options *options, struct duct_options *pipe)
{
    uint64_t chunks = options->chunk <= CHUNK_DEFAULT ? 24 : 6;

    pipe->max_msg = (uint32_t)(options->chunk > CHUNK_DEFAULT ? options->chunk : CHUNK_DEFAULT);
    pipe->pool = chunks * pipe->max_msg;
    if (options->in == CAT_RAW && !options->echo)
        pipe->slots = 8;
    if (options->timeout_ns != DUCT_FOREVER)
        pipe->dial_ns = options->timeout_ns;
}

static void open_own(struct cat_loop *loop, struct cat_options *options)
{
    cat_input_open(&loop->in, STDIN_FILENO, options->in, options);
    if (loop->in.terminal && !options->in_given)
        loop->in.mode = CAT_LINES;
    loop->in.ended = loop->in.ended || options->no_input;
    cat_output_open(&loop->out, STDOUT_FILENO, options->out, options);
}

int cat_main(int argc, char **argv)
{
    struct cat_options options = {.chunk = CHUNK_DEFAULT, .timeout_ns = DUCT_FOREVER};
    struct duct_options pipe_options = DUCT_OPTIONS_INIT;
    static struct cat_loop only; /* with its batches too large for a stack */
    struct cat_loop *loop = &only;
    struct duct_pipe *pipe = NULL;

    options.listening = strstr(argv[0], "listen") != NULL;
    if (argp_parse(options.listening ? &listen_argp : &dial_argp, argc, argv, 0, NULL, &options) !=
        0)
        return CLI_FAILED;
    if (options.verbose)
        cli_verbose();
    loop->options = &options;
    plan(&options, &pipe_options);
    if (options.threads > 0)
        return cat_threads(&options, &pipe_options);
    enum duct_err err = duct_context_default(&loop->context);
    if (err != DUCT_OK)
        return cli_fail(err, "open a context for", options.url);
    cli_catch_signals(loop->context);
    err = options.listening ? duct_listen(&loop->listener, options.url, &pipe_options)
                            : duct_dial(&pipe, options.url, &pipe_options);
    if (err != DUCT_OK)
        return cli_fail(err, options.listening ? "cannot listen on" : "cannot dial", options.url);
    if (options.listening && options.verbose)
        cli_say("listening at %s", duct_listener_path(loop->listener));
    open_own(loop, &options);
    if (pipe != NULL && !cat_add(loop, pipe))
        return loop->code;
    int code = cat_run(loop);
    cat_summary(loop);
    free(loop->in.buffer);
    return code;
}
