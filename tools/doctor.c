/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/doctor.h"

#include <argp.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <duct/version.h>

#include "tools/cli.h"

/* The command line of duct doctor, and how facts are told. */

static const struct check {
    const char *name;
    void (*look)(struct doctor_fact *fact);
} checks[] = {
    {"kernel", doctor_kernel},         {"io_uring", doctor_uring},
    {"futex by ring", doctor_futex},   {"memfd", doctor_memfd},
    {"membarrier", doctor_membarrier}, {"pidfd", doctor_pidfd},
    {"processors", doctor_processors}, {"idle", doctor_idle},
    {"memory", doctor_memory},         {"/dev/shm", doctor_shm},
    {"huge pages", doctor_huge},       {"descriptors", doctor_descriptors},
    {"locked memory", doctor_memlock}, {"maps", doctor_maps},
    {"runtime dir", doctor_runtime},   {"pipe", doctor_pipe},
};

#define CHECK_COUNT (sizeof(checks) / sizeof(checks[0]))

static const char *const verdicts[] = {"ok", "note", "slow", "breaks"};

void doctor_say(struct doctor_fact *fact, enum doctor_verdict verdict, const char *format, ...)
{
    va_list args;

    fact->verdict = verdict;
    va_start(args, format);
    vsnprintf(fact->value, sizeof(fact->value), format, args);
    va_end(args);
}

void doctor_advise(struct doctor_fact *fact, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(fact->remedy, sizeof(fact->remedy), format, args);
    va_end(args);
}

bool doctor_read(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return false;
    bool got = fgets(line, (int)size, file) != NULL;
    fclose(file);
    if (got)
        line[strcspn(line, "\n")] = '\0';
    return got;
}

long long doctor_read_number(const char *path)
{
    char line[64], *end;

    if (!doctor_read(path, line, sizeof(line)))
        return -1;
    long long number = strtoll(line, &end, 10);
    return end == line ? -1 : number;
}

static void tell_text(const struct doctor_fact *fact)
{
    static const char *const colours[] = {"32", "36", "33", "31"};

    if (isatty(STDOUT_FILENO))
        printf("\033[%sm%-6s\033[0m  %-14s %s\n", colours[fact->verdict], verdicts[fact->verdict],
               fact->name, fact->value);
    else
        printf("%-6s  %-14s %s\n", verdicts[fact->verdict], fact->name, fact->value);
    if (fact->remedy[0] != '\0')
        printf("%23s-> %s\n", "", fact->remedy);
}

static json_t *tell_json(const struct doctor_fact *fact)
{
    json_t *object = json_object();

    json_object_set_new(object, "name", json_string(fact->name));
    json_object_set_new(object, "verdict", json_string(verdicts[fact->verdict]));
    json_object_set_new(object, "value", json_string(fact->value));
    if (fact->remedy[0] != '\0')
        json_object_set_new(object, "remedy", json_string(fact->remedy));
    return object;
}

static void conclude(bool json, json_t *array, const unsigned *counts)
{
    if (!json) {
        if (counts[DOCTOR_BREAKS] > 0)
            printf("\n%u of these will break something, %u cost speed.\n", counts[DOCTOR_BREAKS],
                   counts[DOCTOR_SLOW]);
        else
            printf("\nNothing will break; %u of these cost speed.\n", counts[DOCTOR_SLOW]);
        return;
    }
    json_t *object = json_object();
    json_object_set_new(object, "version", json_string(duct_version()));
    json_object_set_new(object, "breaks", json_integer(counts[DOCTOR_BREAKS]));
    json_object_set_new(object, "slow", json_integer(counts[DOCTOR_SLOW]));
    json_object_set_new(object, "facts", array);
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

static const struct argp_option argp_table[] = {
    {"json", 'j', NULL, 0, "The facts as JSON", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == ARGP_KEY_ARG)
        argp_error(state, "no argument is expected: what is %s?", arg);
    if (key != 'j')
        return ARGP_ERR_UNKNOWN;
    *(bool *)state->input = true;
    return 0;
}

static const struct argp argp = {
    argp_table,
    parse,
    NULL,
    "Says what on this machine costs speed or will break, and what to do about it.\v"
    "Exit status: 0 if nothing will break, 1 if something will.",
    NULL,
    NULL,
    NULL};

int doctor_main(int argc, char **argv)
{
    unsigned counts[4] = {0};
    bool json = false;

    if (argp_parse(&argp, argc, argv, 0, NULL, &json) != 0)
        return CLI_FAILED;
    json_t *array = json ? json_array() : NULL;
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        struct doctor_fact fact = {.name = checks[i].name};
        checks[i].look(&fact);
        counts[fact.verdict]++;
        if (json)
            json_array_append_new(array, tell_json(&fact));
        else
            tell_text(&fact);
    }
    conclude(json, array, counts);
    return counts[DOCTOR_BREAKS] > 0 ? CLI_FAILED : CLI_OK;
}
