# SPDX-License-Identifier: Apache-2.0
# Every atomic access names its order. Whatever is not sequentially consistent by intent would be so by
# accident, and cost a fence that nobody asked for.
{
	rest = code
	while (match(rest, /(^|[^A-Za-z0-9_])(atomic_(load|store|exchange|compare_exchange_strong|compare_exchange_weak|fetch_(add|sub|or|xor|and)|flag_test_and_set|flag_clear)|__sync_[a-z_]+)[ \t]*\(/)) {
		name = substr(rest, RSTART, RLENGTH)
		gsub(/[^A-Za-z0-9_]/, "", name)
		finding(name "(): use the _explicit form")
		rest = substr(rest, RSTART + RLENGTH)
	}
}
