/*
 * The ends of a measurement of routers, as programs of XDP: one makes each frame another one, to addresses and ports at
 * random, and sends it into a device; one counts what comes and drops it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FIRST_ADDRESS 0xc6120000u
#define FIRST_PORT 1024

struct target {
	__u32 addresses;
	__u32 ifindex;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, sizeof(struct target));
	__uint(max_entries, 1);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 8);
	__uint(max_entries, 1);
} arrived SEC(".maps");

static __always_inline void add(__u32 *sum, __u32 word)
{
	*sum += (word >> 16) + (word & 0xffff);
}

SEC("xdp")
int bench_make(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 zero = 0, sum = 0;
	struct target *target = bpf_map_lookup_elem(&targets, &zero);

	if (!target || (void *)(udp + 1) > end)
		return XDP_ABORTED;
	__u32 chance = bpf_get_prandom_u32();

	/* The kernel takes its frames again, with all that became of them on their way. */
	__be16 *macs = data;

	macs[0] = macs[3] = bpf_htons(0x0200);
	macs[1] = macs[4] = 0;
	macs[2] = bpf_htons(1);
	macs[5] = bpf_htons(2);
	/* High bits for one and low bits for the other. */
	ip->daddr = bpf_htonl(FIRST_ADDRESS + (__u32)(((__u64)chance * target->addresses) >> 32));
	udp->dest = bpf_htons(FIRST_PORT + (chance & 0xffff) % (0xffff - FIRST_PORT));
	ip->ttl = 64;
	ip->check = 0;
	__u32 *words = (__u32 *)ip;

#pragma unroll
	for (int at = 0; at < 5; at += 1)
		add(&sum, words[at]);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	ip->check = ~sum;
	return bpf_redirect(target->ifindex, 0);
}

SEC("xdp")
int bench_drop(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&arrived, &zero);

	if (count)
		*count += 1;
	return XDP_DROP;
}

/* A virtual cable takes in frames where a program is, and merges nothing for it. */
SEC("xdp")
int bench_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char declared_license[] SEC("license") = "GPL";
