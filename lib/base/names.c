/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include <duct/event.h>

/* Both enums begin at 1; a number outside them is named too, so that a log line never breaks. */
static const char *const event_names[] = {
    [DUCT_EVENT_ACCEPTED] = "accepted", [DUCT_EVENT_READABLE] = "readable",
    [DUCT_EVENT_WRITABLE] = "writable", [DUCT_EVENT_STATE] = "state",
    [DUCT_EVENT_ERROR] = "error",       [DUCT_EVENT_CLOSED] = "closed",
};

static const char *const state_names[] = {
    [DUCT_STATE_CONNECTING] = "connecting",
    [DUCT_STATE_CONNECTED] = "connected",
    [DUCT_STATE_DISCONNECTED] = "disconnected",
    [DUCT_STATE_RECONNECTING] = "reconnecting",
    [DUCT_STATE_CLOSED] = "closed",
};

static const char *name_of(const char *const *names, size_t count, unsigned value)
{
    return value < count && names[value] != NULL ? names[value] : "unknown";
}

const char *duct_event_name(enum duct_event_type type)
{
    return name_of(event_names, sizeof event_names / sizeof event_names[0], (unsigned)type);
}

const char *duct_state_name(enum duct_state state)
{
    return name_of(state_names, sizeof state_names / sizeof state_names[0], (unsigned)state);
}
