/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/scenarios.h"

/* HELLO has 40 bytes each way, READY 16 behind it; then come frames, of 40 bytes and more. */
#define MS DUCT_MILLISECOND
#define S  DUCT_SECOND

#define LINE   .delay_ns = 2 * MS, .jitter_ns = MS
#define CALLS  .talking = SIM_CALLS, .messages = 12, .size = 900
#define STREAM .talking = SIM_STREAM, .messages = 60, .size = 3000
#define BACK   .talking = SIM_BACK, .messages = 60, .size = 3000
#define BOTH   .talking = SIM_BOTH, .messages = 30, .size = 2000

#define JUDGES "?wait_listener=1&reconnect=1&heartbeat=500ms"
#define COMES_BACK \
    .comes_back = true, .talking = SIM_CALLS, .messages = 40, .size = 3000, .way = SIM_WAY_COPY

#define LARGE \
    .talking = SIM_STREAM, .messages = 3, .size = 200000, .fixed = true, .frame_max = 65536

#define ANY_WAY .way = SIM_WAYS
#define BROKEN  SIM_MAY(DUCT_EPEER)
#define ANY_END (~0u & ~(SIM_MAY(DUCT_ECORRUPT) | SIM_MAY(DUCT_EINVAL)))

/* One connection meets its fate at one byte of one direction. */
#define TRAP(what, towards_dialer, byte) \
    .traps = {{.fate = (what), .to_dialer = (towards_dialer), .after = (byte)}}
#define TO_LISTENER false
#define TO_DIALER   true

const struct sim_scenario sim_scenarios[] = {
    /* Nothing goes wrong. */
    {"calls", .plan = {LINE}, .script = {CALLS}},
    {"calls, by events", .plan = {LINE}, .script = {CALLS, .events = true}},
    {"a stream", .plan = {LINE}, .script = {STREAM}},
    {"a stream the other way", .plan = {LINE}, .script = {BACK, .listener_ends = true}},
    {"both ways at once", .plan = {LINE}, .script = {BOTH}},
    {"nothing is said", .plan = {LINE}, .script = {.talking = SIM_SILENT}},
    {"empty messages", .plan = {LINE}, .script = {.talking = SIM_STREAM, .messages = 50}},
    {"the largest messages", .plan = {LINE},
     .script = {.talking = SIM_STREAM, .messages = 8, .size = 65536, .fixed = true}},
    {"loans", .plan = {LINE}, .script = {STREAM, .way = SIM_WAY_LOAN}},
    {"pieces", .plan = {LINE}, .script = {STREAM, .way = SIM_WAY_PIECES}},
    {"batches", .plan = {LINE}, .script = {STREAM, .way = SIM_WAY_BATCH}},
    {"more follows", .plan = {LINE}, .script = {STREAM, .way = SIM_WAY_MORE}},
    {"thirty dialers", .plan = {LINE}, .script = {CALLS, .dialers = 30, .events = true}},
    {"who spins", .plan = {LINE}, .script = {CALLS, .dial = "?wait_listener=1&wait=spin"}},
    {"who yields", .plan = {LINE}, .script = {CALLS, .dial = "?wait_listener=1&wait=yield"}},

    /* Connecting. */
    {"refused", .plan = {LINE, .refused = 1000},
     .script = {CALLS, .dial = "?timeout=1s", .dial_must = SIM_MAY(DUCT_ENOTFOUND)}},
    {"refused at first", .plan = {LINE, .refused = 700}, .script = {CALLS}},
    {"the first address refuses", .plan = {LINE},
     .script = {CALLS, .at = "sim://nobody,here", .listen_at = "sim://here"}},
    {"the first two addresses swallow all", .plan = {LINE},
     .script = {CALLS, .at = "sim://hole,hole,here", .listen_at = "sim://here",
                .dial = "?timeout=3s"}},
    {"the others are asked before the first has answered", .plan = {.delay_ns = 350 * MS},
     .script = {CALLS, .at = "sim://here,here,here", .listen_at = "sim://here",
                .dial = "?timeout=30s"}},
    {"one refuses, one swallows, and one comes later", .plan = {LINE},
     .script = {CALLS, .at = "sim://nobody,hole,here", .listen_at = "sim://here",
                .dial = "?timeout=300s&wait_listener=1"}},
    {"every address swallows all", .plan = {LINE},
     .script = {CALLS, .at = "sim://hole,hole", .listen_at = "sim://here", .dial = "?timeout=3s",
                .dial_must = SIM_MAY(DUCT_ETIMEOUT)}},
    {"unanswered", .plan = {LINE, .unanswered = 1000},
     .script = {CALLS, .dial = "?timeout=3s", .dial_must = SIM_MAY(DUCT_ETIMEOUT)}},
    {"unanswered at first", .plan = {LINE, .unanswered = 400},
     .script = {CALLS, .dial = "?wait_listener=1&timeout=300s"}},
    {"unanswered until the kernel gives up", .plan = {LINE, .unanswered = 1000},
     .script = {CALLS, .dial = "?timeout=300s",
                .dial_must = SIM_MAY(DUCT_ETIMEOUT) | SIM_MAY(DUCT_EOS)}},

    /* A reset at each step of the handshake. */
    {"reset at the dialer's first byte", .plan = {LINE, TRAP(DI_SIM_RESET, TO_LISTENER, 0)},
     .script = {CALLS, .dial_must = SIM_MAY(DUCT_EPEER)}},
    {"reset within the dialer's HELLO", .plan = {LINE, TRAP(DI_SIM_RESET, TO_LISTENER, 20)},
     .script = {CALLS, .dial_must = SIM_MAY(DUCT_EPEER)}},
    {"reset at the listener's first byte", .plan = {LINE, TRAP(DI_SIM_RESET, TO_DIALER, 0)},
     .script = {CALLS, .dial_must = SIM_MAY(DUCT_EPEER)}},
    {"reset within the listener's HELLO", .plan = {LINE, TRAP(DI_SIM_RESET, TO_DIALER, 39)},
     .script = {CALLS, .dial_must = SIM_MAY(DUCT_EPEER)}},
    {"reset at READY", .plan = {LINE, TRAP(DI_SIM_RESET, TO_LISTENER, 40)},
     .script = {CALLS, .dial_may = SIM_MAY(DUCT_EPEER), .end_must = BROKEN}},
    {"reset within READY", .plan = {LINE, TRAP(DI_SIM_RESET, TO_LISTENER, 50)},
     .script = {CALLS, .dial_may = SIM_MAY(DUCT_EPEER), .end_must = BROKEN}},

    /* And a line that goes dead. */
    {"silence from the dialer's first byte", .plan = {LINE, TRAP(DI_SIM_CUT, TO_LISTENER, 0)},
     .script = {CALLS, .dial_must = SIM_MAY(DUCT_ETIMEOUT) | SIM_MAY(DUCT_EPEER)}},
    {"silence within the listener's HELLO", .plan = {LINE, TRAP(DI_SIM_CUT, TO_DIALER, 11)},
     .script = {CALLS, .dial_must = SIM_MAY(DUCT_ETIMEOUT) | SIM_MAY(DUCT_EPEER)}},
    {"silence at READY", .plan = {LINE, TRAP(DI_SIM_CUT, TO_LISTENER, 40)},
     .script = {CALLS, .end_must = BROKEN}},
    {"a slow handshake", .plan = {LINE, TRAP(DI_SIM_STALL, TO_LISTENER, 45), .stall_ns = 1500 * MS},
     .script = {CALLS}},
    {"a handshake that is too slow",
     .plan = {LINE, TRAP(DI_SIM_STALL, TO_LISTENER, 45), .stall_ns = 3 * S},
     .script = {CALLS, .harm = true, .dial_may = ANY_END, .end_must = BROKEN}},

    /* Later. */
    {"reset within a header", .plan = {LINE, TRAP(DI_SIM_RESET, TO_LISTENER, 56 + 17)},
     .script = {STREAM, .end_must = BROKEN}},
    {"reset within a payload", .plan = {LINE, TRAP(DI_SIM_RESET, TO_LISTENER, 56 + 20000)},
     .script = {STREAM, .end_must = BROKEN}},
    {"reset on the way back", .plan = {LINE, TRAP(DI_SIM_RESET, TO_DIALER, 40 + 3000)},
     .script = {CALLS, .end_must = BROKEN}},
    {"reset, by events", .plan = {LINE, TRAP(DI_SIM_RESET, TO_LISTENER, 56 + 5000)},
     .script = {BOTH, .events = true, .end_must = BROKEN}},
    {"half-open, found by who sends", .plan = {LINE, TRAP(DI_SIM_CUT, TO_LISTENER, 56 + 9000)},
     .script = {STREAM, .end_must = BROKEN}},
    {"half-open, found by who listens", .plan = {LINE, TRAP(DI_SIM_CUT, TO_DIALER, 40 + 2000)},
     .script = {BACK, .listener_ends = true, .end_must = BROKEN}},
    {"half-open, by events", .plan = {LINE, TRAP(DI_SIM_CUT, TO_LISTENER, 56 + 4000)},
     .script = {BOTH, .events = true, .end_must = BROKEN}},
    {"a stall within a message",
     .plan = {LINE, TRAP(DI_SIM_STALL, TO_LISTENER, 56 + 7777), .stall_ns = 5 * S},
     .script = {STREAM}},

    /* Bytes in small pieces. */
    {"a byte arrives at a time", .plan = {.delay_ns = 20000, .packet_max = 1},
     .script = {.talking = SIM_CALLS, .messages = 4, .size = 60}},
    {"a byte is sent at a time", .plan = {.delay_ns = 20000, .send_max = 1},
     .script = {.talking = SIM_CALLS, .messages = 4, .size = 60}},
    {"a byte is received at a time, by events", .plan = {.recv_max = 1},
     .script = {.talking = SIM_STREAM, .messages = 3, .size = 3000, .fixed = true, .events = true}},
    {"all but a header's last byte", .plan = {LINE, .packet_max = 39}, .script = {BOTH}},
    {"a header and a byte", .plan = {LINE, .packet_max = 41, .recv_max = 41}, .script = {BOTH}},
    {"small buffers", .plan = {.delay_ns = MS, .buffer = 300}, .script = {STREAM}},
    {"a small queue", .plan = {LINE, .buffer = 2000},
     .script = {STREAM, .dial = "?wait_listener=1&pool=64k"}},

    /* A kernel with moods. */
    {"EAGAIN on sending", .plan = {LINE, .send_again = 400}, .script = {BOTH, ANY_WAY}},
    {"EAGAIN on receiving", .plan = {LINE, .recv_again = 400}, .script = {BOTH, ANY_WAY}},
    {"EINTR", .plan = {LINE, .interrupted = 500}, .script = {BOTH, ANY_WAY}},
    {"ENOBUFS", .plan = {LINE, .no_buffers = 30},
     .script = {STREAM, .harm = true, .dial_may = ANY_END}},
    {"EMFILE", .plan = {LINE, .socket_fails = 300},
     .script = {CALLS, .dialers = 6, .harm = true, .dial_may = ANY_END, .events = true}},
    {"few descriptors", .plan = {LINE, .sockets_max = 7},
     .script = {CALLS, .dialers = 6, .harm = true, .dial_may = ANY_END, .events = true}},
    {"a socket that cannot be watched", .plan = {LINE, .poll_fails = 200},
     .script = {CALLS, .dialers = 4, .harm = true, .dial_may = ANY_END, .events = true}},
    {"completions in any order", .plan = {LINE, .unordered = true},
     .script = {CALLS, .dialers = 5, .events = true}},
    {"completions that come late", .plan = {LINE, .unordered = true, .late = 700},
     .script = {CALLS, .dialers = 5, .events = true}},
    {"bytes that beat the cancel", .plan = {LINE, .outrun = 1000}, .script = {BOTH, ANY_WAY}},
    {"the clock jumps", .plan = {LINE, .clock_steps = 200, .step_max_ns = 10 * S},
     .script = {BOTH, .harm = true, .dial_may = ANY_END}},

    /* Ends. */
    {"the listener closes", .plan = {LINE},
     .script = {STREAM, .listener_ends = true, .events = true}},
    {"linger until all is taken", .plan = {.delay_ns = 30 * MS, .buffer = 2000},
     .script = {STREAM, .linger_ns = 60 * S}},
    {"a linger that is too short", .plan = {.delay_ns = 30 * MS, .buffer = 2000},
     .script = {STREAM, .linger_ns = MS, .harm = true}},
    {"time that is too short", .plan = {.delay_ns = 30 * MS},
     .script = {BOTH, .timeout_ns = MS, .harm = true}},
    {"time for the wait and the kernel together", .plan = {.delay_ns = 40 * MS, .buffer = 2000},
     .play = sim_play_one_time},
    {"a drain in vain", .plan = {LINE}, .play = sim_play_drain_in_vain},
    {"both linger", .plan = {LINE}, .play = sim_play_both_linger},
    {"the last word, to one who sends", .plan = {LINE, .harsh = true}, .play = sim_play_last_word},
    {"the last word, in pieces", .plan = {LINE, .harsh = true, .send_max = 20, .packet_max = 7},
     .play = sim_play_last_word},
    {"cancelled anywhere", .plan = {LINE},
     .script = {BOTH, .meddles = 10, .harm = true, .dial_may = SIM_MAY(DUCT_ECANCELED)}},
    {"cancelled anywhere, by events", .plan = {LINE},
     .script = {CALLS, .dialers = 4, .events = true, .meddles = 20, .harm = true,
                .dial_may = SIM_MAY(DUCT_ECANCELED)}},

    /* Peers that are lost, and come back. */
    {"comes back from a reset", .plan = {LINE},
     .script = {COMES_BACK, .dial = JUDGES, .outages = 1}},
    {"comes back again and again", .plan = {LINE},
     .script = {COMES_BACK, .dial = JUDGES, .outages = 12}},

    {"given up though it was there, and back",
     .plan = {LINE, TRAP(DI_SIM_STALL, TO_LISTENER, 9000), .stall_ns = 4 * S},
     .script = {COMES_BACK, .listen = "?heartbeat=300ms&heartbeat_missed=2", .harm = true,
                .dial = "?reconnect=1&wait_listener=1", .end_must = SIM_MAY(DUCT_OK)}},

    /* READY waits in the pipe that was made, and breaks it before the program has it. */
    {"a session that was over before it began",
     .plan = {LINE, .send_again = 400, .no_buffers = 200},
     .script = {COMES_BACK, .dialers = 8, .harm = true, .dial_may = ANY_END,
                .dial = "?wait_listener=1&reconnect=1&attempts=3&pause=10ms", .end_must = ANY_END}},

    {"pauses that grow, and attempts that end", .plan = {LINE}, .play = sim_play_pauses},

    /* Peers that are judged. */
    {"a line that was cut is found in time", .plan = {LINE, .silence_ns = 600 * S},
     .play = sim_play_cut_found},
    {"a machine that slept", .plan = {LINE}, .play = sim_play_naps},
    {"a message that is not complete in time",
     .plan = {LINE, TRAP(DI_SIM_STALL, TO_LISTENER, 56 + 100000), .stall_ns = 5 * S},
     .script = {LARGE, .dial = "?wait_listener=1&max_msg=300k",
                .listen = "?max_msg=300k&reassembly=2s", .impatient = true, .harm = true,
                .end_must = SIM_MAY(DUCT_ETIMEOUT) | SIM_MAY(DUCT_EPEER)}},
    {"a message that never is complete",
     .plan = {LINE, TRAP(DI_SIM_CUT, TO_LISTENER, 56 + 100000), .silence_ns = 60 * S},
     .script = {LARGE, .dial = "?wait_listener=1&max_msg=300k",
                .listen = "?max_msg=300k&reassembly=2s", .impatient = true, .harm = true,
                .end_must = SIM_MAY(DUCT_ETIMEOUT) | SIM_MAY(DUCT_EPEER)}},
    {"closed in the midst of a message", .plan = {LINE, .packet_max = 1400, .recv_max = 700},
     .play = sim_play_closed_within},
    {"a large message on a slow line", .plan = {.delay_ns = 5 * MS, .buffer = 2000},
     .script = {LARGE, .dial = "?wait_listener=1&max_msg=300k",
                .listen = "?max_msg=300k&reassembly=5s"}},

    /* With programs of their own (scenario_plays.c). */
    {"nobody listens", .play = sim_play_nobody},
    {"both full", .plan = {LINE, .buffer = 2000}, .play = sim_play_both_full},
    {"split pipes", .plan = {LINE}, .play = sim_play_split},
    {"a pipe that moves", .plan = {LINE}, .play = sim_play_move},
    {"a flood of half-open handshakes", .plan = {.buffer = 512}, .play = sim_play_flood},
    {"strangers", .plan = {LINE}, .play = sim_play_strangers},
};
const unsigned sim_scenario_count = sizeof(sim_scenarios) / sizeof(sim_scenarios[0]);
