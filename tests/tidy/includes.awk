# SPDX-License-Identifier: Apache-2.0
# Which room may include which: arrows point down only, and there are no circles.
#
#   tools                  transports          tests, fuzz and bench may include everything;
#     |                    /        \          examples, like tools, only the public headers.
#     |                 lib/       shm/
#     |       base <- io <- core     (of lib only base)
#     |       base <- protocol <- core
#     +---------> include/duct/
BEGIN {
	# For each room: the folders it may include by "…", its own among them.
	may["include/duct"] = ""
	may["lib/base"] = "lib/base"
	may["lib/io"] = "lib/base lib/io"
	may["lib/protocol"] = "lib/base lib/protocol"
	may["lib/core"] = "lib/base lib/io lib/protocol lib/core"
	may["shm"] = "lib/base shm"
	may["transports"] = "lib/base lib/io lib/protocol lib/core shm transports"
	may["tools"] = "tools"
	may["examples"] = "examples"

	c11 = "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype"
	pure = "assert ctype errno inttypes limits stdalign stdarg stdbool stddef stdint stdlib stdnoreturn string"
}

FNR == 1 {
	file[++files] = FILENAME
}

code ~ /^[ \t]*#[ \t]*include/ {
	room = room_of(FILENAME)
	target = $0
	sub(/^[^<"]*/, "", target)
	quote = substr(target, 1, 1)
	target = substr(target, 2)
	sub(/[>"].*/, "", target)
	if (quote == "\"")
		ours(target)
	else
		systems(target)
}

function room_of(path,    parts)
{
	split(path, parts, "/")
	if (parts[1] == "include" || parts[1] == "lib")
		return parts[1] "/" parts[2]
	return parts[1]
}

# A header of the house, named from the top of the tree.
function ours(target,    there)
{
	if (target ~ /^\.|^duct\// || target !~ /\//) {
		finding("\"" target "\": name our headers from the top of the tree, public ones as <duct/…>")
		return
	}
	there = room_of(target)
	if (room in may && index(" " may[room] " ", " " there " ") == 0)
		finding("\"" target "\": " room " may not include " there)
	edges[FILENAME] = edges[FILENAME] " " target
}

function systems(target,    name)
{
	if (target ~ /^duct\//) {
		edges[FILENAME] = edges[FILENAME] " include/" target
		return
	}
	name = target
	sub(/\.h$/, "", name)
	if (target ~ /^(lib|shm|transports|tools|tests|bench|include)\//)
		finding("<" target ">: name our headers from the top of the tree, in quotes")
	else if (room == "include/duct" && index(" " c11 " ", " " name " ") == 0 && target != "sys/uio.h")
		finding("<" target ">: a public header needs only the C standard library and <sys/uio.h>")
	else if (room == "lib/protocol" && index(" " pure " ", " " name " ") == 0)
		finding("<" target ">: the protocol does no I/O and owns no clock")
	else if (room == "lib/core" && target ~ /^(sys\/(epoll|eventfd|socket|timerfd|signalfd|mman|syscall|un)|linux\/|netinet\/|arpa\/|netdb|liburing|unistd|fcntl)/)
		finding("<" target ">: core reaches the system only through lib/io and the transports")
	else if ((target ~ /^(liburing|linux\/io_uring)/ && room ~ /^(lib|shm|transports)/ || target == "sys/epoll.h" && room ~ /^(lib|shm)/) && room != "lib/io")
		finding("<" target ">: the loop's system calls live in lib/io")
}

END {
	for (n = 1; n <= files; n++)
		visit(file[n], file[n])
}

# Depth first; a path that is met again while it is being visited closes a circle.
function visit(path, trail,    i, count, targets)
{
	if (state[path] == "done")
		return
	state[path] = "open"
	count = split(edges[path], targets, " ")
	for (i = 1; i <= count; i++) {
		if (state[targets[i]] == "open")
			print path ":1: circle of includes: " trail " -> " targets[i]
		else
			visit(targets[i], trail " -> " targets[i])
	}
	state[path] = "done"
}
