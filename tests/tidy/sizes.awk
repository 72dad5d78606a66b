# SPDX-License-Identifier: Apache-2.0
# A file past 500 lines is a room to split by noun; a function past 70 does more than one thing. The
# formatter puts the braces of a function, and of nothing else, at the first column.
BEGIN {
	file_lines_max = 500
	function_lines_max = 70
}

FNR == 1 {
	end_of_file()
	path = FILENAME
	start = 0
}

{
	lines = FNR
}

/^\{/ {
	start = FNR
}

/^\}/ && start {
	if (FNR - start - 1 > function_lines_max)
		print FILENAME ":" start ": function of " FNR - start - 1 " lines, more than " function_lines_max
	start = 0
}

END {
	end_of_file()
}

function end_of_file()
{
	if (lines > file_lines_max)
		print path ":" lines ": file of " lines " lines, more than " file_lines_max
}
