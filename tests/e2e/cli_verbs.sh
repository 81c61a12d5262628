#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The command line against the real controller: what it prints, its exit statuses, what it changes. Beside others.
. "$(dirname "$0")/controller.bash"

# --- without a controller
CONTROLLER_ADDRESS=http://127.0.0.1:1
same unreachable_fails "$(ebb ps)" 1
same unreachable_is_one_line "$(err | wc -l) $(grep -c 'Start it with `ebb-controller`' "$TMP/err")" "1 1"
same unreachable_top_fails "$(ebb top)" 1
same doctor_fails "$(ebb doctor)" 1
check doctor_says_what_to_start grep -q '^FAIL  controller .*start `ebb-controller`' "$TMP/out"
check doctor_tells_the_kernel grep -qF "OK    kernel        $(uname -r)" "$TMP/out"
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	# capabilities_with CAPABILITIES: what the doctor says of a shell with no others.
	capabilities_with() {
		setpriv --bounding-set="-all$1" --inh-caps=-all "$BUILD/ebb" --controller http://127.0.0.1:1 --agent http://127.0.0.1:1 doctor |
			sed -n 's/  *capabilities  */ /p'
	}
	same doctor_asks_for_what_the_agent_s_unit_has "$(capabilities_with ,+bpf,+perfmon | cut -c1-3)" "OK "
	check doctor_says_what_a_shell_lacks grep -q '^WARN this shell lacks CAP_PERFMON: ' <<<"$(capabilities_with ,+bpf)"
else
	skip doctor_asks_for_what_the_agent_s_unit_has "needs root and setpriv(1), to take capabilities away"
fi
same no_verb_is_usage "$(ebb)" 2
same unknown_verb_is_usage "$(ebb dance)" 2
same unknown_option_is_usage "$(ebb ps --dance)" 2
same help "$(ebb --help) $(out | grep -cE '^  (ps|top|guard|unguard|set|subscribe|desubscribe|app|user|apply|rules|limits|service|why|doctor|sanity|migrate|reflex) ')" "0 18"
for verb in ps top guard unguard set subscribe desubscribe app user apply rules limits service why doctor sanity migrate reflex; do
	same "help_$verb" "$(ebb help $verb) $(head -n 1 "$TMP/out" | grep -c "^Usage: ebb $verb")" "0 1"
done
same version "$(ebb --version) $(out | grep -cE '^ebb [0-9]+\.')" "0 1"

if ! start_controller; then
	not_ok controller_starts
	finish
fi

same https_where_http_is_spoken_is_told "$(CONTROLLER_ADDRESS=${CONTROLLER_ADDRESS/http:/https:}; ebb ps) $(grep -c 'no TLS is spoken there, write http:// instead' "$TMP/err")" "1 1"

# --- reading
same ps_of_nothing "$(ebb ps)" 0
same registers "$(register)" 200
same ps "$(ebb ps) $(out | awk '{print $1, $2, $3}' | tr '\n' ';')" "0 NAME HOST GUARDED;c0 h0 no;c1 h0 no;"
same ps_by_pattern "$(ebb ps '*1') $(out | wc -l)" "0 2"
same ps_of_nobody "$(ebb ps nobody)" 1
same ps_json "$(ebb --json ps) $(jq -r 'map(.name)|sort|join(" ")' "$TMP/out")" "0 c0 c1"
same rules "$(ebb rules) $(out | grep -c 'cpu_exceeded_upper .*usage > upper and upper < max')" "0 1"
same rules_json "$(ebb rules --json) $(jq 'length > 5' "$TMP/out")" "0 true"
same why_of_the_unguarded "$(ebb why c0) $(out | grep -c 'not guarded')" "0 1"
same why_of_nobody "$(ebb why nobody) $(err | grep -c "no structure 'nobody'")" "1 1"
same top_once "$(ebb top --once) $(out | wc -l) $(out | awk 'NR == 1 {print $1}')" "0 3 NAME"
same top_rows "$(ebb top --interval 0.2 --for 0.5 c0) $(out | head -n 1 | awk '{print $1}') $(out | grep -c ' c0 ')" "0 TIME 3"
same top_json "$(ebb top --json) $(jq -r '.structures|length' "$TMP/out")" "0 2"
check no_colour_in_a_pipe bash -c '! grep -q "$(printf "\033")" "$1"' _ "$TMP/out"
same top_bad_interval "$(ebb top --interval 0)" 2

# --- changing
same set_max "$(ebb set c1 cpu max 1.5c) $(ctl GET /structure/c1/resources/cpu/max) $(cat "$TMP/body")" "0 200 150"
same set_min_mem "$(ebb set c1 mem min 96M) $(ctl GET /structure/c1/resources/mem/min) $(cat "$TMP/body")" "0 200 96"
same set_boundary "$(ebb set c1 cpu boundary 15) $(ctl GET /structure/c1/limits/cpu) $(body .boundary)" "0 200 15"
same set_boundary_type "$(ebb set c1 cpu boundary_type percentage_of_max) $(ctl GET /structure/c1/limits/cpu) $(body .boundary_type)" "0 200 percentage_of_max"
same set_weight "$(ebb set c1 cpu weight 2) $(ctl GET /structure/c1/resources/cpu/weight) $(body '.')" "0 200 2"
same set_guard_of_one "$(ebb set c1 mem guard no) $(ctl GET /structure/c1/resources/mem/guard) $(cat "$TMP/body")" "0 200 false"
same set_refused_by_the_controller "$(ebb set c1 cpu min 160) $(err | wc -l) $(err | grep -c 'above max')" "1 1 1"
same set_nonsense "$(ebb set c1 cpu dance 1)" 2
same set_bad_amount "$(ebb set c1 cpu max 1G)" 2
same set_of_nobody "$(ebb set nobody cpu max 100)" 1

same guard_with_ranges "$(ebb guard c0 --cpu 0.3c..2.5c --mem 128M..1G) $(out | grep -c '^c0 is guarded')" "0 1"
same guard_set_the_ranges "$(ctl GET /structure/c0) $(body '[.guard, .resources.cpu.min, .resources.cpu.max, .resources.mem.min, .resources.mem.max]|tojson')" \
	"200 [true,30,250,128,1024]"
# Each step must keep min <= max: upwards max goes first, downwards min.
same guard_range_upwards "$(ebb guard c0 --cpu 260..300) $(ctl GET /structure/c0) $(body '[.resources.cpu.min, .resources.cpu.max]|tojson')" "0 200 [260,300]"
same guard_range_downwards "$(ebb guard c0 --cpu 20..200) $(ctl GET /structure/c0) $(body '[.resources.cpu.min, .resources.cpu.max]|tojson')" "0 200 [20,200]"
same guard_half_a_range "$(ebb guard c0 --cpu ..220) $(ctl GET /structure/c0) $(body '[.resources.cpu.min, .resources.cpu.max]|tojson')" "0 200 [20,220]"
# More than the host has: the max is refused, and the min that went before it is put back.
same guard_refused "$(ebb guard c0 --cpu 50..99999) $(ctl GET /structure/c0) $(body '[.resources.cpu.min, .resources.cpu.max]|tojson')" "1 200 [20,220]"
same guard_bad_range "$(ebb guard c0 --cpu 200..20)" 2
same guard_of_nobody "$(ebb guard nobody) $(err | wc -l)" "1 1"
same ps_shows_guarded "$(ebb ps c0) $(out | sed 's/ (away)//' | awk 'NR == 2 {print $3}')" "0 cpu,mem"
same reflex_off "$(ebb reflex c0 off) $(out) $(ctl GET /structure/c0) $(body .reflex)" "0 reflex of c0 is off 200 false"
same reflex_shown "$(ebb reflex c0) $(out) $(ebb --json reflex c0) $(jq .reflex "$TMP/out")" "0 reflex of c0 is off 0 false"
same reflex_on "$(ebb reflex c0 on) $(out) $(ctl GET /structure/c0) $(body .reflex)" "0 reflex of c0 is on 200 true"
same reflex_never "$(ebb reflex c0 never) $(ebb reflex) $(ebb reflex nobody off) $(ebb reflex h0 off) $(err | grep -c 'Only a container')" "2 2 1 1 1"
same unguard "$(ebb unguard c0) $(out | grep -c '^c0 is not guarded') $(ctl GET /structure/c0) $(body .guard)" "0 1 200 false"

# --- a live screen, in a terminal of 80 columns made by script(1)
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
	(sleep 1; printf q; sleep 3) | timeout 20 script -qec "stty cols 80 rows 24; TERM=xterm $BUILD/ebb --controller $CONTROLLER_ADDRESS top --interval 0.2" \
		"$TMP/typescript" >/dev/null 2>&1
	check screen_is_opened_and_closed bash -c 'grep -q "$(printf "\033\\[?1049h")" "$1" && grep -q "$(printf "\033\\[?1049l")" "$1"' _ "$TMP/typescript"
	widest=$(sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g; s/\r//g' "$TMP/typescript" | grep -E '^ *(NAME|c0|c1|ebb|CPU)' | awk '{ if (length($0) > w) w = length($0) } END { print w + 0 }')
	check screen_fits_its_width test "$widest" -gt 40 -a "$widest" -le 80
	check screen_has_colour grep -q "$(printf '\033\[1m')" "$TMP/typescript"
	timeout 20 script -qec "stty cols 80 rows 24; NO_COLOR=1 TERM=xterm $BUILD/ebb --controller $CONTROLLER_ADDRESS ps" "$TMP/typescript" >/dev/null 2>&1 </dev/null
	check no_color_is_respected bash -c '! sed 1d "$1" | grep -q "$(printf "\033\\[[0-9]*m")"' _ "$TMP/typescript"
else
	skip screen "needs script(1) and a pseudo terminal"
fi
stop_controller

# --- with a token
umask 077
echo "a-token-of-more-than-16-characters" >"$TMP/token"
if start_controller --token-file "$TMP/token"; then
	same without_the_token "$(ebb unguard c0) $(err | grep -c -- '--token-file')" "1 1"
	same with_the_token "$(ebb --token-file "$TMP/token" unguard c0)" 0
	same with_the_token_from_the_environment "$(EBB_TOKEN_FILE=$TMP/token ebb unguard c0)" 0
	echo "another-token-of-more-than-16-characters" >"$TMP/other"
	same with_another_token "$(ebb --token-file "$TMP/other" unguard c0) $(err | grep -c 'another token')" "1 1"
	chmod 644 "$TMP/token"
	same a_token_that_others_can_read "$(ebb --token-file "$TMP/token" ps)" 1
	ebb --token-file "$TMP/token" doctor >/dev/null
	check doctor_sees_the_mode_of_the_token grep -q '^FAIL  token .*chmod 600' "$TMP/out"
else
	not_ok controller_starts_with_a_token
fi
finish
