/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/url.h"

#define MIB (1024 * DI_KIB)
#define GIB (1024 * MIB)

/* Above any machine of today, below where sums of sizes could wrap. */
#define SIZE_LIMIT (1024 * GIB)

static const char *const wait_names[] = {NULL, "spin", "yield", "spin-park", "park"};
static const char *const bell_names[] = {"auto", "futex", "eventfd", "socket"};
static const char *const fence_names[] = {"auto", "sender", "sleeper"};

#define FIELD(field) offsetof(struct duct_options, field), sizeof(((struct duct_options *)0)->field)

const struct di_option di_option_table[] = {
    [DI_OPTION_SLOTS] = {"slots", DI_KIND_COUNT, FIELD(slots), 2, 65536, 256, NULL},
    [DI_OPTION_MAX_MSG] = {"max_msg", DI_KIND_SIZE, FIELD(max_msg), 1, GIB, 64 * DI_KIB, NULL},
    [DI_OPTION_POOL] = {"pool", DI_KIND_SIZE, FIELD(pool), 1, SIZE_LIMIT, 0, NULL},
    [DI_OPTION_POOL_MAX] = {"pool_max", DI_KIND_SIZE, FIELD(pool_max), 1, SIZE_LIMIT, 0, NULL},
    {"peer_bytes", DI_KIND_SIZE, FIELD(peer_bytes_max), 1, SIZE_LIMIT, 4 * GIB, NULL},
    {"held", DI_KIND_COUNT, FIELD(held_max), 1, MIB, 4096, NULL},
    {"huge", DI_KIND_FLAG, FIELD(huge_pages), DUCT_NO, DUCT_YES, DUCT_NO, NULL},
    {"wait", DI_KIND_CHOICE, FIELD(wait), 0, DUCT_WAIT_PARK, DUCT_WAIT_SPIN_PARK, wait_names},
    [DI_OPTION_SPIN] = {"spin", DI_KIND_TIME, FIELD(spin_ns), INT64_MIN, INT64_MAX, 0, NULL},
    {"bell", DI_KIND_CHOICE, FIELD(bell), 0, DUCT_BELL_SOCKET, DUCT_BELL_AUTO, bell_names},
    {"fence", DI_KIND_CHOICE, FIELD(fence), 0, DUCT_FENCE_SLEEPER, DUCT_FENCE_DEFAULT, fence_names},
    {"untrusted", DI_KIND_FLAG, FIELD(untrusted), DUCT_NO, DUCT_YES, DUCT_NO, NULL},
    [DI_OPTION_ALLOW] = {"allow", DI_KIND_UIDS, FIELD(allow_uids), 0, 0, 0, NULL},
    {"timeout", DI_KIND_TIME, FIELD(dial_ns), 1, INT64_MAX, 5 * DUCT_SECOND, NULL},
    {"handshake", DI_KIND_TIME, FIELD(handshake_ns), 1, INT64_MAX, 2 * DUCT_SECOND, NULL},
    {"linger", DI_KIND_TIME, FIELD(linger_ns), 0, INT64_MAX, 0, NULL},
    {"wait_listener", DI_KIND_FLAG, FIELD(wait_for_listener), DUCT_NO, DUCT_YES, DUCT_NO, NULL},
    {"backlog", DI_KIND_COUNT, FIELD(backlog), 1, 65535, 128, NULL},
    {"durable", DI_KIND_FLAG, FIELD(durable), DUCT_NO, DUCT_YES, DUCT_NO, NULL},
    [DI_OPTION_DIR] = {"dir", DI_KIND_PATH, FIELD(dir), 0, 0, 0, NULL},
    {"reuseport", DI_KIND_FLAG, FIELD(reuse_port), DUCT_NO, DUCT_YES, DUCT_NO, NULL},
    {"heartbeat", DI_KIND_TIME, FIELD(heartbeat_ns), 0, INT64_MAX, 0, NULL},
    {"heartbeat_missed", DI_KIND_COUNT, FIELD(heartbeat_missed), 1, 1000000, 3, NULL},
    {"reassembly", DI_KIND_TIME, FIELD(reassembly_ns), 1, INT64_MAX, 30 * DUCT_SECOND, NULL},
    {"reconnect", DI_KIND_FLAG, FIELD(reconnect), DUCT_NO, DUCT_YES, DUCT_NO, NULL},
    {"pause", DI_KIND_TIME, FIELD(pause_ns), 1, INT64_MAX, 100 * DUCT_MILLISECOND, NULL},
    {"pause_max", DI_KIND_TIME, FIELD(pause_max_ns), 1, INT64_MAX, 10 * DUCT_SECOND, NULL},
    {"attempts", DI_KIND_COUNT, FIELD(attempts_max), 0, UINT32_MAX, 0, NULL},
    {"downtime_buffer", DI_KIND_SIZE, FIELD(downtime_bytes_max), 0, SIZE_LIMIT, 0, NULL},
    {"pipes", DI_KIND_COUNT, FIELD(pipes_max), 1, MIB, MIB, NULL},
    {"zerocopy", DI_KIND_SIZE, FIELD(zerocopy_min), 0, GIB, 0, NULL},
};

_Static_assert(sizeof di_option_table / sizeof di_option_table[0] <= DI_OPTION_ROWS_MAX,
               "a merge has room for every row");

const size_t di_option_rows = sizeof di_option_table / sizeof di_option_table[0];

int64_t di_option_get(const struct duct_options *o, const struct di_option *option)
{
    const char *field = (const char *)o + option->offset;
    if (option->width == 8) {
        uint64_t value;
        memcpy(&value, field, 8);
        return value > INT64_MAX && option->kind != DI_KIND_TIME ? INT64_MAX : (int64_t)value;
    }
    uint32_t value;
    memcpy(&value, field, 4);
    return value;
}

void di_option_set(struct duct_options *o, const struct di_option *option, int64_t value)
{
    char *field = (char *)o + option->offset;
    uint32_t narrow = (uint32_t)value; /* checked against max before */
    if (option->width == 8)
        memcpy(field, &value, 8);
    else
        memcpy(field, &narrow, 4);
}

void di_option_describe(char *out, size_t capacity, const struct di_option *option)
{
    size_t used = 0;
    switch (option->kind) {
    case DI_KIND_FLAG:
        snprintf(out, capacity, "0 or 1");
        break;
    case DI_KIND_UIDS:
        snprintf(out, capacity, "uids joined by commas, %d at most", DI_ALLOW_MAX);
        break;
    case DI_KIND_PATH:
        snprintf(out, capacity, "an absolute path of at most %d bytes", DI_URL_MAX);
        break;
    case DI_KIND_TIME:
        snprintf(out, capacity, "a time%s, such as 20us (units: ns, us, ms, s)",
                 option->min == 1 ? " above 0" : "");
        break;
    case DI_KIND_CHOICE:
        for (int64_t i = 0; i <= option->max; i++)
            if (option->choices[i] != NULL && used < capacity)
                used += (size_t)snprintf(out + used, capacity - used, "%s%s",
                                         used == 0 ? "one of " : ", ", option->choices[i]);
        break;
    case DI_KIND_COUNT:
    case DI_KIND_SIZE:
        snprintf(out, capacity, "%s from %" PRId64 " to %" PRId64 " (suffixes: k, m, g)",
                 option == &di_option_table[DI_OPTION_SLOTS] ? "a power of two" : "a number",
                 option->min, option->max);
        break;
    }
}

bool di_option_choose(const struct di_option *option, const char *text, int64_t *value)
{
    for (int64_t i = 0; i <= option->max; i++) {
        if (option->choices[i] != NULL && strcmp(option->choices[i], text) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}
