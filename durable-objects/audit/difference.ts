/** Of two states only what differs, so that an entry of a large document stays small. [AU2] */

type Members = Readonly<Record<string, unknown>>;

/** Of each state what the other has not; both null where they are the same. What is undefined is absent. */
export function differenceOf(
  before: unknown,
  after: unknown,
): { readonly before: unknown; readonly after: unknown } {
  const [was, is] = differ(before, after);
  return { before: was ?? null, after: is ?? null };
}

function differ(before: unknown, after: unknown): readonly [unknown, unknown] {
  // A large document that is changed in one place shares the rest.
  if (before === after) return [undefined, undefined];
  if (!isObject(before) || !isObject(after)) {
    return JSON.stringify(before) === JSON.stringify(after) ? [undefined, undefined] : [before, after];
  }
  const was: [string, unknown][] = [];
  const is: [string, unknown][] = [];
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [old, fresh] = differ(memberOf(before, name), memberOf(after, name));
    if (old !== undefined) was.push([name, old]);
    if (fresh !== undefined) is.push([name, fresh]);
  }
  return [whole(was), whole(is)];
}

function memberOf(value: Members, name: string): unknown {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

// `fromEntries` defines members, so that none of any name is lost.
function whole(members: readonly [string, unknown][]): Members | undefined {
  return members.length === 0 ? undefined : Object.fromEntries(members);
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
