/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_BELLS_H
#define DI_SHM_BELLS_H

#include <stdatomic.h>
#include <stdint.h>

#include <duct/error.h>

#include "shm/layout.h"
#include "shm/peer.h"

/*
 * A bells page: doorbell words that the side which made it sleeps on and its peer rings.
 *
 * Everything else that is shared is read-only to one side. A sleeper, too, could watch a word in the ringer's
 * memory, and does so with a peer it does not trust; but the kernel pins the page of a futex for writing first,
 * and only when that has failed, slowly, as it is: a quarter of a microsecond for every sleep, 6 % of a
 * ping-pong on one CPU.
 *
 * Why a page that both may write takes nothing from "one writer per byte": no value in it is ever used but to
 * be compared by its owner with what it was when it went to sleep. The ringer stores from a count of its own
 * and never loads. So whatever the peer writes there amounts to a ring too many or one too few, and it has that
 * power anyway. The page is of the owner's making, sealed against shrinking and growing, so a touch of it
 * cannot fault; the seals and size of one that comes from a peer are checked before it is mapped.
 */
struct di_bells {
    struct di_bells_page *page; /* NULL: none */
};

/* Makes one's own; *fd is to be passed on and closed. Errors: NOMEMORY, NOSPACE, LIMIT, OS. */
enum duct_err di_bells_create(struct di_bells *bells, int *fd) DUCT_NODISCARD;

/* Maps a peer's; fd stays the caller's. Errors: CORRUPT (it is no such page), NOMEMORY, OS. */
enum duct_err di_bells_map(struct di_bells *bells, int fd) DUCT_NODISCARD;

void di_bells_fini(struct di_bells *bells);

/* The words of one's own page, as their sleeper reads them: the peer writes them. */
static inline const DI_PEER uint32_t *di_bells_word(const _Atomic uint32_t *word)
{
    return (const DI_PEER uint32_t *)(uintptr_t)word;
}

#endif
