import type { RunOptions } from "./run.ts";

/** One such seed. */
interface Regression {
  readonly seed: number;
  readonly eventCount: number;
  /** Where the pool is static, or the edge is restored. */
  readonly kind?: RunOptions;
  readonly name: string;
}

/**
 * Every seed that ever broke a law, and what it was. A seed stands for its run only as long as
 * scenarios and faults are drawn as they were; what each found has a test of its own besides.
 */
export const REGRESSIONS: readonly Regression[] = [
  {
    seed: 23,
    eventCount: 2_000,
    name: "a grant went ahead of a router that had enrolled and waited for its table",
  },
  {
    seed: 40,
    eventCount: 2_000,
    name: "a router that enrolled while the pool's disk was full waited for good",
  },
  {
    seed: 45,
    eventCount: 2_000,
    name: "a duplicate instance that enlisted drew the packets of the first host to itself",
  },
  {
    seed: 31,
    eventCount: 2_000,
    name: "a block was given back while the guard still let packets of it out",
  },
  {
    seed: 10_521_902_788_038,
    eventCount: 2_000,
    name: "hosts were not told of an address that was taken back before it had ever answered",
  },
  {
    seed: 38_599_005_837_484,
    eventCount: 2_000,
    name: "a late grant to a duplicate instance made all packets of the host that had enlisted go nowhere",
  },
  {
    seed: 43_014_697_700_757,
    eventCount: 2_000,
    name: "a duplicate instance was kept out for as long as nobody spoke to the address of its former blocks",
  },
  {
    seed: 28_187_161_784_606,
    eventCount: 2_000,
    name: "an address whose clock was set back waited for its old alarm, though its pool spoke to it",
  },
  {
    seed: 57_583_833_278_649,
    eventCount: 2_000,
    name: "a router that was heard last before the pool's clock was set back kept its successor out",
  },
  {
    seed: 6_968_607_325_209,
    eventCount: 2_000,
    name: "what a data process was told came in another order, by a rounded time of the simulated machine",
  },
  {
    seed: 56_733_234_531_238,
    eventCount: 2_000,
    name: "a request without any copy was judged by an answer that came after its own question had failed",
  },
  {
    seed: 54_869_797_237_586,
    eventCount: 8_000,
    kind: { isStatic: true, areRestored: true },
    name: "a removal that came late to an address ended the slot of who had come since under the name",
  },
];
