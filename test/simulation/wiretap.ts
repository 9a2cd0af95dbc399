/** Hears every message that a host or a router sends or reads, for all who are to know of it. */
import type {
  LeaseReply,
  LeaseRequest,
  PoolReply,
  RouterReply,
  RouterRequest,
} from "../../src/core/messages.ts";
import type { PortBlock } from "../../src/core/port-block.ts";
import { objectNameOf } from "./connection.ts";
import { Conversation, meetReply } from "./conversation.ts";
import type { FlowChecks } from "./flow-checks.ts";
import type { Unseen } from "./history.ts";
import type { Host } from "./host.ts";
import type { SimulatedRouter } from "./router.ts";
import { type Meet, meetNamed } from "./transitions.ts";

/** Who is to know. */
export interface WiretapOptions {
  /** Gets every message as it is. */
  readonly record: (who: string, direction: "sent" | "read", text: string) => void;
  readonly flows: FlowChecks;
  readonly see: (sighting: Unseen) => void;
  /** A host has read which blocks it holds. */
  readonly told: (
    ip: string,
    blocks: readonly (PortBlock & { readonly epoch: number })[],
    host: Host,
  ) => void;
  readonly meet: Meet;
  readonly count: (what: string) => void;
}

/** Of one machine with one object. */
interface Line {
  readonly who: string;
  /** Null for the pool. */
  readonly ip: string | null;
  readonly conversation: Conversation;
}

/** One per run. */
export class Wiretap {
  readonly #options: WiretapOptions;
  /** By machine and path. */
  readonly #lines = new Map<string, Line>();

  constructor(options: WiretapOptions) {
    this.#options = options;
  }

  host(host: Host, url: URL, direction: "sent" | "read", text: string): void {
    const { who, ip, conversation } = this.#lineOf(host, url);
    this.#options.record(who, direction, text);
    if (ip !== null && direction === "sent") this.#asked(host, ip, conversation, text);
    else if (ip !== null) this.#answered(host, ip, conversation, text);
    else if (direction === "read") this.#named(host, conversation, text);
  }

  router(router: SimulatedRouter, direction: "sent" | "read", text: string): void {
    const { record, meet } = this.#options;
    record(router.name, direction, text);
    if (direction === "sent") meetNamed(`router: ${(JSON.parse(text) as RouterRequest).type}`, meet);
    else meetReply(JSON.parse(text) as RouterReply, meet);
  }

  #asked(host: Host, ip: string, conversation: Conversation, text: string): void {
    const request = JSON.parse(text) as LeaseRequest;
    conversation.asked(request);
    this.#options.flows.asked(host, ip, request);
    this.#options.see({ type: "asked", machine: host.machine.name, ip, requestId: request.requestId });
  }

  #answered(host: Host, ip: string, conversation: Conversation, text: string): void {
    const { flows, see, told, count } = this.#options;
    const reply = JSON.parse(text) as LeaseReply;
    conversation.told(reply);
    if (reply.type === "refused") {
      flows.refused(host, ip, reply.requestId);
      return count(`refused: ${reply.code}`);
    }
    if (reply.type === "changed") return count("settings changed");
    const { requestId, leaseDurationMs, leases: blocks, granted } = reply;
    count(granted === null ? "answer" : "grant");
    see({ type: "told", machine: host.machine.name, ip, requestId, leaseDurationMs, blocks, granted });
    flows.told(host, ip, requestId, leaseDurationMs, blocks);
    told(ip, blocks, host);
  }

  #named(host: Host, conversation: Conversation, text: string): void {
    const reply = JSON.parse(text) as PoolReply;
    conversation.named(reply);
    if (reply.type === "enlisted") this.#options.flows.named(host, reply.ips, reply.retiring ?? []);
  }

  #lineOf({ machine }: Host, url: URL): Line {
    const who = `${machine.name} ${url.pathname}`;
    let line = this.#lines.get(who);
    if (line === undefined) {
      const [kind, name] = objectNameOf(url).split(" ") as [string, string];
      line = { who, ip: kind === "ip" ? name : null, conversation: new Conversation(this.#options.meet) };
      this.#lines.set(who, line);
    }
    return line;
  }
}
