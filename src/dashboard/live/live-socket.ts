/**
 * A connection to an object that is looked at: it says so again while it lasts, and comes back by itself
 * when it is lost. Behind a hidden page it ends after a while, since nobody looks.
 */
import { HEARD_STEP, LOOK_INTERVAL_MS, type LookRequest } from "../../core/live-view.ts";

/** How it stands with a connection. `waiting` has been told nothing yet; `lost` tries again. */
export type LinkState = "waiting" | "live" | "lost" | "resting";

/** What a connection says to its owner. */
export interface LinkListener {
  readonly heard: (message: unknown) => void;
  /** `why` is a code where the object says one, such as `ip-unknown`. */
  readonly stood: (state: LinkState, why: string) => void;
  /** The session is over; the reason is a code. */
  readonly ended: (reason: string) => void;
  /** It never opened, and browsers do not say why: the code by which the edge refuses, or nothing if it does not answer. */
  readonly whyUnopened: () => Promise<string>;
}

/** The object refuses: not to be asked again. */
const CLOSE_REFUSED = 4002;
/** What was looked at is not there, or not any more. */
const CLOSE_GONE = 4004;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const REST_AFTER_MS = 60_000;
/** The past gets a new minute so often. */
const PAST_INTERVAL_MS = 60_000;

/** The connection; it begins at once. */
export class LiveSocket {
  readonly #path: string;
  readonly #listener: LinkListener;
  readonly #stop = new AbortController();
  #wish: Omit<LookRequest, "type"> = {};
  #socket: WebSocket | null = null;
  #pauseMs = FIRST_PAUSE_MS;
  /** Something was heard on the connection that there is. */
  #isAlive = false;
  /** Why it does not open, as the edge said when it was asked last. */
  #refusedWhy = "";
  #pastAtMs = 0;
  /** Of this connection, in characters: of all that was heard, and when that was said last. */
  #heard = 0;
  #saidHeard = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #look: ReturnType<typeof setInterval> | undefined;
  #rest: ReturnType<typeof setTimeout> | undefined;

  /** `path` as in `/dashboard/live/pools/eu`. */
  constructor(path: string, listener: LinkListener) {
    this.#path = path;
    this.#listener = listener;
    const { signal } = this.#stop;
    addEventListener("online", () => this.#again(), { signal });
    addEventListener("offline", () => this.#lose(), { signal });
    document.addEventListener("visibilitychange", () => this.#beSeen(), { signal });
    this.#connect();
  }

  /** What is wanted from now on, beside the state itself. */
  wish(wish: Omit<LookRequest, "type">): void {
    this.#wish = wish;
    this.#pastAtMs = 0;
    this.#sayLook();
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#rest);
    this.#drop();
  }

  #connect(): void {
    const socket = new WebSocket(this.#path);
    this.#socket = socket;
    this.#heard = this.#saidHeard = 0;
    let isOpen = false;
    this.#isAlive = false;
    socket.addEventListener("open", () => {
      isOpen = true;
      this.#pastAtMs = 0;
      this.#sayLook();
      this.#look = setInterval(() => this.#lookAgain(), LOOK_INTERVAL_MS);
    });
    socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      if (this.#socket !== socket || typeof data !== "string") return;
      this.#heard += data.length;
      if (this.#heard - this.#saidHeard >= HEARD_STEP) this.#sayLook();
      const message = parsed(data);
      if (message === undefined) return;
      if (!this.#isAlive) {
        this.#isAlive = true;
        this.#refusedWhy = "";
        this.#pauseMs = FIRST_PAUSE_MS;
        this.#listener.stood("live", "");
      }
      this.#listener.heard(message);
    });
    socket.addEventListener("close", ({ code, reason }) => {
      if (this.#socket !== socket) return;
      if (code === CLOSE_REFUSED) {
        this.#drop();
        this.#listener.ended(reason);
        return;
      }
      if (isOpen) {
        this.#lose(code === CLOSE_GONE ? reason : "");
        return;
      }
      this.#lose(this.#refusedWhy);
      void this.#askWhy();
    });
  }

  async #askWhy(): Promise<void> {
    const before = this.#refusedWhy;
    const why = await this.#listener.whyUnopened();
    // Meanwhile it may have come back, or be wanted no more.
    if (this.#stop.signal.aborted || this.#isAlive || why === before) return;
    this.#refusedWhy = why;
    this.#listener.stood("lost", why);
  }

  /** What was said ten seconds ago and has still not left shows that nothing gets through. */
  #lookAgain(): void {
    if ((this.#socket?.bufferedAmount ?? 0) > 0) this.#lose();
    else this.#sayLook();
  }

  #sayLook(): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const past = this.#wish.past === true && performance.now() >= this.#pastAtMs;
    if (past) this.#pastAtMs = performance.now() + PAST_INTERVAL_MS;
    this.#saidHeard = this.#heard;
    const look: LookRequest = { type: "look", ...this.#wish, past, heard: this.#heard };
    this.#socket.send(JSON.stringify(look));
  }

  #lose(why = ""): void {
    this.#drop();
    if (this.#stop.signal.aborted) return;
    this.#listener.stood("lost", why);
    this.#retry = setTimeout(() => this.#connect(), this.#pauseMs * (0.75 + Math.random() / 2));
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2);
  }

  #again(): void {
    if (this.#socket !== null) return;
    this.#drop();
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#connect();
  }

  #beSeen(): void {
    clearTimeout(this.#rest);
    if (document.visibilityState === "visible") {
      this.#again();
      return;
    }
    this.#rest = setTimeout(() => {
      this.#drop();
      this.#listener.stood("resting", "");
    }, REST_AFTER_MS);
  }

  #drop(): void {
    clearTimeout(this.#retry);
    clearInterval(this.#look);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
