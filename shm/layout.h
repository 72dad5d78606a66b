/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_LAYOUT_H
#define DI_SHM_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The shared ABI: every struct that lies in shared memory, and who writes each field.
 *
 * A pipe has four segments, each written by exactly one process and mapped read-only by the other:
 * an outbox and a pool on either side. "Sender" and "receiver" below are the two halves of the side
 * that owns the outbox; each writes lines of its own, so that two threads can drive the halves.
 *
 *   outbox   0     struct di_outbox_header   immutable once the peer was told of it
 *            1024  struct di_sender_page     written by the sender half
 *            2048  struct di_receiver_page   written by the receiver half
 *            4096  struct di_slot[slots]     the descriptor ring, written by the sender half
 *            then  uint64_t[returns]         the return ring, written by the receiver half
 *   pool     blocks, nothing else: largest class first, so that each class is naturally aligned
 *
 * Numbers are fixed-width and native-endian: both sides share one machine. No pointer, lock, list
 * or size that anybody trusts lies here: the reader copies the header once, checks it, and works
 * with its copy (shm/geometry.h).
 */

#define DI_LAYOUT_MAGIC   0x31746375642f2f3aull /* "://duct1" */
#define DI_LAYOUT_VERSION 1u

/* A line is what one core hands to another. Lines with different writers, or of different heat,
 * stand two apart, since the adjacent-line prefetcher moves them in pairs. */
#define DI_LINE      64
#define DI_LINE_PAIR 128
#define DI_PAGE      4096u

#define DI_CLASSES_MAX       12u
#define DI_SLOTS_MIN         2u
#define DI_SLOTS_MAX         65536u
#define DI_BLOCKS_MAX        (1u << 20) /* of one side, in all its pool segments */
#define DI_POOL_SEGMENTS_MAX 64u

/* One size class of the pool: count blocks of size bytes, a multiple of DI_LINE. */
struct di_class {
    uint32_t size;
    uint32_t count;
};

struct di_outbox_header {
    uint64_t magic;
    uint32_t version;
    uint32_t class_count;
    uint64_t outbox_bytes; /* of this segment */
    uint64_t pool_bytes;   /* of each pool segment: all have the same classes */
    uint64_t start;        /* position of the first message; 0 outside of tests */
    uint32_t slots;        /* a power of two */
    uint32_t returns;      /* a power of two, at least the number of the peer's blocks */
    uint32_t max_msg;
    uint32_t pool_segments_max;
    struct di_class classes[DI_CLASSES_MAX]; /* largest first */
};

/*
 * A park word says how its sleeper sleeps (shm/park.h). From bit 0:
 * interest (3), doorbell kind (2), asymmetric (1), sole (1), bells (1), zero (8), epoch (48).
 */
struct di_sender_page {
    _Alignas(DI_LINE_PAIR) _Atomic uint64_t park; /* this side's sender waits for SPACE, BLOCKS */
    _Alignas(
        DI_LINE_PAIR) _Atomic uint32_t data_bell; /* futex word: the peer's receiver waits on it */
    _Alignas(DI_LINE_PAIR) _Atomic uint64_t msgs; /* counters, for tools */
    _Atomic uint64_t bytes;
};

struct di_receiver_page {
    _Alignas(
        DI_LINE_PAIR) _Atomic uint64_t consumed;  /* position up to which slots are free again */
    _Atomic uint64_t returned;                    /* entries ever put into the return ring */
    _Alignas(DI_LINE_PAIR) _Atomic uint64_t park; /* this side's receiver waits for DATA */
    _Alignas(DI_LINE_PAIR) _Atomic uint32_t
        space_bell;                               /* futex word: the peer's sender waits on it */
    _Alignas(DI_LINE_PAIR) _Atomic uint64_t msgs; /* counters, for tools */
    _Atomic uint64_t bytes;
};

/*
 * The one page that both sides may write, made by the side that sleeps there: doorbell words alone, of one
 * bit of meaning ("look again"), which its owner compares and the peer stores without ever loading. Optional,
 * between sides that trust each other's uid; see "Decisions" in ARCHITECTURE.md.
 */
struct di_bells_page {
    _Alignas(DI_LINE_PAIR) _Atomic uint32_t data;  /* the owner's receiver sleeps on it */
    _Alignas(DI_LINE_PAIR) _Atomic uint32_t space; /* and its sender on this */
};

#define DI_OUTBOX_SENDER_AT   1024u
#define DI_OUTBOX_RECEIVER_AT 2048u
#define DI_OUTBOX_SLOTS_AT    DI_PAGE

/*
 * A descriptor. The slot of position p carries the stamp p + 1 once it is published, p + 1 - slots
 * before. A message that is not in a pool block lies in the slot itself and, past 40 bytes, in the
 * slots behind it (struct di_slot_more), whose stamps are written but never polled: they keep a
 * payload from ever being taken for a stamp one lap later.
 */
struct di_slot {
    _Alignas(DI_LINE) _Atomic uint64_t stamp;
    _Atomic uint64_t head; /* size (32), channel (16), kind (16) */
    _Atomic uint64_t tag;
    union {
        unsigned char bytes[40];
        _Atomic uint64_t block; /* index (32), generation (32) */
    };
};

struct di_slot_more {
    _Alignas(DI_LINE) _Atomic uint64_t stamp;
    unsigned char bytes[56];
};

/* The kinds of a descriptor; any other value is corrupt. */
enum { DI_KIND_IMMEDIATE = 1, DI_KIND_BLOCK = 2 };

/* Immediate payload: 40 bytes in the first slot, 56 in each of up to three more. Past that, the
 * copy in and out costs more than the extra cache miss on a block (docs/BENCHMARKS.md). */
#define DI_SLOT_BYTES    40u
#define DI_MORE_BYTES    56u
#define DI_MORE_MAX      3u
#define DI_IMMEDIATE_MAX (DI_SLOT_BYTES + DI_MORE_MAX * DI_MORE_BYTES)

static inline uint64_t di_head_make(uint32_t size, uint16_t kind)
{
    return (uint64_t)size | (uint64_t)kind << 48;
}

/* A block on its way: index in the owner's pool, and the generation of this loan. */
static inline uint64_t di_block_ref(uint32_t index, uint32_t generation)
{
    return (uint64_t)index | (uint64_t)generation << 32;
}

static inline uint32_t di_ref_index(uint64_t ref)
{
    return (uint32_t)ref;
}

static inline uint32_t di_ref_generation(uint64_t ref)
{
    return (uint32_t)(ref >> 32);
}

/* Slots an immediate message of the given size takes. */
static inline uint32_t di_slots_of(uint32_t size)
{
    return size <= DI_SLOT_BYTES ? 1
                                 : 1 + (size - DI_SLOT_BYTES + DI_MORE_BYTES - 1) / DI_MORE_BYTES;
}

_Static_assert(sizeof(struct di_slot) == DI_LINE, "a slot is one line");
_Static_assert(sizeof(struct di_slot_more) == DI_LINE, "a continuation is one line");
_Static_assert(offsetof(struct di_slot, bytes) == 24, "");
_Static_assert(offsetof(struct di_slot_more, bytes) == 8, "");
_Static_assert(sizeof(struct di_outbox_header) == 56 + 8 * DI_CLASSES_MAX, "no padding");
_Static_assert(sizeof(struct di_outbox_header) <= DI_OUTBOX_SENDER_AT, "");
_Static_assert(sizeof(struct di_sender_page) <= DI_OUTBOX_RECEIVER_AT - DI_OUTBOX_SENDER_AT, "");
_Static_assert(sizeof(struct di_receiver_page) <= DI_OUTBOX_SLOTS_AT - DI_OUTBOX_RECEIVER_AT, "");
_Static_assert(offsetof(struct di_receiver_page, returned) < DI_LINE, "one line with consumed");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && ATOMIC_LLONG_LOCK_FREE == 2, "lock-free in memory");

#endif
