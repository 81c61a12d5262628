#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SIGHUP: tokens, log level and options are read anew by agent and controller, without a restart and
# without a second in which the feed is refused; what is broken leaves the old in force.
# shellcheck source=tests/e2e/controller.bash
. "$(dirname "$0")/controller.bash"
need_cgroups reload

OLD=0123456789abcdef-the-old-one NEW=fedcba9876543210-the-new-one
AGENT_TOKEN=$TMP/agent-token CONTROLLER_TOKEN=$TMP/controller-token
# token_of FILE LINE...
token_of() {
	local file=$1
	shift
	(umask 077 && printf '%s\n' "$@" >"$file.new") && mv "$file.new" "$file"
}
# hup PID LOG: until it has said that it did.
told() { [ "$(grep -c 'SIGHUP: ' "$1")" -gt "$2" ]; }
hup() {
	local before
	before=$(grep -c 'SIGHUP: ' "$2")
	kill -HUP "$1" && wait_for told "$2" "$before"
}
hup_agent() { hup "$AGENT" "$TMP/agent.log"; }
hup_controller() { hup "$CONTROLLER" "$TMP/controller.log"; }
# status URL TOKEN: of an order that is refused for another reason when the token is right.
status() { curl -s -o /dev/null -w '%{http_code}' -X PUT -H "Authorization: Bearer $2" -d '{}' "$1"; }
agent_status() { status "$ADDRESS/container/none" "$1"; }
controller_status() { status "$CONTROLLER_ADDRESS/rule/none/activate" "$1"; }
metric() { curl -s "$ADDRESS/metrics" | sed -n "s/^$1 //p"; }
fed_since() { [ "$(metric ebb_agent_feed_batches_total)" -gt "$1" ]; }
known() { ctl GET /structure/reload-host >/dev/null && grep -q '"subtype": *"host"' "$TMP/body"; }
goes_on() { wait_for fed_since "$(metric ebb_agent_feed_batches_total)"; }

token_of "$AGENT_TOKEN" $OLD
token_of "$CONTROLLER_TOKEN" $OLD
printf '[controller]\nlog-level = info\ntoken-file = %s\n' "$CONTROLLER_TOKEN" >"$TMP/ebb.conf"
printf '[agent]\nlog-level = info\nperiod = 100\ntoken-file = %s\n' "$AGENT_TOKEN" >>"$TMP/ebb.conf"
start_controller --config "$TMP/ebb.conf" || exit 1
start_agent --config "$TMP/ebb.conf" --controller "$CONTROLLER_ADDRESS" --name reload-host || exit 1
check reload_fed_first wait_for known
pid_agent=$AGENT pid_controller=$CONTROLLER

# Both accept both, then each shows the new one, then the old one goes.
token_of "$CONTROLLER_TOKEN" $NEW $OLD
hup_controller
same reload_controller_takes_the_new_token "$(controller_status $NEW)" 404
same reload_controller_still_takes_the_old_token "$(controller_status $OLD)" 404
check reload_feed_goes_on_with_the_old_token goes_on
token_of "$AGENT_TOKEN" $NEW $OLD
hup_agent
check reload_feed_goes_on_with_the_new_token goes_on
same reload_agent_takes_both "$(agent_status $NEW) $(agent_status $OLD)" "404 404"
token_of "$CONTROLLER_TOKEN" $NEW
token_of "$AGENT_TOKEN" $NEW
hup_controller && hup_agent
same reload_old_token_is_refused "$(controller_status $OLD) $(agent_status $OLD)" "401 401"
check reload_feed_goes_on_without_the_old_token goes_on
same reload_no_feed_was_refused "$(metric ebb_agent_feed_failures_total)" 0
same reload_one_session "$(grep -c 'feeding controller' "$TMP/agent.log")" 1

# Broken ones.
: >"$AGENT_TOKEN"
hup_agent
same reload_agent_keeps_its_token "$(agent_status $NEW)" 404
check reload_agent_says_why grep -q "error the token in $AGENT_TOKEN has 0 characters" "$TMP/agent.log"
chmod 644 "$CONTROLLER_TOKEN"
hup_controller
same reload_controller_keeps_its_token "$(controller_status $NEW)" 404
check reload_controller_says_why grep -q "chmod o-rwx $CONTROLLER_TOKEN" "$TMP/controller.log"
check reload_feed_goes_on_with_broken_files goes_on
chmod 600 "$CONTROLLER_TOKEN"
token_of "$AGENT_TOKEN" $NEW

# Options.
sed -i 's/^log-level = info/log-level = debug/; s/^period = 100/period = 200/' "$TMP/ebb.conf"
hup_agent && hup_controller
check reload_says_what_needs_a_restart grep -q 'only a restart takes it over: period$' "$TMP/agent.log"
same reload_controller_needs_no_restart "$(grep -c 'only a restart' "$TMP/controller.log")" 0

# Containers that a new pattern excludes go, as if they had ended; those that an old one did come.
has_live() { ctl GET "/structure/$1" >/dev/null && [ "$(body .host)" = reload-host ]; }
has_not() { [ "$(ctl GET "/structure/$1")" = 404 ]; }
make_cgroup web && make_cgroup db
check reload_known_before wait_for has_live web
check reload_known_before_too wait_for has_live db
same reload_order "$(curl -s -o /dev/null -w '%{http_code}' -X PUT -H "Authorization: Bearer $NEW" \
	-d '{"cpu":{"cpu_allowance_limit":50}}' "$ADDRESS/container/web")" 201
limit_of() { cat "$(cg cpu "$1")/cpu.cfs_quota_us" 2>/dev/null || cut -d' ' -f1 "$(cg cpu "$1")/cpu.max"; }
sed -i 's/^period = 200/&\nexclude = w?b/' "$TMP/ebb.conf"
hup_agent
same reload_excluded "$(curl -s -o /dev/null -w '%{http_code}' "$ADDRESS/container/web") $(curl -s -o /dev/null -w '%{http_code}' "$ADDRESS/container/db")" "404 200"
check reload_the_controller_forgets_it wait_for has_not web
same reload_its_limits_stay "$(limit_of web)" 50000
check reload_says_who_is_excluded grep -q 'container web is excluded now' "$TMP/agent.log"
sed -i 's/^exclude = w?b/exclude = db/' "$TMP/ebb.conf"
hup_agent
check reload_found_again wait_for has_live web
check reload_the_other_one_instead wait_for has_not db
sed -i '/^exclude/d' "$TMP/ebb.conf"
hup_agent
check reload_all_again wait_for has_live db
same reload_only_the_period_waits "$(sed -n 's/.*only a restart takes it over: //p' "$TMP/agent.log" | sort -u)" period

sed -i 's/^log-level = debug/log-level = error/' "$TMP/ebb.conf"
token_of "$AGENT_TOKEN" $NEW $OLD
before=$(grep -c 'SIGHUP: ' "$TMP/agent.log")
kill -HUP "$AGENT"
takes_old() { [ "$(agent_status $OLD)" = 404 ]; }
check reload_takes_the_token_silently wait_for takes_old
same reload_log_level "$(grep -c 'SIGHUP: ' "$TMP/agent.log")" "$before"
sed -i 's/^log-level = error/log-level = loud/' "$TMP/ebb.conf"
kill -HUP "$AGENT"
check reload_says_what_is_wrong_in_the_file wait_for grep -q '"loud" is none of error' "$TMP/agent.log"
check reload_feed_goes_on_with_a_broken_option goes_on
same reload_nobody_restarted "$AGENT $CONTROLLER" "$pid_agent $pid_controller"
check reload_no_token_in_the_logs sh -c "! grep -q -e $OLD -e $NEW '$TMP/agent.log' '$TMP/controller.log'"
check reload_agent_alive kill -0 "$AGENT"
exit $failed
