# SPDX-License-Identifier: Apache-2.0
# What is left to do stands in the tracker, not in the code; code that is off is deleted.
/(^|[^A-Za-z0-9_])(TODO|FIXME|XXX|HACK)([^A-Za-z0-9_]|$)/ {
	finding("left open: do it, or open an issue")
}

/^[ \t]*#[ \t]*if[ \t]+0([^0-9x.]|$)/ {
	finding("code that is off: delete it")
}
