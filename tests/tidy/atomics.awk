# SPDX-License-Identifier: Apache-2.0
# Every atomic access names its order. Whatever is not sequentially consistent by intent would be so by
# accident, and cost a fence that nobody asked for. The compiler's builtins go round the accessors of
# shm/peer.h.
{
	rest = code
	while (match(rest, /(^|[^A-Za-z0-9_])(atomic_(load|store|exchange|compare_exchange_strong|compare_exchange_weak|fetch_(add|sub|or|xor|and)|flag_test_and_set|flag_clear)|__(sync|atomic)_[a-z_]+)[ \t]*\(/)) {
		name = substr(rest, RSTART, RLENGTH)
		gsub(/[^A-Za-z0-9_]/, "", name)
		finding(name "(): use " (name ~ /^__/ ? "C11's atomic_*_explicit" : "the _explicit form"))
		rest = substr(rest, RSTART + RLENGTH)
	}
}
