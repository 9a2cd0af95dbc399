/** Which of several words is meant by one that is none of them. */

/** As far as commander goes: a word of which less than half is alike is another word. */
const LEAST_LIKENESS = 0.4;
const MOST_SLIPS = 3;

/** The nearest one, null if none is near. Of equals the first. */
export function nearestOf(
  word: string,
  known: Iterable<string>,
  mostSlips: number = MOST_SLIPS,
): string | null {
  let best: string | null = null;
  let fewest = mostSlips;
  for (const candidate of known) {
    const slips = slipsBetween(word.toLowerCase(), candidate.toLowerCase());
    const length = Math.max(word.length, candidate.length);
    if ((length - slips) / length <= LEAST_LIKENESS) continue;
    if (slips < fewest || (slips === fewest && best === null)) [best, fewest] = [candidate, slips];
  }
  return best;
}

/** Letters left out, put in, taken for others, or exchanged with the next. */
function slipsBetween(from: string, to: string): number {
  let twoBack: number[] = [];
  let oneBack = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let at = 1; at <= from.length; at += 1) {
    const row = [at];
    for (let other = 1; other <= to.length; other += 1) {
      const isSame = from[at - 1] === to[other - 1];
      const isExchanged =
        at > 1 && other > 1 && from[at - 1] === to[other - 2] && from[at - 2] === to[other - 1];
      row.push(
        Math.min(
          row[other - 1]! + 1,
          oneBack[other]! + 1,
          oneBack[other - 1]! + (isSame ? 0 : 1),
          isExchanged ? twoBack[other - 2]! + 1 : Infinity,
        ),
      );
    }
    [twoBack, oneBack] = [oneBack, row];
  }
  return oneBack[to.length]!;
}

/** ` Did you mean X?`, or nothing. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const nearest = nearestOf(word, known);
  return nearest === null ? "" : ` Did you mean ${nearest}?`;
}
