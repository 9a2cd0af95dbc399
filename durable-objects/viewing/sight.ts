/**
 * What those who look at an object see: the whole once, and from then on what has become other,
 * compared with what this instance told last. Another instance begins with the whole. [LV5]
 */
import type { LookRequest } from "../../src/core/live-view.ts";
import { parseLookRequest } from "../../src/wire/live-view-schema.ts";
import { readRequest } from "../platform/conversation.ts";
import {
  CLOSE_GONE,
  CLOSE_MALFORMED,
  isOpen,
  type ObjectPlatform,
  type ObjectSocket,
} from "../platform/object-platform.ts";
import { Pace } from "./pace.ts";
import { type ViewerAttachment, viewerOf, type ViewerSockets } from "./viewer-sockets.ts";

/** What is told of an object, and when. */
export interface SightOptions<State> {
  readonly platform: ObjectPlatform;
  readonly viewers: ViewerSockets;
  /** Differences are not told more often. */
  readonly intervalMs: number;
  /** Whether it is looked through again and again while somebody looks, whatever becomes of it. */
  readonly isSteady?: boolean;
  /** As it is now, and the pool to which it belongs; or why there is none. */
  readonly read: () => Promise<{ readonly pool: string; readonly state: State } | { readonly gone: string }>;
  /** The message that tells all of it. */
  readonly whole: (state: State) => object;
  /** The message that tells what has become other since this was asked last, null for nothing; it is noted. */
  readonly change: (state: State) => object | null;
  /** What else is told each time to those who look; `fresh` have just been told all of it. */
  readonly also?: (looking: readonly ObjectSocket[], fresh: ReadonlySet<ObjectSocket>) => void;
  /** Nobody looks any more. */
  readonly onNobody?: () => void;
}

/** One per object. */
export class Sight<State> {
  readonly #options: SightOptions<State>;
  readonly #pace: Pace;
  /** Of what was told last by this instance to whoever looked; null while nobody does. */
  #name: string | null = null;

  constructor(options: SightOptions<State>) {
    this.#options = options;
    this.#pace = new Pace(options.platform, options.intervalMs, async () => this.#tell());
  }

  /** Something may have become other. Nothing comes of that while nobody looks. [LV1] */
  changed(): void {
    if (this.#options.viewers.isSeen()) this.#pace.soon();
  }

  /**
   * Hears a viewer; whatever it says but that it looks ends its connection. `noteOf` is what stays with the
   * socket of what it wants. [LV2]
   */
  heard(
    socket: ObjectSocket,
    message: string | ArrayBuffer,
    noteOf: (look: LookRequest) => Partial<ViewerAttachment> = () => ({}),
  ): void {
    const look = readRequest(message, parseLookRequest);
    if (!look.ok) {
      if (isOpen(socket)) socket.close(CLOSE_MALFORMED, look.refusal);
      return;
    }
    const { viewers } = this.#options;
    const wasLooking = viewers.isLooking(socket);
    const { heard = 0 } = look.value;
    const { heardLength, toldLength } = viewerOf(socket);
    // It cannot have heard more than it was told.
    const news = { heardLength: Math.max(heardLength, Math.min(heard, toldLength)) };
    if (!viewers.look(socket, { ...noteOf(look.value), ...news })) return;
    // What it has missed while it did not look, it is told at once.
    if (!wasLooking || this.#name === null || viewerOf(socket).sight !== this.#name) this.#pace.now();
  }

  async #tell(): Promise<void> {
    const { platform, viewers, isSteady, read, whole, change, also } = this.#options;
    if (viewers.looking().length === 0) return this.#forget();
    const now = await read();
    // It may have taken a while.
    const looking = viewers.looking();
    if ("gone" in now) {
      for (const socket of looking) socket.close(CLOSE_GONE, now.gone);
      return this.#forget();
    }
    const difference = change(now.state);
    const told = this.#name;
    this.#name ??= Math.floor(platform.random() * 2 ** 48).toString(36);
    const changeText = difference === null || told === null ? null : JSON.stringify(difference);
    let wholeText: string | null = null;
    const fresh = new Set<ObjectSocket>();
    for (const socket of looking) {
      const { sight, pool } = viewerOf(socket);
      if (pool !== now.pool) socket.close(CLOSE_GONE, "pool-denied");
      else if (sight === this.#name) {
        if (changeText !== null) viewers.tell(socket, changeText);
      } else {
        viewers.tell(socket, (wholeText ??= JSON.stringify(whole(now.state))));
        viewers.note(socket, { sight: this.#name });
        fresh.add(socket);
      }
    }
    also?.(looking.filter(isOpen), fresh);
    if (isSteady === true) this.#pace.soon();
  }

  /** Whoever looks next is told the whole. */
  #forget(): void {
    this.#name = null;
    this.#options.onNobody?.();
  }
}

/** What was told of a list, each entry by what it is known by. */
export class ToldList<Item, Key extends string | number> {
  readonly #keyOf: (item: Item) => Key;
  #told = new Map<Key, string>();

  constructor(keyOf: (item: Item) => Key) {
    this.#keyOf = keyOf;
  }

  /** What is other in it than in the list that was given last. */
  take(items: readonly Item[]): { readonly changed: Item[]; readonly gone: Key[] } {
    const now = new Map<Key, string>();
    const changed: Item[] = [];
    for (const item of items) {
      const key = this.#keyOf(item);
      const text = JSON.stringify(item);
      now.set(key, text);
      if (this.#told.get(key) !== text) changed.push(item);
    }
    const gone = [...this.#told.keys()].filter((key) => !now.has(key));
    this.#told = now;
    return { changed, gone };
  }
}
