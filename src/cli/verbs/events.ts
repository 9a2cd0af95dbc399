/** `ipshard events`: what happened to a pool or to an address. [EV7] */
import { setTimeout as delay } from "node:timers/promises";
import type { EdgeApi } from "../../api/edge-api.ts";
import { MOST_EVENTS_IN_ANSWER } from "../../api/event-schemas.ts";
import { EVENT_KINDS, newestFirst, placeIn } from "../../core/history-event.ts";
import { collect, optionInvalid, readDuration, withExamples } from "../../process/command-options.ts";
import { printableJson } from "../../process/printable.ts";
import { didYouMean } from "../../process/nearest.ts";
import { parseInstant } from "../../wire/instant.ts";
import { eventsText, type Event } from "../attribution/event-text.ts";
import { operatorFor, type OperatorWords, poolMeant, withOperator } from "../credentials/operator.ts";
import { newVerb, poolOption } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { print } from "../output/print.ts";
import { readAddress, readName } from "../read-address.ts";

interface Words extends OperatorWords {
  readonly pool?: string;
  readonly since?: string;
  readonly kind: readonly string[];
  readonly host?: string;
  readonly limit?: string;
  readonly follow?: true;
  readonly json?: true;
}

type Query = Parameters<EdgeApi["listEvents"]>[0];

const NEWEST = 50;
const MOST = 100_000;
const SINCE = { leastMs: 1, mostMs: 3_650 * 86_400_000 };
const LOOK_EVERY_MS = 2_000;
/** What is noticed late stands before what was seen already. */
const OVERLAP_MS = 60_000;

/** The verb. */
export const events = withExamples(
  withOperator(newVerb("events", "say what happened to a pool or to an address, the latest last"))
    .argument("[address]", "one address, with its grants and the ends of its leases (default: the pool)")
    .addOption(poolOption())
    .option(
      "--since <time>",
      "as in 2h, 7d or 2026-11-29T12:03:07Z (default: the newest, whenever they were)",
    )
    .option("--kind <kind>", "only these, as in lease-lost; may be repeated", collect, [])
    .option("--host <name>", "only what concerns this host")
    .option("--limit <number>", `the newest so many (default: ${NEWEST}, or all since --since)`)
    .option("--follow", "go on with what happens from now on, until Ctrl-C")
    .addOption(jsonOption())
    .action(async (address: string | undefined, words: Words) => {
      if (address !== undefined && words.pool !== undefined)
        throw optionInvalid("An address and --pool exclude each other: an address is in one pool.");
      const ip = address === undefined ? null : readAddress(address);
      const about = aboutOf(words);
      const sinceMs = words.since === undefined ? null : readSince(words.since, Date.now());
      const most = mostOf(words);
      const operator = await operatorFor(words);
      const of = ip === null ? { pool: await poolMeant(words.pool, operator) } : { ip };
      const query = { ...of, ...about };
      const found = await newest(
        operator.api,
        { ...query, ...(sinceMs === null ? {} : { since: `${sinceMs}` }) },
        most,
      );
      if (words.follow !== true) return answer(words.json, found, () => eventsText(found));
      await tell(found, words.json);
      return follow(operator.api, query, found.at(-1), (fresh) => tell(fresh, words.json));
    }),
  ["events --pool eu --since 2h", "events 192.0.2.1 --kind lease-lost --json", "events --pool eu --follow"],
);

/** The newest so many, the latest last. */
async function newest(api: EdgeApi, query: Query, most: number): Promise<Event[]> {
  const found: Event[] = [];
  while (found.length < most) {
    const limit = Math.min(MOST_EVENTS_IN_ANSWER, most - found.length);
    const last = found.at(-1);
    const before = last === undefined ? {} : { before: last.id };
    const page = await api.listEvents({ ...query, ...before, limit });
    found.push(...page.events);
    if (page.events.length < limit) break;
  }
  return found.toReversed();
}

async function follow(
  api: EdgeApi,
  query: Query,
  last: Event | undefined,
  onFresh: (fresh: readonly Event[]) => Promise<void>,
): Promise<never> {
  let latest = last;
  /** What there was at the last look; before the first one, all up to the latest that was told. */
  let seen: ReadonlySet<string> | null = null;
  for (;;) {
    const since = latest === undefined ? {} : { since: `${Date.parse(latest.at) - OVERLAP_MS}` };
    const found = await newest(api, { ...query, ...since }, MOST);
    const fresh = found.filter((event) => !(seen?.has(event.id) ?? isTold(event, latest)));
    if (fresh.length > 0) await onFresh(fresh);
    seen = new Set(found.map(({ id }) => id));
    latest = found.at(-1) ?? latest;
    await delay(LOOK_EVERY_MS);
  }
}

function isTold({ id }: Event, latest: Event | undefined): boolean {
  return latest !== undefined && newestFirst(placeIn(id)!, placeIn(latest.id)!) >= 0;
}

/** As they come: a line for each, or what people read. */
async function tell(fresh: readonly Event[], json: boolean | undefined): Promise<void> {
  if (fresh.length === 0) return;
  await print(json === true ? fresh.map((event) => printableJson(event)).join("\n") : eventsText(fresh));
}

function aboutOf({ kind, host }: Words): Pick<Query, "kind" | "host"> {
  const unknown = kind.find((name) => !(EVENT_KINDS as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw optionInvalid(
      `--kind ${unknown} is none of ${EVENT_KINDS.join(", ")}.${didYouMean(unknown, EVENT_KINDS)}`,
    );
  return {
    ...(kind.length === 0 ? {} : { kind: kind.join(",") }),
    ...(host === undefined ? {} : { host: readName("host", host) }),
  };
}

function readSince(text: string, nowMs: number): number {
  const atMs = parseInstant(text);
  if (atMs !== null) return atMs;
  if (!/^\d/.test(text))
    throw optionInvalid(
      `--since ${text} is neither a time that has gone by, such as 45s, 2h or 7d, nor a moment, such as 2026-11-29T12:03:07Z.`,
    );
  return Math.max(0, nowMs - readDuration("--since", text, SINCE));
}

function mostOf({ limit, since }: Words): number {
  if (limit === undefined) return since === undefined ? NEWEST : MOST;
  if (/^[1-9]\d{0,5}$/.test(limit) && Number(limit) <= MOST) return Number(limit);
  throw optionInvalid(`--limit ${limit} is no number from 1 to ${MOST}.`);
}
