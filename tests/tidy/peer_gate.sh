#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: peer_gate.sh SOURCE_DIR    proves that clang keeps DI_PEER pointers behind shm/peer.h
# The first piece must compile; each of the others reaches peer memory in another way, and must not.
# Clang forgets noderef (not the address space) where the address of a member is taken and followed in
# one expression, *&peer->word, and where a builtin follows it: atomics.awk forbids those of atomics, and
# the preset ci-clang makes memcpy and its like ordinary functions.
set -euo pipefail
cd "$1"

compiles()
{
	clang -std=c11 -D_GNU_SOURCE -I. -Iinclude -Werror -fno-builtin -fsyntax-only -x c - 2>/dev/null <<-END
		#include "shm/peer.h"
		struct peer { uint64_t word; uint64_t plain[4]; };
		uint64_t reach(const DI_PEER struct peer *peer);
		uint64_t reach(const DI_PEER struct peer *peer) { $1 }
	END
}

compiles 'return di_peer_load_acquire(&peer->word);' || { echo "the accessor itself does not compile"; exit 1; }
for reach in \
	'return peer->plain[0];' \
	'return peer->word;' \
	'return __extension__ ({ struct peer copy = *peer; copy.plain[0]; });' \
	'const uint64_t *plain = peer->plain; return *plain;' \
	'const void *plain = peer; return plain != 0;' \
	'uint64_t to; memcpy(&to, peer->plain, sizeof(to)); return to;'; do
	! compiles "$reach" || { echo "clang let this through: $reach"; exit 1; }
done
