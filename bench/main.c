/* SPDX-License-Identifier: Apache-2.0 */
/*
 * duct-bench: measures cases and tells what was measured.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <duct/version.h>

#include "bench/cases.h"
#include "bench/peer.h"
#include "bench/report_html.h"
#include "bench/runner.h"

/* Beside 0: every case was measured, and 1: one could not be. */
#define EXIT_USAGE 2

enum { OPTION_NO_SPINNERS = 256, OPTION_PEERS, OPTION_HTML };

struct options {
    struct runner_options runner;
    const char *json_path;
    const char *html_path;
    const char *filter;
    bool repeats_given;
    bool quick;
    bool spinners;
    bool list;
    bool peers;
};

static const struct argp_option argp_table[] = {
    {"quick", 'q', NULL, 0, "A fifth of the repeats, a quarter of the time each", 0},
    {"json", 'j', "FILE", 0, "Write the results to FILE as well", 0},
    {"html", OPTION_HTML, "FILE", 0, "Write a page with tables and plots to FILE", 0},
    {"filter", 'f', "SUBSTR", 0, "Only cases whose name contains SUBSTR", 0},
    {"repeats", 'r', "N", 0, "Runs of each case, dropped ones included", 0},
    {"no-spinners", OPTION_NO_SPINNERS, NULL, 0, "Let idle CPUs halt", 0},
    {"peers", OPTION_PEERS, NULL, 0, "Measure the other libraries that were found, too", 0},
    {"list", 'l', NULL, 0, "List the cases and exit", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'q':
        options->quick = true;
        break;
    case 'j':
        options->json_path = arg;
        break;
    case 'f':
        options->filter = arg;
        break;
    case 'r': {
        char *end;
        unsigned long repeats = strtoul(arg, &end, 10);
        if (*end != '\0' || repeats == 0 || repeats > RUNNER_REPEATS_MAX)
            argp_error(state, "--repeats wants a number from 1 to %d", RUNNER_REPEATS_MAX);
        options->runner.repeats = (unsigned)repeats;
        options->repeats_given = true;
        break;
    }
    case OPTION_NO_SPINNERS:
        options->spinners = false;
        break;
    case OPTION_HTML:
        options->html_path = arg;
        break;
    case OPTION_PEERS:
        options->peers = true;
        break;
    case 'l':
        options->list = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char footprint_name[] = "duct.footprint";

static bool wanted(const struct options *options, const char *name)
{
    return options->filter == NULL || strstr(name, options->filter) != NULL;
}

static bool any_wanted(const struct options *options, const struct cases *cases)
{
    bool any = wanted(options, footprint_name);

    for (size_t i = 0; i < cases->count && !any; i++)
        any = wanted(options, cases->list[i].name);
    return any;
}

static void list(const struct options *options, const struct cases *cases)
{
    for (size_t i = 0; i < cases->count; i++) {
        const struct bench_case *what = &cases->list[i];
        if (wanted(options, what->name))
            printf("%-22s %8zu %-8s %-4s %s\n", what->name, what->size, cases_kind_name(what->kind),
                   cases_place_name(what->place), what->about);
    }
}

static struct cases all;
static struct results results;
static struct machine_spinners spinners;

static void start_spinners(const struct options *options)
{
    if (options->spinners && !machine_spinners_start(&spinners))
        fprintf(stderr, "duct-bench: no spinners; idle CPUs will halt\n");
}

static void measure(const struct options *options, const struct bench_case *what, bool *well)
{
    struct result *result = results_new();
    const struct bench_case *baseline = cases_baseline_of(&all, what);

    if (what->no_spinners)
        machine_spinners_stop(&spinners);
    bool measured =
        runner_measure(what, baseline, &options->runner, &result->subject, &result->baseline);
    if (what->no_spinners)
        start_spinners(options);
    if (!measured) {
        fprintf(stderr, "%s: size %zu: could not be measured\n", what->name, what->size);
        free(result);
        *well = false;
        return;
    }
    report_text_case(&result->subject);
    results_keep(&results, result);
}

static bool measure_all(const struct options *options)
{
    bool well = true;
    report_text_head();
    for (size_t i = 0; i < all.count; i++) {
        const struct bench_case *what = &all.list[i];
        if (!wanted(options, what->name))
            continue;
        if (what->place == BENCH_PAIR && machine_cpu_count() < 2)
            fprintf(stderr, "%s: skipped, it needs two CPUs\n", what->name);
        else
            measure(options, what, &well);
    }
    for (size_t i = 0; i < FOOTPRINT_SIZES && wanted(options, footprint_name); i++) {
        if (footprint_measure(footprint_pipes[i], options->quick,
                              &results.footprint[results.footprints])) {
            results.footprints++;
        } else {
            fprintf(stderr, "duct.footprint: %u pipes: could not be measured\n",
                    footprint_pipes[i]);
            well = false;
        }
    }
    return well;
}

static bool write_json(const char *path, const struct bars *bars)
{
    json_t *document = report_json(&results, bars);
    bool well = document != NULL && json_dump_file(document, path, JSON_INDENT(1)) == 0;
    json_decref(document);
    if (!well)
        fprintf(stderr, "duct-bench: cannot write %s: %s\n", path, strerror(errno));
    return well;
}

static bool run(const struct options *options)
{
    static struct bars bars;

    start_spinners(options);
    bool well = measure_all(options);
    machine_spinners_stop(&spinners);

    bars_fill(&bars, &results);
    report_text_footprints(&results);
    report_text_geometries(&results);
    report_text_bars(&bars);
    if (options->json_path != NULL)
        well = write_json(options->json_path, &bars) && well;
    if (options->html_path != NULL && !report_html_write(options->html_path, &results, &bars)) {
        fprintf(stderr, "duct-bench: cannot write %s: %s\n", options->html_path, strerror(errno));
        well = false;
    }
    results_free(&results);
    return well;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = argp_table,
        .parser = parse,
        .doc = "Measures messaging between two processes, and the least it could cost.",
    };
    struct options options = {
        .runner = {.repeats = 21, .target_ns = 20000000},
        .spinners = true,
    };

    argp_err_exit_status = EXIT_USAGE;
    argp_program_version = "duct-bench " DUCT_VERSION_STRING;
    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_FAILURE;
    if (options.quick) {
        options.runner.target_ns /= 4;
        if (!options.repeats_given)
            options.runner.repeats = 5;
    }
    cases_fill(&all);
    if (options.peers)
        peer_cases(&all);
    if (!any_wanted(&options, &all)) {
        fprintf(stderr, "duct-bench: no case has %s in its name; --list names them\n",
                options.filter);
        return EXIT_USAGE;
    }
    results.peers = options.peers;
    if (options.list) {
        list(&options, &all);
        return EXIT_SUCCESS;
    }
    return run(&options) ? EXIT_SUCCESS : EXIT_FAILURE;
}
