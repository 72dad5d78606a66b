/* SPDX-License-Identifier: Apache-2.0 */
/* The small pieces of lib/base: names, version, random numbers, the logger, lists. */
#include <criterion/criterion.h>
#include <string.h>

#include <duct/event.h>
#include <duct/log.h>
#include <duct/version.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/random.h"

Test(names, every_event_and_state_has_its_own)
{
    cr_assert_str_eq(duct_event_name(DUCT_EVENT_ACCEPTED), "accepted");
    cr_assert_str_eq(duct_event_name(DUCT_EVENT_CLOSED), "closed");
    cr_assert_str_eq(duct_state_name(DUCT_STATE_CONNECTING), "connecting");
    cr_assert_str_eq(duct_state_name(DUCT_STATE_CLOSED), "closed");
    for (int i = DUCT_EVENT_ACCEPTED; i <= DUCT_EVENT_CLOSED; i++)
        cr_assert_str_neq(duct_event_name((enum duct_event_type)i), "unknown");
    for (int i = DUCT_STATE_CONNECTING; i <= DUCT_STATE_CLOSED; i++)
        cr_assert_str_neq(duct_state_name((enum duct_state)i), "unknown");
}

Test(names, numbers_outside_are_unknown)
{
    cr_assert_str_eq(duct_event_name((enum duct_event_type)0), "unknown");
    cr_assert_str_eq(duct_event_name((enum duct_event_type)99), "unknown");
    cr_assert_str_eq(duct_state_name((enum duct_state)0), "unknown");
    cr_assert_str_eq(duct_state_name((enum duct_state) - 1), "unknown");
}

Test(version, is_the_header_s)
{
    cr_assert_str_eq(duct_version(), DUCT_VERSION_STRING);
}

Test(random, numbers_differ_and_use_every_bit)
{
    uint64_t all_ones = UINT64_MAX, any_one = 0, last = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = di_random_u64();
        cr_assert_neq(value, 0);
        cr_assert_neq(value, last);
        last = value;
        all_ones &= value;
        any_one |= value;
    }
    cr_assert_eq(all_ones, 0);
    cr_assert_eq(any_one, UINT64_MAX);
}

static struct {
    int calls;
    enum duct_log_level level;
    char line[256];
} heard;

static void hear(void *user, enum duct_log_level level, const char *line)
{
    cr_assert_eq(user, &heard);
    heard.calls++;
    heard.level = level;
    cr_assert_lt(strlen(line), sizeof heard.line);
    strcpy(heard.line, line);
}

Test(log, silent_until_set)
{
    di_log(DUCT_LOG_ERROR, "nobody listens");
    cr_assert_eq(heard.calls, 0);
}

Test(log, levels_above_the_wanted_one_are_dropped)
{
    duct_log_set(hear, &heard, DUCT_LOG_WARN);
    di_log(DUCT_LOG_INFO, "no");
    cr_assert_eq(heard.calls, 0);
    di_log(DUCT_LOG_WARN, "peer %d", 7);
    cr_assert_eq(heard.calls, 1);
    cr_assert_eq(heard.level, DUCT_LOG_WARN);
    cr_assert_str_eq(heard.line, "peer 7");
}

Test(log, null_silences_and_setting_again_works)
{
    duct_log_set(hear, &heard, DUCT_LOG_DEBUG);
    duct_log_set(NULL, NULL, DUCT_LOG_DEBUG);
    di_log(DUCT_LOG_ERROR, "no");
    cr_assert_eq(heard.calls, 0);
    duct_log_set(hear, &heard, DUCT_LOG_DEBUG);
    di_log(DUCT_LOG_DEBUG, "yes");
    cr_assert_eq(heard.calls, 1);
}

Test(log, a_line_is_clean)
{
    duct_log_set(hear, &heard, DUCT_LOG_INFO);
    di_log(DUCT_LOG_INFO, "said %s", "\x1b[2J\n");
    cr_assert_str_eq(heard.line, "said \\x1b[2J\\x0a");
}

struct item {
    int number;
    struct di_list link;
};

Test(list, append_remove_splice)
{
    struct di_list a, b;
    di_list_init(&a);
    di_list_init(&b);
    struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    cr_assert(!di_list_linked(&items[0].link)); /* all zero: in no list */
    di_list_remove(&items[0].link);
    di_list_append(&a, &items[0].link);
    di_list_append(&b, &items[1].link);
    di_list_append(&b, &items[2].link);
    di_list_splice(&a, &b);
    cr_assert(di_list_empty(&b));
    int expected = 0;
    for (struct di_list *l = a.next; l != &a; l = l->next)
        cr_assert_eq(di_container(l, struct item, link)->number, expected++);
    cr_assert_eq(expected, 3);
    di_list_remove(&items[1].link);
    cr_assert(!di_list_linked(&items[1].link));
    cr_assert_eq(a.next->next, &items[2].link);
}
