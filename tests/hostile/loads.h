/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_LOADS_H
#define TESTS_HOSTILE_LOADS_H

/* Put before every file of a build of shm/ that counts its loads of a peer's memory: see shm/peer.h. */
void loads_count(const void *pointer);

#define DI_PEER_LOADED(pointer) loads_count((const void *)(unsigned long)(pointer))

#endif
