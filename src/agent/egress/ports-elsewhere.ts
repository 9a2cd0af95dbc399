/**
 * Ports of an address that other processes of the same host have. Where there are none, an address
 * has nobody to ask.
 */
import type { HeldPort } from "./held-port.ts";

/** The others, as the ports of an address in one process see them. */
export interface PortsElsewhere {
  /** Whether they have ports for new flows. */
  readonly hasPorts: boolean;
  /** Questions that were asked so far. */
  readonly askCount: number;
  /** A free port that they have lent towards a destination; null for none. */
  take(destinationKey: string): HeldPort | null;
  /**
   * Whether they may still give a port towards a destination: they are asked, or will be. False once
   * a question that was asked after so many others was answered by all with no. [MP5]
   */
  mayGive(destinationKey: string, sinceAskCount: number): boolean;
  /** The term is over: nothing that they have lent may be used. */
  resetAll(): void;
}
