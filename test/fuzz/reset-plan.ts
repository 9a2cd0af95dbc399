/** What one connection of the reset fuzz does: a path through a host, and who ends it when and how. */
import type { Chance } from "./chance.ts";

/** Ways through a host that a connection can take. */
export const PATHS = [
  "fetch",
  "upload",
  "chunked-upload",
  "websocket",
  "redirect",
  "tls",
  "h2",
  "connect",
  "status",
  "refused-accept",
] as const;
export type Path = (typeof PATHS)[number];

/** How an end is made: by RST, by FIN, or by a FIN after which one still listens. */
export const ENDINGS = ["reset", "close", "half-close"] as const;
export type Ending = (typeof ENDINGS)[number];

/** One connection. */
export interface ResetPlan {
  readonly id: number;
  readonly path: Path;
  readonly who: "client" | "origin";
  readonly ending: Ending;
  /** After so many bytes of what that side sends; beyond them all, after `afterMs`. */
  readonly afterByteCount: number;
  readonly afterMs: number;
  /** Length of the body, of the side that has one. */
  readonly bodyLength: number;
}

/** Longest head that either side sends here, roughly; a cut is drawn from within it and the body. */
const HEAD_LENGTH = 700;
const BODY_LENGTHS = [0, 1, 100, 5_000, 100_000, 400_000] as const;
const LATEST_MS = 30;

/** Draws the next connection. */
export function drawPlan(id: number, chance: Chance): ResetPlan {
  const bodyLength = chance.of(BODY_LENGTHS);
  return {
    id,
    path: chance.of(PATHS),
    who: chance.is(0.6) ? "client" : "origin",
    ending: chance.of(ENDINGS),
    afterByteCount: chance.is(0.5) ? chance.below(HEAD_LENGTH) : chance.below(HEAD_LENGTH + bodyLength),
    afterMs: chance.below(LATEST_MS),
    bodyLength,
  };
}
