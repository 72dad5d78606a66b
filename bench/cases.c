/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const size_t cases_sizes[CASES_SIZES] = {8, 40, 64, 256, 1024, 65536, 1048576};

void cases_fill(struct cases *cases)
{
    cases->count = 0;
    base_line_cases(cases);
    base_slot_cases(cases);
    base_stamp_cases(cases);
    base_ring_cases(cases);
    base_wake_cases(cases);
    base_memcpy_cases(cases);
    base_fd_cases(cases);
    base_bulk_cases(cases);
    subject_pingpong_cases(cases);
    subject_stream_cases(cases);
    subject_dial_cases(cases);
    subject_socket_cases(cases);
}

void cases_add(struct cases *cases, const struct bench_case *what)
{
    if (cases->count == CASES_MAX) {
        fprintf(stderr, "duct-bench: more than %d cases\n", CASES_MAX);
        abort();
    }
    cases->list[cases->count++] = *what;
}

void cases_add_sizes(struct cases *cases, const struct bench_case *what)
{
    struct bench_case sized = *what;
    for (size_t i = 0; i < CASES_SIZES; i++) {
        sized.size = cases_sizes[i];
        cases_add(cases, &sized);
    }
}

const struct bench_case *cases_baseline_of(const struct cases *cases, const struct bench_case *what)
{
    const struct bench_case *smallest = NULL;

    for (size_t i = 0; what->baseline != NULL && i < cases->count; i++) {
        const struct bench_case *other = &cases->list[i];
        if (other == what || other->place != what->place ||
            strcmp(other->name, what->baseline) != 0)
            continue;
        if (other->size == what->size)
            return other;
        if (smallest == NULL || other->size < smallest->size)
            smallest = other;
    }
    return smallest;
}

const char *cases_kind_name(enum bench_kind kind)
{
    static const char *const names[] = {"pingpong", "stream", "cost"};
    return names[kind];
}

const char *cases_place_name(enum bench_place place)
{
    static const char *const names[] = {"pair", "same", "solo"};
    return names[place];
}
