/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of cases. To add one: write a file that exports a function like those below, declare it
 * here, call it in cases_fill(), name the file in CMakeLists.txt.
 */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include "bench/bench.h"

enum { CASES_MAX = 512 };

struct cases {
    size_t count;
    struct bench_case list[CASES_MAX];
};

/* The sizes every family with a payload is measured at: 8 .. 1 MiB. */
enum { CASES_SIZES = 7 };
extern const size_t cases_sizes[CASES_SIZES];

void cases_fill(struct cases *cases);

/* Copies the case; the strings stay the caller's and are expected to be literals. */
void cases_add(struct cases *cases, const struct bench_case *what);
/* The same at each of cases_sizes. */
void cases_add_sizes(struct cases *cases, const struct bench_case *what);

/* See bench_case.baseline; NULL when there is none. */
const struct bench_case *cases_baseline_of(const struct cases *cases,
                                           const struct bench_case *what);

const char *cases_kind_name(enum bench_kind kind);
const char *cases_place_name(enum bench_place place);

/* One per base_*.c. */
void base_line_cases(struct cases *cases);
void base_slot_cases(struct cases *cases);
void base_stamp_cases(struct cases *cases);
void base_ring_cases(struct cases *cases);
void base_wake_cases(struct cases *cases);
void base_memcpy_cases(struct cases *cases);
void base_fd_cases(struct cases *cases);
void base_bulk_cases(struct cases *cases);

/* One per subject_*.c. */
void subject_pingpong_cases(struct cases *cases);
void subject_stream_cases(struct cases *cases);
void subject_dial_cases(struct cases *cases);
void subject_socket_cases(struct cases *cases);

#endif
