/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An object of maps only: they exist whichever of the programs this kernel can load. */
#include "maps.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
