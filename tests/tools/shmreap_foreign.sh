#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: shmreap_foreign.sh SHMREAP HOLDER
# shmreap --foreign: who has what, what nobody has, and what cannot be seen from here. In namespaces of its
# own, with a /dev/shm and System V segments of its own.
set -euo pipefail
if [ "${DUCT_INSIDE:-}" = "" ]; then
	unshare --mount --ipc true 2>/dev/null || {
		echo "no right to make namespaces"
		exit 77
	}
	DUCT_INSIDE=1 exec unshare --mount --ipc --propagation private bash "$0" "$@"
fi
tool=$1 holder=$2
. "$(dirname "$0")/kit.sh"
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
cd "$work"
mkfifo answers
reap() { timeout -k 5 60 "$tool" --foreign "$@"; }
try() { status=0; "$@" || status=$?; }
# The facts of one segment, as "state kind engine holders", each holder as how and command.
of() # name, shmreap's options
{
	local name=$1
	shift
	reap --json "$@" >json || true
	jq -r --arg name "$name" '.leftovers[] | select(.name == $name) | "\(.state) \(.kind) [\(.engine)] " +
		([.holders[] | (if .open then "open:" else "" end) + (if .mapped then "mapped:" else "" end) + .command] | join(","))' json
}
# Starts a holder, which is there when this returns.
hold() # how, name
{
	"$holder" "$@" >answers &
	held=$!
	read -r answer <answers
}
let_go() { kill -KILL "$held"; wait "$held" 2>/dev/null || true; }

# Open, mapped, or neither: with whom.
hold open /one
same "held open" "live posix [] open:holder" "$(of one)"
try reap --reap --name one >out
[ -e /dev/shm/one ] && grep -q 'live .*kept: 1 process has it open' out || die "in use, and: $(cat out)"
let_go
same "left over" "empty posix [] " "$(of one)"
hold map /two
same "mapped only" "live posix [] mapped:holder" "$(of two)"
same "its size" 4096 "$(jq '.leftovers[] | select(.name == "two") | .bytes' json)"
try reap --reap --name 'two' >out
[ -e /dev/shm/two ] || die "removed what is mapped"
let_go
hold semaphore /three
same "a semaphore" "live semaphore [] mapped:holder" "$(of sem.three)"
let_go
same "a semaphore left" "empty semaphore [] " "$(of sem.three)"

# Nothing without a pattern, nothing but the pattern.
try reap --reap >out 2>&1
same "no pattern" 2 "$status"
try reap --reap --name 'o*' >out
same "by a pattern: exit status" 0 "$status"
[ ! -e /dev/shm/one ] && [ -e /dev/shm/two ] && [ -e /dev/shm/sem.three ] || die "not what the pattern says"
reap --reap --name 'sem.*' >out
[ ! -e /dev/shm/sem.three ] || die "the semaphore stays"

# System V.
hold sysv
id=$answer
same "attached" "live sysv [] mapped:holder" "$(of "sysv-$id")"
try reap --reap --name 'sysv-*' >out
ipcs -m | grep -q "^0x[0-9a-f]*  *$id " || die "removed what is attached"
let_go
same "detached" "empty sysv [] " "$(of "sysv-$id")"
reap --reap --name "sysv-$id" >out || die "$(cat out)"
! ipcs -m | grep -q "^0x[0-9a-f]*  *$id " || die "a System V segment stays"

# A holder that cannot be seen: from a pid namespace beside it. The kernel knows of it all the same.
hold map /two
beside() { unshare --pid --fork --mount-proc bash -c '"$@"' - "$tool" --foreign "$@"; }
beside --json --name two >json || true
same "held by the unseen" "live 0" "$(jq -r '.leftovers[0] | "\(.state) \(.holders | length)"' json)"
jq -e '.unseen | length > 0' json >/dev/null || die "does not say that it does not see all"
try beside --reap --name two >out
[ -e /dev/shm/two ] || die "removed what an unseen process has mapped"
let_go
beside --reap --name two >out || die "$(cat out)"
[ ! -e /dev/shm/two ] || die "nobody has it, and it stays"

# Without rights: another's is unknown, kept, and said so; one's own is the kernel's to say.
: >/dev/shm/roots
chmod 600 /dev/shm/roots
as_user() { setpriv --reuid 4242 --regid 4242 --clear-groups "$@"; }
chmod 755 "$work"
try as_user "$tool" --foreign --name roots >out
same "unknown: exit status" 4 "$status"
grep -q '^unknown ' out && grep -q '^Not seen: ' out || die "$(cat out)"
try as_user "$tool" --foreign --reap --discard --name roots >out
[ -e /dev/shm/roots ] || die "reaped the unknown"
as_user sh -c ': >/dev/shm/mine'
as_user "$tool" --foreign --reap --name mine >out || die "$(cat out)"
[ ! -e /dev/shm/mine ] || die "one's own stays: $(cat out)"

# Links, and files with two names.
ln -s /etc/passwd /dev/shm/link
same "a link" "" "$(of link)"
ln /dev/shm/roots /dev/shm/second
try reap --reap --name second >out
[ -e /dev/shm/second ] || die "removed one of two names"
rm /dev/shm/second /dev/shm/link

# Whose it looks like.
mkdir -p /dev/shm/qb-12-34-5-AbCdEf /dev/shm/duct-0
while read -r engine file; do
	: >"/dev/shm/$file"
	same "$file" "${engine//_/ }" "$(of "$file" | sed 's/.*\[\(.*\)\].*/\1/')"
done <<-'END'
	iceoryx iceoryx_mgmt
	iceoryx2 iox2_8ab3.data
	zenoh 1234567890.zenoh
	libqb qb-12-34-5-AbCdEf/qb-event-cmap-header
	shmipc shmipc_queue_3
	Fast_DDS fastrtps_port7410
	Fast_DDS sem.fastrtps_port7410_mutex
	Boost.Interprocess bip.gmem.map.41_0.000000
	Python_multiprocessing psm_0a1b2c3d
	PostgreSQL PostgreSQL.3859891842
	Open_MPI vader_segment.host.1000.1.0
	Chromium .org.chromium.Chromium.iQ0oVc
	duct duct-0/x.listen
END
try reap --reap --name '*x.listen' >out
[ -e /dev/shm/duct-0/x.listen ] || die "removed duct's own without its lock"
try reap --reap --name 'qb-12-*' >out
[ ! -e /dev/shm/qb-12-34-5-AbCdEf ] || die "libqb's empty directory stays"

# The real ones, where they are installed.
if python=$(command -v python3) && "$python" -c 'import multiprocessing.shared_memory' 2>/dev/null; then
	"$python" -c 'from multiprocessing import shared_memory as s, resource_tracker as t
m = s.SharedMemory(create=True, size=4096)
t.unregister(m._name, "shared_memory")
print(m.name, flush=True)' >name
	same "Python's own" "empty posix [Python multiprocessing] " "$(of "$(cat name)")"
fi
