/** The table of what a pool notes of itself, for the migrations of its object. */

/** Statements that make it. */
export const EVENT_TABLE: readonly string[] = [
  // The key alone orders it, so that an event is one row; it is small enough to be searched.
  `CREATE TABLE event (
    sequence INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    ip TEXT,
    host TEXT,
    router TEXT,
    reason TEXT,
    after TEXT NOT NULL
  )`,
];
