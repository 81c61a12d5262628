/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in the body of a subscription (spec 3.4, 3.5), checked as a whole before anything
 * changes. Pure. All return -EINVAL with `ret_error` (caller frees) that names the member, such as
 * "container.resources.cpu.max".
 */
#ifndef EBB_SUBSCRIPTION_BODY_H
#define EBB_SUBSCRIPTION_BODY_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "structure.h"

/* More is a slip of the hand: a million cores, a PiB of memory. */
#define BODY_NUMBER_MAX (1LL << 30)

/* `body` itself, or its member `key` when that is not NULL: an object. Borrowed. */
int body_object(const json_t *body, const char *key, const json_t **ret_object, char **ret_error);
/* All are there. `where`: the way to `object`, "" at the top. */
int body_has(const json_t *object, const char *where, const char *const *keys, size_t n,
	     char **ret_error);
/* Its "name" is `name`, that of the path, and one that a structure may have; its "subtype"
 * `subtype`. */
int body_is_called(const json_t *object, const char *where, const char *name,
		   enum structure_subtype subtype, char **ret_error);
/* A whole number from `least` on, also as a string. */
int body_number(const json_t *object, const char *where, const char *key, int64_t least,
		int64_t *ret_number, char **ret_error);
/* Its "guard", true or false also as a string. */
int body_guard(const json_t *object, const char *where, char **ret_error);
/* Names that a whole address could not be smuggled in by, and a port. */
int body_rescaler(const json_t *object, const char *where, char **ret_error);

/*
 * `resources` of a structure, whose members each have `keys` (n of them): known resources, cpu and
 * mem among them, min <= current <= max as far as they have these; `disk` and `disks` are left
 * alone.
 */
int body_resources(const json_t *object, const char *where, enum structure_subtype subtype,
		   const char *const *keys, size_t n, char **ret_error);
/*
 * "limits" of the body: boundaries of resources that `object`, whose way is `where`, has. `both`:
 * cpu and mem must be among them.
 */
int body_limits(const json_t *body, const json_t *object, const char *where, bool both,
		char **ret_error);

/*
 * The document that an object becomes once it has been checked: a deep copy, without what is the
 * controller's own to say (_id, _rev, allocated, usage and so on). NULL on no memory.
 */
json_t *body_document(const json_t *object);

#endif
