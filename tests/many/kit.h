/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_MANY_KIT_H
#define TESTS_MANY_KIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <duct/duct.h>

/* What the tests of many connections share: two processes, an address that one tells the other, and what is counted. */

/* Longer than anything takes on a busy machine; a wait that gets here has hung. */
#define SOON (60 * DUCT_SECOND)

void must(bool condition, const char *file, int line, const char *what);
#define MUST(condition) must((condition), __FILE__, __LINE__, #condition)

/* Raises RLIMIT_NOFILE to so many and some; false: the system does not allow it. */
bool many_descriptors(unsigned count);

/* Bytes on this process's heap, by the allocator's own books. Of no use under a sanitizer. */
size_t heap_bytes(void);
/* Kilobytes of memory that this process has and shares with nobody. */
size_t private_kb(void);
/* Processor time this process has used, in microseconds, and how often it went to sleep. */
int64_t cpu_us(void);
long sleeps(void);

struct duct_context *open_context(void);

/* A listener of the scheme, with `query`, and the address to dial. */
struct duct_listener *listen_at(struct duct_context *context, const char *scheme, const char *query,
                                char *url, size_t capacity);
struct duct_pipe *dial(struct duct_context *context, const char *url);

/* The other process; it runs `run`, and is told the address by `tell_address`. */
struct other {
    pid_t pid;
    int channel; /* to it, or from it */
};
typedef void other_main(int channel, unsigned count);
struct other start_other(other_main *run, unsigned count);
void other_ended(struct other *other);

/* Words between the two: an address, or only that something is done. */
void tell(int channel, const char *text);
void hear(int channel, char *text, size_t capacity);

#endif
