# SPDX-License-Identifier: Apache-2.0
# Of all structures: nothing of $host is promised twice, nothing lost. Free + what the containers hold = max, core by
# core.
(.[] | select(.name == $host)) as $h |
[.[] | select(.subtype == "container" and .host == $host)] as $c |
($h.resources.cpu.max == $h.resources.cpu.free + ([$c[].resources.cpu.allocated // 0] | add // 0)) and
($h.resources.mem.max == $h.resources.mem.free + ([$c[].resources.mem.allocated // 0] | add // 0)) and
([$h.resources.cpu.core_usage_mapping[] | [.[]] | add] | all(. == 100)) and
([$h.resources.cpu.core_usage_mapping[].free] | add) == $h.resources.cpu.free and
all($c[] | select(.guard); . as $one | (.resources.cpu.allocated // 0) ==
	([$h.resources.cpu.core_usage_mapping[] | .[$one.name] // 0] | add))
