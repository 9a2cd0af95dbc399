/** What the stand-in has been told, and what it was asked. [TE2] [TE3] */
import { ok, type Outcome } from "../../core/outcome.ts";
import { type AnswerRefusal, readAnswer, type StandInAnswer } from "./stand-in-answer.ts";

/** A request as the destination would have got it, or as it was refused. */
export interface StandInCall {
  readonly method: string;
  /** The destination: of a TCP connection `tcp://host:port`. */
  readonly url: string;
  /** What the destination gets: none of ipshard's own fields is among it. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** What was selected, as the `egress` field says it; empty for nothing. */
  readonly selection: string;
  readonly pool: string | null;
  /** Where it left from; null where it was refused before that. */
  readonly source: { readonly ip: string; readonly port: number; readonly host: string } | null;
  /** The code of the refusal; null for an answer of the destination's. */
  readonly refusal: string | null;
}

/** What can be told, from wherever. */
export type Command =
  | { readonly do: "next"; readonly answers: readonly StandInAnswer[] }
  | { readonly do: "answer"; readonly to: string; readonly answer: StandInAnswer }
  | { readonly do: "calls" }
  | { readonly do: "reset" };

/** So many calls are remembered; the oldest are forgotten first. */
const MAX_CALLS = 10_000;

/** The state of one stand-in. */
export class Script {
  readonly #next: StandInAnswer[] = [];
  readonly #standing = new Map<string, StandInAnswer>();
  readonly #calls: StandInCall[] = [];
  readonly #first: Readonly<Record<string, StandInAnswer>>;

  /** With answers that hold again after each reset. */
  constructor(first: Readonly<Record<string, StandInAnswer>> = {}) {
    this.#first = first;
    this.#begin();
  }

  /** The answer to a request; null where nothing was said of its destination. */
  answerTo(url: string): StandInAnswer | null {
    const next = this.#next.shift();
    if (next !== undefined) return next;
    // What was said last holds.
    for (const [to, answer] of [...this.#standing].toReversed()) if (isMeant(url, to)) return answer;
    return null;
  }

  note(call: StandInCall): void {
    this.#calls.push(call);
    if (this.#calls.length > MAX_CALLS) this.#calls.shift();
  }

  /** Does what it is told; answers with the calls where these are asked for. */
  command(command: Command): readonly StandInCall[] {
    if (command.do === "next") this.#next.push(...command.answers);
    else if (command.do === "answer") this.#stand(command.to, command.answer);
    else if (command.do === "reset") this.#begin();
    return command.do === "calls" ? [...this.#calls] : [];
  }

  #stand(to: string, answer: StandInAnswer): void {
    this.#standing.delete(to);
    this.#standing.set(to, answer);
  }

  #begin(): void {
    this.#next.length = 0;
    this.#calls.length = 0;
    this.#standing.clear();
    for (const [to, answer] of Object.entries(this.#first)) {
      const read = readAnswer(answer);
      if (!read.ok) throw new TypeError(`The answer of ${to}: ${read.refusal.detail}`);
      this.#stand(to, read.value);
    }
  }
}

/** Reads a command, whoever has given it. */
export function readCommand(value: unknown): Outcome<Command, AnswerRefusal> {
  const { do: verb, answers, answer, to } = (value ?? {}) as Record<string, unknown>;
  if (verb === "calls" || verb === "reset") return ok({ do: verb });
  if (verb === "next" && Array.isArray(answers)) {
    const read = answers.map(readAnswer);
    const bad = read.find((one) => !one.ok);
    if (bad !== undefined && !bad.ok) return bad;
    return ok({ do: "next", answers: answers as StandInAnswer[] });
  }
  if (verb === "answer" && typeof to === "string") {
    const read = readAnswer(answer);
    return read.ok ? ok({ do: "answer", to, answer: read.value }) : read;
  }
  return { ok: false, refusal: { code: "input-invalid", detail: "There is no such command." } };
}

/** Whether a destination is meant by a URL, or by the beginning of one and `*`. */
function isMeant(url: string, to: string): boolean {
  return to.endsWith("*") ? url.startsWith(to.slice(0, -1)) : url === to;
}
