// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * What the program and the router share: maps, and how their values are laid out. The router's side of it is
 * `map-layout.ts`; whoever changes one changes both.
 *
 *   address ─▶ line of 32 entries, one for 2,048 ports each
 *                └─▶ number of a hop, or FINE | number of a fine line: 32 hops, one for 64 ports each
 *
 * So a packet costs one look-up in a hash and one or two entries, whatever the size of the table.
 */
#ifndef IPSHARD_TABLES_H
#define IPSHARD_TABLES_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Of the numbers below, each stands in map-layout.ts as well. */
#define LINE_ENTRIES 32
#define COARSE_SHIFT 11
#define FINE_SHIFT 6
#define FINE 0x80000000u
#define MOST_ADDRESSES 65536
#define MOST_HOPS 4096
#define ERROR_LIMITERS 65536

struct line {
	__u32 entries[LINE_ENTRIES];
};

/* How packets for one host in one family leave. */
enum hop_kind {
	HOP_NONE,
	/* The frame goes to a neighbour, by the program itself. */
	HOP_NEIGHBOUR,
	/* To a neighbour as well, but on a device to which the kernel cannot redirect: nft forwards it. */
	HOP_NEIGHBOUR_BY_NFT,
	/* Through the kernel's own routing, by a mark. */
	HOP_STACK,
};

struct hop {
	__u32 kind;
	/* 4 or 6, of the next hop. */
	__u32 family;
	__u32 ifindex;
	/* Another one for each content that this number ever had. */
	__u32 generation;
	__u8 ip[16];
};

/* A neighbour's frame header, as this processor has last asked for it. */
struct path {
	__u64 good_until;
	__u32 generation;
	/* Destination and source. */
	__u32 head[3];
};

struct error_limiter_key {
	__u8 ip[16];
	/* First byte of the quoted port: a 256th of the address. */
	__u32 part;
};

struct settings {
	/* Time that one ICMP error uses up, and how much of it may be used ahead; ns. */
	__u64 error_cost;
	__u64 error_burst;
	/* Which router this is; several of one machine have tables of other names. */
	__u64 owner;
};

/* In the order of steering/drop-reasons.ts. */
enum reason {
	UNLEASED,
	HOP_LIMIT,
	FRAGMENT,
	OTHER_PROTOCOL,
	ECHO_REQUEST,
	OTHER_ICMP,
	UNRELATED_ERROR,
	UNREADABLE_QUOTE,
	ERROR_RATE,
	REASONS,
};

/* Declared by sizes, since bpftool else prints each element twice. */
#define MAP(kind, keys, values, most, how, name) \
	struct { \
		__uint(type, kind); \
		__uint(key_size, keys); \
		__uint(value_size, values); \
		__uint(max_entries, most); \
		__uint(map_flags, how); \
	} name SEC(".maps")

MAP(BPF_MAP_TYPE_HASH, 4, sizeof(struct line), MOST_ADDRESSES, BPF_F_NO_PREALLOC, lines4);
MAP(BPF_MAP_TYPE_HASH, 16, sizeof(struct line), MOST_ADDRESSES, BPF_F_NO_PREALLOC, lines6);
/* The router makes it itself, as large as the pool needs. */
MAP(BPF_MAP_TYPE_ARRAY, 4, sizeof(struct line), 1, 0, fine_lines);
MAP(BPF_MAP_TYPE_ARRAY, 4, sizeof(struct hop), MOST_HOPS, 0, hops);
/* By the number of the hop. */
MAP(BPF_MAP_TYPE_DEVMAP, 4, 4, MOST_HOPS, 0, devices);
MAP(BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct path), MOST_HOPS, 0, paths);
MAP(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, REASONS, 0, drops);
MAP(BPF_MAP_TYPE_PERCPU_HASH, 4, 8, MOST_ADDRESSES, BPF_F_NO_PREALLOC, drops4);
MAP(BPF_MAP_TYPE_PERCPU_HASH, 16, 8, MOST_ADDRESSES, BPF_F_NO_PREALLOC, drops6);
MAP(BPF_MAP_TYPE_LRU_HASH, sizeof(struct error_limiter_key), 8, ERROR_LIMITERS, 0, error_rates);
MAP(BPF_MAP_TYPE_ARRAY, 4, sizeof(struct settings), 1, 0, settings);

#endif
