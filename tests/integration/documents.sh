#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Manual pages, ebb.conf, completion, units, and what `make install` puts where.
. "$(dirname "$0")/../check.bash"
BUILD=${BUILD:-build}
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
root=$TMP/root
make -s generated BUILD="$BUILD" >"$TMP/make" 2>&1 || {
	not_ok documents_are_made "$(tail -n 5 "$TMP/make")"
	exit 1
}

# --- what they say ---

for program in ebb-agent.8 ebb-controller.8 ebb.1; do
	text=$(MANWIDTH=200 man -E ascii -l "$BUILD/man/$program" 2>/dev/null | col -b) || true
	if [ -z "$text" ]; then
		skip "${program%.*}_manual_has_every_option" "no man here, or it shows nothing"
		continue
	fi
	missing=
	while read -r option; do
		grep -q -- "$option" <<<"$text" || missing+=" $option"
	done < <("$BUILD/${program%.*}" --help | grep -o -- '--[a-z][a-z-]*' | sort -u)
	same "${program%.*}_manual_has_every_option" "$missing" ""
done
missing=
for program in ebb-agent ebb-controller; do
	while read -r option _; do
		key=${option#--}
		case $key in config | help | version | print-mkmetric | assign-metrics) continue ;; esac
		grep -q "^\\\\fB${key//-/\\\\-} = " "$BUILD/man/ebb.conf.5" || missing+=" $program:$key"
		grep -q "^#\?$key = " "$BUILD/etc/ebb.conf" || missing+=" example:$program:$key"
	done < <("$BUILD/$program" --help=words)
done
same the_file_s_manual_and_example_have_every_key "$missing" ""

# Nothing is told of options that are not there; --packages is one of packaging/deps.sh, and tests/vm/run has its own.
for program in ebb-agent ebb-controller ebb; do "$BUILD/$program" --help=words | grep -o -- '--[a-z][a-z-]*'; done >"$TMP/options"
echo --packages >>"$TMP/options"
same no_document_has_another_option "$(sed '/tests\/vm\/run /d; s/\\-/-/g' README.md docs/*.md packaging/{man,examples,systemd}/* |
	grep -o -- '--[a-z][a-z-]*' | sort -u | grep -vxF -f "$TMP/options" | xargs)" ""

if command -v mandoc >/dev/null; then
	same manuals_are_clean_to_mandoc "$(mandoc -Tlint "$BUILD"/man/* 2>&1)" ""
else
	skip manuals_are_clean_to_mandoc "no mandoc here"
fi
if command -v man >/dev/null; then
	same manuals_are_clean_to_man "$(for page in "$BUILD"/man/*; do
		LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null
	done)" ""
else
	skip manuals_are_clean_to_man "no man here"
fi

# The example is read by every program: they come as far as the token, which is not there.
for program in ebb-agent ebb-controller; do
	sed "s|/etc/ebb/token|$TMP/no-token|" "$BUILD/etc/ebb.conf" >"$TMP/ebb.conf"
	"$BUILD/$program" --config "$TMP/ebb.conf" --listen 127.0.0.1:0 >"$TMP/out" 2>&1
	check "${program}_reads_the_example" grep -q "token file $TMP/no-token" "$TMP/out"
done
EBB_CONFIG="" "$BUILD/ebb" --config "$TMP/ebb.conf" rule missing >"$TMP/out" 2>&1
same ebb_reads_the_example "$(grep -c 'ebb.conf' "$TMP/out")" 0

# complete FUNCTION WORD...: what the last word may become.
complete_words() {
	bash -c '. "$1"; function=$2; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); $function; echo "${COMPREPLY[*]}"' - \
		"$BUILD/completion/ebb" "$@"
}
same completes_verbs "$(complete_words _ebb ebb gua)" guard
same completes_verbs_behind_options "$(complete_words _ebb ebb --json --agent http://x ungu)" unguard
same completes_options_of_the_verb "$(complete_words _ebb ebb guard web --disk-w)" --disk-write
same completes_choices "$(complete_words _ebb_agent ebb-agent --sampler w)" walk
same completes_options_of_programs "$(complete_words _ebb_controller ebb-controller --state-o)" --state-optional

# --- where they go ---

make -s install-built BUILD="$BUILD" DESTDIR="$root" prefix=/usr >"$TMP/make" 2>&1
same install_succeeds $? 0
same install_puts_all_in_its_place "$(cd "$root" && find . -type f -o -type l | grep -v examples/ | sort | xargs)" "./etc/ebb/ebb.conf \
./usr/bin/ebb ./usr/lib/systemd/system/ebb-agent.service ./usr/lib/systemd/system/ebb-controller.service \
./usr/lib/systemd/system/ebb.slice ./usr/lib/sysusers.d/ebb.conf ./usr/sbin/ebb-agent ./usr/sbin/ebb-controller \
./usr/share/bash-completion/completions/ebb ./usr/share/bash-completion/completions/ebb-agent \
./usr/share/bash-completion/completions/ebb-controller ./usr/share/man/man1/ebb.1 ./usr/share/man/man5/ebb.conf.5 \
./usr/share/man/man8/ebb-agent.8 ./usr/share/man/man8/ebb-controller.8"
echo '# mine' >>"$root/etc/ebb/ebb.conf"
make -s install-built BUILD="$BUILD" DESTDIR="$root" prefix=/usr >"$TMP/make" 2>&1
same install_leaves_the_configuration "$(tail -n 1 "$root/etc/ebb/ebb.conf")" "# mine"

# --- the units ---

units=$root/usr/lib/systemd/system
if command -v systemd-analyze >/dev/null; then
	for unit in "$units"/*.service; do sed -i "s|^ExecStart=/usr/sbin/|ExecStart=$root/usr/sbin/|" "$unit"; done
	# What other units have to say is not about these.
	same units_are_valid "$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$units"/ebb* 2>&1 |
		grep -E "$units|^ebb[-.]")" ""
	security() { systemd-analyze security --no-pager --offline=true --threshold="$1" "$2" >"$TMP/security" 2>&1; }
	check agent_s_exposure_is_at_most_2.0 security 20 "$units/ebb-agent.service"
	tail -n 1 "$TMP/security"
	check controller_s_exposure_is_at_most_1.5 security 15 "$units/ebb-controller.service"
	tail -n 1 "$TMP/security"
	mkdir "$units/ebb-agent.service.d"
	cp packaging/examples/ebb-agent-*.conf "$units/ebb-agent.service.d/"
	same drop_ins_are_valid "$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$units/ebb-agent.service" 2>&1 |
		grep -E "$units|^ebb[-.]")" ""
	rm -r "$units/ebb-agent.service.d"
else
	skip units "no systemd-analyze here"
fi

make -s uninstall BUILD="$BUILD" DESTDIR="$root" prefix=/usr >"$TMP/make" 2>&1
same uninstall_leaves_the_configuration_only "$(cd "$root" && find . -type f -o -type l | xargs)" "./etc/ebb/ebb.conf"
check uninstall_says_so grep -q "etc/ebb is left" "$TMP/make"
exit $failed
