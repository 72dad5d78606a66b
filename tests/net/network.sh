# SPDX-License-Identifier: Apache-2.0
# Two networks with a wire between them, for tests of whole programs over the kernel's own TCP: source it with the program
# duct as $1 and the courier as $2. This script is at 10.9.0.1, and runs programs at 10.9.0.2 by "${there[@]}". Both
# networks are a user namespace's, so that nobody needs to be root, and go with this script.
# shellcheck shell=bash disable=SC2034 # used by those that source this
if [ -z "${NETWORK_INSIDE:-}" ]; then
	for tool in ip tc nft nsenter unshare; do
		command -v "$tool" >/dev/null || { echo "needs the program $tool (packages iproute2, nftables, util-linux)"; exit 77; }
	done
	own=(--user --map-root-user --net)
	unshare "${own[@]}" true 2>/dev/null || { echo "namespaces are not allowed here"; exit 77; }
	NETWORK_INSIDE=yes exec unshare "${own[@]}" bash "$0" "$@"
fi
. "$(dirname "$0")/../tools/common.sh" "$@"
courier=$2
far=10.9.0.2

network_up()
{
	# It ends when nobody holds the other end of the fifo any more: with this script.
	mkfifo hold
	exec 9<>hold
	unshare --net cat hold >/dev/null 2>&1 9>&- & other=$!
	until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do
		kill -0 $other 2>/dev/null || return 1
	done
	there=(nsenter --net --target "$other")
	ip link add here type veth peer name there netns $other || return 1
	ip addr add 10.9.0.1/24 dev here
	"${there[@]}" ip addr add $far/24 dev there
	# Without offloading a packet is a packet: what is lost is 1,448 bytes and not 64 KiB.
	ip link set here up gso_max_segs 1
	"${there[@]}" ip link set there up gso_max_segs 1
	ip link set lo up
	"${there[@]}" ip link set lo up
	# Buffers that fill soon, so that a full wire is noticed by the program.
	local side
	for side in "" "${there[*]}"; do
		$side bash -c 'echo 4096 16384 131072 >/proc/sys/net/ipv4/tcp_wmem; echo 4096 32768 131072 >/proc/sys/net/ipv4/tcp_rmem'
		# What is dropped is dropped where it arrives: a sender must not be told.
		$side nft -f - <<-END || return 1
			table ip wire {
			  counter dropped { }
			  chain arriving { type filter hook input priority 0; }
			}
		END
	done
}


# What becomes of packets that arrive, at both ends: of the last such call.
wire() # nft's statement, or nothing
{
	local side
	for side in "" "${there[*]}"; do
		$side nft flush chain ip wire arriving
		[ -z "$1" ] || $side nft "add rule ip wire arriving $1"
	done
}
wire_loses() { wire "numgen random mod 100 < $1 counter name dropped drop"; } # percent
wire_cut() { wire "iifname != lo counter name dropped drop"; }
wire_whole() { wire ""; }

dropped() # how many packets, at both ends
{
	local side sum=0 count
	for side in "" "${there[*]}"; do
		count=$($side nft -j list counter ip wire dropped | jq '.nftables[] | .counter? | .packets? // empty')
		sum=$((sum + count))
	done
	echo $sum
}

# Waits until a file has such a line, however often: for what happens, not for the clock.
until_has() # file, extended regular expression, how many times; 1
{
	local count=${3:-1} line seen=0
	while [ $seen -lt "$count" ] && read -r -t 60 line; do
		[[ ! $line =~ $2 ]] || seen=$((seen + 1))
	done < <(exec tail --pid=$$ -n +1 -F "$1" 2>/dev/null)
	[ "$(grep -cE -- "$2" "$1")" -lt "$count" ] || return 0
	die "waited in vain for '$2' in $1: $(tail -n 20 "$1" "$1.log" 2>/dev/null)"
}

network_up || { echo "virtual networks are not allowed here"; exit 77; }
