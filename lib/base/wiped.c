/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/wiped.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/list.h"

/* The leak checker looks for pointers in memory it knows of, which a plain map is not: without this it would
 * call leaked what the main thread's own context still holds when the program returns from main(). */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_LEAK_CHECKER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_LEAK_CHECKER 1
#endif
#endif
#ifdef HAS_LEAK_CHECKER
void __lsan_register_root_region(const void *memory, size_t size);
void __lsan_unregister_root_region(const void *memory, size_t size);
#else
#define __lsan_register_root_region(memory, size)   ((void)0)
#define __lsan_unregister_root_region(memory, size) ((void)0)
#endif

#define UNIT       ((size_t)128) /* two lines: a processor may fetch them as one */
#define CHUNK      ((size_t)64 * 1024)
#define SMALL_MAX  ((size_t)4096) /* above it a piece has pages of its own */
#define CLASSES    (SMALL_MAX / UNIT)
#define CHUNK_MASK (~(uintptr_t)(CHUNK - 1))

/* A free piece. */
struct piece {
    struct piece *next;
};

/* At the beginning of each chunk, which lies on a multiple of its size: a piece knows its chunk by its address. */
struct chunk {
    struct di_list link; /* in its class, while it has a free piece */
    struct piece *free;  /* given back */
    size_t fresh;        /* where those begin that were never used */
    uint32_t used;
};

/* All that is known of chunks. A child finds it zeroed, with the lock open and no chunk in it. */
struct books {
    pthread_mutex_t lock;
    struct di_list partial[CLASSES]; /* chunks with a free piece, by the size of the pieces */
};

static struct books *books;
static pthread_once_t opened = PTHREAD_ONCE_INIT;

static void *map_wiped(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    /* Linux 4.14; without it a child after fork() is on its own, as the documentation says. */
    madvise(memory, size, MADV_WIPEONFORK);
    __lsan_register_root_region(memory, size);
    return memory;
}

static void unmap_wiped(void *memory, size_t size)
{
    __lsan_unregister_root_region(memory, size);
    munmap(memory, size);
}

static void open_books(void)
{
    books = map_wiped(sizeof(*books));
}

static size_t class_of(size_t size)
{
    return (size - 1) / UNIT;
}

/* Twice the size is mapped, and what lies outside of the multiple given back. */
static struct chunk *map_chunk(void)
{
    unsigned char *memory =
        mmap(NULL, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    unsigned char *first = memory + (-(uintptr_t)memory & (CHUNK - 1));
    if (first > memory)
        munmap(memory, (size_t)(first - memory));
    munmap(first + CHUNK, (size_t)(memory + CHUNK - first));
    madvise(first, CHUNK, MADV_WIPEONFORK);
    __lsan_register_root_region(first, CHUNK);
    struct chunk *chunk = (struct chunk *)first;
    chunk->fresh = (sizeof(*chunk) + UNIT - 1) / UNIT * UNIT;
    return chunk;
}

static bool is_full(const struct chunk *chunk, size_t piece)
{
    return chunk->free == NULL && chunk->fresh + piece > CHUNK;
}

static void *take(struct di_list *partial, size_t piece)
{
    if (partial->next == NULL)
        di_list_init(partial);
    if (di_list_empty(partial)) {
        struct chunk *made = map_chunk();
        if (made == NULL)
            return NULL;
        di_list_append(partial, &made->link);
    }
    struct chunk *chunk = di_container(partial->next, struct chunk, link);
    void *memory = chunk->free;
    if (memory != NULL) {
        chunk->free = chunk->free->next;
    } else {
        memory = (unsigned char *)chunk + chunk->fresh;
        chunk->fresh += piece;
    }
    chunk->used++;
    if (is_full(chunk, piece))
        di_list_remove(&chunk->link);
    return memory;
}

static void give(struct di_list *partial, void *memory, size_t piece)
{
    struct chunk *chunk = (struct chunk *)((uintptr_t)memory & CHUNK_MASK);
    struct piece *back = memory;

    if (is_full(chunk, piece))
        di_list_append(partial, &chunk->link);
    back->next = chunk->free;
    chunk->free = back;
    /* One that is empty goes, unless it is the last: a single pipe opened and closed again maps nothing. */
    if (--chunk->used == 0 && partial->next->next != partial) {
        di_list_remove(&chunk->link);
        unmap_wiped(chunk, CHUNK);
    }
}

void *di_wiped_alloc(size_t size)
{
    size_t at = class_of(size);

    pthread_once(&opened, open_books);
    if (size > SMALL_MAX || books == NULL)
        return map_wiped(size);
    pthread_mutex_lock(&books->lock);
    void *memory = take(&books->partial[at], (at + 1) * UNIT);
    pthread_mutex_unlock(&books->lock);
    if (memory != NULL)
        memset(memory, 0, size);
    return memory;
}

void di_wiped_free(void *memory, size_t size)
{
    size_t at = class_of(size);

    if (size > SMALL_MAX || books == NULL) {
        unmap_wiped(memory, size);
        return;
    }
    pthread_mutex_lock(&books->lock);
    give(&books->partial[at], memory, (at + 1) * UNIT);
    pthread_mutex_unlock(&books->lock);
}
