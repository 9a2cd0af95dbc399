/**
 * Whether a pool's settings make sense together. What cannot be is refused when it is set; what can be, and
 * is more likely a slip of the pen, is said to whoever sets it. What is stored stays as it is. [ME8] [ME9]
 */
import { BEATS_PER_SILENCE } from "./liveness.ts";
import { LEASABLE_PORT_COUNT, MAX_ORDER, MIN_ORDER, portCountOf, UNIT_PORT_COUNT } from "./port-block.ts";
import type { PoolSettings } from "./pool-settings.ts";
import { minimumOf } from "./share.ts";
import { isStatic, slotLayout } from "./static-slots.ts";

/** Settings that cannot be together. */
export interface Contradiction {
  readonly settings: readonly (keyof PoolSettings)[];
  /** A sentence that names them, their values, and what can be done. */
  readonly text: string;
}

/** What is possible and harms somebody. */
export interface Danger {
  readonly setting: keyof PoolSettings;
  /** A sentence: what the setting becomes, and what comes of that. */
  readonly text: string;
}

/** Linux keeps a closed connection so long (TIME-WAIT), and RFC 6888 REQ-8 asks for twice as long. */
const SHORT_QUARANTINE_MS = 60_000;
/** An edge that is started anew, and found again by its hosts, takes less. */
const SHORT_LEASE_MS = 30_000;
/** Less than this is a pause of a machine or of a network that is well. */
const SHORT_SILENCE_MS = 5_000;
/** Routers say a word each second. */
const SHORT_ROUTER_SILENCE_MS = 2_000;

/** All that cannot be in these settings. */
export function contradictionsIn(settings: PoolSettings): Contradiction[] {
  return isStatic(settings) ? contradictionsOfSlots(settings) : contradictionsOfLeases(settings);
}

/** The first that a change brings or leaves among what it sets; null for none. What was stored before may stay. [ME8] */
export function contradictionBy(before: PoolSettings | null, after: PoolSettings): Contradiction | null {
  const known = new Set(before === null ? [] : contradictionsIn(before).map(keyOf));
  const isNew = (one: Contradiction): boolean =>
    !known.has(keyOf(one)) || one.settings.some((key) => before![key] !== after[key]);
  return contradictionsIn(after).find(isNew) ?? null;
}

/** What a change makes dangerous, or more so than it was; `before` is null for a new pool. [ME9] */
export function dangersBy(before: PoolSettings | null, after: PoolSettings): Danger[] {
  const found: Danger[] = [];
  const warn = (setting: keyof PoolSettings, isSo: boolean, text: string): void => {
    if (isSo && before?.[setting] !== after[setting])
      found.push({ setting, text: `${setting}=${String(after[setting])}: ${text}` });
  };
  /** Below this; what was still less before only gets better. */
  const isShort = (
    setting: "quarantineMs" | "leaseDurationMs" | "hostSilenceMs" | "routerSilenceMs",
    leastMs: number,
  ) => after[setting] < leastMs && after[setting] < (before?.[setting] ?? Infinity);
  const heartbeatMs = after.hostSilenceMs / BEATS_PER_SILENCE;
  warn(
    "quarantineMs",
    isShort("quarantineMs", SHORT_QUARANTINE_MS),
    "ports go to another host while packets to the last one are under way and destinations still remember its " +
      "connections. RFC 6888 asks for 120 s, and Linux remembers for 60 s.",
  );
  if (!isStatic(after)) {
    warn(
      "leaseDurationMs",
      isShort("leaseDurationMs", Math.max(SHORT_LEASE_MS, heartbeatMs)),
      `every connection is cut when the edge is away for that long, as when it is started anew. Less than ` +
        `${SHORT_LEASE_MS / 1_000} s is little, and so is less than the ${heartbeatMs / 1_000} s between two words of a host (hostSilenceMs).`,
    );
  }
  warn(
    "hostSilenceMs",
    isShort("hostSilenceMs", SHORT_SILENCE_MS),
    "a short pause takes a host that is well out of service, and each sends so many messages more.",
  );
  warn(
    "routerSilenceMs",
    isShort("routerSilenceMs", SHORT_ROUTER_SILENCE_MS),
    "routers say a word each second, so one that is well counts as gone, and grants do not wait for it.",
  );
  warn(
    "historyDays",
    before !== null && after.historyDays < before.historyDays,
    `who held a port more than ${after.historyDays} days ago is forgotten for good.`,
  );
  return found;
}

function contradictionsOfLeases(settings: PoolSettings): Contradiction[] {
  const { firstBlockOrder, minPortsPerHost, maxPortsPerHost, minHostsPerIp } = settings;
  const found: Contradiction[] = [];
  if (minPortsPerHost > maxPortsPerHost)
    found.push({
      settings: ["minPortsPerHost", "maxPortsPerHost"],
      text:
        `minPortsPerHost=${minPortsPerHost} is more than maxPortsPerHost=${maxPortsPerHost}: ` +
        "a host cannot be sure of more ports than it may hold. Set both.",
    });
  const firstCount = portCountOf(firstBlockOrder);
  if (firstCount > maxPortsPerHost)
    found.push({
      settings: ["firstBlockOrder", "maxPortsPerHost"],
      text:
        `firstBlockOrder=${firstBlockOrder} makes a host's first block ${firstCount} ports, and ` +
        `maxPortsPerHost=${maxPortsPerHost} lets it hold fewer. ${orderAdvice(maxPortsPerHost)}`,
    });
  const least = Math.max(minimumOf(settings), firstCount);
  const most = Math.floor(LEASABLE_PORT_COUNT / least);
  if (minHostsPerIp > most)
    found.push({
      settings: ["minHostsPerIp", minimumOf(settings) > firstCount ? "minPortsPerHost" : "firstBlockOrder"],
      text:
        `minHostsPerIp=${minHostsPerIp} hosts do not fit on an address where each has ${least} ports ` +
        `(minPortsPerHost=${minPortsPerHost}, firstBlockOrder=${firstBlockOrder}): at most ${most} do.`,
    });
  return found;
}

function contradictionsOfSlots({ minHostsPerIp, staticPortsPerHost }: PoolSettings): Contradiction[] {
  const { slotCount } = slotLayout(staticPortsPerHost!);
  if (minHostsPerIp <= slotCount) return [];
  return [
    {
      settings: ["minHostsPerIp", "staticPortsPerHost"],
      text:
        `minHostsPerIp=${minHostsPerIp} hosts do not fit on an address of ${slotCount} slots ` +
        `(staticPortsPerHost=${staticPortsPerHost}).`,
    },
  ];
}

/** The largest order that fits below, if there is one. */
function orderAdvice(mostPorts: number): string {
  if (mostPorts < UNIT_PORT_COUNT) return `The smallest block has ${UNIT_PORT_COUNT} ports (${MIN_ORDER}).`;
  const order = Math.min(Math.floor(Math.log2(mostPorts)), MAX_ORDER);
  return `Set firstBlockOrder=${order} too, or less.`;
}

function keyOf({ settings }: Contradiction): string {
  return settings.join(" ");
}
