/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <duct/log.h>
#include <duct/options.h>

static const char *own_name = "duct";

int cli_exit_of(enum duct_err err)
{
    switch (err) {
    case DUCT_OK:
        return CLI_OK;
    case DUCT_EINVAL:
        return CLI_USAGE;
    case DUCT_ENOTFOUND:
    case DUCT_EREFUSED:
    case DUCT_EDENIED:
    case DUCT_EVERSION:
        return CLI_UNREACHABLE;
    case DUCT_EAGAIN:
    case DUCT_ETIMEOUT:
        return CLI_TIMEOUT;
    case DUCT_EPEER:
    case DUCT_ECORRUPT:
        return CLI_PEER;
    case DUCT_ECANCELED:
        return cli_signal() != 0 ? CLI_SIGNAL + cli_signal() : CLI_FAILED;
    case DUCT_ECLOSED:
    case DUCT_ETOOBIG:
    case DUCT_ENOTSUP:
    case DUCT_ENOMEMORY:
    case DUCT_ENOSPACE:
    case DUCT_ELIMIT:
    case DUCT_EINUSE:
    case DUCT_EOS:
        break;
    }
    return CLI_FAILED;
}

void cli_init(const char *name)
{
    own_name = name;
}

void cli_say(const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fprintf(stderr, "%s: %s\n", own_name, line);
}

int cli_fail(enum duct_err err, const char *what, const char *url)
{
    int code = cli_exit_of(err);
    const char *detail = duct_err_detail();

    /* Whoever pressed ^C knows why. */
    if (err == DUCT_ECANCELED && cli_signal() != 0)
        return code;
    /* What has no words of its own: those of an older failure would be wrong. */
    if (err == DUCT_EAGAIN)
        detail = "";
    cli_say("%s %s: %s", what, url, *detail != '\0' ? detail : duct_err_text(err));
    return code;
}

static void log_line(void *user, enum duct_log_level level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    (void)user;
    cli_say("%s: %s", names[level], line);
}

void cli_verbose(void)
{
    duct_log_set(log_line, NULL, DUCT_LOG_INFO);
}

error_t cli_take_address(int key, const char *arg, struct argp_state *state, const char **url)
{
    if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "which address? For example shm://NAME");
    if (key != ARGP_KEY_ARG)
        return key == ARGP_KEY_NO_ARGS ? 0 : ARGP_ERR_UNKNOWN;
    if (*url != NULL)
        argp_error(state, "one address is enough: what is %s?", arg);
    *url = arg;
    return 0;
}

/* ---- Quantities ---- */

struct unit {
    const char *name;
    double factor;
};

static bool parse(const char *text, const struct unit *units, double limit, double *value)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    double number = strtod(text, &end);
    for (; units->name != NULL; units++) {
        if (strcmp(end, units->name) == 0) {
            *value = number * units->factor;
            return errno == 0 && *value <= limit;
        }
    }
    return false;
}

bool cli_parse_size(const char *text, uint64_t *size)
{
    static const struct unit units[] = {{"", 1},         {"k", 1024},   {"m", 1048576},
                                        {"g", 0x1p30},   {"K", 1024},   {"M", 1048576},
                                        {"G", 0x1p30},   {"KiB", 1024}, {"MiB", 1048576},
                                        {"GiB", 0x1p30}, {NULL, 0}};
    double value;

    if (!parse(text, units, 0x1p40, &value) || value != floor(value))
        return false;
    *size = (uint64_t)value;
    return true;
}

bool cli_parse_duration(const char *text, int64_t *duration_ns)
{
    static const struct unit units[] = {{"", 1e9},   {"s", 1e9},      {"ms", 1e6}, {"us", 1e3},
                                        {"ns", 1.0}, {"m", 60 * 1e9}, {NULL, 0}};
    double value;

    /* Ten years: far from where sums of times would overflow. */
    if (!parse(text, units, 3.2e17, &value))
        return false;
    *duration_ns = (int64_t)value;
    return true;
}

bool cli_parse_count(const char *text, uint64_t *count)
{
    char *end;

    errno = 0;
    *count = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *count > 0;
}

static struct cli_text scaled(double value, const char *const *units, unsigned count)
{
    struct cli_text out;
    unsigned unit = 0;

    for (; value >= 999.5 && unit + 1 < count; unit++)
        value /= 1000;
    int digits = unit == 0 || value >= 99.5 ? 0 : value >= 9.95 ? 1 : 2;
    snprintf(out.text, sizeof(out.text), "%.*f %s", digits, value, units[unit]);
    return out;
}

struct cli_text cli_bytes(double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};

    return scaled(bytes, units, 5);
}

struct cli_text cli_time(double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};

    return scaled(ns, units, 4);
}

int64_t cli_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * DUCT_SECOND + now.tv_nsec;
}

unsigned cli_processors(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

/* ---- Signals ---- */

static atomic_int caught;
static _Atomic(struct duct_context *) to_cancel[CLI_CONTEXTS_MAX];
static atomic_uint contexts;

static void on_signal(int number)
{
    /* Relaxed, all of these: read by the thread that the handler interrupts, or after the cancel. */
    atomic_store_explicit(&caught, number, memory_order_relaxed);
    unsigned count = atomic_load_explicit(&contexts, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++)
        duct_context_cancel(atomic_load_explicit(&to_cancel[i], memory_order_relaxed));
}

void cli_catch_signals(struct duct_context *context)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    unsigned count = atomic_load_explicit(&contexts, memory_order_relaxed);
    atomic_store_explicit(&to_cancel[count], context, memory_order_relaxed);
    atomic_store_explicit(&contexts, count + 1, memory_order_relaxed);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

int cli_signal(void)
{
    return atomic_load_explicit(&caught, memory_order_relaxed);
}
