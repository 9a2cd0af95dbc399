/** Decisions while somebody looks: so many are kept until they are taken, the rest is only counted. [LV7] */
import { type LiveDecision, LONGEST_NAME, type TakenDecisions } from "../../core/live-view.ts";

/** One per process that carries traffic, or that takes together what others say. */
export class NotedDecisions {
  #most = 0;
  #decisions: LiveDecision[] = [];
  #lostCount = 0;

  /** Notes at most so many from now on; none, and forgets those that are there, for 0. */
  limit(most: number): void {
    this.#most = most;
    if (most === 0) this.take();
  }

  /** A decision was made. */
  note(decision: () => LiveDecision): void {
    if (this.#most === 0) return;
    if (this.#decisions.length < this.#most) this.#decisions.push(shortened(decision()));
    else this.#lostCount += 1;
  }

  /** Others have noted these. */
  noteAll({ decisions, lostCount }: TakenDecisions): void {
    for (const decision of decisions) this.note(() => decision);
    if (this.#most > 0) this.#lostCount += lostCount;
  }

  /** Those that were made since this was called last. */
  take(): TakenDecisions {
    const taken = { decisions: this.#decisions, lostCount: this.#lostCount };
    this.#decisions = [];
    this.#lostCount = 0;
    return taken;
  }
}

/** Names are as long as whoever signs tokens likes, and a message has a bound. */
function shortened({ tenant, client, ...rest }: LiveDecision): LiveDecision {
  return { ...rest, ...shortName("tenant", tenant), ...shortName("client", client) };
}

function shortName(field: "tenant" | "client", name: string | undefined): Partial<LiveDecision> {
  return name === undefined ? {} : { [field]: name.slice(0, LONGEST_NAME).toWellFormed() };
}
