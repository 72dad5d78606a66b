# SPDX-License-Identifier: Apache-2.0
# Every edge between two threads or processes has a name, a line in the table of its file, and a tag at
# both ends. See "Edges" in CONTRIBUTING.md for the convention that is parsed here:
#
#  *   [slot]  stamp stored with release …  |  loaded with acquire …    a line of a table
# /* [slot] publishes: … */    /* [slot] observes: … */                 the two ends
# /* [park] fence: … */        /* [park] fence: … */                    a pair of full fences
# /* [slot] */                                                          an end; which, the access says
#
# A site stands at most reach lines above the access it speaks of, or behind it on the same line.
BEGIN {
	reach = 4
}

FILENAME !~ /^(lib|shm|transports)\// {
	next
}

FNR == 1 {
	close_sites()
}

# A comment of several lines ends where its last line does.
comment_site && (comment != "" || code ~ /^[ \t]*$/) {
	line_of[comment_site] = FNR
}

comment ~ /^[ *|]*\[[a-z][a-z-]*\]/ {
	tag = rest = comment
	sub(/^[ *|]*\[/, "", tag)
	sub(/\].*/, "", tag)
	sub(/^[ *|]*\[[a-z-]*\][ |]*/, "", rest)
	if (rest ~ /^(publishes|observes|fence)([^a-z]|$)/) {
		sub(/[^a-z].*/, "", rest)
		site(tag, rest)
	} else if (code ~ /[^ \t]/ || $0 ~ /^[ \t]*\/\*/) {
		site(tag, "access")
	} else {
		table[tag] = FILENAME ":" FNR
		if (rest ~ /kernel/)
			kernels[tag] = 1
	}
}

{
	comment_site = in_comment ? comment_site : 0
	publishes = code ~ /memory_order_(release|acq_rel|seq_cst)|store_release\(|ck_pr_fence_(release|memory)\(/
	observes = code ~ /memory_order_(acquire|acq_rel|seq_cst)|load_acquire\(|ck_pr_fence_(acquire|memory)\(/
	fence = code ~ /memory_order_seq_cst|(fence|barrier)[a-z_]*\(/
}

(publishes || observes || fence) {
	served = 0
	for (i = sites; i > 0 && line_of[i] >= FNR - reach; i--)
		if (fits(kind_of[i])) {
			served = 1
			if (!used[i])
				credit(tag_of[i], kind_of[i])
			used[i] = 1
		}
	# The accessors of peer.h serve every edge; the sites are their callers.
	if (!served && code ~ /memory_order|load_acquire\(|store_release\(|ck_pr_fence/ && FILENAME != "shm/peer.h")
		finding("an access that orders something carries no tag")
}

END {
	close_sites()
	for (tag in known)
		if (!(tag in table))
			print known[tag] ": [" tag "]: stands in no table"
	for (tag in table) {
		if (ends[tag, "fence"] >= 2 || (ends[tag, "publishes"] && ends[tag, "observes"]))
			continue
		if (tag in kernels && (ends[tag, "publishes"] || ends[tag, "observes"]))
			continue
		if (ends[tag, "fence"])
			print table[tag] ": [" tag "]: a pair of fences has two ends, this has one"
		else if (!ends[tag, "publishes"] && !ends[tag, "observes"])
			print table[tag] ": [" tag "]: has a line in the table and no site"
		else
			print table[tag] ": [" tag "]: no site " (ends[tag, "publishes"] ? "observes" : "publishes")
	}
}

# Whether the access of this line is one that such a site speaks of.
function fits(kind)
{
	return kind == "access" || (kind == "publishes" && publishes) || (kind == "observes" && observes) || (kind == "fence" && fence)
}

function credit(tag, kind)
{
	if (kind == "access" && code ~ /fence\(/ && fence)
		kind = "fence"
	if (kind != "access") {
		ends[tag, kind]++
		return
	}
	ends[tag, "publishes"] += publishes
	ends[tag, "observes"] += observes
	ends[tag, "fence"] += fence
}

function site(tag, kind)
{
	known[tag] = FILENAME ":" FNR
	sites++
	path = FILENAME
	line_of[sites] = first_of[sites] = FNR
	kind_of[sites] = kind
	tag_of[sites] = tag
	used[sites] = 0
	comment_site = sites
}

# At the end of a file every site must have met its access.
function close_sites(    i)
{
	for (i = 1; i <= sites; i++)
		if (!used[i])
			print path ":" first_of[i] ": [" tag_of[i] "] " kind_of[i] ": no such access within " reach " lines"
	sites = comment_site = 0
}
