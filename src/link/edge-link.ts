/**
 * A WebSocket to the edge that comes back by itself.
 *
 * Heartbeats go out every so often, as rarely as its user permits. An edge that owes a word, be it
 * the answer to a heartbeat or to a question, and is silent for too long is taken for dead. A
 * message that cannot be read ends the connection, since what followed it could not be trusted
 * either. Whoever uses the link says when a connection has proved good; until then every end
 * makes the next wait longer. [EL1] [EL2] [EL3]
 *
 * When there is another token a second connection is made by it, and the first is left when that
 * stands: so nobody is away for a moment, and what the former token opened is gone before that is
 * revoked, or its key retired. [EL5]
 */
import type { IncomingMessage } from "node:http";
import type { Logger } from "pino";
import { type RawData, WebSocket } from "ws";
import { HEARTBEAT, HEARTBEAT_ANSWER } from "../core/messages.ts";
import type { Outcome } from "../core/outcome.ts";
import { MAX_MESSAGE_LENGTH } from "../wire/message-parsers.ts";
import { BackOff } from "../process/back-off.ts";
import { adviceOn, codeOfProblem } from "./edge-refusals.ts";
import { Successor } from "./successor.ts";

/** What a link carries and to whom. */
export interface LinkOptions<Message> {
  /** What is at the other end, for the log: `pool default`. */
  readonly name: string;
  /** An http or https URL; the WebSocket is opened there. */
  readonly url: URL;
  /** Asked before every connection, since a token may be renewed meanwhile. */
  readonly token: () => Promise<string>;
  readonly parse: (text: string) => Outcome<Message, string>;
  readonly onOpen: () => void;
  readonly onMessage: (message: Message) => void;
  /** After every `onOpen`, once. */
  readonly onClose: () => void;
  /** The edge takes no connection, or ends this one, for this reason; told before `onClose`. */
  readonly onRefused?: (code: string) => void;
  readonly log: Logger;
  readonly timing?: Partial<LinkTiming>;
}

/** What a member of a pool needs of its connection to the edge. */
export interface Link {
  /** Whether messages can be sent. */
  readonly isOpen: boolean;
  /** Begins to connect, and goes on trying. */
  start(): void;
  /** Closes the connection and makes no other. */
  stop(): void;
  /** Sends a message, if there is a connection; whoever needs an answer asks again. */
  send(message: object): void;
  /** The same, with a message that the edge answers: a connection on which no word comes is ended. */
  ask(message: object): void;
  /** Lets a heartbeat go out this often, in milliseconds, on this connection and on later ones. */
  beatEvery(intervalMs: number): void;
  /** The connection has proved good: should it end, the next one comes soon. */
  confirm(): void;
  /** Ends the present connection; the next one is made after a wait. */
  drop(why: string): void;
}

/** Makes a link, which connects as soon as it is started. A simulation has its own. */
export type OpenLink = <Message>(options: LinkOptions<Message>) => Link;

/** A WebSocket to the edge. */
export const openEdgeLink: OpenLink = (options) => new EdgeLink(options);

/** All in milliseconds. */
export interface LinkTiming {
  /** Until somebody asks for another. */
  readonly heartbeatMs: number;
  /** Without a word for this long, where one is due, the edge is taken for dead. */
  readonly silenceMs: number;
  readonly handshakeMs: number;
  /** Within it a new connection proves good, or is given up. */
  readonly proofMs: number;
  readonly firstRetryMs: number;
  readonly longestRetryMs: number;
  /** Whether there is another token is looked at so often. */
  readonly tokenLookMs: number;
}

const DEFAULT_TIMING: LinkTiming = {
  heartbeatMs: 1_000,
  silenceMs: 5_000,
  handshakeMs: 5_000,
  proofMs: 30_000,
  firstRetryMs: 100,
  longestRetryMs: 5_000,
  tokenLookMs: 10_000,
};
/** A connection that is left stays until the edge has taken the other one for its successor. */
const LEFT_MS = 5_000;
/** Looks at an edge that owes a word, within the time that it has for it. */
const LOOKS_PER_SILENCE = 5;
/** The same trouble is not logged more often. */
const REPEAT_LOG_MS = 60_000;
const MAX_REFUSAL_LENGTH = 16 * 1024;

/** One connection at a time, from `start` to `stop`. */
export class EdgeLink<Message> implements Link {
  /** Messages that could not be read. */
  malformedCount = 0;
  readonly #options: LinkOptions<Message>;
  readonly #timing: LinkTiming;
  readonly #backOff: BackOff;
  #isStarted = false;
  /** Rises with every attempt, so that what an older one still does is recognised. */
  #attempt = 0;
  #socket: WebSocket | null = null;
  /** By which the present connection was made. */
  #token = "";
  readonly #successor: Successor;
  #isOpen = false;
  #heartbeatMs: number;
  #heartbeat: NodeJS.Timeout | null = null;
  /** Runs while the edge owes a word. */
  #patience: NodeJS.Timeout | null = null;
  #proof: NodeJS.Timeout | null = null;
  #retry: NodeJS.Timeout | null = null;
  #lastTrouble = { text: "", atMs: 0 };

  constructor(options: LinkOptions<Message>) {
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#heartbeatMs = this.#timing.heartbeatMs;
    const { firstRetryMs, longestRetryMs } = this.#timing;
    this.#backOff = new BackOff({ firstMs: firstRetryMs, longestMs: longestRetryMs }, Math.random);
    const { name, log, token } = options;
    this.#successor = new Successor({
      token,
      dial: (another) => this.#dial(another),
      everyMs: this.#timing.tokenLookMs,
      onStand: (socket, another) => this.#takeOver(socket, another),
      onUntaken: ({ message }) =>
        log.warn(`${name}: another token is there, and no connection by it: ${message}`),
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    void this.#connect();
  }

  stop(): void {
    this.#isStarted = false;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#disconnect();
  }

  send(message: object): void {
    if (this.#isOpen) this.#socket?.send(JSON.stringify(message), () => {});
  }

  ask(message: object): void {
    this.send(message);
    if (this.#isOpen) this.#awaitWord();
  }

  beatEvery(intervalMs: number): void {
    if (intervalMs === this.#heartbeatMs) return;
    this.#heartbeatMs = intervalMs;
    if (this.#isOpen) this.#beatFromNow();
  }

  confirm(): void {
    this.#awaitProof(null);
    this.#backOff.succeed();
    if (this.#lastTrouble.text !== "") this.#options.log.info(`${this.#options.name}: connected again`);
    this.#lastTrouble = { text: "", atMs: 0 };
  }

  drop(why: string): void {
    if (this.#socket === null) return;
    this.#report(why);
    this.#disconnect();
    this.#connectLater();
  }

  async #connect(): Promise<void> {
    this.#attempt += 1;
    const attempt = this.#attempt;
    let token: string;
    try {
      token = await this.#options.token();
    } catch (fault) {
      this.#report(fault instanceof Error ? fault.message : String(fault));
      this.#connectLater();
      return;
    }
    if (!this.#isStarted || attempt !== this.#attempt) return;
    const socket = this.#dial(token);
    socket.on("open", () => {
      if (this.#socket === socket) this.#opened();
    });
    this.#use(socket, token);
  }

  #dial(token: string): WebSocket {
    return new WebSocket(this.#options.url, {
      headers: { authorization: `Bearer ${token}` },
      handshakeTimeout: this.#timing.handshakeMs,
      maxPayload: MAX_MESSAGE_LENGTH * 4,
      perMessageDeflate: false,
    });
  }

  /** From now on this is the connection. */
  #use(socket: WebSocket, token: string): void {
    this.#socket = socket;
    this.#token = token;
    const whenCurrent = (what: () => void): void => {
      if (this.#socket === socket) what();
    };
    socket.on("message", (data, isBinary) => whenCurrent(() => this.#received(data, isBinary)));
    socket.on("unexpected-response", (_request, response) => {
      void this.#refusalOf(response).then(({ code, why }) => whenCurrent(() => this.#refused(code, why)));
    });
    // Stays on for good: an abandoned socket still reports how it ended.
    socket.on("error", (fault) => whenCurrent(() => this.drop(describeFault(fault))));
    socket.on("close", (_code, reason) => {
      const text = reason.toString();
      const why = text === "" ? "The edge closed the connection." : adviceOn(text);
      whenCurrent(() => this.#refused(text === "" ? null : text, why));
    });
  }

  #opened(): void {
    this.#isOpen = true;
    this.#successor.watch(this.#token);
    this.#beatFromNow();
    this.#awaitProof(this.#timing.proofMs);
    this.#options.onOpen();
  }

  #takeOver(successor: WebSocket, token: string): void {
    const former = this.#socket;
    if (this.#leave()) this.#options.onClose();
    this.#use(successor, token);
    this.#options.log.info(`${this.#options.name}: connected by another token`);
    this.#opened();
    setTimeout(() => former?.terminate(), LEFT_MS).unref();
  }

  /** Hosts that were connected at the same moment do not go on beating at the same moments. */
  #beatFromNow(): void {
    this.#beatIn(this.#heartbeatMs * Math.random());
  }

  #beatIn(delayMs: number): void {
    if (this.#heartbeat !== null) clearTimeout(this.#heartbeat);
    this.#heartbeat = setTimeout(() => {
      this.#beatIn(this.#heartbeatMs);
      this.#beat();
      this.#awaitWord();
    }, delayMs);
  }

  #beat(): void {
    this.#socket?.send(HEARTBEAT, () => {});
  }

  /** From now on the edge owes a word; a heartbeat gets one even where an answer takes long. */
  #awaitWord(): void {
    if (this.#patience !== null) return;
    const { silenceMs } = this.#timing;
    let sinceMs = performance.now();
    let lookedAtMs = sinceMs;
    this.#patience = setInterval(() => {
      const nowMs = performance.now();
      // A process that was paused has not listened; that says nothing of the edge.
      if (nowMs - lookedAtMs > silenceMs / 2) sinceMs = nowMs;
      lookedAtMs = nowMs;
      if (nowMs - sinceMs > silenceMs) this.drop("The edge has fallen silent.");
      else this.#beat();
    }, silenceMs / LOOKS_PER_SILENCE);
  }

  #wordCame(): void {
    if (this.#patience !== null) clearInterval(this.#patience);
    this.#patience = null;
  }

  /** An object of the edge may have lost what was said to it, though heartbeats are answered. */
  #awaitProof(withinMs: number | null): void {
    if (this.#proof !== null) clearTimeout(this.#proof);
    this.#proof = null;
    if (withinMs === null) return;
    this.#proof = setTimeout(() => this.drop("The edge took the connection and did not answer."), withinMs);
  }

  #received(data: RawData, isBinary: boolean): void {
    this.#wordCame();
    const text = isBinary ? "" : (data as Buffer).toString("utf8");
    if (text === HEARTBEAT_ANSWER) return;
    const message = this.#options.parse(text);
    if (message.ok) {
      this.#options.onMessage(message.value);
      return;
    }
    this.malformedCount += 1;
    this.drop("The edge sent a message that cannot be read; are both of the same version?");
  }

  #refused(code: string | null, why: string): void {
    if (code !== null) this.#options.onRefused?.(code);
    this.drop(why);
  }

  async #refusalOf(response: IncomingMessage): Promise<{ code: string | null; why: string }> {
    let body = "";
    try {
      for await (const chunk of response.setEncoding("utf8")) {
        body += chunk as string;
        if (body.length > MAX_REFUSAL_LENGTH) break;
      }
    } catch {
      // What has come says enough.
    }
    const code = codeOfProblem(body);
    const { statusCode } = response;
    const why =
      code === null
        ? `The edge answered ${statusCode} and no WebSocket; is --edge the URL of an edge?`
        : `${adviceOn(code)} (${statusCode} ${code})`;
    return { code, why };
  }

  #disconnect(): void {
    const socket = this.#socket;
    const wasOpen = this.#leave();
    if (socket?.readyState === WebSocket.OPEN && !this.#isStarted) socket.close(1000);
    else socket?.terminate();
    if (wasOpen) this.#options.onClose();
  }

  /** What the present connection may still say counts no more. Whether it was open. */
  #leave(): boolean {
    const wasOpen = this.#isOpen;
    this.#socket = null;
    this.#isOpen = false;
    this.#attempt += 1;
    if (this.#heartbeat !== null) clearTimeout(this.#heartbeat);
    this.#heartbeat = null;
    this.#successor.stop();
    this.#wordCame();
    this.#awaitProof(null);
    return wasOpen;
  }

  #connectLater(): void {
    if (!this.#isStarted) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      void this.#connect();
    }, this.#backOff.fail());
  }

  #report(text: string): void {
    const nowMs = performance.now();
    const { text: lastText, atMs } = this.#lastTrouble;
    if (text === lastText && nowMs - atMs < REPEAT_LOG_MS) return;
    this.#lastTrouble = { text, atMs: nowMs };
    this.#options.log.warn(`${this.#options.name}: ${text}`);
  }
}

function describeFault(fault: Error): string {
  const { code } = fault as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return "Nothing listens at the edge's address; trying again.";
  return `The connection to the edge failed: ${code ?? fault.message}.`;
}
