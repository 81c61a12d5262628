/* SPDX-License-Identifier: Apache-2.0 */
/* One agent per pin directory: two would replace each other's maps and fight over limits. */
#ifndef EBB_INSTANCE_H
#define EBB_INSTANCE_H

struct instance {
	int fd;
	char *path;
};

/*
 * Takes the lock file in `lock_dir` ("/run/ebb", made when missing) that stands for `pin_dir`; the
 * kernel releases it with the process, however that ends. -EBUSY, with a log line that says what to
 * do, when another agent has it.
 */
int instance_acquire(const char *lock_dir, const char *pin_dir, struct instance *ret_instance);
/* Removes the file. */
void instance_release(struct instance *instance);

/* The path beside the lock file with another suffix (".term"). Caller frees; NULL on no memory. */
char *instance_file(const char *lock_path, const char *suffix);

#endif
