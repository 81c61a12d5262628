/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From two samples of a container, and what its processes used in between, to the values of its
 * points. Pure.
 */
#ifndef EBB_SERIES_CONTAINER_H
#define EBB_SERIES_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "ebb/sample.h"

/* What a point is about; the first six come per process too. */
enum series_value {
	SERIES_CPU_USER,   /* % of a core */
	SERIES_CPU_KERNEL, /* % of a core */
	SERIES_RESIDENT,   /* MiB */
	SERIES_VIRTUAL,    /* MiB */
	SERIES_READS,      /* MiB/s */
	SERIES_WRITES,     /* MiB/s */
	SERIES_BASE_MAX,
	SERIES_THROTTLED = SERIES_BASE_MAX, /* % of the periods */
	SERIES_WORKING_SET,                 /* MiB */
	SERIES_CPU_PRESSURE,                /* % of the time */
	SERIES_MEM_PRESSURE,
	SERIES_DISK_PRESSURE,
	SERIES_VALUE_MAX,
};

/* "proc.cpu.user", ... */
const char *series_value_name(enum series_value value);

/* Of the processes of a container in an interval. */
struct series_sums {
	uint64_t runtime_ns, utime_ns, stime_ns;
	uint64_t read_bytes, write_bytes;
	uint64_t resident_bytes, virtual_bytes;
	unsigned processes;
	bool unknown; /* of one of them it is not known what it used */
};

/* Read from the container's own files. */
struct series_files_read {
	bool has_pressure[3];
	uint64_t pressure_us[3]; /* some total, of cpu, memory and io */
	uint64_t at_ns;          /* CLOCK_MONOTONIC */
};

struct series_values {
	unsigned valid; /* 1 << enum series_value */
	double value[SERIES_VALUE_MAX];
};

/*
 * `before` NULL: the first interval. Of the rates only those are valid then that the processes
 * tell: all of them were known before or born since, and the looks are not next to each other.
 * `seconds`: between the two looks at the processes, 0 when there was one only.
 */
void series_container_values(const struct ebb_sample *before, const struct ebb_sample *now,
			     const struct series_sums *sums, double seconds,
			     struct series_values *ret_values);
/* Adds the pressures; none without `before`. */
void series_pressure_values(const struct series_files_read *before,
			    const struct series_files_read *now, struct series_values *values);

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=123": false when there is no such line. */
bool pressure_parse(const char *text, uint64_t *ret_us);

/*
 * Splits `runtime` as the ticks say it. Like the kernel for /proc: without a tick of the kernel's
 * all of it is the user's, the other way round all is the kernel's.
 */
void series_split(uint64_t runtime, uint64_t utime, uint64_t stime, uint64_t *ret_user,
		  uint64_t *ret_kernel);

#endif
