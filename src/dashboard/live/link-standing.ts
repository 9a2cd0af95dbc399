/** How it stands with the connection by which something is known. */
import { Signal } from "../parts/signal.ts";
import type { LinkState } from "./live-socket.ts";

/** What every store of something that is looked at has. */
export class LinkStanding {
  link: LinkState = "waiting";
  /** Since when nothing is heard; null while it is live. */
  lostAtMs: number | null = null;
  /** A code, where the object said why; else empty. */
  lostWhy = "";
  readonly linkChanged = new Signal();

  stood(link: LinkState, why: string): void {
    this.lostWhy = why;
    if (link === "live") this.lostAtMs = null;
    else this.lostAtMs ??= Date.now();
    this.link = link;
    this.linkChanged.touch();
  }
}
