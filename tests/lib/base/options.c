/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/url.h"

static enum duct_err merge(struct di_options *merged, const struct duct_options *given,
                           const char *address)
{
    struct di_url url;
    cr_assert_eq(di_url_parse(&url, address), DUCT_OK, "%s", duct_err_detail());
    return di_options_merge(merged, given, &url, 2);
}

static struct duct_options merged_from(const char *address)
{
    struct di_options merged;
    cr_assert_eq(merge(&merged, NULL, address), DUCT_OK, "%s: %s", address, duct_err_detail());
    cr_assert_null(merged.uids);
    return merged.o;
}

/* The message names every one of the words. */
static void refused(const struct duct_options *given, const char *address, const char *a,
                    const char *b, const char *c)
{
    struct di_options merged;
    cr_assert_eq(merge(&merged, given, address), DUCT_EINVAL, "%s was accepted", address);
    const char *words[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        cr_assert_not_null(strstr(duct_err_detail(), words[i]), "no '%s' in: %s", words[i],
                           duct_err_detail());
}

Test(options, defaults)
{
    struct duct_options o = merged_from("shm://x");
    cr_assert_eq(o.size, sizeof o);
    cr_assert_eq(o.slots, 256);
    cr_assert_eq(o.max_msg, 65536);
    cr_assert_eq(o.pool, 192 * 1024);
    cr_assert_eq(o.pool_max, o.pool);
    cr_assert_eq(o.peer_bytes_max, (uint64_t)4 << 30);
    cr_assert_eq(o.held_max, 4096);
    cr_assert_eq(o.huge_pages, DUCT_NO);
    cr_assert_eq(o.wait, DUCT_WAIT_SPIN_PARK);
    cr_assert_eq(o.spin_ns, 20 * DUCT_MICROSECOND);
    cr_assert_eq(o.bell, DUCT_BELL_AUTO);
    cr_assert_eq(o.fence, DUCT_FENCE_DEFAULT);
    cr_assert_eq(o.untrusted, DUCT_NO);
    cr_assert_null(o.allow_uids);
    cr_assert_eq(o.allow_uid_count, 0);
    cr_assert_eq(o.dial_ns, 5 * DUCT_SECOND);
    cr_assert_eq(o.handshake_ns, 2 * DUCT_SECOND);
    cr_assert_eq(o.linger_ns, 0);
    cr_assert_eq(o.wait_for_listener, DUCT_NO);
    cr_assert_eq(o.backlog, 128);
}

Test(options, of_a_pipe_that_comes_back)
{
    struct duct_options o = merged_from("shm://x");
    cr_assert_eq(o.reconnect, DUCT_NO);
    cr_assert_eq(o.pause_ns, 100 * DUCT_MILLISECOND);
    cr_assert_eq(o.pause_max_ns, 10 * DUCT_SECOND);
    cr_assert_eq(o.attempts_max, 0);
    cr_assert_eq(o.downtime_bytes_max, 0);
    o = merged_from("tcp://x:1?reconnect=1&pause=1ms&pause_max=2ms&attempts=7&downtime_buffer=1m");
    cr_assert_eq(o.reconnect, DUCT_YES);
    cr_assert_eq(o.pause_ns, DUCT_MILLISECOND);
    cr_assert_eq(o.pause_max_ns, 2 * DUCT_MILLISECOND);
    cr_assert_eq(o.attempts_max, 7);
    cr_assert_eq(o.downtime_bytes_max, 1 << 20);
    cr_assert_eq(o.heartbeat_ns, 0);
    cr_assert_eq(o.heartbeat_missed, 3);
    cr_assert_eq(o.reassembly_ns, 30 * DUCT_SECOND);
    o = merged_from("uds://@x?heartbeat=1s&heartbeat_missed=5&reassembly=2s");
    cr_assert_eq(o.heartbeat_ns, DUCT_SECOND);
    cr_assert_eq(o.heartbeat_missed, 5);
    cr_assert_eq(o.reassembly_ns, 2 * DUCT_SECOND);
    refused(NULL, "shm://x?pause=11s", "pause_max", "at least", "11000000000");
    refused(NULL, "shm://x?reconnect=1&durable=1", "reconnect=1", "durable=1", "one of them");
}

Test(options, no_address_at_all)
{
    struct di_options merged;
    cr_assert_eq(di_options_merge(&merged, NULL, NULL, 1), DUCT_OK);
    cr_assert_eq(merged.o.slots, 256);
    di_options_fini(&merged);
}

Test(options, one_core_does_not_spin_unless_asked)
{
    struct di_options merged;
    struct duct_options given = DUCT_OPTIONS_INIT;
    cr_assert_eq(di_options_merge(&merged, &given, NULL, 1), DUCT_OK);
    cr_assert_eq(merged.o.spin_ns, 0);
    given.spin_ns = 5;
    cr_assert_eq(di_options_merge(&merged, &given, NULL, 1), DUCT_OK);
    cr_assert_eq(merged.o.spin_ns, 5);
    given.spin_ns = -1;
    cr_assert_eq(di_options_merge(&merged, &given, NULL, 2), DUCT_OK);
    cr_assert_eq(merged.o.spin_ns, 0);
}

Test(options, spin_0_in_an_address_is_none)
{
    struct duct_options given = DUCT_OPTIONS_INIT;
    given.spin_ns = 5;
    struct di_options merged;
    cr_assert_eq(merge(&merged, &given, "shm://x?spin=0"), DUCT_OK);
    cr_assert_eq(merged.o.spin_ns, 0);
}

Test(options, each_name_of_the_query)
{
    struct duct_options o = merged_from(
        "shm://x?slots=64&max_msg=1m&pool=8m&pool_max=1g&peer_bytes=2g&held=2k&huge=1&wait=yield&"
        "spin=7us&bell=eventfd&fence=sleeper&untrusted=1&timeout=3s&handshake=4ms&linger=9ns&"
        "wait_listener=1&backlog=17&durable=1");
    cr_assert_eq(o.slots, 64);
    cr_assert_eq(o.max_msg, 1u << 20);
    cr_assert_eq(o.pool, 8u << 20);
    cr_assert_eq(o.pool_max, 1u << 30);
    cr_assert_eq(o.peer_bytes_max, (uint64_t)2 << 30);
    cr_assert_eq(o.held_max, 2048);
    cr_assert_eq(o.huge_pages, DUCT_YES);
    cr_assert_eq(o.wait, DUCT_WAIT_YIELD);
    cr_assert_eq(o.spin_ns, 7000);
    cr_assert_eq(o.bell, DUCT_BELL_EVENTFD);
    cr_assert_eq(o.fence, DUCT_FENCE_SLEEPER);
    cr_assert_eq(o.untrusted, DUCT_YES);
    cr_assert_eq(o.dial_ns, 3 * DUCT_SECOND);
    cr_assert_eq(o.handshake_ns, 4 * DUCT_MILLISECOND);
    cr_assert_eq(o.linger_ns, 9);
    cr_assert_eq(o.wait_for_listener, DUCT_YES);
    cr_assert_eq(o.backlog, 17);
    cr_assert_eq(o.durable, DUCT_YES);
}

Test(options, a_directory_is_copied)
{
    char path[] = "/from/the/struct";
    struct duct_options given = DUCT_OPTIONS_INIT;
    struct di_options merged;

    given.dir = path;
    cr_assert_eq(merge(&merged, &given, "shm://x"), DUCT_OK);
    path[1] = 'X';
    cr_assert_str_eq(merged.o.dir, "/from/the/struct");
    di_options_fini(&merged);
    cr_assert_null(merged.o.dir);
    cr_assert_eq(merge(&merged, &given, "shm://x?dir=/from%20the/query"), DUCT_OK);
    cr_assert_str_eq(merged.o.dir, "/from the/query", "what stands in the address wins");
    di_options_fini(&merged);
    refused(NULL, "shm://x?dir=", "dir=", "absolute path", "position 12");
    refused(NULL, "shm://x?dir=relative", "dir=relative", "absolute path", "position 12");
    given.dir = "relative";
    refused(&given, "shm://x", "dir=relative", "absolute path", "options");
}

Test(options, each_word_of_the_choices)
{
    cr_assert_eq(merged_from("shm://x?wait=spin").wait, DUCT_WAIT_SPIN);
    cr_assert_eq(merged_from("shm://x?wait=spin-park").wait, DUCT_WAIT_SPIN_PARK);
    cr_assert_eq(merged_from("shm://x?wait=park").wait, DUCT_WAIT_PARK);
    cr_assert_eq(merged_from("shm://x?bell=auto").bell, DUCT_BELL_AUTO);
    cr_assert_eq(merged_from("shm://x?bell=futex").bell, DUCT_BELL_FUTEX);
    cr_assert_eq(merged_from("shm://x?bell=socket").bell, DUCT_BELL_SOCKET);
    cr_assert_eq(merged_from("shm://x?fence=auto").fence, DUCT_FENCE_DEFAULT);
    cr_assert_eq(merged_from("shm://x?fence=sender").fence, DUCT_FENCE_SENDER);
    cr_assert_eq(merged_from("shm://x?huge=0").huge_pages, DUCT_NO);
}

Test(options, the_address_wins_over_the_struct_and_the_struct_over_defaults)
{
    struct duct_options given = DUCT_OPTIONS_INIT;
    given.slots = 8;
    given.backlog = 9;
    given.bell = DUCT_BELL_FUTEX;
    int user;
    given.user = &user;
    struct di_options merged;
    cr_assert_eq(merge(&merged, &given, "shm://x?slots=16&bell=auto"), DUCT_OK);
    cr_assert_eq(merged.o.slots, 16);
    cr_assert_eq(merged.o.backlog, 9);
    cr_assert_eq(merged.o.bell, DUCT_BELL_AUTO);
    cr_assert_eq(merged.o.user, &user);
}

Test(options, slots_are_a_power_of_two_within_bounds)
{
    cr_assert_eq(merged_from("shm://x?slots=2").slots, 2);
    cr_assert_eq(merged_from("shm://x?slots=64k").slots, 65536);
    refused(NULL, "shm://x?slots=3", "slots=3", "power of two", "position 14");
    refused(NULL, "shm://x?slots=1", "slots=1", "from 2 to 65536", "position 14");
    refused(NULL, "shm://x?slots=128k", "slots=128k", "from 2 to 65536", "shm://x?slots=128k");
    refused(NULL, "shm://x?slots=0", "slots=0", "expected", "position");
    struct duct_options given = DUCT_OPTIONS_INIT;
    given.slots = 48;
    refused(&given, "shm://x", "options: slots=48", "power of two", "65536");
}

Test(options, pool_follows_max_msg)
{
    cr_assert_eq(merged_from("shm://x?max_msg=1").pool, 16 * 1024);
    cr_assert_eq(merged_from("shm://x?max_msg=5462").pool, 20480); /* 16,386 rounded up */
    cr_assert_eq(merged_from("shm://x?max_msg=1g").pool, (uint64_t)3 << 30);
    cr_assert_eq(merged_from("shm://x?max_msg=65&pool=128").pool, 128);
    refused(NULL, "shm://x?max_msg=65&pool=127", "pool=127", "at least 128", "position 24");
    refused(NULL, "shm://x?pool_max=100k", "pool_max=102400", "at least the pool, 196608",
            "position 17");
    refused(NULL, "shm://x?max_msg=2g", "max_msg=2g", "1073741824", "position 16");
    struct duct_options given = DUCT_OPTIONS_INIT;
    given.pool = UINT64_MAX;
    refused(&given, "shm://x", "pool=", "expected", "from 1 to");
    given.pool = 1 << 20;
    given.pool_max = 1 << 19;
    refused(&given, "shm://x", "pool_max=524288", "1048576", "options:");
}

Test(options, quantities_that_are_none)
{
    static const char *const bad[] = {"",
                                      "k",
                                      "-1",
                                      "1kk",
                                      "1K",
                                      "1.5m",
                                      " 1",
                                      "0x10",
                                      "1t",
                                      "99999999999999999999",
                                      "9223372036854775807k",
                                      "18014398509481985k"};
    char address[64];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(address, sizeof address, "shm://x?pool=%s", bad[i]);
        refused(NULL, address, "pool=", "a number from", "position 13");
    }
    static const char *const bad_times[] = {"", "5", "us", "-1us", "1m", "1.5ms", "9223372037s"};
    for (size_t i = 0; i < sizeof bad_times / sizeof bad_times[0]; i++) {
        snprintf(address, sizeof address, "shm://x?linger=%s", bad_times[i]);
        refused(NULL, address, "linger=", "a time", "position 15");
    }
    cr_assert_eq(merged_from("shm://x?linger=9223372036s").linger_ns, 9223372036 * DUCT_SECOND);
    cr_assert_eq(merged_from("shm://x?linger=0").linger_ns, 0);
}

Test(options, times_that_must_be_above_0)
{
    refused(NULL, "shm://x?timeout=0", "timeout=0", "above 0", "position 16");
    refused(NULL, "shm://x?handshake=0s", "handshake=0s", "above 0", "position 18");
    struct duct_options given = DUCT_OPTIONS_INIT;
    given.linger_ns = -1;
    refused(&given, "shm://x", "linger=-1", "a time", "options:");
    given.linger_ns = 0;
    given.dial_ns = INT64_MIN;
    refused(&given, "shm://x", "timeout=-9223372036854775808", "above 0", "options:");
}

Test(options, words_and_flags_that_are_none)
{
    refused(NULL, "shm://x?wait=sleep", "wait=sleep", "spin, yield, spin-park, park", "13");
    refused(NULL, "shm://x?huge=yes", "huge=yes", "0 or 1", "position 13");
    refused(NULL, "shm://x?huge=2", "huge=2", "0 or 1", "position 13");
    struct duct_options given = DUCT_OPTIONS_INIT;
    given.wait = (enum duct_wait)5;
    refused(&given, "shm://x", "wait=5", "spin-park", "options:");
    given.wait = DUCT_WAIT_DEFAULT;
    given.huge_pages = (enum duct_flag_option)3;
    refused(&given, "shm://x", "huge=3", "0 or 1", "options:");
}

Test(options, keys_unknown_doubled_or_without_a_value)
{
    refused(NULL, "shm://x?slot=4", "unknown option 'slot'", "position 8", "slots, max_msg, pool");
    refused(NULL, "shm://x?slots=4&Wait=park", "unknown option 'Wait'", "position 16", "backlog");
    refused(NULL, "shm://x?=4", "unknown option ''", "position 8", "slots");
    refused(NULL, "shm://x?slots=4&slots=4", "slots is given twice", "position 16", "once");
    refused(NULL, "shm://x?huge", "huge: expected =value", "position 12", "shm://x?huge");
    refused(NULL, "shm://x?huge=1&", "expected key=value", "position 15", "&");
    refused(NULL, "shm://x?&huge=1", "unknown option ''", "position 8", "huge");
}

Test(options, escapes)
{
    cr_assert_eq(merged_from("shm://x?wait=%70ar%6B").wait, DUCT_WAIT_PARK);
    refused(NULL, "shm://x?wait=%7", "%", "two hexadecimal digits", "position 13");
    refused(NULL, "shm://x?wait=p%zz", "%", "two hexadecimal digits", "position 14");
    refused(NULL, "shm://x?wait=park%00", "%00", "printable", "position 17");
}

Test(options, a_long_address_still_says_what_to_do)
{
    char address[DI_URL_MAX + 1];
    memset(address, 'n', sizeof address);
    memcpy(address, "shm://", 6);
    strcpy(address + DI_URL_MAX - 8, "?slots=3");
    refused(NULL, address, "slots=3", "power of two", "position 511");
}

Test(options, allow_list)
{
    struct di_options merged;
    uint32_t uids[] = {5, 6, 7};
    struct duct_options given = DUCT_OPTIONS_INIT;
    given.allow_uids = uids;
    given.allow_uid_count = 3;
    cr_assert_eq(merge(&merged, &given, "shm://x"), DUCT_OK);
    uids[0] = 99; /* the copy is private */
    cr_assert_eq(merged.o.allow_uid_count, 3);
    cr_assert_eq(merged.o.allow_uids, merged.uids);
    cr_assert_eq(merged.uids[0], 5);
    cr_assert_eq(merged.uids[2], 7);
    di_options_fini(&merged);
    cr_assert_null(merged.o.allow_uids);

    cr_assert_eq(merge(&merged, &given, "shm://x?allow=0,4294967294"), DUCT_OK);
    cr_assert_eq(merged.o.allow_uid_count, 2);
    cr_assert_eq(merged.uids[1], 4294967294u);
    di_options_fini(&merged);
}

Test(options, allow_lists_that_are_none)
{
    static const char *const bad[] = {"",    ",",    "1,",         ",1", "1,,2",
                                      "1;2", "root", "4294967295", "-1"};
    char address[64];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(address, sizeof address, "shm://x?allow=%s", bad[i]);
        refused(NULL, address, "allow=", "uids joined by commas", "position 14");
    }
    uint32_t uid = 5;
    struct duct_options given = DUCT_OPTIONS_INIT;
    given.allow_uids = &uid;
    refused(&given, "shm://x", "allow_uid_count=0", "set", "1 to 1024");
    given.allow_uids = NULL;
    given.allow_uid_count = 1;
    refused(&given, "shm://x", "allow_uid_count=1", "NULL", "1 to 1024");
}

Test(options, an_older_caller_s_struct_is_shorter)
{
    struct duct_options given = DUCT_OPTIONS_INIT;
    given.slots = 8;
    given.backlog = 77; /* beyond the size it says: not looked at */
    given.size = offsetof(struct duct_options, pool);
    struct di_options merged;
    cr_assert_eq(merge(&merged, &given, "shm://x"), DUCT_OK);
    cr_assert_eq(merged.o.slots, 8);
    cr_assert_eq(merged.o.backlog, 128);
    cr_assert_eq(merged.o.size, sizeof merged.o);
}

Test(options, a_newer_caller_s_struct_is_longer)
{
    struct {
        struct duct_options known;
        uint64_t later[2];
    } given = {.known = {.size = sizeof given}, .later = {0, 0}};
    given.known.slots = 8;
    struct di_options merged;
    cr_assert_eq(merge(&merged, &given.known, "shm://x"), DUCT_OK);
    cr_assert_eq(merged.o.slots, 8);
    given.later[1] = 1;
    refused(&given.known, "shm://x", "is set", "expected 0", "update");
}

Test(options, sizes_that_are_none)
{
    static const size_t bad[] = {0, 4, 7, 9, sizeof(struct duct_options) - 1, 8192, SIZE_MAX - 7};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct duct_options given = {.size = bad[i]};
        refused(&given, "shm://x", "size=", "sizeof(struct duct_options)", "DUCT_OPTIONS_INIT");
    }
}

Test(options, a_refusal_writes_nothing)
{
    struct di_options merged, before;
    memset(&merged, 0x5a, sizeof merged);
    before = merged;
    cr_assert_eq(merge(&merged, NULL, "shm://x?allow=1,2&slots=3"), DUCT_EINVAL);
    cr_assert_eq(memcmp(&merged, &before, sizeof merged), 0);
}
