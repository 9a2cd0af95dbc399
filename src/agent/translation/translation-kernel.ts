/** What the ports for translation need of the kernel; a simulation has its own. */
import type { LeaseTerm } from "../../core/lease-term.ts";
import type { TranslatedFlow } from "./translated-flow.ts";
import type { WeightedUnit } from "./unit-weights.ts";

/** For new flows by one address, from now on. */
export interface TranslationChoice {
  readonly units: readonly WeightedUnit[];
  /** Until when; null for not at all. */
  readonly term: LeaseTerm | null;
  /** Keys of destinations towards which no port is free and none will come: what is new for them is refused. [SN8] */
  readonly full: readonly string[];
}

/** Each call is done when the kernel has done it; a promise that is broken says that it may not have. */
export interface TranslationKernel {
  /** In these units, and no others, packets of this address are tracked and must be translated. [GU9] */
  track(ip: string, units: readonly number[]): Promise<void>;
  /** New flows by this address take these ports; those that there are stay. */
  choose(ip: string, choice: TranslationChoice): Promise<void>;
  /** Ends all entries of this address in these units. */
  endEntries(ip: string, units: ReadonlySet<number>): Promise<void>;
  /** Every flow that is translated now, by address. An address without flows may be missing. */
  flows(): Promise<ReadonlyMap<string, readonly TranslatedFlow[]>>;
}
