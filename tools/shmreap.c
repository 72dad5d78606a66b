/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/shmreap.h"

#include <argp.h>
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include <duct/options.h>

#include "tools/cli.h"

/* The command line of shmreap, and its rounds. */

enum { KEY_OWN = 256, KEY_MIN_AGE, KEY_WATCH, KEY_DIR };

static const struct argp_option argp_table[] = {
    {NULL, 0, NULL, 0, "What to look at", 1},
    {"foreign", 'f', NULL, 0, "Everybody's shared memory, and who uses it, instead of duct's", 1},
    {"name", 'n', "PATTERN", 0, "Only what is called so, as in a shell: 'prices*'", 1},
    {"min-age", KEY_MIN_AGE, "DURATION", 0, "Only what is older", 1},
    {"dir", KEY_DIR, "DIR", 0, "Only in this directory", 1},
    {"own", KEY_OWN, NULL, 0, "Only one's own, also as root", 1},
    {"all", 'a', NULL, 0, "Show what is in use, too", 1},
    {NULL, 0, NULL, 0, "What to do", 2},
    {"reap", 'r', NULL, 0, "Remove what is left over and holds nothing undelivered", 2},
    {"discard", 'D', NULL, 0, "And what holds undelivered messages, or cannot be read", 2},
    {"dry-run", 'd', NULL, 0, "Say what would be removed, and remove nothing", 2},
    {"watch", KEY_WATCH, "INTERVAL", 0, "Again and again", 2},
    {NULL, 0, NULL, 0, "How to say it", 3},
    {"json", 'j', NULL, 0, "As JSON", 3},
    {"quiet", 'q', NULL, 0, "Nothing but errors; the exit status tells", 3},
    {0},
};

static void parse_duration(struct argp_state *state, const char *option, const char *text,
                           int64_t *duration_ns)
{
    if (!cli_parse_duration(text, duration_ns))
        argp_error(state, "%s=%s: expected a duration, as 90s or 10m", option, text);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct reap_options *options = state->input;

    switch (key) {
    case 'f':
        options->foreign = true;
        break;
    case 'n':
        options->pattern = arg;
        break;
    case KEY_MIN_AGE:
        parse_duration(state, "--min-age", arg, &options->min_age_ns);
        break;
    case KEY_DIR:
        options->directory = arg;
        break;
    case KEY_OWN:
        options->own = true;
        break;
    case 'a':
        options->all = true;
        break;
    case 'r':
        options->reap = true;
        break;
    case 'D':
        options->reap = options->discard = true;
        break;
    case 'd':
        options->reap = options->dry_run = true;
        break;
    case KEY_WATCH:
        parse_duration(state, "--watch", arg, &options->watch_ns);
        if (options->watch_ns < DUCT_MILLISECOND)
            argp_error(state, "--watch=%s: expected an interval of 1ms at least", arg);
        break;
    case 'j':
        options->json = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "what is %s? A pattern is given with --name", arg);
        break;
    case ARGP_KEY_END:
        if (options->foreign && options->reap && options->pattern == NULL)
            argp_error(state, "--foreign removes only what --name names: other programs know best "
                              "what they still need");
        if (options->foreign && options->directory != NULL)
            argp_error(state, "--foreign and --dir exclude each other");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {argp_table,
                                 parse,
                                 NULL,
                                 "Lists what crashed programs left behind: sockets, locks and "
                                 "durable pipes of duct, with --foreign "
                                 "everybody's shared memory. Changes nothing unless told to.\v"
                                 "Exit status: 0 nothing is left over, 1 something failed, 2 wrong "
                                 "usage, 3 something is left over, 4 "
                                 "nothing that could be seen, but not everything could be.",
                                 NULL,
                                 NULL,
                                 NULL};

static int round_once(const struct reap_options *options)
{
    struct reap_round round;

    if (!reap_round_run(&round, options))
        return REAP_FAILED;
    size_t unseen = duct_janitor_unseen_count(round.janitor);
    if (options->json)
        reap_json(&round, options);
    else if (!options->quiet)
        reap_table(&round, options);
    /* Processes that cannot be seen matter where they leave something unknown. */
    bool blind = round.unknown > 0 || (unseen > 0 && !options->foreign);
    int code = round.failed > 0 ? REAP_FAILED
               : round.left > 0 ? REAP_LEFT
               : blind          ? REAP_BLIND
                                : REAP_CLEAN;
    reap_round_end(&round);
    if (fflush(stdout) != 0) {
        cli_say("cannot write the report");
        return REAP_FAILED;
    }
    return code;
}

/* Waits for the interval, or for a signal, which it returns. */
static int wait_for(int64_t interval_ns, const sigset_t *signals)
{
    struct timespec time = {.tv_sec = interval_ns / DUCT_SECOND,
                            .tv_nsec = interval_ns % DUCT_SECOND};
    int caught;

    do {
        caught = sigtimedwait(signals, NULL, &time);
    } while (caught < 0 && errno == EINTR);
    return caught > 0 ? caught : 0;
}

static int watch(const struct reap_options *options)
{
    sigset_t signals;
    int caught, code;

    /* Between rounds only: a round is short, and is not cut. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    do {
        code = round_once(options);
    } while (code != REAP_FAILED && (caught = wait_for(options->watch_ns, &signals)) == 0);
    return code == REAP_FAILED ? REAP_FAILED : REAP_SIGNAL + caught;
}

int main(int argc, char **argv)
{
    struct reap_options options = {0};

    argp_err_exit_status = REAP_USAGE;
    argp_program_version = "shmreap " DUCT_VERSION_STRING;
    setlocale(LC_CTYPE, "");
    cli_init("shmreap");
    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return REAP_FAILED;
    return options.watch_ns > 0 ? watch(&options) : round_once(&options);
}
