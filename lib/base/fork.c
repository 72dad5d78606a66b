/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/fork.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* A bitmap by descriptor number: no search, and nothing allocated in the child. */
#define BITS (8 * sizeof(unsigned long))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static unsigned long *listed;
static size_t words;

static void before(void)
{
    pthread_mutex_lock(&lock);
}

static void after_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void after_in_child(void)
{
    for (size_t w = 0; w < words; w++) {
        for (size_t bit = 0; listed[w] != 0 && bit < BITS; bit++) {
            if (listed[w] >> bit & 1)
                close((int)(w * BITS + bit));
        }
        listed[w] = 0;
    }
    pthread_mutex_unlock(&lock);
}

static void install(void)
{
    pthread_atfork(before, after_in_parent, after_in_child);
}

static bool reserve(size_t word)
{
    size_t wanted = words == 0 ? 16 : words;

    while (wanted <= word)
        wanted *= 2;
    if (wanted == words)
        return true;
    unsigned long *larger = realloc(listed, wanted * sizeof(*larger));
    if (larger == NULL)
        return false;
    for (size_t w = words; w < wanted; w++)
        larger[w] = 0;
    listed = larger;
    words = wanted;
    return true;
}

void di_fork_close_in_child(int fd)
{
    size_t word = (size_t)fd / BITS;

    pthread_once(&once, install);
    pthread_mutex_lock(&lock);
    if (reserve(word))
        listed[word] |= 1ul << ((size_t)fd % BITS);
    pthread_mutex_unlock(&lock);
}

void di_fork_forget(int fd)
{
    size_t word = (size_t)fd / BITS;

    pthread_mutex_lock(&lock);
    if (word < words)
        listed[word] &= ~(1ul << ((size_t)fd % BITS));
    pthread_mutex_unlock(&lock);
}

void di_fork_close(int fd)
{
    if (fd < 0)
        return;
    di_fork_forget(fd);
    close(fd);
}
