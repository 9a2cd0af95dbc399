/** What is between a pool as it is and as a file wants it: pure, so that what is shown is what is done. [AY2] */
import type { AnswerOf } from "../../api/edge-api.ts";
import { DEFAULT_POOL_SETTINGS, type PoolSettings } from "../../core/pool-settings.ts";
import { contradictionBy, dangersBy } from "../../core/settings-sense.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { policyChanges } from "./policy-difference.ts";
import type { DesiredPool } from "./desired-file.ts";

/** One call of the API, and what it is for. */
export interface Change {
  readonly sign: "+" | "~" | "-";
  readonly pool: string;
  /** For people: what becomes of what. */
  readonly text: string;
  /** Why it would end flows that run; null if it ends none. */
  readonly cuts: string | null;
  /** What may be a slip of the pen, for people. [ME9] */
  readonly warnings?: readonly string[];
  readonly route: ChangeRoute;
  readonly input: Readonly<Record<string, unknown>>;
}

/** What a file may have done. */
export type ChangeRoute =
  | "putPool"
  | "putIp"
  | "deleteIp"
  | "drainIp"
  | "resumeIp"
  | "drainHost"
  | "resumeHost"
  | "deleteHost"
  | "putPolicy"
  | "putTenant"
  | "deleteTenant";

/** A pool as it is; null for one that there is not. */
export interface ActualPool {
  readonly pool: AnswerOf<"getPool">;
  readonly policy: AnswerOf<"getPolicy">;
}

type ActualIp = ActualPool["pool"]["ips"][number];

/** What is to be done, and what cannot be. */
export interface Difference {
  readonly changes: readonly Change[];
  readonly remarks: readonly string[];
}

/** In the order in which to do it: what serves comes before what serves no more. */
export function differenceOf(name: string, desired: DesiredPool, actual: ActualPool | null): Difference {
  const hosts = hostDifference(name, desired, actual);
  const changes = [
    ...settingChanges(name, desired, actual),
    ...ipChanges(name, desired, actual),
    ...(desired.policy === undefined ? [] : policyChanges(name, desired.policy, actual?.policy ?? null)),
    ...hosts.changes,
  ];
  return { changes: [...changes].toSorted((a, b) => rank(a) - rank(b)), remarks: hosts.remarks };
}

/** Removals last. */
function rank({ sign }: Change): number {
  return sign === "-" ? 1 : 0;
}

function settingChanges(name: string, { settings = {} }: DesiredPool, actual: ActualPool | null): Change[] {
  const before: PoolSettings | null = actual?.pool.settings ?? null;
  const old = (key: string): unknown => before?.[key as keyof PoolSettings];
  const differing = Object.entries(settings).filter(
    ([key, value]) => value !== undefined && old(key) !== value,
  );
  if (actual !== null && differing.length === 0) return [];
  const after = { ...DEFAULT_POOL_SETTINGS, ...before, ...Object.fromEntries(differing) };
  const contradiction = contradictionBy(before, after);
  // Before anything of the file is done: a mistake in it changes nothing. [AY1]
  if (contradiction !== null)
    throw new CommandFault("file-invalid", `Nothing was changed. ${name}: ${contradiction.text}`);
  const words = differing.map(([key, value]) =>
    actual === null ? `${key} ${String(value)}` : `${key} ${String(old(key))} → ${String(value)}`,
  );
  return [
    {
      sign: actual === null ? "+" : "~",
      pool: name,
      text: ["pool", ...(words.length === 0 ? [] : [words.join(", ")])].join(": "),
      cuts: null,
      warnings: dangersBy(before, after).map(({ text }) => text),
      route: "putPool",
      input: { pool: name, settings: Object.fromEntries(differing) },
    },
  ];
}

function ipChanges(name: string, { ips }: DesiredPool, actual: ActualPool | null): Change[] {
  if (ips === undefined) return [];
  const known = new Map(actual?.pool.ips.map((one) => [one.ip, one]));
  const wanted = Object.entries(ips).flatMap(([ip, said]) => ipChange(name, ip, said, known.get(ip)));
  const removed = [...known.values()]
    .filter(({ ip, retiring }) => retiring === null && !Object.hasOwn(ips, ip))
    .map(({ ip, drain }): Change => {
      const cuts =
        drain?.state === "drained"
          ? null
          : "hosts serve it, and cut what runs there at their --drain-deadline; drain it first";
      return {
        sign: "-",
        pool: name,
        text: `address ${ip}`,
        cuts,
        route: "deleteIp",
        input: { pool: name, ip },
      };
    });
  return [...wanted, ...removed];
}

function ipChange(
  pool: string,
  ip: string,
  said: NonNullable<DesiredPool["ips"]>[string],
  before: ActualIp | undefined,
): Change[] {
  const { drained, advertised = null, country = null, sites = [], tags = [] } = said ?? {};
  const about = { advertised, country, sites, tags };
  const old = before?.retiring === null ? before : null;
  const differing = Object.entries(about).filter(
    ([key, value]) => told(old?.[key as keyof typeof about]) !== told(value),
  );
  const words = differing.map(([key, value]) =>
    old === null
      ? `${key} ${told(value)}`
      : `${key} ${told(old[key as keyof typeof about])} → ${told(value)}`,
  );
  const base = { pool, cuts: null, input: { pool, ip } };
  const drain = drainChange("address", ip, drained, old !== null && old.drain !== null, base);
  if (old !== null && differing.length === 0) return drain;
  const text = [`address ${ip}`, ...words].join(", ");
  const put: Change = {
    ...base,
    sign: old === null ? "+" : "~",
    text,
    route: "putIp",
    input: { pool, ip, ...about },
  };
  return [put, ...drain];
}

function hostDifference(name: string, { hosts }: DesiredPool, actual: ActualPool | null): Difference {
  if (hosts === undefined) return { changes: [], remarks: [] };
  const known = new Map(actual?.pool.hosts.map((one) => [one.host, one]));
  const changes: Change[] = [];
  const remarks: string[] = [];
  for (const [host, said] of Object.entries(hosts)) {
    const before = known.get(host);
    const input = { pool: name, host };
    if (before === undefined)
      remarks.push(`${name}: host ${host} is not there yet: ipshard host add ${host} --pool ${name}`);
    else
      changes.push(
        ...drainChange("host", host, said?.drained, before.drain !== null, {
          pool: name,
          cuts: null,
          input,
        }),
      );
  }
  for (const { host, live } of known.values()) {
    if (Object.hasOwn(hosts, host)) continue;
    // The edge forgets nobody whom it hears.
    if (live)
      remarks.push(
        `${name}: host ${host} is not in the file, and is there: drain it, stop its agent, and apply again`,
      );
    else
      changes.push({
        sign: "-",
        pool: name,
        text: `host ${host}`,
        cuts: null,
        route: "deleteHost",
        input: { pool: name, host },
      });
  }
  return { changes, remarks };
}

function drainChange(
  kind: "address" | "host",
  which: string,
  wanted: boolean | undefined,
  isDrained: boolean,
  base: Pick<Change, "pool" | "cuts" | "input">,
): Change[] {
  if (wanted === undefined || wanted === isDrained) return [];
  const isAddress = kind === "address";
  return [
    {
      ...base,
      sign: "~",
      text: `${kind} ${which}: ${wanted ? "drain" : "resume"}`,
      route: wanted ? (isAddress ? "drainIp" : "drainHost") : isAddress ? "resumeIp" : "resumeHost",
    },
  ];
}

function told(value: string | readonly string[] | null | undefined): string {
  const text = typeof value === "string" ? value : (value ?? []).join(",");
  return text === "" ? "none" : text;
}
