/** What happened, in lines. [EV7] */
import type { AnswerOf } from "../../api/edge-api.ts";
import { printable, styled } from "../output/terminal-text.ts";
import { differencesOf } from "./change-text.ts";

/** Something that happened. */
export type Event = AnswerOf<"listEvents">["events"][number];

/** What somebody may have to do something about. */
const BAD: ReadonlySet<Event["kind"]> = new Set([
  "lease-lost",
  "host-silent",
  "router-gone",
  "steering-overdue",
  "change-refused",
]);

/** Each event: when, what, to whom, and by whom; below it each value that differs. */
export function eventsText(events: readonly Event[]): string {
  return events.length === 0 ? "Nothing happened, as far as it is kept." : events.map(eventText).join("\n");
}

function eventText(event: Event): string {
  const { at, kind, ip, host, router, firstPort, lastPort, epoch, reason, by } = event;
  const named = [
    ip,
    firstPort === null ? null : `ports ${firstPort}-${lastPort}`,
    epoch === null ? null : `epoch ${epoch}`,
    host === null ? null : `host ${host}`,
    router === null ? null : `router ${router}`,
    reason,
    by === null ? null : `by ${by.subject}${by.tokenId === null ? "" : ` (${by.tokenId})`}`,
  ].filter((part) => part !== null);
  const what = BAD.has(kind) ? styled("yellow", kind) : kind;
  const head = [at, what, ...named.map(printable)].join("  ");
  const below = differencesOf(event.before, event.after);
  return [head, ...below.map((line) => `    ${printable(line)}`)].join("\n");
}
