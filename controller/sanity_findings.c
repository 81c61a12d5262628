/* SPDX-License-Identifier: Apache-2.0 */
#include "sanity_findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "name_index.h"
#include "ebb/cleanup.h"

struct finding {
	enum sanity_check check;
	char *key; /* check, structure and resource */
	char *structure, *resource, *message;
	double since; /* wall clock, s */
	bool repaired;
};

struct sanity_findings {
	struct finding *items[SANITY_FINDINGS_MAX];
	size_t n;
	size_t counts[SANITY_CHECK_MAX];
	struct name_index *index;
};

static void finding_free(struct finding *finding)
{
	if (!finding)
		return;
	free(finding->key);
	free(finding->structure);
	free(finding->resource);
	free(finding->message);
	free(finding);
}

struct sanity_findings *sanity_findings_new(void)
{
	struct sanity_findings *findings = calloc(1, sizeof(*findings));

	if (!findings)
		return NULL;
	findings->index = name_index_new();
	if (!findings->index) {
		free(findings);
		return NULL;
	}
	return findings;
}

void sanity_findings_free(struct sanity_findings *findings)
{
	if (!findings)
		return;
	name_index_free(findings->index);
	for (size_t i = 0; i < findings->n; i++)
		finding_free(findings->items[i]);
	free(findings);
}

static struct finding *finding_new(enum sanity_check check, const char *structure,
				   const char *resource, const char *format, va_list ap)
{
	struct finding *finding = calloc(1, sizeof(*finding));

	if (!finding)
		return NULL;
	finding->check = check;
	finding->structure = structure ? strdup(structure) : NULL;
	finding->resource = resource ? strdup(resource) : NULL;
	if (asprintf(&finding->key, "%d\n%s\n%s", check, structure ? structure : "",
		     resource ? resource : "") < 0)
		finding->key = NULL;
	if (vasprintf(&finding->message, format, ap) < 0)
		finding->message = NULL;
	if (finding->key && finding->message && (!structure || finding->structure) &&
	    (!resource || finding->resource))
		return finding;
	finding_free(finding);
	return NULL;
}

void sanity_findings_add(struct sanity_findings *findings, enum sanity_check check,
			 const char *structure, const char *resource, bool repaired,
			 const char *format, ...)
{
	struct finding *finding;
	va_list ap;

	if (findings->n == SANITY_FINDINGS_MAX) {
		findings->counts[check]++;
		return;
	}
	va_start(ap, format);
	finding = finding_new(check, structure, resource, format, ap);
	va_end(ap);
	if (finding && name_index_get(findings->index, finding->key)) {
		finding_free(finding);
		return;
	}
	findings->counts[check]++;
	if (!finding || name_index_add(findings->index, finding->key, finding) < 0) {
		finding_free(finding);
		return;
	}
	finding->repaired = repaired;
	findings->items[findings->n++] = finding;
}

void sanity_findings_date(struct sanity_findings *findings, const struct sanity_findings *before,
			  double now)
{
	for (size_t i = 0; i < findings->n; i++) {
		const struct finding *old =
			before ? name_index_get(before->index, findings->items[i]->key) : NULL;

		findings->items[i]->since = old ? old->since : now;
	}
}

size_t sanity_findings_count(const struct sanity_findings *findings, enum sanity_check check)
{
	return findings->counts[check];
}

json_t *sanity_findings_to_json(const struct sanity_findings *findings)
{
	_cleanup_json_ json_t *list = json_array();

	for (size_t i = 0; list && i < findings->n; i++) {
		const struct finding *f = findings->items[i];

		if (json_array_append_new(
			    list, json_pack("{s:s, s:s?, s:s?, s:s, s:f, s:b}", "check",
					    sanity_check_name(f->check), "structure", f->structure,
					    "resource", f->resource, "message", f->message, "since",
					    f->since, "repaired", f->repaired)) < 0)
			return NULL;
	}
	return TAKE_PTR(list);
}

void sanity_findings_each_new(const struct sanity_findings *findings, double now,
			      void (*fn)(const char *message))
{
	for (size_t i = 0; i < findings->n; i++)
		if (findings->items[i]->since == now)
			fn(findings->items[i]->message);
}
