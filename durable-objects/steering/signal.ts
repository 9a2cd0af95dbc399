/** Something that happens again and again, and can be waited for. */
export class Signal {
  #next = Promise.withResolvers<void>();

  /** Resolved when it happens next. */
  get told(): Promise<void> {
    return this.#next.promise;
  }

  /** It has happened. */
  tell(): void {
    const { resolve } = this.#next;
    this.#next = Promise.withResolvers();
    resolve();
  }
}
