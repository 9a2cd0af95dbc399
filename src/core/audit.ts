/** What is kept of changes that people make: who, when, what, before and after. [AU1] */

/** Who changes something, and by which call. */
export interface ChangeAuthor {
  /** The administrator by name. */
  readonly subject: string;
  /** Null where the token has no id. */
  readonly tokenId: string | null;
  /** The route by its name in the table of routes. */
  readonly route: string;
  /** What the route was given, as JSON text. */
  readonly given: string;
}

/** One change, or one that was refused. What is said as JSON text may have been cut. */
export interface AuditEntry {
  /** Rises by one with each entry of its log; never used twice. */
  readonly sequence: number;
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Null for what the edge does by itself. */
  readonly subject: string | null;
  readonly tokenId: string | null;
  /** The route, or what the edge does. */
  readonly route: string;
  /** JSON text. */
  readonly given: string;
  /** `done`, `begun` where it takes several objects, or the code of the refusal. */
  readonly result: string;
  /** JSON text: of what has changed, how it was; null where nothing was. */
  readonly before: string;
  /** JSON text: of what has changed, how it is; null where nothing is. */
  readonly after: string;
}
