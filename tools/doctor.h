/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_TOOLS_DOCTOR_H
#define DUCT_TOOLS_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

/* duct doctor: facts of this machine, each judged, each with a remedy where one is due. */

enum doctor_verdict {
    DOCTOR_FINE,
    DOCTOR_NOTE,  /* worth knowing, nothing to do */
    DOCTOR_SLOW,  /* works, and costs speed */
    DOCTOR_BREAKS /* something will not work */
};

struct doctor_fact {
    const char *name;
    enum doctor_verdict verdict;
    char value[160];
    char remedy[240]; /* "": none */
};

/* Sets the fact's value and verdict; then, where wanted, its remedy. */
void doctor_say(struct doctor_fact *fact, enum doctor_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void doctor_advise(struct doctor_fact *fact, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Reads the first line of a file, without its end. False: it cannot be read. */
bool doctor_read(const char *path, char *line, size_t size);
/* The number at its beginning, or -1. */
long long doctor_read_number(const char *path);

/* Each looks at one thing. doctor_kernel.c */
void doctor_kernel(struct doctor_fact *fact);
void doctor_uring(struct doctor_fact *fact);
void doctor_futex(struct doctor_fact *fact);
void doctor_memfd(struct doctor_fact *fact);
void doctor_membarrier(struct doctor_fact *fact);
void doctor_pidfd(struct doctor_fact *fact);

/* doctor_limits.c */
void doctor_descriptors(struct doctor_fact *fact);
void doctor_memlock(struct doctor_fact *fact);
void doctor_maps(struct doctor_fact *fact);
void doctor_shm(struct doctor_fact *fact);
void doctor_memory(struct doctor_fact *fact);
void doctor_huge(struct doctor_fact *fact);
void doctor_processors(struct doctor_fact *fact);
void doctor_idle(struct doctor_fact *fact);

/* doctor_pipe.c */
void doctor_runtime(struct doctor_fact *fact);
void doctor_pipe(struct doctor_fact *fact);

#endif
