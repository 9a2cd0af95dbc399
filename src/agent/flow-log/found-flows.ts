/** The flows of a port, put together from the lines about it. */
import { type LoggedFlow, MAX_FOUND } from "../../wire/flow-answer.ts";
import type { FileHead, LogLine } from "./log-lines.ts";

/** Which flows are wanted. */
export interface WantedFlows {
  readonly atMs: number;
  readonly throughMs: number;
  readonly protocol: "tcp" | "udp" | null;
  readonly destination: string | null;
}

interface Gathered {
  readonly run: string;
  readonly flow: LoggedFlow;
}

/** Of one question. */
export class FoundFlows {
  readonly #wanted: WantedFlows;
  /** By id. */
  readonly #flows = new Map<string, Gathered>();

  constructor(wanted: WantedFlows) {
    this.#wanted = wanted;
  }

  /** Takes a line; the same one may come twice. */
  add(line: LogLine): void {
    if (line.type === "flow") return this.#begin(line);
    if (line.type !== "use" && line.type !== "to" && line.type !== "end") return;
    const flow = this.#flows.get(line.id)?.flow;
    if (flow === undefined) return;
    if (line.type === "end") {
      Object.assign(flow, { endMs: line.end, sent: line.sent, received: line.received });
    } else if (line.type === "to") {
      const isNew = !flow.destinations.includes(line.destination);
      if (isNew && flow.destinations.length < MAX_FOUND) flow.destinations.push(line.destination);
    } else {
      const { client, clientAddress, at: sinceMs } = line;
      const isNew = flow.senders.every((one) => one.client !== client || one.clientAddress !== clientAddress);
      if (isNew && flow.senders.length < MAX_FOUND) flow.senders.push({ client, clientAddress, sinceMs });
    }
  }

  #begin({
    id,
    protocol,
    start: startMs,
    tenant,
    client,
    clientAddress,
    destination,
  }: LogLine & { type: "flow" }): void {
    const { throughMs, protocol: wanted } = this.#wanted;
    if (this.#flows.has(id) || startMs > throughMs || (wanted !== null && protocol !== wanted)) return;
    const flow: LoggedFlow = {
      protocol,
      tenant,
      senders: [{ client, clientAddress, sinceMs: startMs }],
      destinations: destination === undefined ? [] : [destination],
      startMs,
      endMs: null,
      cutOffMs: null,
      sent: null,
      received: null,
    };
    this.#flows.set(id, { run: id.slice(0, id.lastIndexOf("-")), flow });
  }

  /** Takes what all files of a writer say: a flow without an end is over when another run has begun. */
  runsOf(heads: readonly FileHead[]): void {
    for (const { run, flow } of this.#flows.values()) {
      if (flow.endMs !== null) continue;
      const own = heads.findLastIndex((head) => head.run === run);
      const next = own === -1 ? undefined : heads[own + 1];
      if (next !== undefined) flow.cutOffMs = next.atMs;
    }
  }

  /** Those that were open at the time, and those that had ended shortly before, newest first. */
  found(aftermathMs: number): { readonly open: LoggedFlow[]; readonly ended: LoggedFlow[] } {
    const { atMs, destination } = this.#wanted;
    const open: LoggedFlow[] = [];
    const ended: LoggedFlow[] = [];
    for (const { flow } of this.#flows.values()) {
      const { destinations } = flow;
      // A full list says nothing of what is not on it, nor does one that was not kept.
      const isTelling = destinations.length > 0 && destinations.length < MAX_FOUND;
      if (destination !== null && isTelling && !destinations.includes(destination)) continue;
      const endMs = overMs(flow);
      if (atMs < endMs) open.push(flow);
      else if (endMs > atMs - aftermathMs) ended.push(flow);
    }
    open.sort((a, b) => a.startMs - b.startMs);
    ended.sort((a, b) => overMs(b) - overMs(a));
    return { open, ended };
  }
}

function overMs({ endMs, cutOffMs }: LoggedFlow): number {
  return endMs ?? cutOffMs ?? Infinity;
}
