// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Steers each packet for a shared address to the host of its port, before the kernel makes a packet buffer of it. The
 * rules are those of `rules/steering-rules.ts`, one for one and in their order; a differential test holds the two together.
 * [RT1] [RT3] [RT4]
 *
 *   ingress ─▶ not an address of the pool: the kernel's own routing
 *         └─▶ TCP, UDP ─▶ to the host of its port
 *         └─▶ ICMP ─▶ echo ─▶ to the host of its identifier
 *               └─▶ error ─▶ to the host of the quoted port
 *         └─▶ all others are dropped, for a reason that is counted
 *
 * To a host is: out by its device with a neighbour's frame header. Where that cannot be done here (no neighbour is known yet,
 * the frame has a VLAN tag, the host is reached by the kernel's routing) the decision stands, and nft carries it
 * out: the number of the hop is written where the source of the frame was, of which the kernel has no further use.
 */
#include "tables.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>

/* Extension headers of IPv6 that are walked; a packet with more counts as of another protocol. */
#define MOST_EXTENSIONS 8
/* The transport header of a packet that is read begins before this, so that the verifier knows a bound. */
#define LONGEST_HEADERS 1280
/* First four octets of the frame's source, with the number of the hop in the last two. */
#define DECIDED bpf_htonl(0x06697073)
#define FRAME_HEAD 14
#define TAG 4
/* A changed neighbour is seen after this time, ns. */
#define PATH_AGE 1000000000ull
#define INET 2
#define INET6 10

#define ICMP4_ECHO_REPLY 0
#define ICMP4_ECHO_REQUEST 8
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129

/* The beginning of an extension header; only that of a fragment has an offset. */
struct extension {
	__u8 next;
	__u8 length;
	__be16 offset;
};

/*
 * What is decided of a packet: the number of its hop, of which 0 is nobody's, or one of these. With DROP stands the
 * reason.
 */
#define DROP 0x10000u
#define LEAVE 0x20000u

/* One packet on its way through this program. */
struct packet {
	void *data;
	void *end;
	/* The transport header; null: there is none that could be read. */
	void *transport;
	__u32 protocol;
	/* Extension headers end nowhere that is read, so the protocol is not that of a transport. */
	__u32 is_unknown;
	__u32 hop_limit;
	struct line *line;
	/* The shared address, as a key of its family's maps; the rest is zero for IPv4. */
	__u32 ip[4];
};

/* So many octets at an offset from the transport header, or null when the frame ends before. */
static __always_inline void *at_transport(struct packet *packet, __u32 offset, __u32 size)
{
	void *field = packet->transport + offset;

	return packet->transport == 0 || field + size > packet->end ? 0 : field;
}

/* The number of the hop to which packets for a port go; 0: nobody's. */
static __always_inline __u32 hop_of(struct packet *packet, __be16 *in_packet)
{
	if (!in_packet)
		return 0;
	__u32 port = bpf_ntohs(*in_packet);
	__u32 entry = packet->line->entries[port >> COARSE_SHIFT];

	if (entry & FINE) {
		__u32 number = entry & ~FINE;
		struct line *fine = bpf_map_lookup_elem(&fine_lines, &number);

		if (!fine)
			return 0;
		entry = fine->entries[(port >> FINE_SHIFT) % LINE_ENTRIES];
	}
	return entry;
}

/* One holder's storm of errors must not cost another its own, so the limit is by part of the ports. */
static __noinline int exceeds_rate(struct error_limiter_key *key)
{
	__u32 zero = 0;
	struct settings *limits = bpf_map_lookup_elem(&settings, &zero);
	__u64 now = bpf_ktime_get_ns();

	if (!limits || !key)
		return 0;
	__u64 *used_until = bpf_map_lookup_elem(&error_rates, key);
	__u64 from = used_until && *used_until > now ? *used_until : now;

	if (from + limits->error_cost > now + limits->error_burst)
		return 1;
	from += limits->error_cost;
	if (used_until)
		*used_until = from;
	else
		bpf_map_update_elem(&error_rates, key, &from, BPF_ANY);
	return 0;
}

/* An error goes by the packet that it quotes, of which 8 octets after the IP header suffice. */
static __always_inline __u32 by_quote(struct packet *packet, __u32 head, __u32 protocol_at, __u32 icmp, __u32 request)
{
	__u8 *protocol = at_transport(packet, 8 + protocol_at, 1);
	__u8 *first = at_transport(packet, 8 + head, 1);

	if (first) {
		struct error_limiter_key key = { .part = *first };

		__builtin_memcpy(key.ip, packet->ip, 16);
		if (exceeds_rate(&key))
			return DROP | ERROR_RATE;
	}
	if (!protocol)
		return DROP | UNREADABLE_QUOTE;
	if (*protocol == IPPROTO_TCP || *protocol == IPPROTO_UDP)
		return hop_of(packet, at_transport(packet, 8 + head, 2));
	if (*protocol == icmp && first && *first == request)
		return hop_of(packet, at_transport(packet, 8 + head + 4, 2));
	return DROP | UNREADABLE_QUOTE;
}

static __always_inline __u32 error4(struct packet *packet)
{
	struct iphdr *quoted = at_transport(packet, 8, sizeof(*quoted) - 4);

	if (!quoted || quoted->saddr != packet->ip[0])
		return DROP | UNRELATED_ERROR;
	/* Our hosts send no IP options; a quote with them is not of our packets. */
	if (*(__u8 *)quoted != 0x45 || (quoted->frag_off & bpf_htons(0x1fff)))
		return DROP | UNREADABLE_QUOTE;
	return by_quote(packet, sizeof(*quoted), 9, IPPROTO_ICMP, ICMP4_ECHO_REQUEST);
}

static __always_inline __u32 error6(struct packet *packet)
{
	__u32 *source = at_transport(packet, 8 + 8, 16);
	__u32 *ip = packet->ip;

	if (!source || source[0] != ip[0] || source[1] != ip[1] || source[2] != ip[2] || source[3] != ip[3])
		return DROP | UNRELATED_ERROR;
	return by_quote(packet, sizeof(struct ipv6hdr), 6, IPPROTO_ICMPV6, ICMP6_ECHO_REQUEST);
}

static __always_inline __u32 icmp4(struct packet *packet)
{
	__u8 *type = at_transport(packet, 0, 1);

	if (packet->hop_limit <= 1)
		return DROP | HOP_LIMIT;
	switch (type ? *type : 255) {
	case 3: /* Destination Unreachable, with Fragmentation Needed */
	case 11: /* Time Exceeded */
	case 12: /* Parameter Problem */
		return error4(packet);
	case ICMP4_ECHO_REPLY:
		return hop_of(packet, at_transport(packet, 4, 2));
	case ICMP4_ECHO_REQUEST:
		return DROP | ECHO_REQUEST;
	default:
		return DROP | OTHER_ICMP;
	}
}

static __always_inline __u32 icmp6(struct packet *packet)
{
	__u8 *type = at_transport(packet, 0, 1);

	/* Of the link itself, and for this machine, whose address it may be. */
	if (type && (*type == 135 || *type == 136))
		return LEAVE;
	if (packet->hop_limit <= 1)
		return DROP | HOP_LIMIT;
	switch (type ? *type : 255) {
	case 1: /* Destination Unreachable */
	case 2: /* Packet Too Big */
	case 3: /* Time Exceeded */
	case 4: /* Parameter Problem */
		return error6(packet);
	case ICMP6_ECHO_REPLY:
		return hop_of(packet, at_transport(packet, 4, 2));
	case ICMP6_ECHO_REQUEST:
		return DROP | ECHO_REQUEST;
	default:
		return DROP | OTHER_ICMP;
	}
}

static __always_inline __u32 other(struct packet *packet)
{
	return DROP | (packet->hop_limit <= 1 ? HOP_LIMIT : OTHER_PROTOCOL);
}

static __always_inline __u32 decide4(struct packet *packet, struct iphdr *ip)
{
	if ((void *)(ip + 1) > packet->end)
		return LEAVE;
	packet->ip[0] = ip->daddr;
	packet->line = bpf_map_lookup_elem(&lines4, packet->ip);
	if (!packet->line)
		return LEAVE;
	long length = packet->end - (void *)ip;
	__u64 head = (*(__u8 *)ip & 0x0f) * 4;
	__u32 total = bpf_ntohs(ip->tot_len);

	packet->hop_limit = ip->ttl;
	packet->protocol = ip->protocol;
	if (ip->frag_off & bpf_htons(0x1fff))
		return DROP | FRAGMENT;
	if (*(__u8 *)ip >> 4 == 4 && head >= sizeof(*ip) && total >= head && total <= length)
		packet->transport = (void *)ip + head;
	if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP)
		return hop_of(packet, at_transport(packet, 2, 2));
	return packet->protocol == IPPROTO_ICMP ? icmp4(packet) : other(packet);
}

static __always_inline int is_extension(__u32 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_AH || protocol == IPPROTO_DSTOPTS;
}

/*
 * Finds the transport header behind extension headers, or none: what stands behind an authentication header nft does not
 * read either. True of a later fragment.
 */
static __always_inline int walk_extensions(struct packet *packet)
{
	void *start = packet->transport;
	int is_authenticated = 0;
	__u64 at = 0;

	packet->transport = 0;
	packet->is_unknown = 1;
	for (int count = 0; count < MOST_EXTENSIONS; count += 1) {
		/* The compiler might know it, and leave it out; the verifier does not. */
		asm volatile("" : "+r"(at));
		if (at > LONGEST_HEADERS)
			return 0;
		struct extension *extension = start + at;

		/* Only what is read must be there. */
		if ((void *)extension + 2 > packet->end)
			return 0;
		if (packet->protocol == IPPROTO_ROUTING && (void *)(extension + 1) > packet->end)
			return 0;
		if (packet->protocol == IPPROTO_FRAGMENT) {
			if ((void *)(extension + 1) > packet->end)
				return 0;
			if (extension->offset & bpf_htons(0xfff8))
				return 1;
			at += 8;
		} else if (packet->protocol == IPPROTO_AH) {
			at += (extension->length + 2) * 4;
			is_authenticated = 1;
		} else {
			at += (extension->length + 1) * 8;
		}
		packet->protocol = extension->next;
		if (!is_extension(packet->protocol)) {
			asm volatile("" : "+r"(at));
			packet->is_unknown = is_authenticated;
			packet->transport = at > LONGEST_HEADERS ? 0 : start + at;
			return 0;
		}
	}
	return 0;
}

static __always_inline __u32 decide6(struct packet *packet, struct ipv6hdr *ip)
{
	if ((void *)(ip + 1) > packet->end)
		return LEAVE;
	__builtin_memcpy(packet->ip, &ip->daddr, 16);
	packet->line = bpf_map_lookup_elem(&lines6, packet->ip);
	if (!packet->line)
		return LEAVE;
	long length = packet->end - (void *)(ip + 1);

	packet->hop_limit = ip->hop_limit;
	packet->protocol = ip->nexthdr;
	packet->transport = ip + 1;
	if (is_extension(packet->protocol) && walk_extensions(packet))
		return DROP | FRAGMENT;
	if (*(__u8 *)ip >> 4 != 6 || bpf_ntohs(ip->payload_len) > length || packet->is_unknown)
		return other(packet);
	if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP)
		return hop_of(packet, at_transport(packet, 2, 2));
	return packet->protocol == IPPROTO_ICMPV6 ? icmp6(packet) : other(packet);
}

static __noinline int drop(struct packet *packet, __u32 reason, int is_ipv4)
{
	__u64 *count = bpf_map_lookup_elem(&drops, &reason);
	__u64 first = 1;

	if (count)
		*count += 1;
	count = is_ipv4 ? bpf_map_lookup_elem(&drops4, packet->ip) : bpf_map_lookup_elem(&drops6, packet->ip);
	if (count)
		*count += 1;
	else if (is_ipv4)
		bpf_map_update_elem(&drops4, packet->ip, &first, BPF_NOEXIST);
	else
		bpf_map_update_elem(&drops6, packet->ip, &first, BPF_NOEXIST);
	return XDP_DROP;
}

/* Leaves the rest to nft, which knows what this number means. */
static __always_inline int hand_over(struct packet *packet, __u32 number)
{
	if (packet->data + FRAME_HEAD > packet->end)
		return XDP_PASS;
	__be16 *source = packet->data + 6;

	*(__be32 *)source = DECIDED;
	source[2] = bpf_htons(number);
	return XDP_PASS;
}

/* Asks the kernel for the frame header; false when no neighbour is known, or this machine does not forward. */
static __noinline int find_path(struct xdp_md *ctx, struct hop *hop, struct path *path)
{
	struct bpf_fib_lookup asked = {};

	if (!hop || !path)
		return 0;
	path->good_until = 0;
	asked.ifindex = hop->ifindex;
	asked.family = hop->family == 4 ? INET : INET6;
	if (hop->family == 4)
		__builtin_memcpy(&asked.ipv4_dst, hop->ip, 4);
	else
		__builtin_memcpy(asked.ipv6_dst, hop->ip, 16);
	if (bpf_fib_lookup(ctx, &asked, sizeof(asked), BPF_FIB_LOOKUP_OUTPUT) != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	if (asked.ifindex != hop->ifindex)
		return 0;
	__builtin_memcpy(path->head, asked.dmac, 6);
	__builtin_memcpy((void *)path->head + 6, asked.smac, 6);
	path->generation = hop->generation;
	path->good_until = bpf_ktime_get_coarse_ns() + PATH_AGE;
	return 1;
}

/* As ip_decrease_ttl() does it: the hop limit is the high octet of its word (RFC 1624). */
static __always_inline void age4(struct iphdr *ip)
{
	__u32 sum = (__u32)ip->check + bpf_htons(0x0100);

	ip->check = sum + (sum >= 0xffff);
	ip->ttl -= 1;
}

/* Away to a neighbour. */
static __always_inline int forward(struct xdp_md *ctx, struct packet *packet, struct hop *hop, __u32 number, int is_ipv4)
{
	struct path *path = bpf_map_lookup_elem(&paths, &number);

	if (!path)
		return hand_over(packet, number);
	if (path->generation != hop->generation || bpf_ktime_get_coarse_ns() > path->good_until) {
		if (!find_path(ctx, hop, path))
			return hand_over(packet, number);
	}
	if (packet->data + FRAME_HEAD + sizeof(struct iphdr) > packet->end)
		return XDP_PASS;
	/* Before anything is written, since the device may have gone. */
	if (bpf_redirect_map(&devices, number, XDP_PASS) != XDP_REDIRECT)
		return hand_over(packet, number);
	if (is_ipv4)
		age4(packet->data + FRAME_HEAD);
	else
		((struct ipv6hdr *)(packet->data + FRAME_HEAD))->hop_limit -= 1;
	__u32 *head = packet->data;

	head[0] = path->head[0];
	head[1] = path->head[1];
	head[2] = path->head[2];
	return XDP_REDIRECT;
}

/* Carries a decision out. */
static __always_inline int carry_out(struct xdp_md *ctx, struct packet *packet, __u32 decided, int is_ipv4, int is_tagged)
{
	if (decided == LEAVE)
		return XDP_PASS;
	if (decided & DROP)
		return drop(packet, decided & ~DROP, is_ipv4);
	struct hop *hop = bpf_map_lookup_elem(&hops, &decided);
	__u32 kind = decided != 0 && hop ? hop->kind : HOP_NONE;

	/* The kernel answers itself for the hop limit of what it routes. */
	if (kind == HOP_STACK)
		return hand_over(packet, decided);
	if (packet->hop_limit <= 1)
		return drop(packet, HOP_LIMIT, is_ipv4);
	if (kind == HOP_NONE || !hop)
		return drop(packet, UNLEASED, is_ipv4);
	if (kind == HOP_NEIGHBOUR && !is_tagged)
		return forward(ctx, packet, hop, decided, is_ipv4);
	return hand_over(packet, decided);
}

static __always_inline int is_tag(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

SEC("xdp")
int ipshard_steer(struct xdp_md *ctx)
{
	struct packet packet = { .data = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end };
	void *at = packet.data + FRAME_HEAD;
	int is_tagged = 0;

	if (at > packet.end)
		return XDP_PASS;
	/* No decision comes from outside. */
	if (*(__be32 *)(packet.data + 6) == DECIDED)
		*(__u8 *)(packet.data + 6) = 0x02;
	__be16 protocol = *(__be16 *)(at - 2);

	/* nft sees behind one tag as well, and behind no second one. */
	if (is_tag(protocol)) {
		at += TAG;
		is_tagged = 1;
		if (at > packet.end)
			return XDP_PASS;
		protocol = *(__be16 *)(at - 2);
	}
	if (protocol == bpf_htons(ETH_P_IP))
		return carry_out(ctx, &packet, decide4(&packet, at), 1, is_tagged);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return carry_out(ctx, &packet, decide6(&packet, at), 0, is_tagged);
	return XDP_PASS;
}

char declared_license[] SEC("license") = "GPL";
