# SPDX-License-Identifier: Apache-2.0
# Completion of duct(1) for bash.

# The addresses in the folder of this user.
_duct_urls()
{
	local folder socket
	for folder in "${XDG_RUNTIME_DIR:-/run/user/$UID}/duct" "/tmp/duct-$UID"; do
		[ -d "$folder" ] || continue
		for socket in "$folder"/*; do
			[ ! -S "$socket" ] || printf 'shm://%s\n' "${socket##*/}"
		done
		return
	done
}

_duct()
{
	local command=${COMP_WORDS[1]} line=${COMP_LINE:0:COMP_POINT} word options previous
	local both="--lines --framed --in= --out= --chunk= --count= --timeout= --no-input --close --quiet
		--verbose --help --usage --version"
	word=${line##*[[:space:]]} # whole words: "=" and ":" split COMP_WORDS
	line=${line%"$word"}
	read -r -a previous <<<"$line"
	COMPREPLY=()

	if [ "${#previous[@]}" -le 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "listen dial ping doctor bench help --help --version" -- "$word")
		return
	fi
	case $command in
	listen) options="$both --keep --exec= --echo --threads=" ;;
	dial) options=$both ;;
	ping) options="--count= --size= --interval= --timeout= --json --listen --quiet --help --usage --version" ;;
	doctor) options="--json --help --usage --version" ;;
	bench) options="--filter= --html= --json= --list --no-spinners --peers --quick --repeats= --help --usage" ;;
	help) options="listen dial ping doctor bench" ;;
	*) return ;;
	esac

	case $word in
	--in=* | --out=*)
		mapfile -t COMPREPLY < <(compgen -W "raw lines framed" -- "${word#*=}")
		return
		;;
	--exec=*)
		mapfile -t COMPREPLY < <(compgen -c -- "${word#*=}")
		return
		;;
	--html=* | --json=*)
		mapfile -t COMPREPLY < <(compgen -f -- "${word#*=}")
		return
		;;
	-* | "")
		;;
	*)
		[ "$command" = help ] || options=
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
	case $command:$word in
	listen:-* | dial:-* | ping:-* | doctor:* | bench:* | help:*) ;;
	*)
		local urls
		mapfile -t urls < <(compgen -W "$(_duct_urls) shm://" -- "$word")
		# An address is completed whole, but bash replaces only what follows the last ":".
		case $word in *:*) urls=("${urls[@]#"${word%"${word##*:}"}"}") ;; esac
		if [ -n "$word" ]; then
			COMPREPLY=("${urls[@]}")
		else
			COMPREPLY+=("${urls[@]}")
		fi
		;;
	esac
	[[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *[=/] ]] || compopt -o nospace
}

complete -F _duct duct
