/**
 * Where a port lies in the picture of an address: an order-8 Hilbert curve over 256 × 256 places, one
 * for each port. Neighbours in number are neighbours in the picture, and an aligned block of 64 ports is
 * a square of 8 × 8.
 */

/** Places along a side. */
export const SIDE = 256;

/** Of each port its place from the left. */
export const PORT_X = new Uint8Array(SIDE * SIDE);
/** Of each port its place from the top. */
export const PORT_Y = new Uint8Array(SIDE * SIDE);
const PORT_AT = new Uint16Array(SIDE * SIDE);

for (let port = 0; port < SIDE * SIDE; port += 1) {
  const { x, y } = placeOn(port);
  PORT_X[port] = x;
  PORT_Y[port] = y;
  PORT_AT[y * SIDE + x] = port;
}

/** The place of a port. */
export function placeOf(port: number): { readonly x: number; readonly y: number } {
  return { x: PORT_X[port]!, y: PORT_Y[port]! };
}

/** The port at a place inside the picture. */
export function portAt(x: number, y: number): number {
  return PORT_AT[y * SIDE + x]!;
}

/** From the smallest square to the whole: each step says in which quarter, and how it is turned. */
function placeOn(port: number): { x: number; y: number } {
  let rest = port;
  let x = 0;
  let y = 0;
  for (let side = 1; side < SIDE; side *= 2) {
    const right = 1 & (rest >> 1);
    const down = 1 & (rest ^ right);
    if (down === 0) {
      if (right === 1) {
        x = side - 1 - x;
        y = side - 1 - y;
      }
      [x, y] = [y, x];
    }
    x += side * right;
    y += side * down;
    rest >>= 2;
  }
  return { x, y };
}
