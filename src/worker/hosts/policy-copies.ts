/**
 * Copies of pools' policies as their hosts fetch them: after one change all of them come, and the object
 * is asked by the first. What hosts ask for has a version, so no copy is too old for whoever it is
 * given to. [PY3]
 */

/** Pools whose policies are kept at once; beyond it the oldest is forgotten. */
const KEPT_POLICIES = 64;

interface Copy {
  readonly version: number;
  /** As it is sent. */
  readonly text: string;
}

/** The copies of one isolate. */
export class PolicyCopies {
  readonly #copies = new Map<string, Copy>();

  /** The policy of a pool in this version or a later one, as text; undefined where that is not here. */
  recall(pool: string, version: number): string | undefined {
    const copy = this.#copies.get(pool);
    return copy !== undefined && copy.version >= version ? copy.text : undefined;
  }

  /** Keeps a policy. */
  keep(pool: string, version: number, text: string): void {
    // Two answers may cross.
    if ((this.#copies.get(pool)?.version ?? -1) > version) return;
    this.#copies.delete(pool);
    if (this.#copies.size >= KEPT_POLICIES) this.#copies.delete(this.#copies.keys().next().value!);
    this.#copies.set(pool, { version, text });
  }
}
