/** Questions to the flow log of a host, as the edge asks them. [AT6] */
import { isIP } from "node:net";
import type { Identity } from "../../../core/identity.ts";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import type { FlowAnswer, FlowQuestion } from "../../../wire/flow-answer.ts";

/** Searches the log. */
export type FlowsAt = (question: FlowQuestion) => Promise<FlowAnswer>;

/** Searches at a time; each reads files. */
const MAX_AT_ONCE = 2;
/** Questions that wait for their turn. */
const MAX_WAITING = 64;
/** A second, which is how exactly a time is mostly known. */
const MAX_SPAN_MS = 999;
const MAX_DESTINATION_LENGTH = 64;

/** One for each process that has a gateway. */
export class FlowQuestions {
  readonly #host: string;
  readonly #flowsAt: FlowsAt | undefined;
  #runningCount = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(host: string, flowsAt: FlowsAt | undefined) {
    this.#host = host;
    this.#flowsAt = flowsAt;
  }

  /** Answers a question that somebody asks with a token of the right role. */
  async answer(identity: Identity, query: string): Promise<Outcome<FlowAnswer, Problem>> {
    // A host that is asked must not be able to ask another with what it was shown.
    if (identity.subject !== this.#host) {
      return refuse({ code: "role-denied", detail: "The token is for another host." });
    }
    const question = readQuestion(new URLSearchParams(query));
    if (question === null) {
      return refuse({
        code: "input-invalid",
        detail: "It takes ip, port and at, and may take through, protocol and destination.",
      });
    }
    if (this.#flowsAt === undefined) return refuse({ code: "route-unknown" });
    if (this.#runningCount >= MAX_AT_ONCE) {
      if (this.#waiting.length >= MAX_WAITING) return refuse({ code: "attribution-busy" });
      // Whoever ends hands its place over.
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    } else {
      this.#runningCount += 1;
    }
    try {
      return ok(await this.#flowsAt(question));
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#runningCount -= 1;
      else next();
    }
  }
}

function readQuestion(query: URLSearchParams): FlowQuestion | null {
  const ip = query.get("ip") ?? "";
  const port = numberIn(query.get("port"), 65_535);
  const atMs = numberIn(query.get("at"), 8_640_000_000_000_000);
  const through = query.get("through");
  const throughMs = through === null ? atMs : numberIn(through, 8_640_000_000_000_000);
  const protocol = query.get("protocol");
  const destination = query.get("destination");
  if (isIP(ip) === 0 || port === null || atMs === null || throughMs === null) return null;
  // More than a time that somebody wrote down is a search of the log for its own sake.
  if (throughMs < atMs || throughMs - atMs > MAX_SPAN_MS) return null;
  if (protocol !== null && protocol !== "tcp" && protocol !== "udp") return null;
  if (destination !== null && destination.length > MAX_DESTINATION_LENGTH) return null;
  return { ip, port, atMs, throughMs, protocol, destination };
}

function numberIn(text: string | null, most: number): number | null {
  const value = Number(text);
  return text !== null && /^\d{1,16}$/.test(text) && value <= most ? value : null;
}
