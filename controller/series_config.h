/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The typed form of the services documents `database_snapshoter`, `structures_snapshoter` and
 * `refeeder` (spec 1.5 to 1.7). Times in seconds. Pure.
 */
#ifndef EBB_SERIES_CONFIG_H
#define EBB_SERIES_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

#include "ebb/units.h"

/* DOCUMENTS_PERSISTED */
enum {
	SERIES_LIMITS = 1 << 0,
	SERIES_STRUCTURES = 1 << 1,
	SERIES_USERS = 1 << 2,
	SERIES_CONFIGS = 1 << 3,
};
/* SERVICES_PERSISTED: those whose configuration has metrics */
enum {
	SERIES_GUARDIAN = 1 << 0,
	SERIES_SCALER = 1 << 1,
};
/* STRUCTURES_PERSISTED, STRUCTURES_REFEEDED */
enum {
	SERIES_CONTAINER = 1 << 0,
	SERIES_APPLICATION = 1 << 1,
	SERIES_USER = 1 << 2,
};

#define SERIES_FIELDS_MAX 16
#define SERIES_FIELD_LEN  32

struct snapshoter_database_config {
	bool active, debug;
	double polling_frequency;
	unsigned documents, services;
	char fields[SERIES_FIELDS_MAX][SERIES_FIELD_LEN];
	unsigned n_fields;
	char unmapped[128]; /* names in SERVICES_PERSISTED that have no metrics; "" none */
};

struct snapshoter_structures_config {
	bool active, debug;
	double polling_frequency;
	unsigned structures;
	unsigned resources; /* 1 << enum ebb_resource */
};

struct refeeder_config {
	bool active, debug;
	double window_timelapse; /* length of the window that usage is averaged over, and period */
	double window_delay;     /* the window ends this long ago */
	unsigned structures;
	unsigned resources; /* GENERATED_METRICS, 1 << enum ebb_resource */
};

struct series_config {
	struct snapshoter_database_config database;
	struct snapshoter_structures_config structures;
	struct refeeder_config refeeder;
};

void series_config_defaults(struct series_config *ret_config);
/*
 * Over the defaults, when `service` is one of the three; else nothing happens. `config` may be
 * NULL. -EINVAL with `ret_error` (caller frees) for a value that cannot be.
 */
int series_config_set(struct series_config *config, const char *service, const json_t *json,
		      char **ret_error);

#endif
