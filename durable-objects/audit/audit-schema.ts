/** The table of an audit log, for the migrations of whatever object keeps one. */

/** Statements that make it. */
export const AUDIT_TABLE: readonly string[] = [
  // The key alone orders it: entries are read and pruned by their sequence, and nothing else is searched.
  `CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    subject TEXT,
    token_id TEXT,
    route TEXT NOT NULL,
    given TEXT NOT NULL,
    result TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL
  )`,
];
