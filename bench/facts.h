/* SPDX-License-Identifier: Apache-2.0 */
/* What a reader has to know of the machine and the build before believing a figure. */
#ifndef BENCH_FACTS_H
#define BENCH_FACTS_H

#include <stdbool.h>

enum { FACTS_TEXT = 96 };

struct facts {
    char cpu[FACTS_TEXT];
    char cpus[FACTS_TEXT];
    char memory[FACTS_TEXT];
    char kernel[FACTS_TEXT];
    char compiler[FACTS_TEXT];
    char commit[FACTS_TEXT];
    char date[FACTS_TEXT];
    bool virtual_machine;
};

/* What cannot be learnt says so. */
void facts_learn(struct facts *facts);

#endif
