/** The client of the fuzz of answers: what it saw of one, and what is wrong with that. */
import { Agent, type Dispatcher, request } from "undici";
import type { Chance } from "./chance.ts";
import type { Expected } from "./answer-plan.ts";
import { PROXY_IP, type Target } from "./target.ts";

/** Whom a client asks. */
export type Way = "edge" | "gateway" | "proxy";

/** What a client saw, in a word or a few: the same text, the same result. */
export type Result = string;

const CLIENT_TIMEOUT_MS = 40_000;

/** Asks a target's gateways and proxies, and its edge. */
export class AnswerClient {
  readonly #target: Target;
  readonly #agent: Agent;

  constructor(target: Target, connections: number) {
    this.#target = target;
    this.#agent = new Agent({
      connections,
      // Each has a connection of its own. One that announced its length may look whole and be broken
      // off all the same; the request behind it would be lost with the connection.
      pipelining: 0,
      headersTimeout: CLIENT_TIMEOUT_MS,
      bodyTimeout: CLIENT_TIMEOUT_MS,
      maxHeaderSize: 64 * 1024,
    });
  }

  /** Fetches a destination by the edge, or by one of the gateways or proxies; `turn` says by which. */
  async ask(destination: string, way: Way, turn: number): Promise<Result> {
    try {
      const reply = await this.#request(destination, way, turn);
      const status = String(reply.headers["proxy-status"] ?? "");
      const refusal = /^ipshard(?:;error=\w+)?;details="([\w-]+)"$/.exec(status)?.[1];
      const body = await reply.body.text();
      if (refusal !== undefined) return `refused ${refusal}`;
      return `complete ${reply.statusCode} ${body}`;
    } catch (fault) {
      const { code } = fault as { readonly code?: string };
      return code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT"
        ? "broken by silence"
        : "broken";
    }
  }

  async #request(destination: string, way: Way, turn: number): Promise<Dispatcher.ResponseData> {
    const target = this.#target;
    const ports = target.gatewayPorts();
    const port = ports[turn % ports.length];
    if (way === "proxy") {
      const origin = `http://${PROXY_IP}:${port}`;
      return this.#agent.request({ origin, path: destination, method: "GET" });
    }
    const base = way === "edge" ? target.cluster.edgeUrl : `http://127.0.0.1:${port}`;
    const headers =
      way === "edge"
        ? await target.cluster.clientHeaders()
        : { "egress-authorization": `Bearer ${await target.gatewayToken()}` };
    const url = `${base}/v1/fetch?url=${encodeURIComponent(destination)}`;
    return request(url, { headers, dispatcher: this.#agent });
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

/** Draws whom to ask. */
export function drawWay(chance: Chance): Way {
  return chance.of(["edge", "gateway", "proxy"]);
}

/** What is wrong with what was seen of an answer in one piece, and of the same in segments. */
export function judge(expected: Expected, whole: Result, inSegments: Result): string[] {
  const faults: string[] = [];
  for (const [how, seen] of [
    ["in one piece", whole],
    ["in segments", inSegments],
  ] as const) {
    if (seen.includes("internal-fault") || seen.includes("host-lost") || seen.includes("silence")) {
      faults.push(`${how}: ${shown(seen)}`);
    } else if (expected.kind === "whole" && seen !== `complete ${expected.status} ${expected.body}`) {
      faults.push(`${how}: ${shown(seen)} instead of ${expected.status}`);
    } else if (expected.kind === "broken" && seen.startsWith("complete")) {
      faults.push(`${how}: looks whole: ${shown(seen)}`);
    }
  }
  // A refusal and a break differ only by whether the head had gone out before.
  const outcomeOf = (seen: Result): string => (seen.startsWith("complete") ? seen : "nothing whole");
  if (expected.kind === "same" && outcomeOf(whole) !== outcomeOf(inSegments)) {
    faults.push(`${shown(whole)} in one piece, ${shown(inSegments)} in segments`);
  }
  return faults;
}

function shown(result: Result): string {
  return JSON.stringify(result.length > 120 ? `${result.slice(0, 120)}… (${result.length})` : result);
}
