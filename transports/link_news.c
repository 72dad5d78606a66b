/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "transports/control.h"
#include "transports/link.h"

/*
 * What the control socket brings once the pipe is there, and what is said on it at the end. All of it is the
 * peer's word: a message that is not exactly what docs/PROTOCOL.md says ends the pipe.
 *
 * Edges of this file:
 *   [bellfd] the descriptor received, its number stored with release | loaded with acquire (shm/park.c)
 */

static void end(struct link *link, enum duct_err err)
{
    int open = DUCT_OK;

    /* Relaxed, both: under lock, as its reason is. The first end stands. */
    atomic_compare_exchange_strong_explicit(&link->ended, &open, err, memory_order_relaxed,
                                            memory_order_relaxed);
}

static enum duct_err take_close(struct link *link, const struct di_control_msg *msg)
{
    struct di_boot_end told;

    if (!di_boot_check_end(msg->bytes, msg->size, DI_BOOT_CLOSE, &told))
        return DUCT_ECORRUPT;
    link->close_code = told.code;
    memcpy(link->close_text, told.text, sizeof(link->close_text));
    end(link, DUCT_ECLOSED);
    return DUCT_OK;
}

static enum duct_err take_pool(struct link *link, struct di_control_msg *msg)
{
    struct link_receiver *receiver = link->receiver;
    struct di_boot_note note;

    if (!di_boot_check_note(msg->bytes, msg->size, DI_BOOT_POOL, link->session, &note) ||
        note.value != receiver->pool_count ||
        note.value >= receiver->peer_geometry.header.pool_segments_max)
        return DUCT_ECORRUPT;
    return link_map_pool(link, msg->fds[0]);
}

enum duct_err link_adopt_pools(struct link *link)
{
    struct di_receiver *receiver = &link->receiver->receiver;
    enum duct_err err = DUCT_OK;

    pthread_mutex_lock(&link->lock);
    while (err == DUCT_OK && receiver->segment_count < link->receiver->pool_count)
        err =
            di_receiver_add_segment(receiver, link->receiver->pools[receiver->segment_count].base);
    pthread_mutex_unlock(&link->lock);
    return err;
}

/*
 * Anything else could end us: a pipe that nobody reads by SIGPIPE, a full socket by waiting. By its name,
 * since the kernel has no other way to ask, and fstat() would ask whoever serves a file system of its own.
 */
static bool is_eventfd(int fd)
{
    static const char name[] = "anon_inode:[eventfd]";
    char path[32], target[sizeof(name) + 1];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, target, sizeof(target));
    return length == sizeof(name) - 1 && memcmp(target, name, sizeof(name) - 1) == 0;
}

static enum duct_err take_eventfd(struct link *link, struct di_control_msg *msg)
{
    struct di_boot_note note;

    if (!di_boot_check_note(msg->bytes, msg->size, DI_BOOT_EVENTFD, link->session, &note) ||
        note.value > LINK_SENDER || link->peer_eventfd[note.value] >= 0)
        return DUCT_ECORRUPT;
    /* A peer that is not trusted could make our write block: it is rung through the socket. */
    struct di_ringer *ringer =
        note.value == LINK_RECEIVER ? &link->sender.ringer : &link->receiver->receiver.ringer;
    if (!link->trusted)
        return DUCT_OK;
    if (!is_eventfd(msg->fds[0]))
        return DUCT_ECORRUPT;
    link->peer_eventfd[note.value] = msg->fds[0];
    di_fork_close_in_child(msg->fds[0]);
    msg->fd_count = 0;
    /* [bellfd] publishes: the descriptor behind the number, to the half that rings. */
    atomic_store_explicit(&ringer->eventfd, link->peer_eventfd[note.value], memory_order_release);
    return DUCT_OK;
}

/* Not mapped for a peer that is not trusted; the words are then rung through the socket. */
static enum duct_err take_bells(struct link *link, const struct di_control_msg *msg)
{
    struct di_boot_note note;

    if (!di_boot_check_note(msg->bytes, msg->size, DI_BOOT_BELLS, link->session, &note))
        return DUCT_ECORRUPT;
    if (!link->trusted || link->peer_bells.page != NULL)
        return DUCT_OK;
    enum duct_err err = di_bells_map(&link->peer_bells, msg->fds[0]);
    if (err != DUCT_OK)
        return err == DUCT_ECORRUPT ? err : DUCT_OK;
    di_ringer_share(&link->sender.ringer, &link->peer_bells.page->data);
    di_ringer_share(&link->receiver->receiver.ringer, &link->peer_bells.page->space);
    return DUCT_OK;
}

/*
 * A message whose descriptor found no room here: it is not the peer that is to blame. A doorbell can be done
 * without, since there is always the socket; a segment cannot.
 */
static enum duct_err lacking(uint32_t type)
{
    if (type == DI_BOOT_EVENTFD || type == DI_BOOT_BELLS)
        return DUCT_OK;
    if (type != DI_BOOT_POOL)
        return DUCT_ECORRUPT;
    return di_fail(DUCT_ELIMIT, "no file descriptor is left for what the peer sent; its pipe is "
                                "closed; raise RLIMIT_NOFILE");
}

static enum duct_err take(struct link *link, struct di_control_msg *msg)
{
    uint32_t type = di_boot_type(msg->bytes, msg->size);
    bool one = type == DI_BOOT_POOL || type == DI_BOOT_EVENTFD || type == DI_BOOT_BELLS;

    if (msg->starved)
        return lacking(type);
    /* Exactly what belongs to it: what is more would be closed, and never missed. */
    if (msg->surplus || msg->fd_count != (one ? 1 : 0))
        return DUCT_ECORRUPT;
    switch (type) {
    case DI_BOOT_RING:
        return DUCT_OK;
    case DI_BOOT_CLOSE:
        return take_close(link, msg);
    case DI_BOOT_POOL:
        return take_pool(link, msg);
    case DI_BOOT_EVENTFD:
        return take_eventfd(link, msg);
    case DI_BOOT_BELLS:
        return take_bells(link, msg);
    default:
        return DUCT_ECORRUPT;
    }
}

void link_set_stir(struct link *link, enum link_half half, struct duct_context *context,
                   struct di_post *stir)
{
    pthread_mutex_lock(&link->lock);
    link->contexts[half] = context;
    link->stirs[half] = stir;
    pthread_mutex_unlock(&link->lock);
}

enum duct_err link_read_news(struct link *link, enum link_half reader, bool *more)
{
    enum link_half other = reader == LINK_RECEIVER ? LINK_SENDER : LINK_RECEIVER;
    struct di_control_msg msg;
    bool stir = false;

    *more = false;
    pthread_mutex_lock(&link->lock);
    for (unsigned i = 0; atomic_load_explicit(&link->ended, memory_order_relaxed) == DUCT_OK; i++) {
        if (i == LINK_NEWS_MAX) {
            *more = true;
            break;
        }
        enum duct_err err = di_control_recv(link->socket, &msg);
        if (err == DUCT_EAGAIN)
            break;
        if (err == DUCT_ENOMEMORY) {
            /* Of the kernel, for now: the message is still there. */
            *more = true;
            break;
        }
        if (err != DUCT_OK) {
            end(link, DUCT_EPEER);
            break;
        }
        err = take(link, &msg);
        di_control_drop(&msg);
        /* It may have been the other half's bell. */
        stir = true;
        if (err == DUCT_ECORRUPT)
            di_fail(err, "the peer sent nonsense on the control socket; its pipe is closed");
        if (err != DUCT_OK)
            end(link, err);
    }
    if (stir && link->stirs[other] != NULL)
        di_context_post(link->contexts[other], link->stirs[other]);
    /* Relaxed: under lock. */
    enum duct_err ended = (enum duct_err)atomic_load_explicit(&link->ended, memory_order_relaxed);
    pthread_mutex_unlock(&link->lock);
    return ended;
}

void link_hang_up(struct link *link, enum duct_err err, uint32_t code, const char *text)
{
    struct di_boot_end told;

    pthread_mutex_lock(&link->lock);
    if (link->hung_up) {
        pthread_mutex_unlock(&link->lock);
        return;
    }
    link->hung_up = true;
    /* The other half of a split pipe ends for the same reason, and not because its peer is gone. */
    end(link, err);
    di_boot_make_end(&told, DI_BOOT_CLOSE, code, err, text);
    /* If the queue is full the peer learns of the end without the reason. */
    enum duct_err ignored = di_control_send(link->socket, &told, sizeof(told), NULL, 0);
    (void)ignored;
    DI_CRASH_POINT("close.told");
    shutdown(link->socket, SHUT_RDWR);
    DI_CRASH_POINT("close.hung_up");
    pthread_mutex_unlock(&link->lock);
}
