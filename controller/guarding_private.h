/* SPDX-License-Identifier: Apache-2.0 */
/* Between guarding.c and guarding_parents.c; all with the model's lock held. */
#ifndef EBB_CONTROLLER_GUARDING_PRIVATE_H
#define EBB_CONTROLLER_GUARDING_PRIVATE_H

#include "guarding.h"
#include "member_sums.h"

/* guarding.c */
/* Is it guarded, and does the guardian look at what is of its kind? */
bool guarding_applies(const struct structure *structure, const struct guardian_config *config);
/* One that is: from a sample to requests. */
void guarding_evaluate(struct model *model, struct scaler *scaler, struct structure *structure,
		       const struct guardian_config *config, const struct guard_sample *sample,
		       const struct sample_times *times);

/* guarding_parents.c */
/* A sample of a container goes into the sums above it. */
void guarding_member(struct model *model, struct structure *container,
		     const struct guardian_config *config, const struct guard_sample *sample,
		     const struct sample_times *times);
/* `current` of a guarded application or user is what its members have in force, from `at` on. */
void guarding_follow_members(struct model *model, struct structure *parent, double at);
/* A guarded application or user that has more in force than its max asks for less, whatever it
 * uses; once for each value that it finds. */
void guarding_ask_below_max(struct structure *parent, const struct guardian_config *config,
			    struct guard_outcome *outcome);

#endif
