/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_TOOLS_CLI_H
#define DUCT_TOOLS_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <duct/context.h>
#include <duct/error.h>

/*
 * What all subcommands of duct share: exit codes, messages, quantities, signals.
 */

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* anything that has no number of its own */
    CLI_USAGE = 2,       /* the command line or the address is wrong */
    CLI_UNREACHABLE = 3, /* nobody listens there, or it refused */
    CLI_TIMEOUT = 4,     /* the time given by --timeout is over */
    CLI_PEER = 5,        /* the other side died, or broke the protocol */
    CLI_CLOSED = 6,      /* the other side closed with a reason of its own */
    CLI_SIGNAL = 128     /* plus the signal's number: closed in order because of it */
};

/* The subcommands: each parses its own arguments, argv[0] being its full name ("duct ping"). */
int cat_main(int argc, char **argv);
int ping_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int bench_main(int argc, char **argv);

/* The exit code that belongs to an error of the library. */
int cli_exit_of(enum duct_err err);

/* "duct listen: " and a line on stderr; the name is the one set by cli_init(). */
void cli_init(const char *name);
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says that `what` failed on `url`, with all that the library has to say, and returns the exit code. */
int cli_fail(enum duct_err err, const char *what, const char *url);

/* Has the library's log on stderr. */
void cli_verbose(void);

/* For a parser of argp: the one argument there is has to be an address. */
error_t cli_take_address(int key, const char *arg, struct argp_state *state, const char **url);

/* "64k", "1g": powers of 1024. "250ms", "1.5s", "2m": a bare number means seconds. False: neither. */
bool cli_parse_size(const char *text, uint64_t *size);
bool cli_parse_duration(const char *text, int64_t *duration_ns);
bool cli_parse_count(const char *text, uint64_t *count);

/* For people: "1.5 GB", "12.3 us". Powers of 1000, as rates are usually given. */
struct cli_text {
    char text[32];
};
struct cli_text cli_bytes(double bytes);
struct cli_text cli_time(double ns);

/* The monotonic clock. */
int64_t cli_now(void);

/* Processors this process may run on. */
unsigned cli_processors(void);

/*
 * From now on SIGINT and SIGTERM cancel what blocks on context, and a write to a closed pipe is an
 * error instead of a death. A second signal ends the process. May be called for several contexts, before there are
 * threads; they stay open as long as signals may come.
 */
#define CLI_CONTEXTS_MAX 64u
void cli_catch_signals(struct duct_context *context);

/* The signal that came, or 0. */
int cli_signal(void);

#endif
