/** What a parser under fire is, to those that fire and those that name one. */

/** One thing that reads what strangers send. */
export interface ParserUnderFire {
  readonly name: string;
  /** What it is for, and near relatives; the kept corpus comes on top. */
  readonly seeds: readonly Buffer[];
  /** Pieces that mean something in its language. */
  readonly words: readonly string[];
  /**
   * Reads one input and says in a word or two what came of it, so that inputs that do something new can be
   * kept. Whatever it throws is a finding: what may be thrown is caught here.
   */
  readonly read: (input: Buffer) => string | Promise<string>;
  /** Of all inputs, how many are for this one, compared with others. */
  readonly weight: number;
  /** How many are read at the same time, of one that waits for something. */
  readonly laneCount?: number;
  readonly close?: () => Promise<void>;
}

/** A text as seed, a byte for each character. */
export function seed(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** A claim that must hold; a finding else. */
export function mustHold(holds: boolean, claim: string): void {
  if (!holds) throw new Error(`broken: ${claim}`);
}
