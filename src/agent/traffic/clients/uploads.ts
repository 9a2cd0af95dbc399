/**
 * Uploads whose sender keeps the rest until this host can refuse them no more, and asks for that
 * in a second request: it holds only so much, and what has gone out beyond it can go to no other
 * host. Either request may come first. [GW24]
 *
 * Nothing is kept longer than one of the two requests lasts, and requests without a name touch
 * nothing of this.
 */
import type { ServerResponse } from "node:http";
import type { Identity } from "../../../core/identity.ts";
import type { Outcome } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import { EGRESS_UPLOAD, UPLOADS_PATH } from "../../../wire/header-names.ts";
import { UPLOAD_NAME, type UploadStatus } from "../../../wire/upload-status.ts";
import type { Flow } from "../../../process/flow.ts";

/** Uploads that are asked for before they came; beyond them the answer comes at once. */
const MAX_AWAITED = 1_024;
/** How long anybody waits: longer than it takes to resolve a name, connect and secure. */
const TIMEOUT_MS = 30_000;

type Told = (status: UploadStatus) => void;

/** One upload, from its announcement or the question for it to its end. */
export class Upload {
  readonly #asking = new Set<Told>();
  #status: UploadStatus | null = null;

  /** Whether nobody waits to be told. */
  get isUnasked(): boolean {
    return this.#asking.size === 0;
  }

  /** The destination takes it. */
  ready(): void {
    this.#settle("ready");
  }

  /** It has been answered or given up. */
  end(): void {
    this.#settle("ended");
  }

  /** Calls back once, when there is something to tell. */
  ask(told: Told): void {
    if (this.#status === null) this.#asking.add(told);
    else told(this.#status);
  }

  /** Nobody is there to be told any more. */
  leave(told: Told): void {
    this.#asking.delete(told);
  }

  #settle(status: UploadStatus): void {
    // One that was ready stays so to whoever asks late: its answer will tell the rest.
    this.#status ??= status;
    for (const told of this.#asking) told(this.#status);
    this.#asking.clear();
  }
}

/** Other processes of the host, to which the other of the two requests may have come. */
export interface UploadsElsewhere {
  /** Somebody asks here for an upload that is not here. */
  asked(key: string): void;
  /** Nobody does any more. */
  left(key: string): void;
  /** An upload that somebody asks for elsewhere stands so. */
  told(key: string, status: UploadStatus): void;
}

/** The uploads of one gateway, by sender and name. */
export class Uploads {
  /** Null where there is no other process. */
  elsewhere: UploadsElsewhere | null = null;
  /** Those of them who ask, by upload. */
  readonly #askedElsewhere = new Map<string, Told>();
  /** Their requests are here. */
  readonly #running = new Map<string, Upload>();
  /** So far there is only the question for them. */
  readonly #awaited = new Map<string, Upload>();

  /** A request has come, and is over when its response is; null for one that has no name of its own. */
  announce(name: string | null, sender: Outcome<Identity, Problem>, response: ServerResponse): Upload | null {
    if (name === null || !sender.ok) return null;
    const key = keyOf(name, sender.value);
    if (response.destroyed || this.#running.has(key)) return null;
    const upload = this.#awaited.get(key) ?? new Upload();
    this.#awaited.delete(key);
    this.#running.set(key, upload);
    response.once("close", () => {
      this.#running.delete(key);
      upload.end();
    });
    return upload;
  }

  /** Answers how an upload stands, as soon as there is something to tell. */
  answer(name: string, sender: Identity, response: ServerResponse, flow: Flow): void {
    if (response.destroyed) return;
    const key = keyOf(name, sender);
    const upload = this.#running.get(key) ?? this.#await(key);
    if (upload === null) {
      sendStatus(response, "unknown");
      return;
    }
    const told = flow.guard((status: UploadStatus) => sendStatus(response, status));
    const timer = setTimeout(() => told("unknown"), TIMEOUT_MS).unref();
    response.once("close", () => {
      clearTimeout(timer);
      upload.leave(told);
      if (!upload.isUnasked || this.#awaited.get(key) !== upload) return;
      this.#awaited.delete(key);
      this.elsewhere?.left(key);
    });
    upload.ask(told);
    if (this.#awaited.get(key) === upload) this.elsewhere?.asked(key);
  }

  /** Somebody asks for an upload at another process of the host. */
  askedElsewhere(key: string): void {
    if (this.#askedElsewhere.has(key)) return;
    const upload = this.#running.get(key) ?? this.#await(key);
    if (upload === null) return;
    const told = (status: UploadStatus): void => {
      this.leftElsewhere(key);
      this.elsewhere?.told(key, status);
    };
    this.#askedElsewhere.set(key, told);
    upload.ask(told);
  }

  /** Nobody asks for it there any more. */
  leftElsewhere(key: string): void {
    const told = this.#askedElsewhere.get(key);
    if (told === undefined) return;
    this.#askedElsewhere.delete(key);
    const upload = this.#running.get(key) ?? this.#awaited.get(key);
    upload?.leave(told);
    if (upload?.isUnasked === true && this.#awaited.get(key) === upload) this.#awaited.delete(key);
  }

  /** An upload that came to another process stands so. */
  toldElsewhere(key: string, status: UploadStatus): void {
    const upload = this.#awaited.get(key);
    if (upload === undefined) return;
    this.#awaited.delete(key);
    if (status === "ready") upload.ready();
    else upload.end();
  }

  #await(key: string): Upload | null {
    let upload = this.#awaited.get(key);
    if (upload !== undefined) return upload;
    if (this.#awaited.size >= MAX_AWAITED) return null;
    upload = new Upload();
    this.#awaited.set(key, upload);
    return upload;
  }
}

/** The name of the upload that a path asks for; null for any other path. */
export function uploadAt(path: string): string | null {
  if (!path.startsWith(UPLOADS_PATH)) return null;
  const name = path.slice(UPLOADS_PATH.length);
  return UPLOAD_NAME.test(name) ? name : null;
}

/** Only who sent an upload may ask for it. A name has no space. */
function keyOf(name: string, { subject }: Identity): string {
  return `${name} ${subject}`;
}

function sendStatus(response: ServerResponse, upload: UploadStatus): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(204, { [EGRESS_UPLOAD]: upload, "cache-control": "no-store" });
  response.end();
}
