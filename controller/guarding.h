/* SPDX-License-Identifier: Apache-2.0 */
/* From a sample to requests: what every feed does with usage, wherever it was measured. */
#ifndef EBB_CONTROLLER_GUARDING_H
#define EBB_CONTROLLER_GUARDING_H

#include "model.h"
#include "scaler.h"

/* When it was measured and when it came, for the record. */
struct sample_times {
	uint64_t sampled_ns, received_ns; /* CLOCK_MONOTONIC of this machine */
	uint64_t host_ns; /* the host's clock, as its orders tell it; 0: not known */
};

/*
 * Model lock held. Shows the sample's usage, evaluates it when the structure is guarded (by
 * `config`, which may differ from the model's for a feed that is late), and hands what is asked to
 * the scaler; the caller runs that when all samples are in. True: evaluated. The structure may be
 * an application or a user that is measured as a whole, by this machine's clock: what its members
 * use does not count for it then.
 */
bool guarding_take_sample(struct model *model, struct scaler *scaler, struct structure *structure,
			  const struct guardian_config *config, const struct guard_sample *sample,
			  const struct sample_times *times);

/*
 * Model lock held; after the samples, before the scaler is run. Evaluates the guarded applications
 * and users whose members were among them: each every 100 ms at most, those that have to wait at a
 * later call.
 */
void guarding_samples_in(struct model *model, struct scaler *scaler,
			 const struct guardian_config *config);

/*
 * Model lock held. What the members of an application or a user have in force has changed, `at`
 * seconds of this machine's clock: samples that began then tell of the new limit. Without this it
 * is found out with the next sample, which is then of before.
 */
void guarding_members_changed(struct model *model, struct structure *parent, double at);

#endif
