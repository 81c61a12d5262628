#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The double of OpenTSDB is as strict as OpenTSDB 2.4: each row of its protocol, by curl. Tests of the
# pusher and of the query prove nothing beyond what is proved here. Beside others.
# shellcheck disable=SC2016 # jq's variables
set -u
here=$(dirname "$0")
# shellcheck source=tests/check.bash
. "$here/../check.bash"
# shellcheck source=tests/peers/peers.bash
. "$here/../peers/peers.bash"
need_peer opentsdb_double opentsdb_double
start_opentsdb_double show_stack_trace=false || exit 1
tmp=$peers_tmp
JSON='Content-Type: application/json'

# call PATH CURL-OPTION...: the status, "000" for none; body and headers in files.
call() {
	local path=$1
	shift
	: >"$tmp/body"
	curl -s -o "$tmp/body" -D "$tmp/headers" -w '%{http_code}' --max-time 20 "$@" "$OPENTSDB$path"
}
# row NAME STATUS JQ WANT PATH CURL-OPTION...: "-" for JQ: the body is not looked at.
row() {
	local name=$1 status=$2 jq=$3 want=$4 got
	shift 4
	got=$(call "$@")
	[ "$jq" = - ] || got+=" $(jq -c "$jq" "$tmp/body" 2>&1)"
	[ "$jq" = - ] || status+=" $want"
	same "$name" "$got" "$status"
}
point() { # VALUE [TIMESTAMP [TAGS [METRIC]]]: each is JSON
	local tags=${3-}
	printf '{"metric":%s,"timestamp":%s,"value":%s,"tags":%s}' "${4-\"proc.cpu.user\"}" "${2-1700000000}" "$1" \
		"${tags:-"{\"host\":\"h\"}"}"
}
forget() { curl -s -o /dev/null -X DELETE "$OPENTSDB/control/points"; }
stored() { curl -s "$OPENTSDB/control/points" | jq -c "$1"; }
counter() { curl -s "$OPENTSDB/control" | jq -c ".counters.$1"; }
modes() { control "$OPENTSDB" "$1" >/dev/null; }
good=$(point 5)
unknown=$(point 5 1700000000 '{"host":"h"}' '"no.such"')

# --- put: status and body
row put_object 204 . '' /api/put -d "$good"
same put_204_is_empty "$(wc -c <"$tmp/body") $(grep -ci '^content-length: 0' "$tmp/headers")" "0 1"
row put_array 204 . '' /api/v1/put -d "[$good,$good]"
same put_is_stored_once_per_moment "$(stored '[.[]|[.metric,.timestamp,.value,.tags.host,.writes]]')" \
	'[["proc.cpu.user",1700000000,5,"h",3]]'
row put_summary 200 . '{"success":2,"failed":0}' '/api/put?summary' -d "[$good,$good]"
row put_flag_needs_no_value 200 . '{"success":1,"failed":0}' '/api/put?summary=false' -d "$good"
row put_details 200 . '{"success":1,"failed":0,"errors":[]}' '/api/put?details' -d "$good"
row put_details_wins 200 .errors '[]' '/api/put?summary&details' -d "$good"
row put_sync_timeout 200 . '{"timeouts":0,"success":1,"failed":0}' '/api/put?summary&sync&sync_timeout=500' -d "$good"
forget
row put_one_bad 400 .error '{"code":400,"message":"One or more data points had errors","details":"Please see the TSD logs or append \"details\" to the put request"}' \
	/api/put -d "[$unknown,$good]"
same put_the_good_one_is_stored "$(stored length)" 1
row put_one_bad_summary 400 . '{"success":1,"failed":1}' '/api/put?summary' -d "[$unknown,$good]"
row put_one_bad_details 400 . \
	'{"success":1,"failed":1,"errors":[{"datapoint":{"metric":"no.such","timestamp":1700000000,"value":"5","tags":{"host":"h"}},"error":"Unknown metric"}]}' \
	'/api/put?details' -d "[$unknown,$good]"
row put_empty_array 400 .error.message '"No datapoints found in content"' /api/put -d '[]'
row put_no_body 400 .error.message '"Missing request content"' /api/put -X POST
row put_broken 400 .error.message '"Unable to parse the given JSON"' /api/put -d "[$good"
row put_text 400 .error.message '"The JSON must start as an object or an array"' /api/put -d 'put a 1 2'
row put_get 405 .error '{"code":405,"message":"Method not allowed","details":"The HTTP method [GET] is not permitted for this endpoint"}' /api/put
row put_put 405 .error.code 405 /api/put -X PUT -d "$good"
row no_such_endpoint 404 .error.message '"Endpoint not found"' /api/putt -d "$good"

# --- put: the storage
modes '{"storage_fails":1}'
row storage_sync_details 200 '[.success,.failed,.errors[0].error]' '[1,1,"Storage exception: the region is not there"]' \
	'/api/put?sync&details' -d "[$good,$good]"
modes '{"storage_fails":1}'
row storage_sync 400 .error.message '"One or more data points had errors"' '/api/put?sync' -d "$good"
modes '{"storage_fails":1}'
row storage_not_waited_for 204 . '' /api/put -d "$good"
modes '{"throttle":1}'
row throttled 400 '[.failed,.errors[0].error]' '[1,"Please throttle"]' '/api/put?details' -d "[$good,$good]"
modes '{"sync_ms":400}'
row sync_timed_out 400 '[.success,.failed,.timeouts]' '[0,0,1]' '/api/put?sync&sync_timeout=50&summary' -d "$good"
row sync_timed_out_plain 400 .error.message \
	'"The put call has timedout with 0 successful writes, 0 failed writes and 1 timed out writes."' '/api/put?sync&sync_timeout=50' -d "$good"
modes '{"sync_ms":0}'

# --- put: each point
# takes NAME POINT STORED-VALUE; refuses NAME POINT ERROR
takes() {
	forget
	same "takes_$1" "$(call '/api/put?details' -d "$2") $(stored '.[0].value')" "200 $3"
}
refuses() {
	forget
	same "refuses_$1" "$(call '/api/put?details' -d "$2") $(jq -r '.errors[0].error' "$tmp/body") $(stored length)" "400 $3 0"
}
breaks() { row "breaks_$1" 400 .error.message '"Unable to parse the given JSON"' '/api/put?details' -d "$2"; }
takes integer "$(point 42)" 42
takes negative "$(point -42)" -42
takes quoted "$(point '"42"')" 42
takes quoted_plus "$(point '"+42"')" 42
takes decimal "$(point 0.25)" 0.25
takes quoted_decimal "$(point '"4.80"')" 4.8
takes exponent "$(point 1E2)" 100
takes quoted_with_blanks "$(point '" 1.5 "')" 1.5
takes java_suffix "$(point '"1.5f"')" 1.5
takes java_hexadecimal "$(point '"0x1.8p1"')" 3
takes extra_fields '{"metric":"proc.cpu.user","timestamp":1,"value":7,"tags":{"a":"b"},"more":[{}]}' 7
takes garbage_after_the_json "$(point 8)}}" 8
same long_max "$(call '/api/put?details' -d "$(point 9223372036854775807 5)") $(curl -s "$OPENTSDB/control/points" | grep -c ':9223372036854775807,')" "200 1"
refuses long_overflow "$(point 9223372036854775808)" 'Unable to parse value to a number'
refuses long_too_long "$(point '"00000000000000000001"')" 'Unable to parse value to a number'
refuses integer_with_suffix "$(point '"1f"')" 'Unable to parse value to a number'
refuses blank_integer "$(point '" 1"')" 'Unable to parse value to a number'
refuses nan "$(point NaN)" 'Unable to parse value to a number'
refuses quoted_nan "$(point '"NaN"')" 'Unable to parse value to a number'
refuses infinity "$(point -Infinity)" 'Unable to parse value to a number'
refuses overflow_to_infinity "$(point 1e999)" 'value is NaN or Infinite: Infinity for metric=proc.cpu.user timestamp=1700000000'
refuses boolean "$(point true)" 'Unable to parse value to a number'
refuses words "$(point '"1.2.3"')" 'Unable to parse value to a number'
refuses empty_value "$(point '""')" 'Empty value'
refuses null_value "$(point null)" 'Empty value'
refuses no_metric '{"timestamp":1,"value":1,"tags":{"a":"b"}}' 'Metric name was empty'
refuses no_timestamp '{"metric":"proc.cpu.user","value":1,"tags":{"a":"b"}}' 'Invalid timestamp'
refuses zero_timestamp "$(point 1 0)" 'Invalid timestamp'
refuses negative_timestamp "$(point 1 -5)" 'Invalid timestamp'
takes quoted_timestamp "$(point 1 '"1700000000"')" 1
takes milliseconds "$(point 1 1700000000123)" 1
same milliseconds_stay "$(stored '.[0].timestamp')" 1700000000123
takes thirteen_digits "$(point 1 9999999999999)" 1
same fourteen_digits "$(call '/api/put?details' -d "$(point 1 10000000000000)") $(jq -r '.errors[0].error' "$tmp/body" | cut -d' ' -f1-2)" \
	'400 bad timestamp=10000000000000'
takes fractional_timestamp "$(point 1 1700000000.9)" 1
same fraction_is_cut "$(stored '.[0].timestamp')" 1700000000
breaks timestamp_word "[$good,$(point 1 '"now"')]"
breaks value_object "$(point '{}')"
breaks tags_array "$(point 1 1 '[]')"
breaks number_array '[1,2]'
breaks trailing_comma "[$good,]"
breaks single_quotes "{'metric':'a'}"
refuses no_tags '{"metric":"proc.cpu.user","timestamp":1,"value":1}' 'Missing tags'
refuses empty_tags "$(point 1 1 '{}')" 'Missing tags'
refuses empty_tag_value "$(point 1 1 '{"host":""}')" 'Invalid tag value with key [host]: empty string'
refuses empty_tag_key "$(point 1 1 '{"":"h"}')" 'Invalid tag name with value [h]: empty string'
refuses null_tag "$(point 1 1 '{"host":null}')" 'Invalid tag value with key [host]: null'
refuses plus "$(point 1 1 '{"command":"a+b"}')" 'Invalid tag value with key [command] ("a+b"): illegal character: +'
refuses space "$(point 1 1 '{"command":"a b"}')" 'Invalid tag value with key [command] ("a b"): illegal character:  '
refuses colon_in_key "$(point 1 1 '{"a:b":"c"}')" 'Invalid tag name with value [c] ("a:b"): illegal character: :'
refuses bad_metric "$(point 1 1 '{"a":"b"}' '"proc cpu"')" 'Invalid metric name ("proc cpu"): illegal character:  '
refuses beyond_the_basic_plane "$(point 1 1 '{"a":"\ud83d\ude00"}' | tr -d '\n')" "$(printf 'Invalid tag value with key [a] ("\360\237\230\200"): illegal character: ?')"
takes letters_of_all_kinds "$(point 1 1 '{"host":"Größe-東京_a/b.c"}')" 1
takes numeric_tag "$(point 1 1 '{"pid":1234}')" 1
same numeric_tag_is_text "$(stored '.[0].tags')" '{"pid":"1234"}'
takes eight_tags "$(point 1 1 '{"a":"1","b":"1","c":"1","d":"1","e":"1","f":"1","g":"1","h":"1"}')" 1
refuses nine_tags "$(point 1 1 '{"a":"1","b":"1","c":"1","d":"1","e":"1","f":"1","g":"1","h":"1","i":"1"}')" \
	'Too many tags: 9 maximum allowed: 8, tags: {a=1, b=1, c=1, d=1, e=1, f=1, g=1, h=1, i=1}'
refuses unknown_metric "$unknown" 'Unknown metric'
refuses other_case "$(point 1 1 '{"a":"b"}' '"Proc.cpu.user"')" 'Unknown metric'
refuses a_null_point '[null]' 'Unexpected null datapoint encountered in set.'

# --- put: compression, size, chunks
forget
printf '%s' "$good" | gzip >"$tmp/good.gz"
row gzip 204 . '' /api/put -H 'Content-Encoding: gzip' --data-binary "@$tmp/good.gz"
node -e 'process.stdout.write(require("zlib").deflateSync(process.argv[1]))' "$good" >"$tmp/good.z"
row deflate 204 . '' /api/put -H 'Content-Encoding: deflate' --data-binary "@$tmp/good.z"
same announced_gzip_is_none "$(call /api/put -H 'Content-Encoding: gzip' -d "$good")" 000
same gzip_without_header "$(call /api/put --data-binary "@$tmp/good.gz") $(jq -r .error.message "$tmp/body")" \
	'400 The JSON must start as an object or an array'
same wire_size_is_counted "$(counter body_bytes)" "$(($(wc -c <"$tmp/good.gz") * 2 + $(wc -c <"$tmp/good.z") + ${#good}))"

# A body of exactly N bytes: blanks behind the JSON.
of_size() { printf '%s%*s' "$good" $(($1 - ${#good})) '' >"$tmp/sized"; }
of_size 8192
row size_8192 204 . '' /api/put --data-binary "@$tmp/sized"
of_size 8193
is_page() { grep -q '^<!DOCTYPE html>.*Chunked request not supported' "$tmp/body" && grep -qi '^content-type: text/html' "$tmp/headers"; }
same size_8193 "$(call /api/put --data-binary "@$tmp/sized")" 400
check size_8193_is_a_page is_page
same chunked "$(call /api/put -H 'Transfer-Encoding: chunked' -d "$good")" 400
check chunked_is_a_page is_page
same expect "$(call /api/put -H 'Expect: 100-continue' -d "$good")" 400
check expect_is_a_page is_page
head -c 60000 /dev/zero | tr '\0' ' ' | cat <(printf '%s' "$good") - | gzip >"$tmp/big.gz"
row only_the_wire_counts 204 . '' /api/put -H 'Content-Encoding: gzip' --data-binary "@$tmp/big.gz"
same query_too_large "$(call /api/query --data-binary "@$tmp/sized")" 400
check query_too_large_is_a_page is_page
modes '{"body_max":100}'
same body_max_is_a_mode "$(call /api/put -d "$(point 5 1700000000 '{"host":"a-name-of-some-length-so-that-it-is-above-100-bytes"}')")" 400
modes '{"body_max":8192,"chunked":true,"max_chunk":10000}'
row chunks_on_8193 204 . '' /api/put --data-binary "@$tmp/sized"
row chunks_on_chunked 204 . '' /api/put -H 'Transfer-Encoding: chunked' -d "$good"
row chunks_on_expect 204 . '' /api/put -H 'Expect: 100-continue' --data-binary "@$tmp/sized"
of_size 10001
same above_max_chunk_is_closed "$(call /api/put --data-binary "@$tmp/sized")" 000
modes '{"chunked":false}'

# --- connections
forget
curl -s -o "$tmp/body" -d "$good" "$OPENTSDB/api/put" -: -s -o "$tmp/body" -d "$good" "$OPENTSDB/api/put" \
	-: -s -o "$tmp/body" -d "$unknown" "$OPENTSDB/api/put" -: -s -o "$tmp/body" -d "$good" "$OPENTSDB/api/put"
same keep_alive "$(counter connections) $(counter requests) $(counter stored) $(counter rejected)" '1 4 3 1'
same statuses_are_counted "$(counter statuses)" '{"204":3,"400":1}'

# --- how it can fail
modes '{"fail":503,"retry_after":7}'
same fail_503 "$(call /api/put -d "$good") $(grep -ci '^retry-after: 7' "$tmp/headers")" '503 1'
modes '{"fail":429,"fail_next":2}'
same fail_429_twice "$(call /api/put -d "$good") $(call /api/put -d "$good") $(call /api/put -d "$good")" '429 429 204'
modes '{"fail":"close"}'
same fail_close "$(call /api/put -d "$good")" 000
modes '{"fail":"reset"}'
same fail_reset "$(call /api/put -d "$good")" 000
forget
modes '{"fail":"lost","fail_next":1}'
same fail_lost "$(call /api/put -d "$good") $(stored length)" '000 1'
modes '{"fail":"hang","fail_next":1}'
call /api/put --max-time 0.3 -d "$good" >"$tmp/status"
same fail_hang "$(cat "$tmp/status") $(call /api/put -d "$good")" '000 204'
modes '{"fail":500,"fail_path":"/api/query"}'
same fail_one_path "$(call /api/query -d '{}') $(call /api/put -d "$good")" '500 204'
modes '{"fail":null,"fail_path":"","delay_ms":300}'
same delayed "$(call /api/put --max-time 0.1 -d "$good") $(call /api/put -d "$good")" '000 204'
modes '{"delay_ms":0,"slow":true}'
row slow_bytes 200 .success 1 '/api/put?summary' -d "$good"
modes '{"slow":false,"auth":"u:p"}'
same needs_password "$(call /api/put -d "$good") $(call /api/put -u u:p -d "$good") $(call /api/put -u u:x -d "$good")" '401 204 401'
modes '{"auth":null,"show_stack_trace":true}'
row has_a_trace 400 '.error.trace|test("^net.opentsdb.tsd.BadRequestException: .*\n")' true /api/put -d '[]'
modes '{"show_stack_trace":false}'
same unknown_mode "$(curl -s -o "$tmp/body" -w '%{http_code}' -d '{"nonsense":1}' "$OPENTSDB/control")" 400

# --- metrics
row assign 200 '[(.metric|keys),(.metric[]|test("^[0-9A-F]{6}$"))]' '[["new.a","new.b"],true,true]' /api/uid/assign -H "$JSON" -d '{"metric":["new.a","new.b"]}'
row assign_again 400 '[(.metric|keys),(.metric_errors["new.a"]|test("^Name already exists with UID: 0"))]' '[["new.c"],true]' \
	/api/uid/assign -H "$JSON" -d '{"metric":["new.a","new.c"]}'
row assign_one_of_the_list 400 '.metric_errors|keys' '["proc.mem.resident"]' '/api/uid/assign?metric=proc.mem.resident'
row assign_bad_name 400 '.metric_errors["a b"]' '"Invalid metric (\"a b\"): illegal character:  "' /api/uid/assign -d '{"metric":["a b"]}'
row assign_nothing 400 .error.message '"Missing values to assign UIDs"' /api/uid/assign -d '{}'
row assigned_is_known 204 . '' /api/put -d "$(point 1 1 '{"host":"h"}' '"new.a"')"
modes '{"auto_create":true}'
row auto_create 204 . '' /api/put -d "$unknown"
modes '{"auto_create":false,"metrics":["only.this"]}'
row allow_list 400 '[.success,.failed]' '[1,1]' '/api/put?summary' -d "[$(point 1 1 '{"a":"b"}' '"only.this"'),$(point 1 1 '{"a":"b"}' '"proc.mem.swap"')]"
modes '{"auto_create":true}'
row suggest 200 . '["new.a","new.b"]' '/api/suggest?type=metrics&q=new&max=2'
row suggest_post 200 . '["host"]' /api/suggest -d '{"type":"tagk","q":"ho"}'
row suggest_without_type 400 .error.code 400 '/api/suggest?q=a'
row suggest_wrong_type 400 .error.message "\"Invalid 'type' parameter:x\"" '/api/suggest?type=x'
row version 200 '[.version,([.[]|type]|unique)]' '["2.4.0",["string"]]' /api/version
row aggregators 200 '[index("zimsum","sum","avg","max","min","none")|type]|unique' '["number"]' /api/aggregators

# --- a browser from elsewhere
row preflight_without_cors 405 .error.message '"Method not allowed"' /api/query -X OPTIONS -H 'Origin: http://v'
modes '{"cors":["http://v"]}'
same preflight "$(call /api/query -X OPTIONS -H 'Origin: http://v') $(wc -c <"$tmp/body") $(grep -ci '^access-control-allow-origin: http://v' "$tmp/headers") $(
	grep -ci '^access-control-allow-methods: GET, POST, PUT, DELETE' "$tmp/headers")" '200 0 1 1'
row foreign_domain 200 .error.message '"CORS domain not allowed"' /api/version -H 'Origin: http://w'
modes '{"cors":["*"]}'
same any_domain "$(call /api/version -H 'Origin: http://w') $(grep -ci '^access-control-allow-origin: http://w' "$tmp/headers")" '200 1'
modes '{"cors":null}'

# --- query
forget
put_cpu() { # HOST PID TIME VALUE
	point "$4" "$3" "{\"host\":\"$1\",\"pid\":\"$2\"}" '"q.cpu"'
}
call /api/put -d "[$(put_cpu n0 1 1000 80.5),$(put_cpu n0 1 1003 81.5),$(put_cpu n0 1 1005 10.0),$(put_cpu n0 1 1010 20.0),
	$(put_cpu n0 2 1000 5.0),$(put_cpu n0 2 1010 7.0),$(put_cpu n1 3 1001 1.0),$(put_cpu node2 4 1001 2.0),
	$(point 3 1000 '{"structure":"s"}' '"q.cpu"'),$(point 4 1000 '{"host":"h","n":"a"}' '"q.int"'),$(point 7 1010 '{"host":"h","n":"a"}' '"q.int"'),
	$(point 10 1005 '{"host":"h","n":"b"}' '"q.int"')]" >"$tmp/status"
same query_has_points "$(cat "$tmp/status") $(stored length)" '204 12'
# asks NAME JQ WANT SUBQUERY [START END]
asks() {
	row "query_$1" 200 "$2" "$3" /api/query -H "$JSON" -d "{\"start\":${5-1000},\"end\":${6-1010},\"queries\":[$4]}"
}
asks one_host . '[{"metric":"q.cpu","tags":{"host":"n0"},"aggregateTags":["pid"],"dps":{"1000":86,"1005":10,"1010":27}}]' \
	'{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"n0"},"downsample":"5s-avg"}'
asks grouped '[.[]|[.tags.host,.dps]]|sort' '[["n0",{"1000":86,"1005":10,"1010":27}],["n1",{"1000":1}]]' \
	'{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"n0|n1"},"downsample":"5s-avg"}'
asks one_series_lists_all_tags '.[0]|[.tags,.aggregateTags]' '[{"host":"n1","pid":"3"},[]]' \
	'{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"n1"}}'
asks any '[.[].tags.host]|sort' '["n0","n1","node2"]' '{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"*"}}'
asks wildcard_ignores_case '[.[].tags.host]|sort' '["node2"]' '{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"NO*"}}'
asks a_filter_without_group '[.[]|[.tags,.aggregateTags,.dps["1000"]]]' '[[{},["host","pid"],65.33333333333334]]' \
	'{"aggregator":"zimsum","metric":"q.cpu","filters":[{"type":"wildcard","tagk":"host","filter":"n*","groupBy":false}],"downsample":"10s-avg"}'
asks everything_in_one '[length,.[0].dps["1000"]]' '[1,92.5]' '{"aggregator":"zimsum","metric":"q.cpu","downsample":"5s-max"}' 1000 1004
asks partial_first_bucket_is_dropped '.[0].dps' '{"1005":10,"1010":27}' '{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"n0"},"downsample":"5s-avg"}' 1001
asks last_bucket_is_whole '.[0].dps' '{"1000":86}' '{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"n0"},"downsample":"5s-avg"}' 1000 1001
asks empty_buckets_are_absent '.[0].dps|keys' '["1000"]' '{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"n1"},"downsample":"5s-avg"}'
asks sum_fills_the_gap '.[0].dps' '{"1000":85.5,"1003":87.1,"1005":16,"1010":27}' '{"aggregator":"sum","metric":"q.cpu","tags":{"host":"n0"}}'
asks zimsum_does_not '.[0].dps' '{"1000":85.5,"1003":81.5,"1005":10,"1010":27}' '{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"n0"}}'
asks integers_stay '.[0].dps' '{"1000":4,"1005":15,"1010":7}' '{"aggregator":"sum","metric":"q.int","tags":{"host":"h"}}'
same integers_have_no_point "$(grep -o '"1005":15[^,]*' "$tmp/body")" '"1005":15'
call /api/query -d '{"start":1000,"end":1010,"queries":[{"aggregator":"sum","metric":"q.int","downsample":"5s-avg"}]}' >"$tmp/status"
same downsampled_are_doubles "$(grep -o '"1010":[^}]*' "$tmp/body")" '"1010":7.0'
asks integer_average '.[0].dps["1005"]' 7 '{"aggregator":"avg","metric":"q.int","tags":{"host":"h"}}'
asks max '.[0].dps["1005"]' 10 '{"aggregator":"max","metric":"q.int","tags":{"host":"h"}}'
asks min '.[0].dps["1005"]' 5 '{"aggregator":"min","metric":"q.int","tags":{"host":"h"}}'
asks none 'length' 2 '{"aggregator":"none","metric":"q.int","tags":{"host":"h"}}'
asks nothing . '[]' '{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"n0"},"downsample":"5s-avg"}' 2000 2010
asks a_series_without_the_tag '[.[].tags]' '[{"structure":"s"}]' '{"aggregator":"zimsum","metric":"q.cpu","tags":{"structure":"*"}}'
asks two '[.[].metric]' '["q.cpu","q.int"]' '{"aggregator":"sum","metric":"q.cpu"},{"aggregator":"sum","metric":"q.int"}'
row query_arrays 200 '.[0].dps' '[[1001,1]]' '/api/query?arrays' -d '{"start":1000,"end":1010,"queries":[{"aggregator":"sum","metric":"q.cpu","tags":{"host":"n1"}}]}'
row query_milliseconds 200 '.[0].dps' '{"1001000":1}' /api/query -d '{"start":"1970/01/01-00:16:40","end":"1970/01/01-00:16:50","msResolution":true,"queries":[{"aggregator":"sum","metric":"q.cpu","tags":{"host":"n1"}}]}'
# wrong NAME MESSAGE SUBQUERY [START END]
wrong() {
	row "query_$1" 400 .error.message "\"$2\"" /api/query -d "{\"start\":${4-1000},\"end\":${5-1010},\"queries\":[$3]}"
}
wrong unknown_metric "No such name for 'metrics': 'x'" '{"aggregator":"sum","metric":"x"}'
wrong unknown_key "No such name for 'tagk': 'k'" '{"aggregator":"sum","metric":"q.cpu","tags":{"k":"*"}}'
wrong one_unknown_value_blinds_all "No such name for 'tagv': 'node9'" '{"aggregator":"sum","metric":"q.cpu","tags":{"host":"n0|node9"}}'
wrong unknown_aggregator 'No such aggregation function: summ' '{"aggregator":"summ","metric":"q.cpu"}'
wrong no_aggregator 'Missing the aggregation function' '{"metric":"q.cpu"}'
wrong no_metric 'Missing the metric or tsuids, provide at least one' '{"aggregator":"sum"}'
wrong bad_downsample "Invalid downsampling specifier '5s': must provide at least interval and function" '{"aggregator":"sum","metric":"q.cpu","downsample":"5s"}'
wrong end_before_start 'End time [1000000] must be greater than the start time [1000000]' '{"aggregator":"sum","metric":"q.cpu"}' 1000 1000
row query_no_queries 400 .error.message '"Missing queries"' /api/query -d '{"start":1}'
row query_no_start 400 .error.message '"Missing start time"' /api/query -d '{"queries":[]}'
modes '{"skip_unresolved":true}'
asks unresolved_may_be_skipped '[.[].tags.host]' '["n0"]' '{"aggregator":"zimsum","metric":"q.cpu","tags":{"host":"n0|node9"}}'
modes '{"skip_unresolved":false}'

# --- over TLS, and after a kill at the same address
restart_opentsdb_double
same forgets_over_a_kill "$(stored length) $(call /api/put -d "$good")" '0 204'
start_opentsdb_double tls=true
ca=${PEER_DIR[opentsdb_double]}/ca.pem
same tls "$(curl -s -o "$tmp/body" -w '%{http_code}' --cacert "$ca" -d "$good" "$OPENTSDB/api/put")" 204
curl -s -o "$tmp/body" "$OPENTSDB/api/version"
same tls_of_an_unknown_ca $? 60
start_opentsdb_double tls=elsewhere
curl -s -o "$tmp/body" --cacert "${PEER_DIR[opentsdb_double]}/ca.pem" "$OPENTSDB/api/version"
same tls_for_another_name $? 60
exit $failed
