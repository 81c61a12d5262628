#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At most 1800 s.
exec "${0%/*}/on_kernel" 6.12
