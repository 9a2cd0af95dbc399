/** Bytes broken on purpose: an input of the corpus, changed at a few places, or joined with another one. */
import type { Chance } from "../chance.ts";

/** Longer ones cost time and tell no more; one in many is as long as the longest that anything takes. */
const MOST_BYTES = 4_096;
const LONG_BYTES = 70_000;
const LONG_SHARE = 0.000_2;
/** Bytes that programs trip over. */
const ODD_BYTES = [
  0x00, 0x01, 0x05, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x25, 0x2c, 0x3a, 0x3d, 0x5b, 0x7f, 0x80, 0xff,
];

type Change = (input: Buffer, chance: Chance, words: readonly Buffer[], corpus: readonly Buffer[]) => Buffer;

const CHANGES: readonly Change[] = [
  // One bit.
  (input, chance) => {
    if (input.length === 0) return input;
    const changed = Buffer.from(input);
    const at = chance.below(changed.length);
    changed[at] = changed[at]! ^ (1 << chance.below(8));
    return changed;
  },
  // One byte.
  (input, chance) => {
    if (input.length === 0) return input;
    const changed = Buffer.from(input);
    changed[chance.below(changed.length)] = chance.is(0.5) ? chance.of(ODD_BYTES) : chance.below(256);
    return changed;
  },
  // A byte more.
  (input, chance) =>
    inserted(input, chance, Buffer.from([chance.is(0.7) ? chance.of(ODD_BYTES) : chance.below(256)])),
  // A word that means something here, in place of some bytes or between two.
  (input, chance, words) => {
    if (words.length === 0) return input;
    const word = chance.of(words);
    if (chance.is(0.5)) return inserted(input, chance, word);
    const at = chance.below(input.length + 1);
    return Buffer.concat([input.subarray(0, at), word, input.subarray(at + word.length)]);
  },
  // Some bytes less.
  (input, chance) => {
    const at = chance.below(input.length + 1);
    return Buffer.concat([input.subarray(0, at), input.subarray(at + 1 + chance.below(8))]);
  },
  // It ends too soon.
  (input, chance) => input.subarray(0, chance.below(input.length + 1)),
  // A piece again, once or often.
  (input, chance) => {
    const at = chance.below(input.length + 1);
    const piece = input.subarray(at, at + 1 + chance.below(16));
    const times = chance.is(0.05) ? chance.below(400) : 1 + chance.below(3);
    return inserted(input, chance, Buffer.concat(Array.from({ length: times }, () => piece)));
  },
  // The beginning of one, the end of another.
  (input, chance, _words, corpus) => {
    const other = chance.of(corpus);
    const head = input.subarray(0, chance.below(input.length + 1));
    return Buffer.concat([head, other.subarray(chance.below(other.length + 1))]);
  },
];

/** One input, as the chance has it. */
export function mutated(corpus: readonly Buffer[], words: readonly Buffer[], chance: Chance): Buffer {
  let input = chance.of(corpus);
  const count = 1 + chance.below(5);
  for (let change = 0; change < count; change += 1) input = chance.of(CHANGES)(input, chance, words, corpus);
  if (chance.is(LONG_SHARE)) {
    const piece =
      chance.is(0.5) || words.length === 0 ? Buffer.from([chance.of(ODD_BYTES)]) : chance.of(words);
    const times = Math.floor(LONG_BYTES / Math.max(1, piece.length));
    return inserted(input, chance, Buffer.concat(Array.from({ length: times }, () => piece)));
  }
  return input.length > MOST_BYTES ? input.subarray(0, MOST_BYTES) : input;
}

function inserted(input: Buffer, chance: Chance, piece: Buffer): Buffer {
  const at = chance.below(input.length + 1);
  return Buffer.concat([input.subarray(0, at), piece, input.subarray(at)]);
}
