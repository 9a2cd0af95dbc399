/** A load as it is filled in, and what is wrong with it. The bounds are those of `ipshard plan`. */
import { isName } from "../../core/selection.ts";
import { type PlannedLoad, type PlannedSite, USUAL_LOAD } from "../../plan/load.ts";
import { USUAL_ADDRESS_PRICE } from "../../plan/plan.ts";

/** The fields, as text. */
export type PlanWords = Readonly<Record<PlanField, string>>;
export type PlanField =
  | "hosts"
  | "rate"
  | "peakFactor"
  | "lastingSeconds"
  | "busiestPercent"
  | "spread"
  | "waves"
  | "growthPercent"
  | "addresses"
  | "price";

/** What is read of them. */
export interface ReadPlan {
  readonly load: PlannedLoad;
  readonly growth: number;
  readonly addressCount: number | null;
  readonly addressPrice: number;
}

/** What stands there at first. */
export const FIRST_WORDS: PlanWords = {
  hosts: "31",
  rate: "1000",
  peakFactor: `${USUAL_LOAD.peakFactor}`,
  lastingSeconds: `${USUAL_LOAD.lastingMs / 1000}`,
  busiestPercent: `${USUAL_LOAD.busiestShare * 100}`,
  spread: `${USUAL_LOAD.spread}`,
  waves: `${USUAL_LOAD.wavesPerDay}`,
  growthPercent: "0",
  addresses: "",
  price: `${USUAL_ADDRESS_PRICE}`,
};

const MOST_HOSTS = 1_000_000;
const BOUNDS: Readonly<
  Record<Exclude<PlanField, "hosts" | "addresses">, readonly [least: number, most: number, name: string]>
> = {
  rate: [0.001, 1e9, "Connections a second"],
  peakFactor: [1, 1000, "Peak"],
  lastingSeconds: [0.001, 2_592_000, "Duration"],
  busiestPercent: [0.01, 100, "Busiest"],
  spread: [0, 10, "Spread"],
  waves: [0, 1000, "Waves"],
  growthPercent: [0, 10_000, "Growth"],
  price: [0, 1_000_000, "Price"],
};

/** The plan to make, or a sentence about the first field that cannot be read. */
export function readPlan(words: PlanWords): ReadPlan | string {
  const sites = sitesIn(words.hosts);
  if (typeof sites === "string") return sites;
  for (const [field, [least, most, name]] of Object.entries(BOUNDS)) {
    const value = numberIn(words[field as keyof typeof BOUNDS]);
    if (!(value >= least && value <= most)) return `${name}: a number from ${least} to ${most} is expected.`;
  }
  const addresses = words.addresses.trim() === "" ? null : numberIn(words.addresses);
  if (addresses !== null && !(Number.isInteger(addresses) && addresses >= 1 && addresses <= MOST_HOSTS))
    return `Addresses: a whole number from 1 to ${MOST_HOSTS} is expected, or nothing.`;
  return {
    load: {
      sites,
      connectionsPerSecond: numberIn(words.rate),
      peakFactor: numberIn(words.peakFactor),
      lastingMs: numberIn(words.lastingSeconds) * 1000,
      busiestShare: numberIn(words.busiestPercent) / 100,
      spread: numberIn(words.spread),
      wavesPerDay: numberIn(words.waves),
    },
    growth: numberIn(words.growthPercent) / 100,
    addressCount: addresses,
    addressPrice: numberIn(words.price),
  };
}

/** `31`, or `fra:20,ams:11`. */
function sitesIn(text: string): readonly PlannedSite[] | string {
  const count = numberIn(text);
  if (isHostCount(count)) return [{ site: null, hostCount: count }];
  const sites = text.split(",").map((part) => {
    const [site = "", hosts = "", ...rest] = part.trim().split(":");
    return { site, hostCount: rest.length === 0 ? numberIn(hosts) : NaN };
  });
  const isGood =
    sites.every(({ site, hostCount }) => isName(site) && isHostCount(hostCount)) &&
    new Set(sites.map(({ site }) => site)).size === sites.length;
  return isGood ? sites : "Hosts: a whole number is expected, or sites with theirs, such as fra:20,ams:11.";
}

function isHostCount(count: number): boolean {
  return Number.isInteger(count) && count >= 1 && count <= MOST_HOSTS;
}

function numberIn(text: string): number {
  return /^\d{1,12}(\.\d{1,6})?$/.test(text.trim()) ? Number(text) : NaN;
}
