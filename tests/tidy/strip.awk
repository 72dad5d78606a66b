# SPDX-License-Identifier: Apache-2.0
# Takes a line of C apart, for the checks that come after it on awk's command line: code is the line
# without comments and with empty string literals, comment is the text of its comments.

FNR == 1 {
	in_comment = 0
}

{
	take_apart($0)
}

function take_apart(line,    c, two, quote)
{
	code = comment = ""
	while (line != "") {
		two = substr(line, 1, 2)
		c = substr(line, 1, 1)
		if (in_comment) {
			if (two == "*/") {
				in_comment = 0
				line = substr(line, 3)
				continue
			}
			comment = comment c
		} else if (two == "/*") {
			in_comment = 1
			line = substr(line, 3)
			continue
		} else if (two == "//") {
			comment = comment substr(line, 3)
			return
		} else if (c == "\"" || c == "'") {
			line = after_literal(substr(line, 2), c)
			code = code c c
			continue
		} else {
			code = code c
		}
		line = substr(line, 2)
	}
}

function after_literal(line, quote,    c)
{
	while (line != "") {
		c = substr(line, 1, 1)
		line = substr(line, c == "\\" ? 3 : 2)
		if (c == quote)
			break
	}
	return line
}

function finding(what)
{
	print FILENAME ":" FNR ": " what
}
