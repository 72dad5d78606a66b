/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "lib/io/sim_world.h"

/* What travels: bytes from one end to the other, late, in pieces, or not at all. */

/* EAGAIN that was not so lasts for so long at most. */
#define MOOD_NS 200000

int64_t sim_travel(struct di_sim *sim)
{
    int64_t jitter = sim->plan.jitter_ns;

    return sim->plan.delay_ns +
           (jitter > 0 ? (int64_t)di_sim_random(sim, (uint64_t)jitter + 1) : 0);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- Readiness ---- */

/* A packet that is stalled in its midst becomes two. */
static uint32_t room_of(const struct sim_end *to)
{
    return to->count >= SIM_PACKETS - 1 ? 0 : to->capacity - to->there - to->coming;
}

static bool can_send(struct sim_end *end)
{
    struct sim_end *to = sim_end_peer(end);

    /* A third, as of the kernel's sockets: one that is full is not woken for every byte. */
    return end->state == SIM_CONNECTED && end->sim->now >= end->dumb_until &&
           ((to->state == SIM_CLOSED && !end->cut) || room_of(to) >= to->capacity / 3 + 1);
}

uint32_t sim_readiness(const struct sim_fd *fd, uint32_t events)
{
    struct sim_end *end = fd->end;
    uint32_t ready = 0;

    if (end == NULL)
        return fd->listener->count > 0 ? events & POLLIN : 0;
    if (end->dead || end->error != 0)
        return (events & (POLLIN | POLLOUT | POLLRDHUP)) | POLLHUP | POLLERR;
    if (end->state != SIM_CONNECTED)
        return end->state == SIM_FRESH ? POLLHUP : 0;
    bool hears = end->sim->now >= end->deaf_until;
    if (end->there > 0 && hears)
        ready |= POLLIN;
    if (end->fin == SIM_FIN_HERE && hears)
        ready |= POLLIN | POLLRDHUP;
    if (can_send(end))
        ready |= POLLOUT;
    else if (events & POLLOUT)
        end->full = true; /* as in the kernel, to ask is to want to be told */
    return ready & events;
}

/* ---- What happens to an end ---- */

void sim_schedule(struct sim_end *end)
{
    int64_t at = end->dead_at;

    if (end->state == SIM_CONNECTING || end->state == SIM_ANSWERED)
        at = earlier(at, end->answer_at);
    if (end->count > 0)
        at = earlier(at, end->packets[end->first].at);
    else if (end->fin == SIM_FIN_COMING)
        at = earlier(at, end->fin_at);
    if (end->deaf_until > end->sim->now)
        at = earlier(at, end->deaf_until);
    if (end->dumb_until > end->sim->now)
        at = earlier(at, end->dumb_until);
    sim_event_at(end, end->state == SIM_CLOSED ? SIM_NEVER : at);
}

static void die(struct sim_end *end)
{
    di_sim_note(end->sim, "dead", end->link->number, end->dead_of);
    end->error = end->dead_of;
    end->dead = true;
    end->deaf_until = end->dumb_until = 0;
    end->dead_at = SIM_NEVER;
    end->count = 0;
    end->coming = 0;
    if (end->sim->plan.harsh && end->dead_of != ETIMEDOUT)
        end->there = 0;
    if (end->fin == SIM_FIN_COMING)
        end->fin = SIM_FIN_NONE;
}

/* False: there was nothing. */
static bool arrive(struct sim_end *end, int64_t by)
{
    bool news = false;

    while (end->count > 0 && end->packets[end->first].at <= by) {
        uint32_t size = end->packets[end->first].size;
        end->there += size;
        end->coming -= size;
        end->first = (end->first + 1) % SIM_PACKETS;
        end->count--;
        news = true;
        di_sim_note(end->sim, "arrived", end->link->number * 2 + end->dialer, size);
    }
    if (end->count == 0 && end->fin == SIM_FIN_COMING && end->fin_at <= by) {
        end->fin = SIM_FIN_HERE;
        news = true;
        di_sim_note(end->sim, "fin", end->link->number * 2 + end->dialer, 0);
    }
    return news;
}

/* There is room again: whoever found none is told. */
static void made_room(struct sim_end *end)
{
    struct sim_end *from = sim_end_peer(end);

    if (from->state == SIM_CLOSED || !from->full || !can_send(from))
        return;
    from->full = false;
    sim_edge_end(from);
}

/* An EAGAIN that was not so is over. */
static bool mood_passed(struct sim_end *end, int64_t *until)
{
    if (*until == 0 || *until > end->sim->now)
        return false;
    *until = 0;
    return true;
}

void sim_happens(struct sim_end *end)
{
    bool news = false;

    if ((end->state == SIM_CONNECTING || end->state == SIM_ANSWERED) &&
        end->answer_at <= end->sim->now) {
        sim_answer(end);
        news = end->state != SIM_CONNECTING;
    }
    if (arrive(end, end->sim->now)) {
        news = true;
        made_room(end);
    }
    news |= mood_passed(end, &end->deaf_until);
    news |= mood_passed(end, &end->dumb_until);
    if (end->dead_at <= end->sim->now && !end->dead) {
        die(end);
        news = true;
    }
    sim_schedule(end);
    if (news)
        sim_edge_end(end);
}

void sim_hurry(struct sim_end *end)
{
    if (end->count == 0 || end->packets[end->first].at == SIM_NEVER)
        return;
    arrive(end, end->packets[end->first].at);
    sim_schedule(end);
    sim_edge_end(end);
}

static void dies_at(struct sim_end *end, int error, int64_t at)
{
    if (end->state == SIM_CLOSED || end->dead || end->dead_at <= at)
        return;
    end->dead_at = at;
    end->dead_of = error;
    sim_schedule(end);
}

void sim_break(struct sim_link *link, int error, int64_t at)
{
    dies_at(&link->ends[0], error, at);
    dies_at(&link->ends[1], error, at);
}

/* ---- Fates ---- */

/* From now on nothing passes, and nobody is told; in time the kernel notices. */
static void cut(struct sim_link *link)
{
    struct di_sim *sim = link->ends[0].sim;

    if (link->ends[0].cut)
        return;
    sim->count.cuts++;
    di_sim_note(sim, "cut", link->number, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct sim_end *end = &link->ends[i];
        end->cut = true;
        for (unsigned k = 0; k < end->count; k++)
            end->packets[(end->first + k) % SIM_PACKETS].at = SIM_NEVER;
        if (end->fin == SIM_FIN_COMING)
            end->fin_at = SIM_NEVER;
        dies_at(end, ETIMEDOUT, sim->now + sim->plan.silence_ns);
        sim_schedule(end);
    }
}

static void reset(struct sim_link *link)
{
    struct di_sim *sim = link->ends[0].sim;

    sim->count.resets++;
    di_sim_note(sim, "struck", link->number, 0);
    sim_break(link, ECONNRESET, sim->now);
    sim_happens(&link->ends[0]);
    sim_happens(&link->ends[1]);
}

void di_sim_strike(struct di_sim *sim, enum di_sim_fate fate)
{
    for (uint32_t i = 0; i < sim->fd_room; i++) {
        struct sim_end *end = sim->fds[i].end;
        if (end == NULL || end->state != SIM_CONNECTED || end->dead)
            continue;
        if (fate == DI_SIM_CUT)
            cut(end->link);
        else
            reset(end->link);
    }
}

/* What happens to a packet of `size` bytes to that end; *keep: how many of them still pass. */
static enum di_sim_fate fate_of(struct sim_end *to, uint32_t size, uint32_t *keep)
{
    struct di_sim *sim = to->sim;

    *keep = size;
    for (unsigned i = 0; i < DI_SIM_TRAPS; i++) {
        const struct di_sim_trap *trap = &sim->plan.traps[i];
        if (trap->fate != 0 && trap->connection == to->link->number &&
            trap->to_dialer == to->dialer && to->passed <= trap->after &&
            trap->after < to->passed + size) {
            *keep = (uint32_t)(trap->after - to->passed);
            return trap->fate;
        }
    }
    enum di_sim_fate fate = sim_odds(sim, sim->plan.reset)   ? DI_SIM_RESET
                            : sim_odds(sim, sim->plan.cut)   ? DI_SIM_CUT
                            : sim_odds(sim, sim->plan.stall) ? DI_SIM_STALL
                                                             : 0;
    if (fate != 0)
        *keep = (uint32_t)di_sim_random(sim, size + 1);
    return fate;
}

/* ---- Sending ---- */

/* Bytes of the pieces, from `skip` on, into the ring of whom they are for. */
static void copy_in(struct sim_end *to, const struct iovec *pieces, uint32_t count, uint32_t skip,
                    uint32_t size)
{
    uint32_t at = (to->start + to->there + to->coming) % to->capacity;

    for (uint32_t i = 0; i < count && size > 0; i++) {
        const unsigned char *from = pieces[i].iov_base;
        size_t length = pieces[i].iov_len;
        if (skip >= length) {
            skip -= (uint32_t)length;
            continue;
        }
        from += skip;
        length -= skip;
        skip = 0;
        while (length > 0 && size > 0) {
            uint32_t part = to->capacity - at;
            part = part < length ? part : (uint32_t)length;
            part = part < size ? part : size;
            memcpy(to->ring + at, from, part);
            at = (at + part) % to->capacity;
            from += part;
            length -= part;
            size -= part;
        }
    }
}

/* One packet, whose bytes are in place. */
static void post(struct sim_end *to, uint32_t size)
{
    int64_t at = to->sim->now + sim_travel(to->sim);

    if (at < to->last_at)
        at = to->last_at;
    if (to->cut || to->lost)
        at = SIM_NEVER;
    else
        to->last_at = at;
    to->packets[(to->first + to->count) % SIM_PACKETS] =
        (struct sim_packet){.size = size, .at = at};
    to->count++;
    to->coming += size;
    to->passed += size;
}

static void suffer(struct sim_end *to, enum di_sim_fate fate)
{
    struct di_sim *sim = to->sim;

    if (fate == DI_SIM_CUT) {
        cut(to->link);
    } else if (fate == DI_SIM_STALL) {
        to->last_at = (to->last_at > sim->now ? to->last_at : sim->now) + sim->plan.stall_ns;
        di_sim_note(sim, "stall", to->link->number, sim->plan.stall_ns);
    } else {
        int64_t news = sim->now + sim_travel(sim);
        sim->count.resets++;
        di_sim_note(sim, "reset", to->link->number, (int64_t)to->passed);
        /* What was sent before it arrives before it, and nothing behind. */
        to->lost = true;
        sim_break(to->link, ECONNRESET, news > to->last_at ? news : to->last_at);
    }
}

static size_t sum(const struct iovec *pieces, uint32_t count)
{
    size_t total = 0;

    for (uint32_t i = 0; i < count; i++)
        total += pieces[i].iov_len;
    return total;
}

/* Why nothing can be sent now: 0 if something can. */
static int64_t refused(struct sim_end *end)
{
    struct di_sim *sim = end->sim;
    int error = end->error;

    if (error != 0) {
        end->error = 0;
        return -error;
    }
    if (end->dead || end->shut)
        return -EPIPE;
    if (end->state != SIM_CONNECTED)
        return -ENOTCONN;
    if (sim_odds(sim, sim->plan.no_buffers))
        return -ENOBUFS;
    if (sim->now >= end->dumb_until && sim_odds(sim, sim->plan.send_again)) {
        end->dumb_until = sim->now + 1 + (int64_t)di_sim_random(sim, MOOD_NS);
        sim_schedule(end);
    }
    return sim->now < end->dumb_until ? -EAGAIN : 0;
}

static uint32_t limited(struct di_sim *sim, size_t size, uint32_t most)
{
    if (most > 0 && size > most)
        size = most;
    /* Not always as much as that either. */
    if (most > 0 && di_sim_random(sim, 4) == 0)
        size = 1 + di_sim_random(sim, size);
    return (uint32_t)size;
}

int64_t sim_send(struct sim_end *end, const struct iovec *pieces, uint32_t count)
{
    struct di_sim *sim = end->sim;
    struct sim_end *to = sim_end_peer(end);
    size_t total = sum(pieces, count);
    int64_t why = refused(end);
    uint32_t sent = 0, keep;

    if (why != 0 || total == 0)
        return why;
    if (to->state == SIM_CLOSED && !end->cut) {
        /* The reset that answers it comes behind what was sent before the close. */
        int64_t news = sim->now + sim_travel(sim);
        dies_at(end, end->fin == SIM_FIN_HERE ? EPIPE : ECONNRESET,
                news > end->last_at ? news : end->last_at);
        return (int64_t)total;
    }
    uint32_t room = room_of(to);
    if (room == 0) {
        end->full = true;
        return -EAGAIN;
    }
    uint32_t size = limited(sim, total < room ? total : room, sim->plan.send_max);
    while (sent < size && to->count < SIM_PACKETS - 1) {
        uint32_t part = limited(sim, size - sent, sim->plan.packet_max);
        enum di_sim_fate fate = fate_of(to, part, &keep);
        copy_in(to, pieces, count, sent, part);
        if (fate != 0 && keep > 0)
            post(to, keep);
        if (fate != 0)
            suffer(to, fate);
        /* The sender does not know: what is lost counts as sent, and nobody will miss it. */
        if (fate == DI_SIM_STALL ? part > keep : fate == 0)
            post(to, fate == DI_SIM_STALL ? part - keep : part);
        sent += part;
        if (fate == DI_SIM_RESET || fate == DI_SIM_CUT)
            break;
    }
    /* To take less than it was given is to say that there is no more room: told when there is. */
    if (sent < total && room_of(to) > 0) {
        end->dumb_until = sim->now + 1 + (int64_t)di_sim_random(sim, MOOD_NS);
        sim_schedule(end);
    }
    end->full |= sent < total;
    sim->count.bytes += sent;
    di_sim_note(sim, "sent", end->link->number * 2 + end->dialer, sent);
    sim_happens(to);
    return sent;
}

/* ---- Receiving ---- */

static void copy_out(struct sim_end *end, const struct iovec *pieces, uint32_t count, uint32_t size)
{
    for (uint32_t i = 0; i < count && size > 0; i++) {
        unsigned char *to = pieces[i].iov_base;
        size_t length = pieces[i].iov_len < size ? pieces[i].iov_len : size;
        size -= (uint32_t)length;
        while (length > 0) {
            uint32_t part = end->capacity - end->start;
            part = part < length ? part : (uint32_t)length;
            memcpy(to, end->ring + end->start, part);
            end->start = (end->start + part) % end->capacity;
            end->there -= part;
            to += part;
            length -= part;
        }
    }
}

int64_t sim_recv(struct sim_end *end, const struct iovec *pieces, uint32_t count)
{
    struct di_sim *sim = end->sim;
    size_t total = sum(pieces, count);

    if (end->there > 0 && !end->dead && sim->now >= end->deaf_until &&
        sim_odds(sim, sim->plan.recv_again)) {
        end->deaf_until = sim->now + 1 + (int64_t)di_sim_random(sim, MOOD_NS);
        sim_schedule(end);
    }
    if (end->there > 0) {
        if (sim->now < end->deaf_until)
            return -EAGAIN;
        uint32_t size = limited(sim, total < end->there ? total : end->there, sim->plan.recv_max);
        copy_out(end, pieces, count, size);
        di_sim_note(sim, "received", end->link->number * 2 + end->dialer, size);
        made_room(end);
        return size;
    }
    if (end->fin == SIM_FIN_HERE)
        return 0;
    if (end->error != 0) {
        int error = end->error;
        end->error = 0;
        return -error;
    }
    if (end->dead)
        return 0;
    return end->state == SIM_CONNECTED ? -EAGAIN : -ENOTCONN;
}
