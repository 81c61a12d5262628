/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a name is that several containers of this host have had: "web" of docker, say, and another
 * one of lxc. Who had it first keeps it, also after both were restarted in another order, and after
 * a restart of the agent: what the controller holds for a name must not go to another container.
 */
#ifndef EBB_NAME_RECORD_H
#define EBB_NAME_RECORD_H

#include <stddef.h>

/* Beyond these the ones that were contested first are forgotten. */
#define NAME_RECORD_MAX 4096

struct name_record;
/*
 * Reads `path` (NULL: nothing is kept beyond the process). A damaged file is said and begun anew.
 */
int name_record_open(const char *path, struct name_record **ret_record);
void name_record_close(struct name_record *record);

/* Whose `name` is: what name_record_keep() was told. NULL: never contested. */
const char *name_record_owner(const struct name_record *record, const char *name);
/* From now on it is `owner`'s. Writes the file; that it cannot is said once. */
int name_record_keep(struct name_record *record, const char *name, const char *owner);

#endif
