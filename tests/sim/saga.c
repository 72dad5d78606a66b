/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/saga.h"

#include <stdlib.h>
#include <string.h>

/* Tags tell the two apart. */
enum { SAGA_ID = 0x1000, CHAPTER_ID = 0x2000 };

static struct sim_saga sagas[SIM_SAGAS];
static struct sim_chapter chapters[SIM_CHAPTERS];
static unsigned saga_count, chapter_count;

void sim_sagas_reset(void)
{
    saga_count = chapter_count = 0;
}

static void flow_begin(struct sim_flow *flow, uint32_t id)
{
    flow->id = id;
    flow->accepted = flow->taken = 0;
    flow->dally_ns = 0;
}

struct sim_saga *sim_saga_begin(struct sim_node *node)
{
    SIM_CHECK(node, saga_count < SIM_SAGAS, "more dialers than books");
    struct sim_saga *saga = &sagas[saga_count < SIM_SAGAS ? saga_count++ : 0];

    flow_begin(&saga->out, SAGA_ID + (uint32_t)(saga - sagas));
    memset(saga->heard, 0, sizeof(saga->heard));
    saga->now = NULL;
    saga->sessions = saga->session = saga->lost = 0;
    saga->settled = false;
    return saga;
}

struct sim_chapter *sim_chapter_of(struct sim_node *node, struct duct_pipe *pipe)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    enum duct_err err = duct_pipe_info(pipe, &info);

    SIM_CHECK(node, err == DUCT_OK, "duct_pipe_info: %s", duct_err_text(err));
    for (unsigned i = 0; i < chapter_count; i++)
        SIM_CHECK(node, chapters[i].session != info.session_id, "a session came twice");
    SIM_CHECK(node, chapter_count < SIM_CHAPTERS, "more sessions than books");
    struct sim_chapter *chapter =
        &chapters[chapter_count < SIM_CHAPTERS ? chapter_count++ : SIM_CHAPTERS - 1];
    flow_begin(&chapter->back, CHAPTER_ID + (uint32_t)(chapter - chapters));
    chapter->session = info.session_id;
    chapter->saga = NULL;
    chapter->first = chapter->next = chapter->back_next = 0;
    chapter->over = false;
    return chapter;
}

/* ---- Receiving ---- */

static void dialer_heard(struct sim_node *node, void *books, const void *data, size_t size,
                         uint64_t tag)
{
    struct sim_saga *saga = books;
    uint32_t which = (uint32_t)(tag >> 32) - CHAPTER_ID, number = (uint32_t)tag;

    SIM_CHECK(node, which < chapter_count, "a message of nobody's: %llx", (unsigned long long)tag);
    if (which >= chapter_count)
        return;
    struct sim_chapter *chapter = &chapters[which];
    SIM_CHECK(node, chapter->saga == NULL || chapter->saga == saga, "a message for another one");
    SIM_CHECK(node, !chapter->over, "message %u of session %u came after one of a later session",
              number, which);
    SIM_CHECK(node, number >= chapter->back_next, "message %u of session %u came twice, or late",
              number, which);
    sim_flow_check(node, &chapter->back, number, data, size);
    chapter->back_next = number + 1;
    chapter->back.taken++;
    if (saga->now != NULL && saga->now != chapter)
        saga->now->over = true;
    saga->now = chapter;
}

enum duct_err sim_saga_hear(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga,
                            enum sim_way way, int64_t timeout_ns)
{
    return sim_flow_hear(node, pipe, way, timeout_ns, dialer_heard, saga);
}

static void listener_heard(struct sim_node *node, void *books, const void *data, size_t size,
                           uint64_t tag)
{
    struct sim_chapter *chapter = books;
    uint32_t which = (uint32_t)(tag >> 32) - SAGA_ID, number = (uint32_t)tag;

    SIM_CHECK(node, which < saga_count && number < SIM_FLOW_MAX, "a message of nobody's: %llx",
              (unsigned long long)tag);
    if (which >= saga_count || number >= SIM_FLOW_MAX)
        return;
    struct sim_saga *saga = &sagas[which];
    SIM_CHECK(node, chapter->saga == NULL || chapter->saga == saga, "a message of another's");
    SIM_CHECK(node, !saga->heard[number], "message %u of dialer %u came twice", number, which);
    SIM_CHECK(node, chapter->first == chapter->next || number == chapter->next,
              "message %u came where %u was due", number, chapter->next);
    sim_flow_check(node, &saga->out, number, data, size);
    if (chapter->first == chapter->next)
        chapter->first = number;
    chapter->next = number + 1;
    chapter->saga = saga;
    saga->heard[number] = true;
    saga->out.taken++;
}

enum duct_err sim_chapter_hear(struct sim_node *node, struct duct_pipe *pipe,
                               struct sim_chapter *chapter, enum sim_way way, int64_t timeout_ns)
{
    return sim_flow_hear(node, pipe, way, timeout_ns, listener_heard, chapter);
}

/* ---- What the pipe says ---- */

void sim_saga_look(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga,
                   uint64_t buffer)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_pipe_stats stats = DUCT_PIPE_STATS_INIT;
    enum duct_err err = duct_pipe_info(pipe, &info);

    if (err == DUCT_OK)
        err = duct_pipe_stats(pipe, &stats);
    SIM_CHECK(node, err == DUCT_OK, "asking a pipe gave %s", duct_err_text(err));
    SIM_CHECK(node, info.reconnects == 1, "it says that it does not come back");
    SIM_CHECK(node, info.kept_bytes <= buffer, "it keeps %llu bytes where %llu are allowed",
              (unsigned long long)info.kept_bytes, (unsigned long long)buffer);
    SIM_CHECK(node, stats.sessions >= saga->sessions, "there were more sessions before");
    SIM_CHECK(node, stats.sessions <= stats.redials + 1, "more sessions than were dialled");
    if (info.state != DUCT_STATE_CONNECTED)
        return;
    SIM_CHECK(node, (stats.sessions == saga->sessions) == (info.session_id == saga->session),
              "session %llu has the number of another", (unsigned long long)stats.sessions);
    saga->sessions = stats.sessions;
    saga->session = info.session_id;
}

void sim_saga_settle(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga,
                     bool drained)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_pipe_stats stats = DUCT_PIPE_STATS_INIT;
    uint64_t said = 0, taken = 0;
    enum duct_err err = duct_pipe_info(pipe, &info);

    if (err == DUCT_OK)
        err = duct_pipe_stats(pipe, &stats);
    SIM_CHECK(node, err == DUCT_OK, "asking a pipe gave %s", duct_err_text(err));
    saga->lost = stats.lost_msgs + info.kept_msgs;
    saga->settled = drained || info.end != DUCT_OK;
    SIM_CHECK(node, stats.lost_msgs <= saga->out.accepted, "%llu messages lost of %u sent",
              (unsigned long long)stats.lost_msgs, saga->out.accepted);
    SIM_CHECK(node, !drained || info.kept_msgs == 0, "drained, with %llu messages kept",
              (unsigned long long)info.kept_msgs);
    for (unsigned i = 0; i < chapter_count; i++) {
        said +=
            chapters[i].saga == saga || chapters[i].saga == NULL ? chapters[i].back.accepted : 0;
        taken += chapters[i].saga == saga ? chapters[i].back.taken : 0;
    }
    SIM_CHECK(node, stats.lost_received + taken <= said, "%llu received and %llu lost of %llu",
              (unsigned long long)taken, (unsigned long long)stats.lost_received,
              (unsigned long long)said);
}

/* ---- After the end ---- */

static int by_first(const void *a, const void *b)
{
    const struct sim_chapter *const *left = a, *const *right = b;

    return (*left)->first < (*right)->first ? -1 : (*left)->first > (*right)->first;
}

/* What came in one session is all before or all behind what came in another. */
static void check_order(struct sim_node *who, const struct sim_saga *saga)
{
    static struct sim_chapter *of[SIM_CHAPTERS];
    unsigned count = 0;

    for (unsigned i = 0; i < chapter_count; i++) {
        if (chapters[i].saga == saga)
            of[count++] = &chapters[i];
    }
    qsort(of, count, sizeof(of[0]), by_first);
    for (unsigned i = 1; i < count; i++)
        SIM_CHECK(who, of[i - 1]->next <= of[i]->first,
                  "messages of two sessions are mixed: up to %u, and from %u", of[i - 1]->next,
                  of[i]->first);
}

void sim_sagas_check(struct sim_world *world, uint64_t losses)
{
    struct sim_node all = {.world = world, .name = "all dialers"};
    uint64_t ended = 0;

    for (unsigned i = 0; i < saga_count; i++) {
        const struct sim_saga *saga = &sagas[i];
        struct sim_node who = {.world = world, .name = "dialer"};

        for (uint32_t k = saga->out.accepted; k < SIM_FLOW_MAX; k++)
            SIM_CHECK(&who, !saga->heard[k], "message %u came, whose send had failed", k);
        SIM_CHECK(&who, !saga->settled || saga->out.accepted <= saga->out.taken + saga->lost,
                  "%u messages sent, %u received, %llu counted as lost", saga->out.accepted,
                  saga->out.taken, (unsigned long long)saga->lost);
        check_order(&who, saga);
        ended += saga->sessions > 0 ? saga->sessions - 1 : 0;
    }
    SIM_CHECK(&all, ended <= losses, "%llu sessions ended, and %llu connections were lost",
              (unsigned long long)ended, (unsigned long long)losses);
}
