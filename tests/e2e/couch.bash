# SPDX-License-Identifier: Apache-2.0
# For the shell tests of the whole loop with its state in a CouchDB: loop.bash, peers.bash, and the documents.
# Source it.
# shellcheck source=tests/e2e/loop.bash
. "$(dirname "${BASH_SOURCE[0]}")/loop.bash"
# shellcheck source=tests/peers/peers.bash
. "$(dirname "${BASH_SOURCE[0]}")/../peers/peers.bash"
DATABASES="structures services limits rules events requests users"

# couch METHOD DB[/REST] [BODY]: the answer; fails unless it is 2xx.
couch() {
	local args=(-s -f --max-time 20 -X "$1" -H 'Content-Type: application/json')
	[ $# -gt 2 ] && args+=(--data-binary "$3")
	curl "${args[@]}" "$COUCHDB_URL/$COUCHDB_PREFIX$2"
}
# document DB NAME: as it is in the database.
document() {
	couch GET "$1/_all_docs?include_docs=true" | jq -ce --arg name "$2" '[.rows[].doc | select(.name == $name)][0]'
}
rev() { document "$1" "$2" | jq -r ._rev; }
# field DB NAME JQ
field() { document "$1" "$2" | jq -c "$3"; }
field_is() { [ "$(field "$1" "$2" "$3")" = "$4" ]; }
# edit DB NAME JQ: by hand, as somebody with curl would; again when Ebb was quicker.
edit() {
	local doc i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		doc=$(document "$1" "$2" | jq -ce "$3") || return 1
		couch PUT "$1/$(jq -r '._id | @uri' <<<"$doc")" "$doc" >"$TMP/edited" && return
	done
	return 1
}
# Heartbeats are told when they fall due, feed_in_use is worked out for whoever asks, and rules are shown
# with the _id that they have in the original.
told_by_ebb() {
	local name
	ask GET /structure/ | jq -S 'map(del(.feed_in_use)) | sort_by(.name)' &&
		ask GET /rule/ | jq -S 'map(del(._id)) | sort_by(.name)' &&
		ask GET /service/ | jq -S 'map(del(.heartbeat, .heartbeat_human)) | sort_by(.name)' &&
		for name in $(ask GET /structure/ | jq -r '.[] | select(.subtype != "host") | .name' | sort); do
			ask GET "/structure/$name/limits" | jq -S . || return 1
		done
}
told_by_couchdb() {
	documents structures | jq -S 'map(del(.feed_in_use)) | sort_by(.name)' &&
		documents rules | jq -S 'sort_by(.name)' &&
		documents services | jq -S 'map(select(.name != "ebb_leader") | del(.heartbeat, .heartbeat_human)) | sort_by(.name)' &&
		documents limits | jq -S 'sort_by(.name)[].resources'
}
# documents DB: all of them, without what is CouchDB's own.
documents() {
	couch GET "$1/_all_docs?include_docs=true" |
		jq '[.rows[].doc | select(._id | startswith("_design/") | not) | with_entries(select(.key | startswith("_") | not))]'
}
# Each document in the database says what the API says.
state_agrees() {
	told_by_ebb >"$TMP/told_by_ebb" 2>/dev/null && told_by_couchdb >"$TMP/told_by_couchdb" 2>/dev/null &&
		[ -s "$TMP/told_by_ebb" ] && cmp -s "$TMP/told_by_ebb" "$TMP/told_by_couchdb"
}
# within SECONDS COMMAND...: polls what takes more than a moment to ask; the bound is for failures only.
within() {
	local end=$((SECONDS + $1))
	shift
	while [ $SECONDS -lt "$end" ]; do
		"$@" && return
		sleep 0.05
	done
	return 1
}
converges() {
	within 40 state_agrees && return
	diff "$TMP/told_by_ebb" "$TMP/told_by_couchdb" | head -n 40 >&2
	return 1
}
# metric NAME: of the controller.
metric() { ask GET /metrics | sed -n "s/^$1 //p"; }
heartbeat() { ask GET /heartbeat | jq -c "$1"; }
