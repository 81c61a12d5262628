#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes a manual page or the example of ebb.conf: packaging/man.sh TEMPLATE DIRECTORY-OF-PROGRAMS.
# A line @NAME@ of the template is what a program says of itself.
set -euo pipefail
template=$1 programs=$2
case $template in
*ebb-agent.8.in) options=ebb-agent ;;
*ebb-controller.8.in) options=ebb-controller ;;
*) options=ebb ;;
esac

# keys PROGRAM KEY=VALUE...: for a manual page; or for the file, where these keys are set.
keys() {
	local program=$1 set=() pair
	shift
	if [[ $template != *.conf.in ]]; then
		"$programs/$program" --help=keys
		return
	fi
	for pair; do set+=(-e "s|^#${pair%%=*} = .*|${pair%%=*} = ${pair#*=}|"); done
	"$programs/$program" --help=conf | sed "${set[@]}"
}

version=$("$programs/ebb" --version)
while IFS= read -r line; do
	case $line in
	@OPTIONS@) "$programs/$options" --help=man ;;
	@VERBS@) "$programs/ebb" --help=verbs ;;
	@AGENT@) keys ebb-agent controller=http://127.0.0.1:5000 token-file=/etc/ebb/token ;;
	@CONTROLLER@) keys ebb-controller token-file=/etc/ebb/token ;;
	@EBB@) keys ebb token-file=/etc/ebb/token ;;
	*) printf '%s\n' "${line//@VERSION@/${version#ebb }}" ;;
	esac
done <"$template"
