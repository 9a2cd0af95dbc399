/** Every message that the parts exchange, in every form it may have. */
import * as fc from "fast-check";
import { LEASABLE_BLOCK } from "../core/arbitraries.ts";
import type {
  LeaseReply,
  LeaseRequest,
  PoolReply,
  PoolRequest,
  RouterReply,
  RouterRequest,
} from "../../src/core/messages.ts";
import {
  LONGEST_EVERY_MS,
  LONGEST_NAME,
  type LookRequest,
  MOST_DECISIONS,
} from "../../src/core/live-view.ts";
import type { LeaseSettings, PoolOwnSettings, PoolSettings } from "../../src/core/pool-settings.ts";
import { MAX_DOUBTS } from "../../src/core/uplink.ts";
import { LEAST_WEIGHT, MOST_WEIGHT } from "../../src/core/whereabouts.ts";
import type { SteeringChange, SteeringEntry, SteeringTable } from "../../src/core/steering.ts";

const plain = { noNullPrototype: true } as const;

function constant<const Value>(value: Value): fc.Arbitrary<Value> {
  return fc.constant(value);
}

const version = fc.constant(1);
const requestId = fc.string({ minLength: 1, maxLength: 64 });
const instance = fc.string({ minLength: 8, maxLength: 128 });
const epoch = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const sequence = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const ip = fc.oneof(fc.ipV4(), fc.ipV6());
const port = fc.nat(65_535);
const portCount = fc.nat(64_512);
const lease = fc.tuple(LEASABLE_BLOCK, epoch).map(([{ base, order }, at]) => ({ base, order, epoch: at }));
const host = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,62}$/);

const ofLeases = {
  leaseDurationMs: fc.integer({ min: 1_000, max: 86_400_000 }),
  quarantineMs: fc.nat(86_400_000),
  firstBlockOrder: fc.integer({ min: 6, max: 12 }),
  minPortsPerHost: portCount,
  maxPortsPerHost: portCount,
  staticPortsPerHost: fc.constantFrom(null, 64, 128, 256, 512, 1_024, 2_048, 4_096),
};
const silenceMs = fc.integer({ min: 500, max: 600_000 });
const ofPools = { hostSilenceMs: silenceMs, steeringDeadlineMs: fc.nat(60_000) };
const leaseSettings: fc.Arbitrary<LeaseSettings> = fc.record(ofLeases, plain);
const poolOwnSettings: fc.Arbitrary<PoolOwnSettings> = fc.record(ofPools, plain);

/** Any settings that a pool may have. [ME4] */
export const poolSettings: fc.Arbitrary<PoolSettings> = fc.record(
  {
    ...ofLeases,
    ...ofPools,
    routerSilenceMs: silenceMs,
    minHostsPerIp: fc.integer({ min: 1, max: 1_008 }),
    published: fc.boolean(),
    historyDays: fc.integer({ min: 1, max: 3_650 }),
  },
  plain,
);

const messageCodes = ["version-unsupported", "message-malformed"] as const;

const holdings = fc.record(
  { leases: fc.array(lease, { maxLength: 5 }), leftMs: fc.option(fc.nat({ max: 86_400_000 })) },
  plain,
);

export const leaseRequests: fc.Arbitrary<LeaseRequest> = fc.oneof(
  fc.record({ type: constant("join"), version, requestId, instance }, plain),
  fc.record({ type: constant("join"), version, requestId, instance, holdings }, plain),
  fc.record({ type: constant("renew"), requestId }, plain),
  fc.record({ type: constant("acquire"), requestId, order: fc.integer() }, plain),
  fc.record({ type: constant("release"), requestId, base: port, epoch }, plain),
);

export const leaseReplies: fc.Arbitrary<LeaseReply> = fc.oneof(
  fc.record(
    {
      type: constant("answer"),
      requestId,
      leases: fc.array(lease, { maxLength: 5 }),
      leaseDurationMs: fc.option(fc.integer({ min: 1, max: 86_400_000 })),
      granted: fc.option(lease),
      settings: leaseSettings,
    },
    plain,
  ),
  fc.record(
    {
      type: constant("refused"),
      requestId: fc.oneof(requestId, fc.constant("")),
      code: fc.constantFrom(
        ...(["host-already-present", "stale-session", "stale-epoch", "order-out-of-range"] as const),
        ...(["share-exceeded", "address-exhausted", "steering-pending", "ip-retiring"] as const),
        ...(["holdings-wanted", "address-recovering"] as const),
        ...messageCodes,
      ),
    },
    plain,
  ),
  fc.record({ type: constant("changed") }, plain),
);

const ownNextHop = fc.record({ ipv4: fc.option(fc.ipV4()), ipv6: fc.option(fc.ipV6()) }, plain);
const place = fc.record({ ip, port: fc.integer({ min: 1, max: 65_535 }) }, plain);
const places = fc.array(place, { maxLength: MAX_DOUBTS });
const uplink = fc.record(
  {
    state: fc.constantFrom("good" as const, "suspect" as const),
    destinationCount: portCount,
    failedCount: portCount,
    doubts: places,
  },
  plain,
);
const busiestDestination = fc.record(
  {
    protocol: fc.constantFrom("tcp" as const, "udp" as const),
    ip,
    port: fc.integer({ min: 1, max: 65_535 }),
  },
  plain,
);
const capacity = fc.record(
  {
    ip,
    portCount,
    busiestCount: portCount,
    busiestDestination,
    limit: portCount,
    absent: fc.boolean(),
    uplink,
  },
  { ...plain, requiredKeys: ["ip", "portCount", "busiestCount"] },
);

const amounts = fc.record(
  {
    requestsPerSecond: fc.oneof(sequence, fc.double({ min: 0.001, max: 1e9, noNaN: true })),
    requestsInFlight: sequence,
    tunnels: sequence,
    ports: sequence,
    bytesPerDay: sequence,
  },
  { ...plain, requiredKeys: [] },
);
const tenantUse = fc.record(
  { tenant: host, used: amounts, wanted: amounts, rate: fc.double({ min: 0, max: 1e9, noNaN: true }) },
  { ...plain, requiredKeys: ["tenant", "used", "wanted"] },
);

const name = fc.string({ maxLength: LONGEST_NAME });
const code = fc.stringMatching(/^[a-z][a-z0-9-]{0,63}$/);
const slot = fc.record(
  {
    atMs: sequence,
    requestCount: sequence,
    flowCount: sequence,
    refusals: fc.dictionary(code, sequence, { maxKeys: 3, noNullPrototype: true }),
    portCount: sequence,
  },
  plain,
);
const slots = fc.array(slot, { maxLength: 3 });
const instantMs = fc.double({ min: 0, max: 1e13, noNaN: true });
const watchedAddress = fc.record(
  {
    ip,
    renewedAtMs: fc.option(instantMs),
    renewsAtMs: fc.option(instantMs),
    endsAtMs: fc.option(instantMs),
    inUseCount: sequence,
    blocks: fc.array(fc.tuple(port, portCount, portCount), { maxLength: 3 }),
  },
  { ...plain, requiredKeys: ["ip", "renewedAtMs", "renewsAtMs", "endsAtMs", "inUseCount"] },
);
const watchedHost = fc.record(
  {
    version: name,
    startedAtMs: instantMs,
    processCount: fc.nat(1_024),
    runningCount: sequence,
    addresses: fc.array(watchedAddress, { maxLength: 3 }),
    minute: slot,
  },
  plain,
);
const liveDecision = fc.record(
  {
    atMs: instantMs,
    decision: fc.constantFrom("admitted" as const, "answered" as const, "refused" as const),
    requestId: name,
    tenant: name,
    client: name,
    kind: name,
    ip,
    port,
    status: fc.nat(999),
    code,
    tookMs: sequence,
  },
  { ...plain, requiredKeys: ["atMs", "decision"] },
);

export const poolRequests: fc.Arbitrary<PoolRequest> = fc.oneof(
  fc.record(
    {
      type: constant("enlist"),
      version,
      instance,
      gateway: fc.webUrl(),
      reach: ownNextHop,
      site: fc.stringMatching(/^[!-~]([ -~]{0,61}[!-~])?$/),
      weight: fc.double({ min: LEAST_WEIGHT, max: MOST_WEIGHT, noNaN: true }),
    },
    { ...plain, requiredKeys: ["type", "version", "instance", "gateway"] },
  ),
  fc.record(
    {
      type: constant("report"),
      draining: fc.boolean(),
      rooms: fc.array(capacity, { maxLength: 5 }),
      leaving: fc.array(fc.record({ ip, portCount, flowCount: portCount }, plain), { maxLength: 5 }),
      policyVersion: sequence,
      watchable: constant(true),
    },
    { ...plain, requiredKeys: ["type", "draining", "rooms"] },
  ),
  fc.record(
    {
      type: constant("watched"),
      now: watchedHost,
      past: fc.record({ minutes: slots, quarters: slots }, plain),
      decisions: fc.array(liveDecision, { maxLength: 3 }),
      lostCount: sequence,
    },
    { ...plain, requiredKeys: ["type"] },
  ),
  fc.record({ type: constant("tried"), ip, reached: places }, plain),
  fc.record(
    { type: constant("use"), number: sequence, tenants: fc.array(tenantUse, { maxLength: 3 }) },
    plain,
  ),
);

export const poolReplies: fc.Arbitrary<PoolReply> = fc.oneof(
  fc.record(
    {
      type: constant("enlisted"),
      pool: host,
      ips: fc.array(ip, { maxLength: 5 }),
      retiring: fc.array(ip, { maxLength: 5 }),
      steered: fc.boolean(),
      takes: fc.array(fc.string(), { maxLength: 3 }),
      settings: poolOwnSettings,
      policyVersion: sequence,
      advertised: fc.dictionary(ip, ip, { maxKeys: 3, noNullPrototype: true }),
      shortage: constant("address-exhausted"),
    },
    { ...plain, requiredKeys: ["type", "pool", "ips"] },
  ),
  fc.record({ type: constant("try"), ip, places }, plain),
  fc.record(
    {
      type: constant("shares"),
      number: sequence,
      members: fc.integer({ min: 1, max: 1_024 }),
      tenants: fc.array(fc.record({ tenant: host, share: amounts }, plain), { maxLength: 3 }),
    },
    plain,
  ),
  fc.record({ type: constant("ejected"), ips: fc.array(ip, { maxLength: 5 }) }, plain),
  fc.record(
    {
      type: constant("watch"),
      everyMs: fc.integer({ min: 100, max: LONGEST_EVERY_MS }),
      forMs: fc.nat(600_000),
      past: fc.boolean(),
      decisionCount: fc.nat(MOST_DECISIONS),
    },
    plain,
  ),
  fc.record(
    {
      type: constant("refused"),
      code: fc.constantFrom("host-already-present", "pool-unknown", "gateway-invalid", ...messageCodes),
    },
    plain,
  ),
);

export const routerRequests: fc.Arbitrary<RouterRequest> = fc.oneof(
  fc.record({ type: constant("enroll"), version, instance }, plain),
  fc.record({ type: constant("observe"), version }, plain),
  fc.record({ type: constant("acknowledge"), sequence }, plain),
  fc.record({ type: constant("resync") }, plain),
);

const entry: fc.Arbitrary<SteeringEntry> = fc
  .tuple(ip, LEASABLE_BLOCK, host, epoch)
  .map(([at, { base, order }, to, risen]) => ({ ip: at, base, order, host: to, epoch: risen }));
const ips = fc.array(ip, { maxLength: 3 });
const entries = fc.array(entry, { maxLength: 3 });
const nextHops = fc.array(
  fc.record({ host, ipv4: fc.option(fc.ipV4()), ipv6: fc.option(fc.ipV6()) }, plain),
  {
    maxLength: 3,
  },
);
const table: fc.Arbitrary<SteeringTable> = fc.record({ sequence, ips, entries, nextHops }, plain);
const change: fc.Arbitrary<SteeringChange> = fc.record(
  {
    sequence,
    withdraw: fc.array(fc.record({ ip, base: port, epoch }, plain), { maxLength: 3 }),
    put: entries,
    addIps: ips,
    removeIps: ips,
    nextHops,
  },
  plain,
);
const count = fc.integer({ min: 1, max: 1_000 });

export const routerReplies: fc.Arbitrary<RouterReply> = fc.oneof(
  fc.record({ type: constant("table"), part: count, parts: count, table }, plain),
  fc.record({ type: constant("change"), change }, plain),
  fc.record(
    {
      type: constant("refused"),
      code: fc.constantFrom("router-already-present", "pool-unknown", "sequence-unknown", ...messageCodes),
    },
    plain,
  ),
);

/** What a page says to an object. */
export const lookRequests: fc.Arbitrary<LookRequest> = fc.record(
  { type: constant("look"), past: fc.boolean(), decisions: fc.boolean(), heard: fc.nat() },
  { ...plain, requiredKeys: ["type"] },
);
