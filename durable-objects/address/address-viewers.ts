/** Those who look at an address: its table, and then what has become other in it. [LV5] */
import type { AddressSight } from "../../src/core/live-view.ts";
import type { Outcome } from "../../src/core/outcome.ts";
import type { Acceptance, ObjectPlatform, ObjectSocket } from "../platform/object-platform.ts";
import type { Opener } from "../platform/token-sockets.ts";
import { Sight, ToldList } from "../viewing/sight.ts";
import { type Viewer, ViewerSockets } from "../viewing/viewer-sockets.ts";
import type { AddressDescription } from "./address-service.ts";

/** Four times a second at most. */
const INTERVAL_MS = 250;

/** What is looked at. */
export interface SeenAddress {
  readonly ip: () => string | null;
  readonly describe: () => Promise<Outcome<AddressDescription, "ip-unknown">>;
}

/** One per egress IP. */
export class AddressViewers {
  readonly #viewers: ViewerSockets;
  readonly #sight: Sight<AddressDescription>;

  constructor(platform: ObjectPlatform, { ip, describe }: SeenAddress) {
    const blocks = new ToldList<AddressDescription["blocks"][number], number>(({ epoch }) => epoch);
    let toldRest = "";
    this.#viewers = new ViewerSockets(platform);
    this.#sight = new Sight({
      platform,
      viewers: this.#viewers,
      intervalMs: INTERVAL_MS,
      read: async () => {
        const described = await describe();
        return described.ok
          ? { pool: described.value.pool, state: described.value }
          : { gone: described.refusal };
      },
      whole: (address) => {
        return { type: "address", ip: ip() ?? "", address } satisfies AddressSight<AddressDescription>;
      },
      change: ({ blocks: present, ...rest }) => {
        const { changed, gone } = blocks.take(present);
        const restText = JSON.stringify(rest);
        const isSame = changed.length === 0 && gone.length === 0 && restText === toldRest;
        toldRest = restText;
        if (isSame) return null;
        return {
          type: "address-change",
          blocks: changed,
          goneEpochs: gone,
          rest,
        } satisfies AddressSight<AddressDescription>;
      },
    });
  }

  /** Connects a viewer to an address of this pool. */
  connect(viewer: Viewer, pool: string, opener: Opener): Outcome<Acceptance, "viewers-exhausted"> {
    return this.#viewers.connect(viewer, pool, opener);
  }

  /** The table may have become other. */
  changed(): void {
    this.#sight.changed();
  }

  /** Hears a viewer. */
  heard(socket: ObjectSocket, message: string | ArrayBuffer): void {
    this.#sight.heard(socket, message);
  }
}
