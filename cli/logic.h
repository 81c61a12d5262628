/* SPDX-License-Identifier: Apache-2.0 */
/* JsonLogic for people: {"and":[{">":[{"var":"cpu.structure.cpu.usage"},…]}]} reads "usage > upper
 * and …". Pure. */
#ifndef EBB_CLI_LOGIC_H
#define EBB_CLI_LOGIC_H

#include <jansson.h>

/* Caller frees; NULL on no memory. What has no such form is given as JSON. */
char *logic_to_text(const json_t *logic);

#endif
