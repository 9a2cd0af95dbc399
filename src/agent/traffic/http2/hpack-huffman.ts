/** The Huffman code of HPACK (RFC 7541 appendix B), decoding only: what is sent goes as it is. */

/** How long the code of each byte is, and last that of the end, in base 36: the code is canonical. */
const LENGTHS =
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca" +
  "d67777777777777777777777878djde6f56565666577666567655677777fbeds" +
  "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn" +
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq" +
  "u";
const END = 256;
/** More bits than this of padding would be a byte that is not needed (RFC 7541 section 5.2). */
const MAX_PADDING_BITS = 7;

/** Two entries a node, for a 0 and a 1: the next node, or below 0 the symbol as -1 - symbol. */
const TREE = buildTree();

/** Decodes a string; null when it is no code of one. */
export function decodeHuffman(code: Buffer): string | null {
  const decoded = Buffer.allocUnsafe(Math.floor((code.length * 8) / 5) + 1);
  let length = 0;
  let node = 0;
  let depth = 0;
  let isAllOnes = true;
  for (const byte of code) {
    for (let mask = 0x80; mask !== 0; mask >>= 1) {
      const bit = (byte & mask) === 0 ? 0 : 1;
      const next = TREE[node * 2 + bit]!;
      if (next >= 0) {
        node = next;
        depth += 1;
        if (bit === 0) isAllOnes = false;
        continue;
      }
      if (next === -1 - END) return null;
      decoded[length] = -1 - next;
      length += 1;
      node = 0;
      depth = 0;
      isAllOnes = true;
    }
  }
  if (depth > MAX_PADDING_BITS || !isAllOnes) return null;
  return decoded.toString("latin1", 0, length);
}

function buildTree(): Int16Array {
  const tree = new Int16Array(LENGTHS.length * 2);
  const symbols = Array.from({ length: LENGTHS.length }, (_, symbol) => symbol);
  const lengthOf = (symbol: number): number => Number.parseInt(LENGTHS[symbol]!, 36);
  symbols.sort((one, other) => lengthOf(one) - lengthOf(other) || one - other);
  let nodeCount = 1;
  let code = 0;
  let previousLength = 0;
  for (const symbol of symbols) {
    const length = lengthOf(symbol);
    code <<= length - previousLength;
    previousLength = length;
    let node = 0;
    for (let at = length - 1; at > 0; at -= 1) {
      const index = node * 2 + ((code >> at) & 1);
      if (tree[index] === 0) {
        tree[index] = nodeCount;
        nodeCount += 1;
      }
      node = tree[index]!;
    }
    tree[node * 2 + (code & 1)] = -1 - symbol;
    code += 1;
  }
  return tree;
}
