/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H5: what is sent as a segment and is none, in each place, by a dialer. H16: what the victim sends can be
 * read and not written, in any way there is. H22: geometry that would make the victim allocate.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/hostile/beside.h"

/* The REFUSE that the victim sends, with words in it. */
static void refused(struct beside *b, uint64_t before, const char *words)
{
    struct peer_message message;
    struct peer_end end;

    beside_refused(b, before);
    MUST(peer_take(&b->peer, &message) && message.size == sizeof(end));
    memcpy(&end, message.bytes, sizeof(end));
    MUST(end.type == PEER_REFUSE && end.code != 0 && strnlen(end.text, sizeof(end.text)) > 0);
    if (words != NULL && strstr(end.text, words) == NULL) {
        fprintf(stderr, "refused with '%.192s', expected '%s'\n", end.text, words);
        abort();
    }
}

/* A handshake with fds as outbox and pool; each NULL or -1: an honest one. */
static void offer(struct beside *b, int outbox, int pool, const char *words)
{
    uint64_t before = duct_listener_refused(b->listener);
    int fds[2];

    peer_connect(&b->peer, b->path);
    beside_say_hello(b);
    fds[0] = outbox >= 0 ? outbox : b->peer.outbox_fd;
    fds[1] = pool >= 0 ? pool : b->peer.pool_fd;
    MUST(peer_note(&b->peer, PEER_SEGMENTS, 0, fds, 2));
    refused(b, before, words);
    beside_part(b);
}

/* In either place, and not even with fstat if it is no memfd. */
static void offer_both(struct beside *b, int fd, const char *words)
{
    offer(b, fd, -1, words);
    offer(b, -1, fd, words);
    close(fd);
}

/* A memfd as large as the pool is to be, and otherwise as told. */
static int memfd(size_t size, bool allocate, int seals)
{
    int fd = peer_memfd(size, allocate, seals, 0, NULL);

    MUST(fd >= 0);
    return fd;
}

static void seals(struct beside *b)
{
    static const int one[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL};

    for (unsigned subset = 0; subset < 15; subset++) {
        int wanted = 0;
        for (unsigned i = 0; i < 4; i++)
            wanted |= subset >> i & 1 ? one[i] : 0;
        offer_both(b, memfd(PEER_BLOCKS * PEER_BLOCK_BYTES, true, wanted), "sealed");
    }
    beside_round(b);
}

static void sizes(struct beside *b)
{
    const size_t right = PEER_BLOCKS * PEER_BLOCK_BYTES;

    offer_both(b, memfd(0, true, PEER_SEALS), "pages");
    offer_both(b, memfd(1, true, PEER_SEALS), "pages");
    offer_both(b, memfd(4095, true, PEER_SEALS), "pages");
    offer_both(b, memfd(right + 1, true, PEER_SEALS), "pages");
    offer_both(b, memfd(right, false, PEER_SEALS), "sparse");
    offer_both(b, memfd(1ull << 45, false, PEER_SEALS), "sparse");
    /* Above the cap of this play's options. */
    offer_both(b, memfd(2u << 20, true, PEER_SEALS), "peer_bytes");
    /* Short or long of what the header says. */
    int fd = memfd(right - DI_PAGE, true, PEER_SEALS);
    offer(b, -1, fd, "its header says");
    close(fd);
    fd = memfd(right + DI_PAGE, true, PEER_SEALS);
    offer(b, -1, fd, "its header says");
    close(fd);
    /* One page is missing. */
    fd = memfd(right, true, 0);
    MUST(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, DI_PAGE, DI_PAGE) == 0);
    MUST(fcntl(fd, F_ADD_SEALS, PEER_SEALS) == 0);
    offer_both(b, fd, "sparse");
    beside_round(b);
}

static int a_socket(void)
{
    int pair[2];

    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    close(pair[1]);
    return pair[0];
}

static int a_pipe(void)
{
    int ends[2];

    MUST(pipe2(ends, O_CLOEXEC) == 0);
    close(ends[1]);
    return ends[0];
}

static int a_file(const char *in)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/duct-hostile-XXXXXX", in);
    int fd = mkostemp(path, O_CLOEXEC);
    MUST(fd >= 0 && unlink(path) == 0 && posix_fallocate(fd, 0, 32768) == 0);
    return fd;
}

static void no_memory(struct beside *b)
{
    offer_both(b, a_socket(), "not a memfd");
    offer_both(b, a_pipe(), "not a memfd");
    offer_both(b, eventfd(0, EFD_CLOEXEC), "not a memfd");
    offer_both(b, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "not a memfd");
    offer_both(b, open("/tmp", O_PATH | O_CLOEXEC), "not a memfd");
    offer_both(b, open("/dev/zero", O_RDWR | O_CLOEXEC), "not a memfd");
    offer_both(b, open("/dev/null", O_RDONLY | O_CLOEXEC), "not a memfd");
    offer_both(b, open("/proc/self/maps", O_RDONLY | O_CLOEXEC), "not a memfd");
    offer_both(b, a_file("/tmp"), "is not");
    offer_both(b, a_file("/dev/shm"), "is not");
    beside_round(b);
}

/* Whether or not the system has any, since a refusal comes before anything is allocated. */
static void huge_pages(struct beside *b)
{
    int fd = peer_memfd(2u << 20, false, PEER_SEALS, MFD_HUGETLB | MFD_HUGE_2MB, NULL);

    if (fd < 0) {
        printf("no huge pages in this kernel: their part is left out\n");
        return;
    }
    offer_both(b, fd, "huge");
    /* Agreed for the pool: then it must be all there, and the outbox still may not. */
    fd = peer_memfd(2u << 20, false, PEER_SEALS, MFD_HUGETLB | MFD_HUGE_2MB, NULL);
    for (unsigned which = 0; which < 2; which++) {
        uint64_t before = duct_listener_refused(b->listener);
        peer_connect(&b->peer, b->path);
        b->peer.said.has = 8;
        beside_say_hello(b);
        const int fds[2] = {which == 0 ? fd : b->peer.outbox_fd, fd};
        MUST(peer_note(&b->peer, PEER_SEGMENTS, 0, fds, 2));
        refused(b, before, which == 0 ? "huge" : "sparse");
        beside_part(b);
    }
    close(fd);
    beside_round(b);
}

/* ---- H22: geometry ---- */

static void announced(struct beside *b)
{
    static const uint32_t blocks[] = {0, (1u << 20) + 1, 1u << 31, UINT32_MAX};

    for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        uint64_t before = duct_listener_refused(b->listener);
        peer_connect(&b->peer, b->path);
        b->peer.said.blocks = blocks[i];
        MUST(peer_send(&b->peer, &b->peer.said, sizeof(b->peer.said), NULL, 0));
        refused(b, before, "blocks");
        beside_part(b);
    }
    /* As many as there may be, and then another number in the header. */
    uint64_t before = duct_listener_refused(b->listener);
    peer_connect(&b->peer, b->path);
    b->peer.said.blocks = 1u << 20;
    beside_say_hello(b);
    const int fds[2] = {b->peer.outbox_fd, b->peer.pool_fd};
    MUST(peer_note(&b->peer, PEER_SEGMENTS, 0, fds, 2));
    refused(b, before, "announced");
    beside_part(b);
    beside_round(b);
}

/* Each field of the header, with each of some values: nothing that is not the honest one is taken. */
static void header_fields(struct beside *b)
{
    static const uint64_t values[] = {0,     1,        3,        4097,       65535,
                                      65537, 1u << 20, 1u << 31, UINT32_MAX, UINT64_MAX};
    static const struct {
        size_t at;
        size_t size;
    } fields[] = {
#define FIELD(name) \
    {offsetof(struct di_outbox_header, name), sizeof(((struct di_outbox_header *)0)->name)}
        FIELD(magic),           FIELD(version),           FIELD(class_count),
        FIELD(outbox_bytes),    FIELD(pool_bytes),        FIELD(slots),
        FIELD(returns),         FIELD(pool_segments_max), FIELD(classes[0].size),
        FIELD(classes[0].count)};

    for (unsigned f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
        for (unsigned v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            uint64_t before = duct_listener_refused(b->listener);
            peer_connect(&b->peer, b->path);
            beside_say_hello(b);
            unsigned char *field = b->peer.outbox + fields[f].at;
            if (memcmp(field, &values[v], fields[f].size) == 0) {
                beside_part(b);
                beside_refused(b, before);
                continue;
            }
            memcpy(field, &values[v], fields[f].size);
            const int fds[2] = {b->peer.outbox_fd, b->peer.pool_fd};
            MUST(peer_note(&b->peer, PEER_SEGMENTS, 0, fds, 2));
            refused(b, before, NULL);
            beside_part(b);
        }
    }
    beside_round(b);
}

/* A pool that grows: announced in order, up to what the handshake said, and as large as it said. */
static void growing(struct beside *b)
{
    const size_t right = PEER_BLOCKS * PEER_BLOCK_BYTES;
    static const struct {
        uint32_t number;
        size_t bytes;
        int seals;
        enum duct_err expected;
    } pools[] = {
        {0, 1, PEER_SEALS, DUCT_ECORRUPT},
        {2, 1, PEER_SEALS, DUCT_ECORRUPT},
        {UINT32_MAX, 1, PEER_SEALS, DUCT_ECORRUPT},
        {1, 0, PEER_SEALS, DUCT_ECORRUPT},
        {1, 2, PEER_SEALS, DUCT_ECORRUPT},
        {1, 1, 0, DUCT_ECORRUPT},
        {1, 1, PEER_SEALS, DUCT_OK},
    };

    for (unsigned i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
        peer_connect(&b->peer, b->path);
        b->peer.header.pool_segments_max = 2;
        b->peer.said.blocks = 2 * PEER_BLOCKS;
        beside_say_hello(b);
        beside_share(b);
        GIVES(duct_accept(b->listener, &b->victim, SOON), DUCT_OK);
        int fd = memfd(pools[i].bytes * right, true, pools[i].seals);
        MUST(peer_note(&b->peer, PEER_POOL, pools[i].number, &fd, 1));
        peer_put_block(&b->peer, PEER_BLOCKS, 300);
        unsigned char bytes[300];
        size_t size;
        GIVES(duct_read(b->victim, bytes, sizeof(bytes), &size, NULL, 0), pools[i].expected);
        if (pools[i].expected == DUCT_OK) {
            /* And one more than was agreed. */
            MUST(peer_note(&b->peer, PEER_POOL, 2, &fd, 1));
            beside_turn(b);
        }
        close(fd);
        beside_round(b);
        beside_ends(b, DUCT_ECORRUPT);
    }
    /* A block of a segment that was never announced. */
    peer_connect(&b->peer, b->path);
    b->peer.header.pool_segments_max = 2;
    b->peer.said.blocks = 2 * PEER_BLOCKS;
    beside_say_hello(b);
    beside_share(b);
    GIVES(duct_accept(b->listener, &b->victim, SOON), DUCT_OK);
    peer_put_block(&b->peer, PEER_BLOCKS, 300);
    struct duct_msg msg;
    GIVES(duct_recv(b->victim, &msg, 0), DUCT_ECORRUPT);
    beside_ends(b, DUCT_ECORRUPT);
}

/* ---- H16 ---- */

/* The way by which fd could be written, or NULL. */
static const char *writable(int fd, const void *view, size_t size)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
        return "mmap";
    if (mprotect((void *)(uintptr_t)view, size, PROT_READ | PROT_WRITE) == 0)
        return "mprotect";
    if (write(fd, "x", 1) >= 0 || pwrite(fd, "x", 1, 0) >= 0)
        return "write";
    if (ftruncate(fd, 4096) == 0 || ftruncate(fd, (off_t)size * 2) == 0)
        return "truncate";
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 ||
        fallocate(fd, 0, 0, (off_t)size * 2) == 0)
        return "fallocate";
    if (madvise((void *)(uintptr_t)view, size, MADV_REMOVE) == 0)
        return "remove";
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0)
        return "more seals";
    int again = open(path, O_RDWR | O_CLOEXEC);
    bool wrote = again >= 0 &&
                 (pwrite(again, "x", 1, 0) >= 0 || ftruncate(again, 4096) == 0 ||
                  mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED ||
                  fallocate(again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
    if (again >= 0)
        close(again);
    return wrote ? "opened again" : NULL;
}

static void writing(struct beside *b)
{
    beside_meet(b);
    const char *way =
        writable(b->peer.their_fds[0], b->peer.their_outbox, b->peer.their_outbox_bytes);
    if (way == NULL)
        way = writable(b->peer.their_fds[1], b->peer.their_pool, b->peer.their_pool_bytes);
    if (way != NULL)
        fprintf(stderr, "written by %s\n", way);
    MUST(way == NULL);
    /* And all that came is those two: no lock's descriptor, nothing that could be written. */
    for (unsigned i = 0; i < 2; i++)
        MUST((fcntl(b->peer.their_fds[i], F_GETFL) & O_ACCMODE) == O_RDONLY);
    beside_round(b);
    beside_part(b);
}

int main(void)
{
    static const struct play plays[] = {
        {"H5 seals", PLAY_DEFAULT, seals, NULL},
        {"H5 sizes", PLAY_DEFAULT, sizes, "peer_bytes=1m"},
        {"H5 what is no memory", PLAY_DEFAULT, no_memory, NULL},
        {"H5 huge pages", PLAY_DEFAULT, huge_pages, NULL},
        {"H22 numbers of blocks", PLAY_DEFAULT, announced, NULL},
        {"H22 fields of the header", PLAY_DEFAULT, header_fields, NULL},
        {"H5 H22 pools that grow", PLAY_DEFAULT, growing, NULL},
        {"H16 writing", PLAY_DEFAULT, writing, NULL},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
