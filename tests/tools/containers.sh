#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# auto:// between two containers in all but name: own mount, pid, network, host name and IPC namespaces, linked by a
# pair of virtual devices, each with a /dev/shm of its own. They share memory if they share the directory of the
# socket, and otherwise talk over TCP.
if [ -z "${CONTAINERS_INSIDE:-}" ]; then
	own=(--net --mount --pid --fork --kill-child --mount-proc)
	[ "$(id -u)" = 0 ] || own+=(--user --map-root-user)
	command -v ip unshare nsenter >/dev/null || { echo "needs ip, unshare and nsenter"; exit 77; }
	unshare "${own[@]}" true || { echo "namespaces are not allowed here"; exit 77; }
	CONTAINERS_INSIDE=yes exec unshare "${own[@]}" bash "$0" "$@"
fi
. "$(dirname "$0")/common.sh" "$@"

# ---- Two networks, held open until this script ends
mkfifo hold
exec 3<>hold
unshare --net cat hold >/dev/null & here=$!
unshare --net cat hold >/dev/null & there=$!
until [ "$(readlink /proc/$here/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
until [ "$(readlink /proc/$there/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
ip link add va netns $here type veth peer name vb netns $there ||
	{ echo "virtual network devices are not allowed here"; exit 77; }
nsenter --net -t $here ip addr add 10.99.0.1/24 dev va
nsenter --net -t $there ip addr add 10.99.0.2/24 dev vb
nsenter --net -t $here ip link set va up
nsenter --net -t $there ip link set vb up

container() # network, commands to be run there, by bash
{
	timeout -k 5 60 nsenter --net -t "$1" unshare --mount --pid --uts --ipc --fork --kill-child --mount-proc \
		bash -c "set -e; mount -t tmpfs none /dev/shm; $2"
}

address='auto://box@10.99.0.1:4711'
export program work
container $here "exec '$program' listen --echo $address" 2>said.listen & listener=$!

# One message there and back; how, is in the file said.
exchange() # what, commands before
{
	echo hello >in
	try container $there "$2 '$program' dial -v --lines -c 1 '$address?$waits' <in >out"
	same "$1: exit status" 0 "$status"
	same "$1" hello "$(cat out)"
}

exchange "shared directory" "exec"
says "shared directory" "took shared memory"

exchange "own directory" "mkdir empty; export XDG_RUNTIME_DIR=$work/empty; exec"
says "own directory" "took a stream: nobody listens at"
says "own directory" "the listener sees another file system"

exchange "users of its own, unmapped" "exec unshare --user"
says "users of its own, unmapped" "took a stream:"
says "users of its own, unmapped" "the listener counts users otherwise"

exchange "users of its own, mapped" "exec unshare --user --map-root-user"
says "users of its own, mapped" "took shared memory"

kill $listener
wait $listener || true
