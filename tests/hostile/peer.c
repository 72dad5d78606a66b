/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/hostile/must.h"

/* The most the kernel takes with one message. */
#define FDS_MAX 253u

static uint64_t next_session = 0x68f5;

void peer_begin(struct peer *peer, uint64_t session)
{
    peer->session = session;
    peer->header = (struct di_outbox_header){.magic = DI_LAYOUT_MAGIC,
                                             .version = DI_LAYOUT_VERSION,
                                             .class_count = 1,
                                             .pool_bytes = PEER_BLOCKS * PEER_BLOCK_BYTES,
                                             .slots = PEER_SLOTS,
                                             .max_msg = PEER_BLOCK_BYTES,
                                             .pool_segments_max = 1,
                                             .classes = {{PEER_BLOCK_BYTES, PEER_BLOCKS}}};
    peer->said = (struct peer_hello){.type = PEER_HELLO,
                                     .magic = PEER_MAGIC,
                                     .version_min = 1,
                                     .version_max = 1,
                                     .layout = DI_LAYOUT_VERSION,
                                     .session = peer->session,
                                     .blocks = PEER_BLOCKS,
                                     .slots = PEER_SLOTS};
}

void peer_connect(struct peer *peer, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *peer = (struct peer){.outbox_fd = -1, .pool_fd = -1, .their_fds = {-1, -1}};
    peer->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    MUST(connect(peer->socket, (struct sockaddr *)&address, sizeof(address)) == 0);
    peer_begin(peer, ++next_session);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void unmap(const unsigned char *base, size_t bytes)
{
    if (base != NULL)
        munmap((void *)(uintptr_t)base, bytes);
}

void peer_close(struct peer *peer)
{
    unmap(peer->outbox, peer->header.outbox_bytes);
    unmap(peer->pool, peer->header.pool_bytes);
    unmap(peer->their_outbox, peer->their_outbox_bytes);
    unmap(peer->their_pool, peer->their_pool_bytes);
    close_fd(&peer->outbox_fd);
    close_fd(&peer->pool_fd);
    close_fd(&peer->their_fds[0]);
    close_fd(&peer->their_fds[1]);
    close_fd(&peer->socket);
    memset(peer, 0, sizeof(*peer));
    peer->socket = peer->outbox_fd = peer->pool_fd = -1;
    peer->their_fds[0] = peer->their_fds[1] = -1;
}

/* ---- The control socket ---- */

bool peer_send(struct peer *peer, const void *bytes, size_t size, const int *fds, unsigned fd_count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(FDS_MAX * sizeof(int))] = {0};
    struct iovec piece = {(void *)(uintptr_t)bytes, size};
    struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

    MUST(fd_count <= FDS_MAX);
    if (fd_count > 0) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        for (unsigned i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(cmsg) + i * sizeof(int), fds != NULL ? &fds[i] : &peer->socket,
                   sizeof(int));
    }
    ssize_t sent = sendmsg(peer->socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    MUST(sent == (ssize_t)size || errno == EPIPE || errno == EAGAIN || errno == ECONNRESET);
    return sent == (ssize_t)size;
}

bool peer_note(struct peer *peer, uint32_t type, uint32_t value, const int *fds, unsigned fd_count)
{
    const struct peer_note note = {.type = type, .value = value, .session = peer->session};

    return peer_send(peer, &note, sizeof(note), fds, fd_count);
}

bool peer_end(struct peer *peer, uint32_t type, uint32_t code, const char *text, size_t size)
{
    struct peer_end end = {.type = type, .code = code, .err = code};

    MUST(size <= sizeof(end.text));
    memcpy(end.text, text, size);
    return peer_send(peer, &end, sizeof(end), NULL, 0);
}

bool peer_ring(struct peer *peer)
{
    const unsigned char byte = PEER_RING;

    return peer_send(peer, &byte, 1, NULL, 0);
}

bool peer_take(struct peer *peer, struct peer_message *message)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
    struct iovec piece = {message->bytes, sizeof(message->bytes)};
    struct msghdr header = {.msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};

    message->fd_count = 0;
    ssize_t size = recvmsg(peer->socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    /* Said once, when the victim hung up without having read all; what it said is still there. */
    if (size < 0 && errno == ECONNRESET)
        size = recvmsg(peer->socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0)
        return false;
    message->size = (size_t)size;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        unsigned count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        MUST(count <= 8);
        memcpy(message->fds, CMSG_DATA(c), count * sizeof(int));
        message->fd_count = count;
    }
    return true;
}

void peer_drop(struct peer_message *message)
{
    for (unsigned i = 0; i < message->fd_count; i++)
        close(message->fds[i]);
    message->fd_count = 0;
}

bool peer_sees_end(struct peer *peer)
{
    struct peer_message message;

    while (peer_take(peer, &message)) {
        peer_drop(&message);
        if (message.size == 0)
            return true;
    }
    return false;
}

/* ---- Memory ---- */

int peer_memfd(size_t size, bool allocate, int seals, unsigned flags, unsigned char **base)
{
    int fd = memfd_create("hostile", MFD_ALLOW_SEALING | MFD_CLOEXEC | flags);

    if (fd < 0)
        return -1;
    MUST(ftruncate(fd, (off_t)size) == 0);
    if (allocate && size > 0 && fallocate(fd, 0, 0, (off_t)size) != 0) {
        close(fd);
        return -1;
    }
    if (base != NULL) {
        void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        MUST(map != MAP_FAILED);
        *base = map;
    }
    MUST(seals == 0 || fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

void peer_make(struct peer *peer, uint32_t their_blocks)
{
    uint32_t returns = 8;

    while (returns < their_blocks)
        returns *= 2;
    peer->header.returns = returns;
    peer->header.outbox_bytes = (DI_OUTBOX_SLOTS_AT + peer->header.slots * sizeof(struct di_slot) +
                                 returns * 8ull + DI_PAGE - 1) /
                                DI_PAGE * DI_PAGE;
    peer->outbox_fd = peer_memfd(peer->header.outbox_bytes, true, PEER_SEALS, 0, &peer->outbox);
    peer->pool_fd = peer_memfd(peer->header.pool_bytes, true, PEER_SEALS, 0, &peer->pool);
    MUST(peer->outbox_fd >= 0 && peer->pool_fd >= 0);
    memcpy(peer->outbox, &peer->header, sizeof(peer->header));
    /* Before its turn a slot carries the stamp of the lap before. */
    for (uint64_t p = 0; p < peer->header.slots; p++)
        atomic_store_explicit(&peer_slot(peer, p)->stamp, p + 1 - peer->header.slots,
                              memory_order_relaxed);
}

static const unsigned char *view(int fd, size_t *bytes)
{
    struct stat status;

    MUST(fstat(fd, &status) == 0);
    *bytes = (size_t)status.st_size;
    void *base = mmap(NULL, *bytes, PROT_READ, MAP_SHARED, fd, 0);
    MUST(base != MAP_FAILED);
    return base;
}

bool peer_map(struct peer *peer, struct peer_message *message)
{
    if (message->fd_count != 2)
        return false;
    peer->their_fds[0] = message->fds[0];
    peer->their_fds[1] = message->fds[1];
    message->fd_count = 0;
    peer->their_outbox = view(peer->their_fds[0], &peer->their_outbox_bytes);
    peer->their_pool = view(peer->their_fds[1], &peer->their_pool_bytes);
    memcpy(&peer->theirs, peer->their_outbox, sizeof(peer->theirs));
    peer->head = peer->theirs.start;
    return true;
}

/* ---- Writing whatever it likes ---- */

struct di_slot *peer_slot(struct peer *peer, uint64_t position)
{
    struct di_slot *slots = (struct di_slot *)(void *)(peer->outbox + DI_OUTBOX_SLOTS_AT);

    return &slots[position & (peer->header.slots - 1)];
}

struct di_sender_page *peer_sender_page(struct peer *peer)
{
    return (struct di_sender_page *)(void *)(peer->outbox + DI_OUTBOX_SENDER_AT);
}

struct di_receiver_page *peer_receiver_page(struct peer *peer)
{
    return (struct di_receiver_page *)(void *)(peer->outbox + DI_OUTBOX_RECEIVER_AT);
}

void peer_put(struct peer *peer, uint64_t head, uint64_t ref, uint64_t off)
{
    struct di_slot *slot = peer_slot(peer, peer->tail);

    atomic_store_explicit(&slot->head, head, memory_order_relaxed);
    atomic_store_explicit(&slot->tag, peer->tail, memory_order_relaxed);
    atomic_store_explicit(&slot->block, ref, memory_order_relaxed);
    peer->tail++;
    atomic_store_explicit(&slot->stamp, peer->tail + off, memory_order_release);
}

void peer_put_bytes(struct peer *peer, const void *bytes, uint32_t size, uint64_t tag)
{
    struct di_slot *slot = peer_slot(peer, peer->tail);

    MUST(size <= sizeof(slot->bytes));
    memcpy(slot->bytes, bytes, size);
    atomic_store_explicit(&slot->head, peer_head(size, 0, DI_KIND_IMMEDIATE), memory_order_relaxed);
    atomic_store_explicit(&slot->tag, tag, memory_order_relaxed);
    peer->tail++;
    atomic_store_explicit(&slot->stamp, peer->tail, memory_order_release);
}

void peer_put_block(struct peer *peer, uint32_t index, uint32_t size)
{
    peer_put(peer, peer_head(size, 0, DI_KIND_BLOCK), peer_ref(index, 1), 0);
}

void peer_set_consumed(struct peer *peer, uint64_t consumed)
{
    atomic_store_explicit(&peer_receiver_page(peer)->consumed, consumed, memory_order_release);
}

void peer_set_returned(struct peer *peer, uint64_t returned)
{
    atomic_store_explicit(&peer_receiver_page(peer)->returned, returned, memory_order_release);
}

void peer_return(struct peer *peer, uint64_t ref)
{
    uint64_t at = DI_OUTBOX_SLOTS_AT + peer->header.slots * sizeof(struct di_slot);
    _Atomic uint64_t *entries = (_Atomic uint64_t *)(void *)(peer->outbox + at);

    atomic_store_explicit(&entries[peer->returned & (peer->header.returns - 1)], ref,
                          memory_order_relaxed);
    peer_set_returned(peer, ++peer->returned);
}

void peer_park(struct peer *peer, unsigned doorbell)
{
    _Atomic uint64_t *words[] = {&peer_sender_page(peer)->park, &peer_receiver_page(peer)->park};

    for (unsigned i = 0; i < 2; i++) {
        uint64_t epoch = (atomic_load_explicit(words[i], memory_order_relaxed) >> 16) + 1;
        atomic_store_explicit(words[i], 7 | (uint64_t)doorbell << 3 | epoch << 16,
                              memory_order_seq_cst);
    }
}

bool peer_sees(struct peer *peer, uint64_t *head, uint64_t *ref)
{
    const struct di_slot *slots =
        (const struct di_slot *)(const void *)(peer->their_outbox + DI_OUTBOX_SLOTS_AT);
    const struct di_slot *slot = &slots[peer->head & (peer->theirs.slots - 1)];

    if (atomic_load_explicit(&slot->stamp, memory_order_acquire) != peer->head + 1)
        return false;
    *head = atomic_load_explicit(&slot->head, memory_order_relaxed);
    *ref = atomic_load_explicit(&slot->block, memory_order_relaxed);
    return true;
}
