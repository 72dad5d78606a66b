/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "shm/asymmetric.h"
#include "transports/control.h"

/*
 * Edges of this file:
 *   [refs]   a half's last touch, count lowered with release | count seen to be zero with acquire
 */

enum duct_err link_open(struct link **out, const struct duct_options *options)
{
    struct link *link = aligned_alloc(_Alignof(struct link), sizeof(*link));

    if (link == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a pipe");
    memset(link, 0, sizeof(*link));
    link->socket = -1;
    link->pidfd = -1;
    link->sender_socket = -1;
    link->sender_pidfd = -1;
    link->own_eventfd[LINK_RECEIVER] = -1;
    link->own_eventfd[LINK_SENDER] = -1;
    link->peer_eventfd[LINK_RECEIVER] = -1;
    link->peer_eventfd[LINK_SENDER] = -1;
    link->fence = options->fence;
    link->huge = options->huge_pages == DUCT_YES;
    link->trusted = options->untrusted != DUCT_YES;
    link->peer_bytes_max = options->peer_bytes_max;
    link->held_max = options->held_max;
    pthread_mutex_init(&link->lock, NULL);
    atomic_init(&link->ended, DUCT_OK);
    atomic_init(&link->refs, 1);
    di_geometry_plan(&link->geometry, options->slots, options->max_msg, options->pool,
                     options->pool_max);
    *out = link;
    return DUCT_OK;
}

/* The last message of a closed receiver came back; any thread. */
static void free_receiver(struct di_receiver *receiver)
{
    struct link_receiver *all = (struct link_receiver *)receiver;

    di_receiver_fini(receiver);
    for (unsigned i = 0; i < all->pool_count; i++)
        di_view_fini(&all->pools[i]);
    free(all);
}

void link_release(struct link *link)
{
    /* [refs] Both ways: the last one sees what the other half did. */
    if (atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (link->receiver != NULL)
        free_receiver(&link->receiver->receiver);
    if (link->sender.owner.discard != NULL)
        di_sender_fini(&link->sender);
    di_segment_fini(&link->outbox);
    for (unsigned i = 0; i < link->pool_count; i++)
        di_segment_fini(&link->pools[i]);
    di_view_fini(&link->peer_outbox);
    di_bells_fini(&link->own_bells);
    di_bells_fini(&link->peer_bells);
    di_fork_close(link->peer_eventfd[LINK_RECEIVER]);
    di_fork_close(link->peer_eventfd[LINK_SENDER]);
    di_fork_close(link->own_eventfd[LINK_RECEIVER]);
    di_fork_close(link->own_eventfd[LINK_SENDER]);
    di_fork_close(link->pidfd);
    di_fork_close(link->sender_pidfd);
    di_fork_close(link->sender_socket);
    if (link->socket >= 0)
        di_control_hang_up(link->socket);
    di_fork_close(link->socket);
    pthread_mutex_destroy(&link->lock);
    free(link);
}

void link_take_socket(struct link *link, int socket)
{
    link->socket = socket;
    di_fork_close_in_child(socket);
}

enum duct_err link_make_segments(struct link *link)
{
    enum duct_err err;

    di_geometry_set_returns(&link->geometry, link->peer_blocks);
    err =
        di_segment_create(&link->outbox, "duct-outbox", link->geometry.header.outbox_bytes, false);
    if (err != DUCT_OK)
        return err;
    err = di_segment_create(&link->pools[0], "duct-pool", link->geometry.header.pool_bytes,
                            link->huge);
    if (err != DUCT_OK)
        return err;
    DI_CRASH_POINT("link.segments_made");
    link->pool_count = 1;
    memcpy(link->outbox.base, &link->geometry.header, sizeof(link->geometry.header));
    struct di_receiver_page *page = (void *)(link->outbox.base + DI_OUTBOX_RECEIVER_AT);
    /* Nothing is consumed yet: the peer counts from its own start, which is 0 outside of tests. */
    atomic_init(&page->consumed, 0);
    di_ring_format((void *)(link->outbox.base + DI_OUTBOX_SLOTS_AT), link->geometry.header.slots,
                   link->geometry.header.start);
    return DUCT_OK;
}

/* The peer's outbox: copied once, checked, and the copy kept. */
static enum duct_err map_outbox(struct link *link, struct link_receiver *receiver, int fd)
{
    struct di_outbox_header header;
    enum duct_err err = di_view_map(&link->peer_outbox, fd, false, link->peer_bytes_max);

    if (err != DUCT_OK)
        return err;
    di_peer_copy(&header, link->peer_outbox.base, sizeof(header));
    err = di_geometry_check(&receiver->peer_geometry, &header, link->peer_outbox.size,
                            link->geometry.blocks_max, link->peer_bytes_max);
    if (err == DUCT_OK && receiver->peer_geometry.blocks_max != link->peer_blocks)
        err = di_fail(DUCT_ECORRUPT, "the peer announced %u blocks and has %u", link->peer_blocks,
                      receiver->peer_geometry.blocks_max);
    return err;
}

enum duct_err link_map_pool(struct link *link, int fd)
{
    struct link_receiver *receiver = link->receiver;
    struct di_view *view = &receiver->pools[receiver->pool_count];
    const bool huge = (link->peer_has & DI_CAP_HUGE) != 0;
    const uint64_t page = huge ? DI_HUGE_PAGE : 1;
    const uint64_t said = receiver->peer_geometry.header.pool_bytes;
    enum duct_err err = di_view_map(view, fd, huge, link->peer_bytes_max);

    if (err != DUCT_OK)
        return err;
    /* Exactly: what is more would be address space of ours, of which nobody was told. */
    if (view->size != (said + page - 1) / page * page) {
        err = di_fail(DUCT_ECORRUPT, "the peer's pool has %llu bytes, its header says %llu",
                      (unsigned long long)view->size, (unsigned long long)said);
        di_view_fini(view);
        return err;
    }
    receiver->pool_count++;
    return DUCT_OK;
}

enum duct_err link_map_peer(struct link *link, int outbox_fd, int pool_fd)
{
    struct link_receiver *receiver = aligned_alloc(
        DI_LINE_PAIR, (sizeof(*receiver) + DI_LINE_PAIR - 1) / DI_LINE_PAIR * DI_LINE_PAIR);

    if (receiver == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a pipe");
    memset(receiver, 0, sizeof(*receiver));
    link->receiver = receiver;
    enum duct_err err = map_outbox(link, receiver, outbox_fd);
    return err != DUCT_OK ? err : link_map_pool(link, pool_fd);
}

static enum duct_err grow(struct di_sender *sender)
{
    struct link *link = (struct link *)((char *)sender - offsetof(struct link, sender));
    struct di_segment *segment = &link->pools[link->pool_count];
    struct di_boot_note note = {
        .type = DI_BOOT_POOL, .value = link->pool_count, .session = link->session};
    enum duct_err err;

    /* Whatever can fail comes before the announcement, which cannot be taken back. */
    if ((err = di_pool_reserve(&sender->pool)) != DUCT_OK)
        return err;
    err = di_segment_create(segment, "duct-pool", link->geometry.header.pool_bytes, link->huge);
    if (err != DUCT_OK)
        return err;
    DI_CRASH_POINT("grow.made");
    /* Announced before any descriptor names it: the peer reads the socket when it meets one. */
    if ((err = di_control_send(link->socket, &note, sizeof(note), &segment->fd, 1)) != DUCT_OK ||
        (err = di_pool_add(&sender->pool, segment->base)) != DUCT_OK) {
        di_segment_fini(segment);
        return err;
    }
    DI_CRASH_POINT("grow.announced");
    di_segment_close_fd(segment);
    /* The other half of a split pipe may be asked how much is shared. */
    pthread_mutex_lock(&link->lock);
    link->pool_count++;
    pthread_mutex_unlock(&link->lock);
    return DUCT_OK;
}

enum duct_err link_start(struct link *link, void (*post)(struct di_receiver *receiver),
                         void (*awake)(struct di_receiver *receiver))
{
    struct di_receiver *receiver = &link->receiver->receiver;
    const struct di_sender_parts sending = {.outbox = link->outbox.base,
                                            .geometry = &link->geometry,
                                            .peer_outbox = link->peer_outbox.base,
                                            .peer_geometry = &link->receiver->peer_geometry,
                                            .pool = link->pools[0].base,
                                            .cells_max = link->held_max,
                                            .socket = link->socket};
    const struct di_receiver_parts receiving = {.outbox = link->outbox.base,
                                                .geometry = &link->geometry,
                                                .peer_outbox = link->peer_outbox.base,
                                                .peer_geometry = &link->receiver->peer_geometry,
                                                .peer_pool = link->receiver->pools[0].base,
                                                .cells_max = link->held_max,
                                                .socket = link->socket};
    enum duct_err err = di_sender_init(&link->sender, &sending);

    DI_CRASH_POINT("link.sender_made");
    if (err != DUCT_OK || (err = di_receiver_init(receiver, &receiving)) != DUCT_OK)
        return err;
    link->sender.grow = grow;
    receiver->post = post;
    receiver->freed = free_receiver;
    receiver->awake = awake;
    di_segment_close_fd(&link->outbox);
    di_segment_close_fd(&link->pools[0]);
    DI_CRASH_POINT("link.started");
    return DUCT_OK;
}

static enum duct_err duplicate(int fd, int *copy)
{
    int made = fd < 0 || *copy >= 0 ? *copy : fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (made < 0)
        return fd < 0 ? DUCT_OK : di_fail_os(errno, "a descriptor for the second half of a pipe");
    if (made != *copy)
        di_fork_close_in_child(made);
    *copy = made;
    return DUCT_OK;
}

enum duct_err link_duplicate(struct link *link)
{
    enum duct_err err = duplicate(link->socket, &link->sender_socket);

    return err != DUCT_OK ? err : duplicate(link->pidfd, &link->sender_pidfd);
}

int link_eventfd(struct link *link, enum link_half half)
{
    struct di_boot_note note = {.type = DI_BOOT_EVENTFD, .value = half, .session = link->session};

    if (link->own_eventfd[half] >= 0)
        return link->own_eventfd[half];
    if (!link->trusted || !(link->peer_has & DI_CAP_EVENTFD))
        return -1;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -1;
    DI_CRASH_POINT("eventfd.made");
    if (di_control_send(link->socket, &note, sizeof(note), &fd, 1) != DUCT_OK) {
        close(fd);
        return -1;
    }
    DI_CRASH_POINT("eventfd.announced");
    di_fork_close_in_child(fd);
    link->own_eventfd[half] = fd;
    return fd;
}

/* Under lock. */
static void offer_bells(struct link *link)
{
    struct di_boot_note note = {.type = DI_BOOT_BELLS, .session = link->session};
    int fd;

    link->no_bells = true;
    if (!link->trusted || !(link->peer_has & DI_CAP_BELLS) ||
        di_bells_create(&link->own_bells, &fd) != DUCT_OK)
        return;
    DI_CRASH_POINT("bells.made");
    link->no_bells = di_control_send(link->socket, &note, sizeof(note), &fd, 1) != DUCT_OK;
    DI_CRASH_POINT("bells.announced");
    close(fd);
    if (link->no_bells)
        di_bells_fini(&link->own_bells);
}

void link_use_bells(struct link *link, enum link_half half)
{
    struct di_sleeper *sleeper =
        half == LINK_RECEIVER ? &link->receiver->receiver.sleeper : &link->sender.sleeper;

    if (sleeper->bells_asked)
        return;
    sleeper->bells_asked = true;
    pthread_mutex_lock(&link->lock);
    if (link->own_bells.page == NULL && !link->no_bells)
        offer_bells(link);
    const struct di_bells_page *page = link->own_bells.page;
    pthread_mutex_unlock(&link->lock);
    if (page == NULL)
        return;
    sleeper->bell = di_bells_word(half == LINK_RECEIVER ? &page->data : &page->space);
    sleeper->bells = true;
}
