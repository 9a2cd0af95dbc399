/**
 * What `bpftool map dump` prints of a map without a description of its types: `key:` and `value:`, each with its octets in
 * hexadecimal. Its JSON says the same in twice the characters and a string for each octet, which takes seconds
 * where a map has megabytes.
 */

/** One element. */
export interface MapElement {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

const [COLON, NEWLINE] = [0x3a, 0x0a];
/** The first letters of `key:` and `value:`, and of the line at the end; none is a digit. */
const [KEY, VALUE, FOUND] = [0x6b, 0x76, 0x46];

/** Reads all elements; their keys and values have the same length each. */
export function readMapDump(dump: Uint8Array): MapElement[] {
  const elements: MapElement[] = [];
  // There are at least two digits and a blank for each octet.
  const octets = new Uint8Array(Math.ceil(dump.length / 3));
  let end = 0;
  let [keyAt, valueAt] = [0, 0];
  const finish = (): void => {
    if (end > valueAt)
      elements.push({ key: octets.subarray(keyAt, valueAt), value: octets.subarray(valueAt, end) });
  };
  for (let at = 0; at < dump.length; at += 1) {
    const letter = dump[at]!;
    if (letter === KEY) {
      finish();
      keyAt = valueAt = end;
    } else if (letter === VALUE) {
      valueAt = end;
    } else if (letter === FOUND) {
      break;
    } else if (isDigit(letter)) {
      octets[end] = 16 * digitOf(letter) + digitOf(dump[at + 1]!);
      end += 1;
      at += 1;
      continue;
    } else {
      continue;
    }
    at = skipWord(dump, at);
  }
  finish();
  return elements;
}

function skipWord(dump: Uint8Array, from: number): number {
  let at = from;
  while (at < dump.length && dump[at] !== COLON && dump[at] !== NEWLINE) at += 1;
  return at;
}

/** `0` to `9` and `a` to `f`. */
function isDigit(letter: number): boolean {
  return (letter >= 0x30 && letter <= 0x39) || (letter >= 0x61 && letter <= 0x66);
}

function digitOf(letter: number): number {
  return letter <= 0x39 ? letter - 0x30 : letter - 0x57;
}
