# SPDX-License-Identifier: Apache-2.0
# What a library must not do to its program (print, exit, touch signals), functions that write without
# a bound or fail without a word, volatile, which orders nothing, and sleeping, in tests too: a test
# that sleeps for luck is one that fails for lack of it.
BEGIN {
	word = "(^|[^A-Za-z0-9_])"
	prints = "(printf|fprintf|vprintf|vfprintf|dprintf|vdprintf|puts|fputs|putchar|putc|fputc|perror|psignal)"
	ends = "(abort|exit|_exit|_Exit|quick_exit|raise)"
	unbounded = "(strcpy|strcat|stpcpy|sprintf|vsprintf|gets|atoi|atol|atoll|atof|strtok|alloca)"
	signals = "(signal|sigaction|sigprocmask|pthread_sigmask)"
	shells = "(system|popen)"
	clocks = "(gettimeofday|time|ftime|timespec_get)"
	sleeps = "(sleep|usleep|nanosleep|clock_nanosleep|thrd_sleep)"
}

FILENAME ~ /^(lib|shm|transports)\// {
	check(prints, "a library does not print: use di_log()")
	check(ends, "a library does not end its program: return an error")
	check(unbounded, "unbounded or mute: use the form with a size, strtoul, strtok_r")
	check(signals, "signals belong to the program")
	check(shells, "a library runs no shell")
	if (code ~ word "(stdout|stderr)([^A-Za-z0-9_]|$)")
		finding("a library does not print: use di_log()")
	if (code ~ word "(volatile|__volatile__)([^A-Za-z0-9_]|$)")
		finding("volatile orders nothing: use an atomic")
}

# A deadline by the wall clock ends wrong when that is set, one by the boot clock after a suspend. Files alone
# are dated by it.
FILENAME ~ /^(lib|shm|transports)\// && FILENAME !~ /^shm\/(leftover|durable_make)\.c$/ {
	check(clocks, "only the monotonic clock counts")
	if (code ~ word "CLOCK_(REALTIME|REALTIME_COARSE|TAI|BOOTTIME|REALTIME_ALARM|BOOTTIME_ALARM)([^A-Za-z0-9_]|$)")
		finding("only the monotonic clock counts")
}

FILENAME ~ /^(lib|shm|transports|tests|fuzz)\// {
	check(sleeps, "do not sleep for luck: wait for what is to happen")
}

function check(names, why,    name)
{
	if (match(code, word names "[ \t]*\\(")) {
		name = substr(code, RSTART, RLENGTH)
		gsub(/[^A-Za-z0-9_]/, "", name)
		finding(name "(): " why)
	}
}
