#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes bash's completion of the three programs, from what they say of themselves.
#   packaging/completion.sh DIRECTORY-OF-PROGRAMS
set -euo pipefail
# shellcheck disable=SC2016 # what is printed is expanded later
programs=$1

cat <<'END'
# SPDX-License-Identifier: Apache-2.0
# bash completion of ebb, ebb-agent and ebb-controller; made at build time.

# _ebb_value WORDS: what may follow an option, by the word that --help shows for it.
_ebb_value()
{
	case $1 in
	*FILE* | *PATH* | FROM | TO) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	DIR) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	*[a-z]*) mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur") ;;
	esac
}
END

for program in ebb-agent ebb-controller; do
	function=_${program//-/_}
	printf '\n%s()\n{\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n\n\tcase $before in\n' "$function"
	options=
	while read -r option values; do
		options+=" $option"
		[ -z "$values" ] || printf "\t%s) _ebb_value '%s' && return ;;\n" "$option" "$values"
	done < <("$programs/$program" --help=words)
	printf '\tesac\n\tmapfile -t COMPREPLY < <(compgen -W "%s" -- "$cur")\n}\ncomplete -o filenames -F %s %s\n' \
		"${options# }" "$function" "$program"
done

# "VERB OPTION...", and the options of all verbs as a verb without a name: "- --json --controller URL".
printf '\n_ebb()\n{\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=\x27\x27 i words=\x27\x27\n'
printf '\n\tfor ((i = 1; i < COMP_CWORD; i++)); do\n\t\tcase ${COMP_WORDS[i]} in\n'
common=
takes=
while read -r option value; do
	common+=" $option"
	[ -z "$value" ] || takes+="${takes:+ | }$option"
done < <("$programs/ebb" --help=words | sed -n 's/^- //p')
printf '\t\t%s) i=$((i + 1)) ;;\n\t\t-*) ;;\n\t\t*) verb=${COMP_WORDS[i]}; break ;;\n\t\tesac\n\tdone\n\tcase $before in\n' "$takes"
"$programs/ebb" --help=words | sed -n 's/^- \(--[^ ]*\) \(.*\)/\t\1) _ebb_value \x27\2\x27; return ;;/p'
printf '\tesac\n\tcase $verb in\n'
verbs=
while read -r verb options; do
	[ "$verb" != - ] || continue
	verbs+=" $verb"
	printf "\t%s) words='%s' ;;\n" "$verb" "$options"
done < <("$programs/ebb" --help=words)
printf "\t'' | help) words='%s help' ;;\n\tesac\n" "${verbs# }"
printf '\tmapfile -t COMPREPLY < <(compgen -W "$words%s" -- "$cur")\n' "$common"
printf '\tcase $verb in apply | migrate | simulate | rules | rule) [[ $cur == -* ]] || mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur") ;; esac\n}\ncomplete -o filenames -F _ebb ebb\n'
