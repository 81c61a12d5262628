/* SPDX-License-Identifier: Apache-2.0 */
/* What `ebb rules WORD` does beside listing. */
#ifndef EBB_CLI_RULES_H
#define EBB_CLI_RULES_H

#include "cli.h"

/* `words`: what follows `ebb rules`, n of them, at least one. `from`: of --from; NULL: not given.
 * Returns an exit status. */
int rules_change(struct cli *cli, int n, char **words, const char *from);

#endif
