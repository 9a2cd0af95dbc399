/**
 * A tunnel through this host: whoever asks for it is admitted, the destination is dialled, its client
 * is told, and the two sockets are joined. How it is asked for and answered is the listener's. [TN1]
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Identity } from "../../../core/identity.ts";
import { ok, type Outcome } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { newRequestId } from "../../../wire/request-id.ts";
import type { Flow } from "../../../process/flow.ts";
import type { Admission } from "../../admission/admission.ts";
import { type DestinationPlace, dialHostOf } from "../../egress/destination-place.ts";
import type { FlowContext } from "../../egress/flow-context.ts";
import type { HeldPort } from "../../egress/held-port.ts";
import { addressOfClient } from "../clients/client-address.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";
import type { Outgoing } from "../origins/outgoing.ts";
import type { IdleTunnels } from "./idle-tunnels.ts";
import { TunnelClient } from "./tunnel-client.ts";
import { TunnelRelay } from "./tunnel-relay.ts";

/** What all tunnels of a process share. */
export interface TunnelOptions {
  readonly admission: Admission;
  readonly outgoing: Outgoing;
  readonly idle: IdleTunnels;
}

/** A tunnel as it is asked for. */
export interface AskedTunnel {
  readonly client: Identity;
  readonly selection: string | null;
  readonly destination: Outcome<DestinationPlace, Problem>;
  /** What was asked with, where there is such a thing. */
  readonly headers?: RawHeaders;
}

/** Where a tunnel leaves from. */
export interface TunnelEnd {
  readonly context: FlowContext;
  readonly held: HeldPort;
  readonly destination: Socket;
}

const AGREED = 200;
const USE = { allowHalfOpen: true, readsInBulk: true };

/** One tunnel, from its question to its answer; from then on the relay is on its own. */
export class Tunnel {
  /** Once it is admitted. */
  context: FlowContext | null = null;
  /** The answer is on its way: no other can be given. */
  isAnswered = false;
  readonly #options: TunnelOptions;
  readonly #flow: Flow;
  readonly #client: TunnelClient;
  #isGivenUp = false;

  /** Listens to the client from now on; `head` is what was read behind the question. */
  constructor(options: TunnelOptions, client: Duplex, head: Buffer, flow: Flow) {
    this.#options = options;
    this.#flow = flow;
    this.#client = new TunnelClient(client, head, flow);
  }

  /** Whether nobody waits for the answer any more. */
  get isGone(): boolean {
    return this.#client.gone.aborted;
  }

  /**
   * It was ended before it was answered: its client may stay, and send, for a while yet, and none of that may
   * reach the destination. [LI8]
   */
  giveUp(): void {
    this.#isGivenUp = true;
    this.#client.giveUp();
  }

  /**
   * Opens it. `answer` writes that it stands, and nothing else. A refusal is returned as long as the
   * client has been told nothing; a fault of the dial is thrown.
   */
  async open(asked: AskedTunnel, answer: (end: TunnelEnd) => void): Promise<Problem | null> {
    const { admission, outgoing, idle } = this.#options;
    const { client, selection, destination, headers } = asked;
    const admitting = admission.admit({
      client: ok(client),
      selection,
      requestId: newRequestId(),
      clientAddress: addressOfClient(this.#client.socket),
      destination: () => destination,
      flow: { kind: "tunnel", until: this.#client.socket, flow: this.#flow },
    });
    const admitted = admitting instanceof Promise ? await admitting : admitting;
    if (!admitted.ok) return admitted.refusal;
    const { context, destination: place } = admitted.value;
    this.context = context;
    if (headers !== undefined) outgoing.watchFlow("CONNECT", headers, context, this.#client.socket);
    if (this.#isGivenUp) return null;
    const use = { ...USE, sender: context };
    const dialling = outgoing.dialler.dial(context, dialHostOf(place), place.port, this.#client.gone, use);
    // What became of it was told when it was given up.
    const dialled = await dialling.catch((fault: unknown) => {
      if (this.#isGivenUp) return null;
      throw fault;
    });
    if (dialled === null) return null;
    const { socket, held } = dialled;
    if (this.isGone) {
      socket.destroy();
      return null;
    }
    const { watch } = context.running;
    watch?.leaves(held, socket);
    watch?.answered(AGREED);
    this.isAnswered = true;
    answer({ context, held, destination: socket });
    const relay = new TunnelRelay(this.#client.socket, socket, this.#flow, idle, context.running);
    relay.join(held, this.#client.takeOver());
    return null;
  }
}
