// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Tells which devices of the reader's network take frames that XDP redirects to them: a line for each, with its index
 * and what the kernel notes of it as `xdp_features`. No program of a distribution tells that, and a frame for a device
 * that does not take it would be lost without a word.
 *
 * It is pinned as an iterator, a file that is made when it is read. The structures are those of the kernel, cut
 * down to what is asked; where the fields really are, the loader finds out.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define MOST_DEVICES 1024

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next;
};

struct net {
	struct list_head dev_base_head;
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	struct nsproxy *nsproxy;
};

struct net_device {
	int ifindex;
	__u32 xdp_features;
	struct list_head dev_list;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
};

#pragma clang attribute pop

SEC("iter/task")
int ipshard_devices(struct bpf_iter__task *ctx)
{
	struct seq_file *out = ctx->meta->seq;
	struct task_struct *reader = (void *)bpf_get_current_task();
	struct net *net = BPF_CORE_READ(reader, nsproxy, net_ns);
	struct list_head *head = (void *)net + bpf_core_field_offset(struct net, dev_base_head);
	struct list_head *at = BPF_CORE_READ(head, next);

	/* Called for every process of the machine; once is enough. */
	if (ctx->meta->seq_num != 0 || !bpf_core_field_exists(struct net_device, xdp_features))
		return 0;
	for (int count = 0; count < MOST_DEVICES && at != head; count += 1) {
		struct net_device *device = (void *)at - bpf_core_field_offset(struct net_device, dev_list);

		BPF_SEQ_PRINTF(out, "%d %d\n", BPF_CORE_READ(device, ifindex), BPF_CORE_READ(device, xdp_features));
		at = BPF_CORE_READ(at, next);
	}
	return 0;
}

char declared_license[] SEC("license") = "GPL";
