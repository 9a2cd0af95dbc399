/** What administrators changed, in lines. [AU6] */
import type { AnswerOf } from "../../api/edge-api.ts";
import { printable, styled } from "../output/terminal-text.ts";

/** An entry of an audit. */
export type Change = AnswerOf<"listChanges">["entries"][number];

const MOST_VALUE_LENGTH = 160;
const LEAST_MOMENT_MS = 1_000_000_000_000;
/** The last that a date can be of. */
const MOST_MOMENT_MS = 8_640_000_000_000_000;

/** Each entry: when, who, which call and what became of it; below it each value that differs. */
export function changesText(changes: readonly Change[]): string {
  return changes.length === 0 ? "Nothing was changed." : changes.map(changeText).join("\n");
}

function changeText(change: Change): string {
  const { sequence, at, subject, tokenId, route, result, given } = change;
  const who = subject === null ? "the edge itself" : `${subject}${tokenId === null ? "" : ` (${tokenId})`}`;
  const outcome =
    result === "done" ? result : styled("yellow", result === "begun" ? result : `refused: ${result}`);
  const head = `${sequence}  ${at}  ${printable(who)}  ${printable(route)}  ${outcome}`;
  const differences = differencesOf(change.before, change.after);
  // Of what was refused nothing differs: what was wanted is all there is to tell.
  const below =
    differences.length > 0 ? differences : differencesOf(null, given).map((line) => `asked: ${line}`);
  return [head, ...below.map((line) => `    ${printable(line)}`)].join("\n");
}

/** Each value that differs, by the way to it. */
export function differencesOf(before: unknown, after: unknown): string[] {
  const [was, is] = [new Map(leavesOf(before)), new Map(leavesOf(after))];
  const names = [...new Set([...was.keys(), ...is.keys()])].filter((name) => was.get(name) !== is.get(name));
  return names.map((name) => {
    const [former, latter] = [was.get(name), is.get(name)];
    if (former === undefined) return `${name} = ${latter}`;
    return `${name}: ${former} -> ${latter ?? "nothing"}`;
  });
}

/** In lists, too. */
function withTimes(name: string, value: unknown): unknown {
  return isMoment(name, value) ? timeOf(value) : value;
}

function timeOf(moment: number): string {
  return new Date(moment).toISOString();
}

/** Times are told in milliseconds, as durations are; none of these lasts for thirty years. */
function isMoment(way: string, value: unknown): value is number {
  return (
    way.endsWith("Ms") && typeof value === "number" && value >= LEAST_MOMENT_MS && value <= MOST_MOMENT_MS
  );
}

/** Every value within, by the way to it; a list is one value. */
function* leavesOf(value: unknown, way = ""): Generator<[string, string]> {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [name, inner] of Object.entries(value)) {
      yield* leavesOf(inner, way === "" ? name : `${way}.${name}`);
    }
    return;
  }
  if (way === "" && value === null) return;
  const text = isMoment(way, value) ? timeOf(value) : (JSON.stringify(value, withTimes) ?? "");
  const shown = text.length > MOST_VALUE_LENGTH ? `${text.slice(0, MOST_VALUE_LENGTH)}…` : text;
  yield [way === "" ? "value" : way, shown];
}
