/**
 * The UDP associations of a process: admitted as every flow is, one leased port each, until their TCP
 * connections end. [UD1] [UD2]
 */
import { isIP, type Socket } from "node:net";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Identity } from "../../../core/identity.ts";
import type { Problem } from "../../../core/problems.ts";
import type { Admission } from "../../admission/admission.ts";
import type { FlowContext } from "../../egress/flow-context.ts";
import type { FlowRecorder } from "../../egress/flow-recorder.ts";
import type { OpenSockets } from "../../egress/open-sockets.ts";
import type { Resolver } from "../../egress/resolver.ts";
import type { SocksAddress } from "./socks-messages.ts";
import { UdpAssociation, type UdpPlace } from "./udp-association.ts";
import { UdpTally } from "./udp-tally.ts";

/** What all associations of a process share. */
export interface UdpAssociationsOptions {
  readonly admission: Admission;
  readonly resolver: Resolver;
  readonly sockets?: OpenSockets;
  /** Notes each, as a flow. */
  readonly recorder?: FlowRecorder | null;
  /** How long a client may send nothing. */
  readonly idleMs?: number;
  /** Told of each that has ended, and why, unless its client ended it or sent nothing for long. */
  readonly onEnded?: (context: FlowContext, association: UdpAssociation, problem: Problem | null) => void;
}

/** An association as it is asked for. */
export interface AskedAssociation {
  readonly client: Identity;
  readonly selection: string | null;
  /** From where the client says that it will send. */
  readonly announced: SocksAddress;
}

/** Where the client sends to is not known yet. Of a host with both families most want this one. [UD4] */
const ANYWHERE = { hostname: "0.0.0.0" };
const NOT_ANNOUNCED: UdpPlace = { ip: "0.0.0.0", port: 0 };

/** One for each process that carries traffic. */
export class UdpAssociations {
  readonly tally = new UdpTally();
  readonly #options: UdpAssociationsOptions;
  readonly #open = new Set<UdpAssociation>();

  constructor(options: UdpAssociationsOptions) {
    this.#options = options;
  }

  /** Those that stand. */
  get size(): number {
    return this.#open.size;
  }

  /** For the status. */
  describe(): Record<string, unknown> {
    return { associations: this.size, ...this.tally.describe() };
  }

  /**
   * Opens one for the client of a control connection. Whatever ends it, `onEnd` hears it once, with a
   * problem if the client did not want it; when the connection has closed, it is over. When `flow` fails, that ends both.
   */
  async open(
    { client, selection, announced }: AskedAssociation,
    control: Socket,
    flow: { fail(fault: unknown): void },
    onEnd: (problem: Problem | null, context: FlowContext) => void,
  ): Promise<Outcome<UdpAssociation, Problem>> {
    const { admission, onEnded, recorder, ...shared } = this.#options;
    const admitting = admission.admit({
      client: ok(client),
      selection,
      clientAddress: control.remoteAddress,
      destination: () => ok(ANYWHERE),
      flow: { kind: "association", until: control, flow },
    });
    const admitted = admitting instanceof Promise ? await admitting : admitting;
    if (!admitted.ok) return admitted;
    const { context } = admitted.value;
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    control.once("close", onClose);
    const opened = await UdpAssociation.open({
      ...shared,
      context,
      clientIp: control.remoteAddress ?? "",
      listenIp: control.localAddress ?? "",
      announced: isIP(announced.host) === 0 ? NOT_ANNOUNCED : { ip: announced.host, port: announced.port },
      tally: this.tally,
      signal: gone.signal,
      begins: (place) =>
        recorder?.begins({ ...place, protocol: "udp", destination: null, sender: context }) ?? null,
      onEnd: (association, problem) => {
        this.#open.delete(association);
        onEnded?.(context, association, problem);
        onEnd(problem, context);
      },
    });
    control.off("close", onClose);
    if (!opened.ok) return opened;
    const association = opened.value;
    if (control.destroyed) {
      // It may have closed before anybody listened.
      association.close();
      return refuse({ code: "connection-terminated", detail: "The client has gone." });
    }
    if (!association.isOver) this.#open.add(association);
    control.once("close", () => association.close());
    return opened;
  }

  /** Ends all of them. */
  close(): void {
    for (const association of this.#open) association.close();
  }
}
