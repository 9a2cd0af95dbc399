/** Seeds that nobody has run before. */
import { randomInt } from "node:crypto";

/** This many in a row, from anywhere. */
export function freshSeeds(count: number): number[] {
  const first = randomInt(1, 2 ** 46);
  return Array.from({ length: count }, (_, at) => first + at);
}
