# SPDX-License-Identifier: Apache-2.0
# The licence stands on the first line, or on the second, after #!.
FNR == 1 {
	on_second = /^#!/
}

FNR == 1 + on_second {
	want = FILENAME ~ /\.[ch]$/ ? "/* SPDX-License-Identifier: Apache-2.0 */" : "# SPDX-License-Identifier: Apache-2.0"
	if ($0 != want)
		finding("expected " want)
}
