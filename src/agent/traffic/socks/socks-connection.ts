/**
 * One client of SOCKS5, from its greeting to its tunnel:
 *
 *     methods → login (RFC 1929) → request → reply → bytes, or the end of an association
 *
 * Whatever it says wrong, its connection ends and nothing else. A login that is refused hears nothing
 * but that. [SX1] [SX2] [SX3]
 */
import type { Socket } from "node:net";
import type { Identity } from "../../../core/identity.ts";
import { type Outcome, refuse } from "../../../core/outcome.ts";
import { type Problem, problemKind } from "../../../core/problems.ts";
import { Flow } from "../../../process/flow.ts";
import { type DestinationPlace, placeOf } from "../../egress/destination-place.ts";
import { problemOf } from "../../egress/faults.ts";
import { toldAs } from "../../egress/flow-context.ts";
import { endInPeace } from "../clients/problem-reply.ts";
import type { Refusals } from "../clients/refusals.ts";
import type { Visitor } from "../clients/visitors.ts";
import { reset } from "../tunnel/tunnel-relay.ts";
import { Tunnel, type TunnelOptions } from "../tunnel/tunnel.ts";
import {
  Command,
  type Login,
  loginMessage,
  Method,
  methodMessage,
  type Read,
  readGreeting,
  readLogin,
  readRequest,
  replyMessage,
  type SocksAddress,
  SocksMalformed,
  type SocksRequest,
} from "./socks-messages.ts";
import type { UdpAssociations } from "./udp-associations.ts";

/** Who asks, and what it selects, as in the field `egress`. */
export interface SocksAsker {
  readonly client: Identity;
  readonly selection: string | null;
}

type Judged = Outcome<SocksAsker, Problem>;

/** What all SOCKS connections of a host share. */
export interface SocksOptions extends TunnelOptions {
  readonly refusals: Refusals;
  readonly associations: UdpAssociations;
  /** By its login, and by where it comes from. */
  readonly identify: (login: Login, visitor: Visitor) => Judged | Promise<Judged>;
}

/** How long a client may take from its first byte to the end of its request. */
const HANDSHAKE_MS = 30_000;
/** No request needs more, with all that may come before it; what comes after it is the tunnel's. */
const MAX_HANDSHAKE_BYTES = 64 * 1024;

type Stage = "greeting" | "login" | "request" | "over";

/** Serves one client. */
export class SocksConnection {
  readonly #options: SocksOptions;
  readonly #socket: Socket;
  readonly #visitor: Visitor;
  readonly #flow: Flow;
  readonly #timer: NodeJS.Timeout;
  readonly #onData: (chunk: Buffer) => void;
  readonly #onEnd: () => void;
  #stage: Stage = "greeting";
  /** Between a login and its answer nothing is read. */
  #isBusy = false;
  /** The client has said all it has to say, its request perhaps among it. */
  #hasEnd = false;
  #bytes: Buffer = Buffer.alloc(0);
  #asker: SocksAsker | null = null;
  #tunnel: Tunnel | null = null;

  constructor(options: SocksOptions, socket: Socket, visitor: Visitor) {
    this.#options = options;
    this.#socket = socket;
    this.#visitor = visitor;
    this.#flow = new Flow((fault) => this.#end(fault), options.refusals.onFault);
    this.#onData = this.#flow.guard((chunk) => this.#read(chunk));
    this.#onEnd = this.#flow.guard(() => {
      this.#hasEnd = true;
      this.#endInTime();
    });
    this.#timer = setTimeout(() => socket.destroy(), HANDSHAKE_MS).unref();
    socket.once("close", () => clearTimeout(this.#timer));
    socket.on("data", this.#onData);
    socket.once("end", this.#onEnd);
  }

  /** What was read of it already. */
  read(bytes: Buffer): void {
    this.#onData(bytes);
  }

  #read(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    if (this.#bytes.length > MAX_HANDSHAKE_BYTES) throw new SocksMalformed("It is too long.");
    while (!this.#isBusy && this.#step());
  }

  /** Whether there was a whole message. */
  #step(): boolean {
    switch (this.#stage) {
      case "greeting":
        return this.#taken(readGreeting(this.#bytes), (methods) => this.#choose(methods));
      case "login":
        return this.#taken(readLogin(this.#bytes), (login) => this.#login(login));
      case "request":
        return this.#taken(readRequest(this.#bytes), (request) => this.#request(request));
      case "over":
        return false;
    }
  }

  #taken<Message>(read: Read<Message>, use: (message: Message) => void): boolean {
    if (read === null) return false;
    this.#bytes = this.#bytes.subarray(read.byteCount);
    use(read.message);
    return true;
  }

  /** A login says more than a source, so it is preferred. */
  #choose(methods: readonly number[]): void {
    const { clientAt } = this.#visitor;
    if (methods.includes(Method.userName)) {
      this.#stage = "login";
      this.#socket.write(methodMessage(Method.userName));
    } else if (methods.includes(Method.none) && clientAt !== null) {
      this.#asker = { client: clientAt, selection: null };
      this.#stage = "request";
      this.#socket.write(methodMessage(Method.none));
    } else {
      this.#options.refusals.count({ code: "token-missing" }, null);
      this.#finish(methodMessage(Method.unacceptable));
    }
  }

  #login(login: Login): void {
    const judging = this.#options.identify(login, this.#visitor);
    if (!(judging instanceof Promise)) return this.#judged(judging);
    this.#isBusy = true;
    this.#flow.begin(async () => {
      const asker = await judging;
      this.#isBusy = false;
      this.#judged(asker);
      while (!this.#isBusy && this.#step());
      this.#endInTime();
    });
  }

  /** Nothing more can come of a handshake that its client leaves. */
  #endInTime(): void {
    if (this.#hasEnd && !this.#isBusy && this.#stage !== "over") this.#socket.end();
  }

  #judged(asker: Judged): void {
    if (!asker.ok) {
      this.#options.refusals.count(asker.refusal, null);
      this.#finish(loginMessage(false));
      return;
    }
    this.#asker = asker.value;
    this.#stage = "request";
    this.#socket.write(loginMessage(true));
  }

  #request({ command, address }: SocksRequest): void {
    const isKnown = command === Command.connect || command === Command.udpAssociate;
    if (!isKnown) return this.#refuse({ code: "method-unsupported" });
    if (address === null) return this.#refuse({ code: "address-type-unsupported" });
    this.#handOver();
    if (command === Command.udpAssociate) return this.#associate(address);
    const asked = { ...this.#asker!, destination: destinationOf(address) };
    this.#flow.begin(async () => {
      const tunnel = new Tunnel(this.#options, this.#socket, this.#bytes, this.#flow);
      this.#tunnel = tunnel;
      const refusal = await tunnel.open(asked, ({ context, held }) => {
        this.#socket.write(replyMessage(0, { ip: toldAs(context.address), port: held.port }));
      });
      if (refusal !== null) this.#refuse(refusal);
    });
  }

  /** The connection says nothing more: it stands for as long as the association is wanted. [UD2] */
  #associate(announced: SocksAddress): void {
    const socket = this.#socket;
    socket.on("data", ignore);
    // Half a connection is none.
    socket.once("end", () => void socket.end());
    this.#flow.begin(async () => {
      const opened = await this.#options.associations.open(
        { ...this.#asker!, announced },
        socket,
        this.#flow,
        this.#flow.guard((problem, context) => {
          if (problem === null) return void socket.destroy();
          this.#options.refusals.count(problem, null, context);
          reset(socket);
        }),
      );
      if (opened.ok) socket.write(replyMessage(0, opened.value.relayPlace));
      else if (!socket.destroyed) this.#refuse(opened.refusal);
    });
  }

  /** The request was the last of the handshake. */
  #handOver(): void {
    clearTimeout(this.#timer);
    this.#stage = "over";
    this.#socket.off("data", this.#onData);
    this.#socket.off("end", this.#onEnd);
  }

  #refuse(problem: Problem, fault: unknown = null): void {
    this.#options.refusals.count(problem, fault, this.#tunnel?.context ?? null);
    this.#finish(replyMessage(problemKind(problem.code).socksReply, null));
  }

  #finish(lastWord: Buffer): void {
    this.#handOver();
    endInPeace(this.#socket, lastWord);
  }

  #end(fault: unknown): void {
    const { refusals } = this.#options;
    if (fault instanceof SocksMalformed) {
      refusals.count({ code: "socks-malformed", detail: fault.message }, fault);
      // In which message it is to be told, nobody knows.
      this.#handOver();
      endInPeace(this.#socket);
      return;
    }
    const problem = problemOf(fault);
    const isTold = this.#tunnel === null || this.#tunnel.isAnswered || this.#tunnel.isGone;
    this.#tunnel?.giveUp();
    if (!isTold) return this.#refuse(problem, fault);
    refusals.count(problem, fault, this.#tunnel?.context ?? null);
    reset(this.#socket);
  }
}

function ignore(): void {
  // What a client says where there is nothing to be said.
}

function destinationOf({ host, isName, port }: SocksAddress): Outcome<DestinationPlace, Problem> {
  if (isName && host.includes(":")) {
    // Some clients send an IPv6 address as a name.
    return host.startsWith("[") ? placeOf(host, port) : placeOf(`[${host}]`, port);
  }
  if (!isName) return placeOf(host.includes(":") ? `[${host}]` : host, port);
  return host === "" ? refuse({ code: "connect-target-invalid" }) : placeOf(host, port);
}
