/** What the member of a pool needs of its host, so that it can be in the pool and tell of itself. */
import type { ServedAddresses } from "./served-addresses.ts";
import type { OwnNextHop } from "./next-hop-findings.ts";
import type { TenantShares } from "./share-talk.ts";
import type { MemberOptions } from "./address-member.ts";
import type { HostToSee } from "./watch-talk.ts";
import type { AddressUplink, Place } from "../../core/uplink.ts";

/** What is known of the ways out of this host's addresses. */
export interface Uplinks {
  /** How the way out of an address looks now. */
  of(ip: string): AddressUplink;
  /** Those of the places that can be reached from an address. [UP2] */
  tryOut(ip: string, places: readonly Place[]): Promise<readonly Place[]>;
  /** The addresses on which the pool sends no requests here. [UP4] */
  ejected(ips: readonly string[]): void;
  /** Called at once when an address becomes suspect, or good again. */
  onChange: (() => void) | null;
}

/** The host's copy of the pool's policy. */
export interface PolicyDelivery {
  /** The pool says which version it has; an older one says none. */
  told(version: number | undefined): void;
  /** Of the copy that is in use; null for none. */
  version(): number | null;
}

/** What this host remembers of how its addresses are seen. */
export interface KeptAdvertised {
  readonly keptAdvertised: Readonly<Record<string, string>>;
  keepAdvertised(advertised: Readonly<Record<string, string>>): void;
}

/** What a pool's member needs beside what its addresses need. */
export interface PoolMemberOptions extends Omit<MemberOptions, "onChange" | "mayGrow"> {
  /** URL at which the edge reaches this host's gateway. */
  readonly gateway: string;
  /** Where routers reach this host. */
  readonly reach?: OwnNextHop;
  /** Where this host is; null or absent if it does not say. */
  readonly site?: string | null;
  /** Its share of the load compared with other hosts. */
  readonly weight?: number;
  /** Watches whether what leaves reaches anything; without it nothing is watched. */
  readonly uplinks?: Uplinks;
  /** Follows the pool's policy; without it the pool is told of none. */
  readonly policy?: PolicyDelivery;
  /** Shares of tenants' limits; without it the pool is told of no use. */
  readonly shares?: TenantShares;
  /** What is told while somebody looks; without it the pool is told that this host cannot be watched. [LV7] */
  readonly host?: HostToSee;
  readonly binder: ServedAddresses;
  /** What the Internet sees instead of addresses, for starts without the edge; without it nothing is kept. [PF5] */
  readonly advertised?: KeptAdvertised;
  /** How long flows may go on when an address leaves the pool. */
  readonly drainDeadlineMs: number;
  readonly reportIntervalMs?: number;
}
