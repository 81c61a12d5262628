/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Block I/O per container where cgroup v1 does not count it: the kernel's own v1 counters are those
 * of blk-throttle, which since 6.10 counts only on disks that were given a limit once. Attached on
 * hosts whose blkio controller is on v1, and only there.
 *
 * As blk-throttle counts: a bio when it is queued, by size and direction, charged to the cgroup
 * that it carries (which on v1 is the root's for buffered writes), children included.
 */
#include "maps.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* include/linux/blk_types.h */
#define REQ_OP_MASK         0xffU
#define REQ_OP_DISCARD      3
#define REQ_OP_SECURE_ERASE 5

SEC("tp_btf/block_bio_queue")
int BPF_PROG(count_bio, struct bio *bio)
{
	struct blkcg_gq *blkg = bio->bi_blkg;
	u32 op = bio->bi_opf & REQ_OP_MASK, bytes = bio->bi_iter.bi_size;
	struct cgroup *cgrp;

	if (!blkg || op == REQ_OP_DISCARD || op == REQ_OP_SECURE_ERASE)
		return 0;
	/* dm, md: the disks below queue these bytes again. */
	if (!bio->bi_bdev->bd_disk->queue->mq_ops)
		return 0;

	cgrp = blkg->blkcg->css.cgroup;
	for (u32 i = 0; i < EBB_MAX_DEPTH && cgrp && cgrp->level > 0; i++) {
		struct ebb_cgroup_place *place = find_place(cgrp);
		struct ebb_io_count *count;
		u32 slot;

		if (place) {
			slot = place->slot;
			count = bpf_map_lookup_elem(&io_counts, &slot);
			if (count && (op & 1)) {
				__sync_fetch_and_add(&count->write_bytes, bytes);
				__sync_fetch_and_add(&count->write_ops, 1);
			} else if (count) {
				__sync_fetch_and_add(&count->read_bytes, bytes);
				__sync_fetch_and_add(&count->read_ops, 1);
			}
		}
		if (!cgrp->self.parent)
			break;
		cgrp = cgrp->self.parent->cgroup;
	}
	return 0;
}
