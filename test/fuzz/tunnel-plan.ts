/** What one tunnel of the soak does: how it is asked for, and how each of its two sides behaves. */
import type { Chance } from "./chance.ts";

/** How one side of a tunnel behaves. */
export interface SidePlan {
  readonly sendBytes: number;
  readonly pieceBytes: number;
  /** At once, a piece now and then, or not at all. */
  readonly reading: "eager" | "slow" | "none";
  /** In order: its own end when all is said, then what the other still says. Else after `afterMs`. */
  readonly ending: "orderly" | "reset" | "close";
  readonly afterMs: number;
}

/** One tunnel. */
export interface TunnelPlan {
  readonly id: number;
  readonly way: "connect" | "socks" | "socks-login";
  /** What is asked for: an origin, a port where nobody listens, or one that resets what comes. */
  readonly destination: "origin" | "closed" | "resetting";
  /** The client speaks before it has its answer. */
  readonly isEager: boolean;
  /** Of all that the client says before its tunnel stands, it says this share and goes; null for all. */
  readonly goneAfterShare: number | null;
  readonly client: SidePlan;
  readonly origin: SidePlan;
}

const LENGTHS = [0, 1, 100, 3_000, 3_000, 20_000, 150_000] as const;
/** More than the kernel keeps of a connection whose reader rests. */
export const LONGEST_BYTES = 8_000_000;
const LATEST_MS = 25;
/** Long enough for those to be looked after that nobody reads. */
const LONG_MS = 2_500;

/** Draws the next tunnel. */
export function drawTunnel(id: number, chance: Chance): TunnelPlan {
  return {
    id,
    way: chance.of(["connect", "connect", "socks", "socks-login"] as const),
    destination: chance.is(0.94) ? "origin" : chance.of(["closed", "resetting"] as const),
    isEager: chance.is(0.2),
    goneAfterShare: chance.is(0.08) ? chance.share() : chance.is(0.04) ? 1 : null,
    client: drawSide(chance),
    origin: drawSide(chance),
  };
}

function drawSide(chance: Chance): SidePlan {
  const ending = chance.is(0.7) ? "orderly" : chance.of(["reset", "close"] as const);
  const readings = ending === "orderly" ? (["eager", "slow"] as const) : (["eager", "slow", "none"] as const);
  const isLong = chance.is(0.005);
  return {
    sendBytes: isLong ? LONGEST_BYTES : chance.of(LENGTHS),
    pieceBytes: isLong ? 70_000 : 1 + chance.below(chance.of([300, 70_000])),
    reading: chance.is(0.6) ? "eager" : chance.of(readings),
    ending,
    afterMs: chance.below(chance.is(0.02) ? LONG_MS : LATEST_MS),
  };
}

/** Whether both sides get all that the other says. */
export function isOrderly({ destination, goneAfterShare, client, origin }: TunnelPlan): boolean {
  return (
    destination === "origin" &&
    goneAfterShare === null &&
    client.ending === "orderly" &&
    origin.ending === "orderly"
  );
}
