/**
 * One limit of one tenant, divided among those who use it: half of it in equal parts, so that everybody has
 * something without a word, and the rest by what is wanted, as fairly as there is any (max-min). [LI10]
 */
import { levelOf } from "./fair-share.ts";

/** Of one thing of one tenant, as one member has it. */
export interface Holding {
  told: number;
  /** The most that it may be going by: everything told since it last said what it knows. */
  peak: number;
  used: number;
  wanted: number;
}

/** What is divided. */
export interface Divided {
  /** What is there for these holdings. */
  readonly total: number;
  /** What each has whatever it wants. */
  readonly base: number;
  /** What is used is used up, as bytes of a day are, and does not come back. */
  readonly isUsedUp: boolean;
}

/** Room that a share is given beyond what is wanted. */
const HEADROOM = 1.5;
/** A share of which so much is wanted is a small one. */
const NEARLY = 0.75;
/** One of which less than that is wanted is given back. */
const LITTLE = 0.25;

/** What each has of a limit without being told, where there are so many members. Who is alone has all. */
export function baseOf(limit: number, members: number): number {
  return members === 1 ? limit : Math.floor(limit / (2 * members));
}

/** What a member may be using: what it may go by, and what it began before it was told of less. */
export function commitmentOf(holding: Holding): number {
  return Math.max(holding.peak, holding.told, holding.used);
}

/**
 * Lowers what is to be lower, and raises what `left` allows, which is nobody's and not even thought to be.
 * Returns the places of those that changed.
 */
export function divide(holdings: readonly Holding[], divided: Divided, left: number): number[] {
  const { total, base, isUsedUp } = divided;
  const floors = holdings.map(({ used }) => (isUsedUp ? Math.max(base, used) : base));
  const wanted = holdings.map((holding) => holding.wanted);
  // Room beyond what is wanted is given of what nobody wants.
  const roomy = wanted.map((count) => Math.ceil(count * HEADROOM));
  const targets = targetsOf(total, roomy, targetsOf(total, wanted, floors));
  const told = holdings.reduce((sum, holding) => sum + holding.told, 0);
  const isShort =
    told > total ||
    holdings.some(
      (holding, at) => holding.told < (isWanting(holding) ? targets[at]! : Math.min(base, targets[at]!)),
    );
  const changed = new Set<number>();
  let free = left;
  for (const [at, holding] of holdings.entries()) {
    const target = targets[at]!;
    const isLittle = holding.wanted < holding.told * LITTLE && target < holding.told / 2;
    const isIdle = isLittle || holding.wanted === 0;
    if (target < holding.told && (isShort || isIdle)) {
      holding.told = target;
      changed.add(at);
    }
  }
  for (const [at, holding] of holdings.entries()) {
    // The base is everybody's, wanted or not.
    const target = isWanting(holding) ? targets[at]! : Math.min(base, targets[at]!);
    if (target <= holding.told) continue;
    const before = commitmentOf(holding);
    const most = Math.min(target, before + Math.max(0, free));
    if (most <= holding.told) continue;
    holding.told = most;
    holding.peak = Math.max(holding.peak, most);
    free -= commitmentOf(holding) - before;
    changed.add(at);
  }
  return [...changed];
}

function isWanting({ wanted, told }: Holding): boolean {
  return wanted > 0 && wanted >= told * NEARLY;
}

/** So much in all, by needs; everybody has its floor at least. */
function targetsOf(total: number, needs: readonly number[], floors: readonly number[]): number[] {
  const extra = needs.map((need, at) => Math.max(0, need - floors[at]!));
  const shared = Math.max(0, total - floors.reduce((sum, floor) => sum + floor, 0));
  const level = levelOf(shared, extra);
  const given = extra.map((need) => Math.floor(Math.min(need, level)));
  let left = Math.floor(shared) - given.reduce((sum, part) => sum + part, 0);
  for (const [at, need] of extra.entries()) {
    if (left <= 0 || given[at]! >= need) continue;
    given[at]! += 1;
    left -= 1;
  }
  return given.map((part, at) => floors[at]! + part);
}
