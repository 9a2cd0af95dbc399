/**
 * How many units each data process should have. First what they need, and where that is more than
 * there is, as much for each as can be; then what is left, so that all have as much as can be.
 */

/** So many units for each, all that there are together. `needs` says how many each needs. */
export function allot(unitCount: number, needs: readonly number[]): number[] {
  const given = needs.map(() => 0);
  let left = fill(given, needs, unitCount);
  // Beyond need nobody has a claim: whoever has least gets the next.
  while (left > 0 && given.length > 0) {
    const level = Math.min(...given);
    const lowest = given.flatMap((count, at) => (count === level ? [at] : []));
    const next = Math.min(...given.filter((count) => count > level), Infinity);
    const each = Math.max(1, Math.min(next - level, Math.floor(left / lowest.length)));
    for (const at of lowest) {
      const count = Math.min(each, left);
      given[at]! += count;
      left -= count;
    }
  }
  return given;
}

/** Fills all evenly, none beyond its need; what is left over then. */
function fill(given: number[], needs: readonly number[], unitCount: number): number {
  let left = unitCount;
  while (left > 0) {
    const open = needs.flatMap((need, at) => (given[at]! < need ? [at] : []));
    if (open.length === 0) break;
    const least = Math.min(...open.map((at) => needs[at]! - given[at]!));
    const each = Math.max(1, Math.min(least, Math.floor(left / open.length)));
    for (const at of open) {
      const count = Math.min(each, left);
      given[at]! += count;
      left -= count;
    }
  }
  return left;
}
