/**
 * Waits until everything that was promised and is due is done, so that nothing is left to run but
 * what waits for something else to happen.
 *
 * Between one immediate and the next Node runs all such code, and all that follows from it, and
 * takes up rejections that nobody handles. A way round its event loop, which costs more than most
 * of what happens in a run, brings one immediate as well as many: so many are made at once.
 */
const IMMEDIATES_AT_ONCE = 100;

/** For one that waits. */
export class Settling {
  #leftCount = 0;
  #resolve: (() => void) | null = null;

  /** Resolves as soon as all is done that is due now. */
  wait(): Promise<void> {
    if (this.#leftCount === 0) this.#makeImmediates();
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  #makeImmediates(): void {
    this.#leftCount = IMMEDIATES_AT_ONCE;
    for (let made = 0; made < IMMEDIATES_AT_ONCE; made += 1) setImmediate(this.#immediate);
  }

  readonly #immediate = (): void => {
    this.#leftCount -= 1;
    this.#resolve?.();
    this.#resolve = null;
  };
}
