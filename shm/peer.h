/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_PEER_H
#define DI_SHM_PEER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * The only way to read memory that a peer writes.
 *
 * The peer can change any byte at any time. So a value is loaded once, into a local, and from then
 * on it is stable: the local is checked, and the local is used. Pointers into a peer's segment are
 * of type DI_PEER *, which clang will neither dereference nor mix with plain ones
 * (tests/tidy/peer_gate proves it); these accessors are the only casts. The pointees are written
 * without _Atomic, which would take the attribute away.
 */
#if defined(__clang__)
#define DI_PEER __attribute__((noderef, address_space(1)))
#else
#define DI_PEER
#endif

/* Tests count the loads of each field; elsewhere this is nothing. */
#ifndef DI_PEER_LOADED
#define DI_PEER_LOADED(pointer) ((void)0)
#endif

static inline uint64_t di_peer_load(const DI_PEER uint64_t *from)
{
    DI_PEER_LOADED(from);
    /* Relaxed: the caller has an acquire or a fence of its own before it, or needs no order. */
    return atomic_load_explicit((const _Atomic uint64_t *)(uintptr_t)from, memory_order_relaxed);
}

static inline uint64_t di_peer_load_acquire(const DI_PEER uint64_t *from)
{
    DI_PEER_LOADED(from);
    return atomic_load_explicit((const _Atomic uint64_t *)(uintptr_t)from, memory_order_acquire);
}

static inline uint32_t di_peer_load32(const DI_PEER uint32_t *from)
{
    DI_PEER_LOADED(from);
    /* Relaxed: see di_peer_load(). */
    return atomic_load_explicit((const _Atomic uint32_t *)(uintptr_t)from, memory_order_relaxed);
}

/* A snapshot of size bytes. Torn if the peer writes meanwhile; each byte is read once. */
static inline void di_peer_copy(void *to, const DI_PEER void *from, size_t size)
{
    memcpy(to, (const void *)(uintptr_t)from, size);
}

/* For the kernel (futex words) and for views handed to the application: an address, not to be read.
 */
static inline const void *di_peer_address(const DI_PEER void *from)
{
    return (const void *)(uintptr_t)from;
}

static inline const DI_PEER void *di_peer_at(const DI_PEER void *base, uint64_t offset)
{
    return (const DI_PEER void *)((const DI_PEER char *)base + offset);
}

/*
 * The index, which has just been found to be below count; 0 where the processor only guesses that it is. A
 * guess that runs ahead of the check would else fetch what lies at any index the peer likes, and leave traces
 * in the cache of what it found. The assembly keeps the compiler, which knows the check, from leaving this out.
 */
static inline uint32_t di_peer_index(uint32_t index, uint32_t count)
{
    uint64_t wide = index;

    __asm__("" : "+r"(wide));
    /* The sign of the difference, spread: all ones below count, else none. */
    return (uint32_t)(wide & (uint64_t)((int64_t)(wide - count) >> 63));
}

/* The address of a field of the struct that lies at base. */
#define di_peer_field(base, type, field) di_peer_at(base, offsetof(type, field))

#endif
