#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The description of the API against the API: every operation is called, its answers fit the schemas. Beside others.
. "$(dirname "$0")/controller.bash"

if ! command -v node >/dev/null; then
	skip openapi "node is not installed"
	finish
fi
if ! start_controller; then
	not_ok controller_starts
	finish
fi
same openapi_is_served "$(ctl GET /openapi.json) $(body .openapi)" "200 3.1.0"
same served_is_what_the_file_says "$(jq -cS . "$TMP/body" | md5sum)" "$("$BUILD/yaml_to_json" docs/openapi.yaml | jq -cS . | md5sum)"
if ! timeout 60 node "$(dirname "$0")/openapi.js" "$CONTROLLER_ADDRESS"; then
	failed=1
	tail -n 5 "$TMP/controller.log" >&2
fi
finish
