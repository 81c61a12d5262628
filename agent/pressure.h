/* SPDX-License-Identifier: Apache-2.0 */
/* Pressure stall information of a cgroup (v2 with PSI), from its files. */
#ifndef EBB_PRESSURE_H
#define EBB_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

/* Total microseconds in which some task, or all at once, waited. */
struct pressure {
	uint64_t some_us, full_us;
};

enum pressure_kind { PRESSURE_CPU, PRESSURE_MEM, PRESSURE_IO, PRESSURE_MAX };

/*
 * "some avg10=... total=N", and a line "full ..." which cpu.pressure lacks before Linux 5.13: 0
 * then. -EINVAL. Pure.
 */
int pressure_parse_totals(const char *text, struct pressure *ret_pressure);
/* `file`: "cpu.pressure", "memory.pressure" or "io.pressure". -EOPNOTSUPP: the kernel or the
 * cgroup has no PSI, or it is switched off. */
int pressure_read(int dir_fd, const char *file, struct pressure *ret_pressure);

#endif
