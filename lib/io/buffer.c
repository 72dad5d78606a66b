/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/buffer.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Kept for the next receives, where nothing asks for more. */
enum { SPARE = 16 };

struct di_buffer *di_buffer_alloc(size_t capacity)
{
    size_t size = sizeof(struct di_buffer) + capacity;
    struct di_buffer *buffer = aligned_alloc(64, (size + 63) & ~(size_t)63);

    if (buffer == NULL)
        return NULL;
    atomic_init(&buffer->refs, 1);
    buffer->home = NULL;
    buffer->next = NULL;
    buffer->capacity = capacity;
    buffer->size = 0;
    return buffer;
}

bool di_buffer_alone(const struct di_buffer *buffer)
{
    /* [bytes] observes: whoever released the last message in it is done reading. */
    return atomic_load_explicit(&buffer->refs, memory_order_acquire) == 1;
}

/*
 * Those of a pool are pages of their own, which go back to the system one by one: after a burst they would leave a
 * heap full of holes.
 */
static struct di_buffer *map_one(struct di_buffers *pool)
{
    struct di_buffer *buffer = mmap(NULL, sizeof(*buffer) + DI_BUFFER_SIZE, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (buffer == MAP_FAILED)
        return NULL;
    buffer->home = pool;
    buffer->capacity = DI_BUFFER_SIZE;
    return buffer;
}

static void unmap_one(struct di_buffer *buffer)
{
    (void)munmap(buffer, sizeof(*buffer) + DI_BUFFER_SIZE);
}

static void unmap_all(struct di_node *entry)
{
    while (entry != NULL) {
        struct di_node *next = entry->next;
        unmap_one((struct di_buffer *)entry);
        entry = next;
    }
}

static void drop_pool(struct di_buffers *pool)
{
    /* [buffers] Both ways: the last one sees what all others did in it. */
    if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) != 1)
        return;
    unmap_all(di_stack_take(&pool->released));
    free(pool);
}

void di_buffer_release(struct di_buffer *buffer)
{
    struct di_buffers *home = buffer->home;

    /* Whoever has the only reference need not count it down: nobody can come and take another. */
    /* [bytes] Both ways: the last one knows that what all others read is read. */
    if (!di_buffer_alone(buffer) &&
        atomic_fetch_sub_explicit(&buffer->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (home == NULL) {
        free(buffer);
        return;
    }
    /* Relaxed, both: the number alone. */
    if (atomic_fetch_add_explicit(&home->idle, 1, memory_order_relaxed) < SPARE) {
        /* The stack orders what was done to the buffer. */
        di_stack_push(&home->released, &buffer->node);
    } else {
        atomic_fetch_sub_explicit(&home->idle, 1, memory_order_relaxed);
        unmap_one(buffer);
    }
    drop_pool(home);
}

struct di_buffers *di_buffers_open(void)
{
    struct di_buffers *pool = calloc(1, sizeof(*pool));

    if (pool == NULL)
        return NULL;
    atomic_init(&pool->refs, 1);
    di_stack_init(&pool->released);
    return pool;
}

void di_buffers_close(struct di_buffers *pool)
{
    if (pool == NULL)
        return;
    while (pool->kept != NULL) {
        struct di_buffer *buffer = pool->kept;
        pool->kept = buffer->next;
        unmap_one(buffer);
    }
    drop_pool(pool);
}

/* One that nobody has, or NULL. */
static struct di_buffer *take_idle(struct di_buffers *pool)
{
    if (pool->kept == NULL) {
        struct di_node *entry = di_stack_take(&pool->released);
        for (struct di_node *next; entry != NULL; entry = next) {
            struct di_buffer *buffer = (struct di_buffer *)entry;
            next = entry->next;
            buffer->next = pool->kept;
            pool->kept = buffer;
        }
    }
    struct di_buffer *buffer = pool->kept;
    if (buffer == NULL)
        return NULL;
    pool->kept = buffer->next;
    /* Relaxed: the number alone. */
    atomic_fetch_sub_explicit(&pool->idle, 1, memory_order_relaxed);
    return buffer;
}

struct di_buffer *di_buffers_take(struct di_buffers *pool)
{
    struct di_buffer *buffer = take_idle(pool);

    if (buffer == NULL && (buffer = map_one(pool)) == NULL)
        return NULL;
    atomic_init(&buffer->refs, 1);
    buffer->next = NULL;
    buffer->size = 0;
    /* Relaxed: our own reference keeps the pool. */
    atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
    return buffer;
}
