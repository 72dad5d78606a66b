/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_zc.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Chunks kept for later loans; what comes back beyond is unmapped. */
#define SPARE_MAX 16u

/* So many sends in a row that the kernel copied after all, and the stream copies by itself. */
#define COPIED_MAX 8u

struct stream_zc {
    pthread_mutex_t lock; /* of all of it, and of its chunks */
    uint64_t min;
    uint64_t refs; /* the stream's, and that of each chunk in use */
    bool closed;   /* the stream has gone: nobody takes loans any more */
    bool never;    /* the socket, or the loop, cannot; or the kernel copies */
    unsigned copied_in_a_row;
    uint64_t sends, copied, refused;
    struct zc_chunk *spare;
    unsigned spare_count;
};

struct zc_chunk {
    struct di_chunk chunk; /* first */
    struct stream_zc *zc;
    struct zc_chunk *next; /* in spare */
    unsigned owners; /* a loan or the queue, and each send that the kernel may still read it for */
    bool abandoned;  /* it may do so for ever, as far as we shall know */
    size_t mapped;
};

/* A send whose memory the kernel may still read. */
struct zc_send {
    struct di_io_hold hold; /* first */
    struct zc_chunk *of;
    bool asking; /* within the call: nobody knows yet whether anything went */
    bool went;
    bool over; /* released while asking */
    enum di_io_released how;
};

bool stream_zc_open(struct stream_zc **zc, uint64_t min)
{
    *zc = NULL;
    if (min == 0)
        return true;
    struct stream_zc *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return false;
    pthread_mutex_init(&made->lock, NULL);
    made->min = min;
    made->refs = 1;
    *zc = made;
    return true;
}

/* Under the lock, which is given up. */
static void drop_reference(struct stream_zc *zc)
{
    bool last = --zc->refs == 0;

    pthread_mutex_unlock(&zc->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&zc->lock);
    free(zc);
}

void stream_zc_give(struct stream_zc *zc)
{
    if (zc == NULL)
        return;
    pthread_mutex_lock(&zc->lock);
    zc->closed = true;
    while (zc->spare != NULL) {
        struct zc_chunk *first = zc->spare;
        zc->spare = first->next;
        munmap(first, first->mapped);
    }
    drop_reference(zc);
}

/* One owner less. */
static void let_go(struct zc_chunk *of)
{
    struct stream_zc *zc = of->zc;

    pthread_mutex_lock(&zc->lock);
    if (--of->owners > 0) {
        pthread_mutex_unlock(&zc->lock);
        return;
    }
    if (!zc->closed && !of->abandoned && zc->spare_count < SPARE_MAX) {
        of->next = zc->spare;
        zc->spare = of;
        zc->spare_count++;
    } else {
        munmap(of, of->mapped);
    }
    drop_reference(zc);
}

static void gone(struct di_chunk *chunk)
{
    let_go((struct zc_chunk *)chunk);
}

bool stream_zc_fits(struct stream_zc *zc, size_t size)
{
    if (zc == NULL || size < zc->min)
        return false;
    pthread_mutex_lock(&zc->lock);
    bool fits = !zc->never;
    pthread_mutex_unlock(&zc->lock);
    return fits;
}

/* The first spare one that is large enough. Under the lock. */
static struct zc_chunk *take_spare(struct stream_zc *zc, size_t size)
{
    for (struct zc_chunk **at = &zc->spare; *at != NULL; at = &(*at)->next) {
        struct zc_chunk *found = *at;
        if (found->mapped < size)
            continue;
        *at = found->next;
        zc->spare_count--;
        return found;
    }
    return NULL;
}

struct di_chunk *stream_zc_alloc(struct stream_zc *zc, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t all = (sizeof(struct zc_chunk) + size + page - 1) / page * page;

    pthread_mutex_lock(&zc->lock);
    struct zc_chunk *of = take_spare(zc, all);
    if (of == NULL) {
        void *at = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at != MAP_FAILED) {
            of = at;
            of->mapped = all;
        }
    }
    if (of != NULL) {
        of->zc = zc;
        of->owners = 1;
        of->chunk = (struct di_chunk){
            .at = (unsigned char *)(of + 1), .spare = of->mapped - sizeof(*of), .gone = gone};
        di_list_init(&of->chunk.link);
        zc->refs++;
    }
    pthread_mutex_unlock(&zc->lock);
    return of != NULL ? &of->chunk : NULL;
}

bool stream_zc_is_read(const struct di_chunk *chunk)
{
    const struct zc_chunk *of = (const struct zc_chunk *)chunk;

    if (chunk == NULL || chunk->gone != gone)
        return false;
    pthread_mutex_lock(&of->zc->lock);
    bool read = of->owners > 1 || of->abandoned;
    pthread_mutex_unlock(&of->zc->lock);
    return read;
}

/* The kernel reads the memory no more. Of a send that found no room it says that it copied, which means nothing. */
static void over(struct zc_send *send)
{
    struct zc_chunk *of = send->of;
    struct stream_zc *zc = of->zc;

    pthread_mutex_lock(&zc->lock);
    of->abandoned |= send->how == DI_IO_ABANDONED;
    if (send->went && send->how == DI_IO_UNCOPIED)
        zc->copied_in_a_row = 0;
    if (send->went && send->how == DI_IO_COPIED) {
        zc->copied++;
        zc->never |= ++zc->copied_in_a_row >= COPIED_MAX;
    }
    pthread_mutex_unlock(&zc->lock);
    free(send);
    let_go(of);
}

static void released(struct di_io_hold *hold, enum di_io_released how)
{
    struct zc_send *send = (struct zc_send *)hold;

    send->how = how;
    send->over = true;
    if (!send->asking)
        over(send);
}

/* What the kernel says that concerns sending without a copy, and not the connection. */
static bool refuses(int64_t done)
{
    return done == -EOPNOTSUPP || done == -ENOMEM || done == -ENOBUFS || done == -EINVAL;
}

int64_t stream_zc_send(struct stream_zc *zc, struct di_io *io, int fd, struct di_chunk *chunk,
                       const struct iovec *piece)
{
    struct zc_chunk *of = (struct zc_chunk *)chunk;
    bool held = false;

    if (chunk->gone != gone || !stream_zc_fits(zc, piece->iov_len))
        return -EOPNOTSUPP;
    struct zc_send *send = malloc(sizeof(*send));
    if (send == NULL)
        return -EOPNOTSUPP;
    *send = (struct zc_send){.hold = {.release = released}, .of = of, .asking = true};
    pthread_mutex_lock(&zc->lock);
    of->owners++; /* before the kernel may say that it has read it */
    pthread_mutex_unlock(&zc->lock);
    int64_t done = di_io_send_held(io, fd, piece, &send->hold, &held);
    pthread_mutex_lock(&zc->lock);
    zc->sends += done > 0;
    zc->refused += refuses(done);
    zc->never |= done == -EOPNOTSUPP;
    pthread_mutex_unlock(&zc->lock);
    send->asking = false;
    send->went = done > 0;
    if (!held || send->over)
        over(send);
    return refuses(done) ? -EOPNOTSUPP : done;
}

void stream_zc_stats(struct stream_zc *zc, struct duct_pipe_stats *all)
{
    if (zc == NULL)
        return;
    pthread_mutex_lock(&zc->lock);
    all->zerocopy_sends = zc->sends;
    all->zerocopy_copied = zc->copied;
    all->zerocopy_refused = zc->refused;
    pthread_mutex_unlock(&zc->lock);
}
